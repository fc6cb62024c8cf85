"""A migration touches nothing of the application's: rows, objects and grants are the same before and after."""

import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from django.core.management import call_command
from sqlalchemy import Engine

from eventstore import migrations
from tests.application_objects import Dump, create_objects, create_random_objects, dump, fill, of_application
from tests.fix_django import leave_database, postgresql_settings, sqlite_settings, use_database
from tests.fix_migrations import run_alembic, url_of
from tests.processes import run_python
from tests.test_migration_ways import OURS, Application, psql


class Way:
    """A way in, which starts from an empty database."""

    allows_orphans = True
    """Whether a row that refers to nothing, as it did before, is let be."""

    def __init__(self, folder: Path, engine: Engine) -> None:
        self.folder = folder
        self.engine = engine

    def up(self, revision: str) -> None:
        migrations.upgrade(self.engine, revision)

    def down(self, revision: str) -> None:
        migrations.downgrade(self.engine, revision)

    def close(self) -> None:
        """Nothing is left open."""


class Command(Way):
    """Has no downgrade."""

    def up(self, revision: str) -> None:
        arguments = ["migrate", "--url", url_of(self.engine), "--revision", revision]
        run_python("-m", "eventstore", *arguments, check=True)


class Checkout(Way):
    def up(self, revision: str) -> None:
        self._run("upgrade", revision)

    def down(self, revision: str) -> None:
        self._run("downgrade", revision)

    def _run(self, *arguments: str) -> None:
        done = run_alembic(self.engine, *arguments)
        assert done.returncode == 0, done.stderr


class Theirs(Way):
    """An Alembic of the application's, in which our revisions are a branch; Flask-Migrate is one of these."""

    options: dict[str, Any] = {}  # noqa: RUF012  # set by subclasses

    def __init__(self, folder: Path, engine: Engine) -> None:
        super().__init__(folder, engine)
        self.application = Application(folder / "application", engine)
        self.application.write(locations=OURS, **self.options)
        if engine.dialect.name == "sqlite":
            environment = self.application.folder / "env.py"
            on = "from sqlalchemy import event\nevent.listen(engine, 'connect', "
            on += "lambda c, _: c.execute('PRAGMA foreign_keys = ON'))\nwith engine.connect()"
            text = environment.read_text(encoding="utf-8").replace("with engine.connect()", on)
            environment.write_text(text, encoding="utf-8")

        self.config = Config(self.application.folder / "alembic.ini")

    def up(self, revision: str) -> None:
        command.upgrade(self.config, f"eventstore@{revision}")

    def down(self, revision: str) -> None:
        command.downgrade(self.config, f"eventstore@{revision}")


class TheirsAsOne(Theirs):
    """As Flask-Migrate has it: all revisions are one transaction."""

    options = {"per_migration": False}  # noqa: RUF012  # never changed


class TheirsInTransaction(Theirs):
    options = {"in_transaction": True}  # noqa: RUF012  # never changed


class Django(Way):
    allows_orphans = False  # after each migration Django checks the whole file, and refuses

    def __init__(self, folder: Path, engine: Engine) -> None:
        super().__init__(folder, engine)
        use_database(
            sqlite_settings(Path(str(engine.url.database)))
            if engine.dialect.name == "sqlite"
            else postgresql_settings(url_of(engine))
        )

    def up(self, revision: str) -> None:
        call_command("migrate", "eventstore", revision.removeprefix("es_"), verbosity=0)

    down = up

    def close(self) -> None:
        leave_database()


class PrintedSQL(Way):
    def up(self, revision: str) -> None:
        done = migrations.current(self.engine)
        self._run(migrations.sql(revision if done is None else f"{done}:{revision}"))

    def down(self, revision: str) -> None:
        printed = run_alembic(self.engine, "downgrade", f"{migrations.current(self.engine)}:{revision}", "--sql")
        self._run(printed.stdout)

    def _run(self, sql: str) -> None:
        done = psql(self.engine, sql)
        assert done.returncode == 0, done.stderr


SQLITE_WAYS = {
    "python": Way,
    "command": Command,
    "checkout": Checkout,
    "theirs": Theirs,
    "theirs, one transaction": TheirsAsOne,
    "theirs, in a transaction": TheirsInTransaction,
    "django": Django,
}
POSTGRESQL_WAYS = {
    "python": Way,
    "command": Command,
    "checkout": Checkout,
    "theirs": Theirs,
    "django": Django,
    "printed SQL": PrintedSQL,
}
IN_DEFAULT_RUN = {"sqlite": {"python", "theirs, in a transaction"}, "postgresql": {"python"}}
"""The others take their time for starting processes."""


@pytest.fixture(
    params=[
        pytest.param(
            (database, way),
            id=f"{database}-{name}",
            marks=[
                *([pytest.mark.postgresql] if database == "postgresql" else []),
                pytest.mark.slow if name in IN_DEFAULT_RUN[database] else pytest.mark.long,
            ],
        )
        for database, ways in (("sqlite", SQLITE_WAYS), ("postgresql", POSTGRESQL_WAYS))
        for name, way in ways.items()
    ]
)
def way(
    request: pytest.FixtureRequest, tmp_path: Path, tracked_engine: Callable[[Any], Engine], django_project: None
) -> Iterator[Way]:
    """Each way in, with an empty database of each kind."""
    database, kind = request.param
    url = f"sqlite:///{tmp_path / 'shop.db'}" if database == "sqlite" else request.getfixturevalue("empty_postgres_url")
    made = kind(tmp_path, tracked_engine(url))
    yield made
    made.close()


def test_all_of_an_application_that_refers_to_our_tables_is_as_before(way: Way) -> None:
    engine = way.engine
    way.up("es_0001")
    bare = dump(engine)
    fill(engine)
    create_objects(engine, orphan=way.allows_orphans)
    before = dump(engine)
    theirs = of_application(before, bare)
    assert len(theirs) > 40
    for revision in ("es_0003", migrations.head()):
        way.up(revision)
        assert theirs - dump(engine) == Dump(), f"{revision} has changed what is the application's"
    way.down("es_0001")
    assert_same(dump(engine), before)
    way.up(migrations.head())
    assert theirs - dump(engine) == Dump()


def assert_same(after: Dump, before: Dump) -> None:
    assert before - after == Dump(), "is gone"
    assert after - before == Dump(), "has come"


def check_random_objects(engine: Engine, seed: int) -> None:
    chance = random.Random(seed)
    migrations.upgrade(engine, "es_0001")
    bare = dump(engine)
    fill(engine)
    create_random_objects(engine, chance)
    before = dump(engine)
    theirs = of_application(before, bare)
    for revision in sorted(chance.sample(["es_0002", "es_0003", "es_0005", "es_0006"], 2)):
        migrations.upgrade(engine, revision)
        assert theirs - dump(engine) == Dump()
    migrations.upgrade(engine)
    assert theirs - dump(engine) == Dump()
    migrations.downgrade(engine, "es_0001")
    assert_same(dump(engine), before)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_random_objects_are_as_before_on_sqlite(
    seed: int, tmp_path: Path, tracked_engine: Callable[[Any], Engine]
) -> None:
    check_random_objects(tracked_engine(f"sqlite:///{tmp_path / 'shop.db'}"), seed)


@pytest.mark.long
def test_many_random_objects_are_as_before(make_engine: Callable[[], Engine]) -> None:
    first = int.from_bytes(os.urandom(4), "big")
    for seed in range(first, first + 100):
        engine = make_engine()
        try:
            check_random_objects(engine, seed)
        except Exception as error:
            error.add_note(f"the seed is {seed}")
            raise
        engine.dispose()
