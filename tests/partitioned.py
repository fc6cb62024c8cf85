"""A log in small parts, for tests."""

from sqlalchemy import Engine

from eventstore.migrations.partitioning import enable
from eventstore.migrations.partitioning.adding import create_part
from eventstore.migrations.partitioning.carrying import Carried
from eventstore.migrations.partitioning.log import changing
from eventstore.migrations.settings import Settings
from eventstore.parts import Part


def partition(engine: Engine, *, size: int, count: int) -> None:
    """Partition the log of a store: `count` parts, es_events_1 and so on, with the next `size` positions each."""
    last = enable(engine, size=size, margin=size, days=0)[-1]
    with changing(engine, Settings()) as log:
        for number in range(3, count + 1):
            first = last.last_position + 1
            last = Part(f"es_events_{number}", first, first + size - 1, None, 0)
            with log.transaction():
                create_part(log, last, Carried.of(log))
