"""Databases whose log is partitioned: many parts of few positions, so that all that is read spans some."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, create_engine

from eventstore.migrations import partitioning
from eventstore.migrations.partitioning.adding import LOCKED, create_part
from eventstore.migrations.partitioning.carrying import Carried
from eventstore.migrations.partitioning.log import changing
from eventstore.migrations.settings import Settings
from eventstore.parts import Part
from eventstore.testing.adversary.ours import Ours
from tests.fix_engines import again, empty
from tests.fix_postgresql import Databases

SIZE = 5
SMALL_PARTS = 8
LAST_POSITION = 10_000_000


def partition(engine: Engine, *, size: int = SIZE, small_parts: int = SMALL_PARTS, schema: str | None = None) -> None:
    """Partition an empty log: parts of a few positions, then one for all others."""
    partitioning.enable(engine, size=size, margin=size, days=0, schema=schema)
    with changing(engine, Settings(schema)) as log:
        there = partitioning.parts(engine, schema=schema)
        first, number = there[-1].last_position + 1, there[-1].number

        def work() -> None:
            carried = Carried.of(log)
            for place in range(small_parts - 2):
                begin = first + place * size
                create_part(log, Part(f"es_events_{number + 1 + place}", begin, begin + size - 1, None, 0), carried)
            rest = first + (small_parts - 2) * size
            create_part(log, Part(f"es_events_{number + small_parts}", rest, LAST_POSITION, None, 0), carried)

        log.attempt("adding parts", LOCKED, work)


class InParts(Ours):
    """The store on a partitioned log, for the adversary: many parts of five positions, then one."""

    def prepare(self) -> None:
        """Create the tables, and partition the log."""
        super().prepare()
        partition(self.store.engine, small_parts=12, schema=self._schema)


@pytest.fixture(scope="session")
def partitioned_postgres_url(postgres_databases: Databases, postgres_template: str) -> Iterator[str]:
    """One database with a partitioned log, for all tests of this process that leave nothing but rows behind."""
    with postgres_databases.fresh(postgres_template) as url:
        engine = create_engine(url)
        partition(engine)
        engine.dispose()
        yield url.render_as_string(hide_password=False)


@pytest.fixture(scope="session")
def partitioned_pool(partitioned_postgres_url: str) -> Iterator[Engine]:
    engine = create_engine(partitioned_postgres_url)
    yield engine
    engine.dispose()


@pytest.fixture
def partitioned_engine(partitioned_pool: Engine, partitioned_postgres_url: str) -> Iterator[Engine]:
    """An engine that has the connections of the test before, too."""
    yield again(partitioned_pool)
    empty(partitioned_postgres_url)
