"""A worker process of the tests: folds events into a table.

`python -m tests.projection_worker URL [PAUSE [PARTITIONS]]`: runs until SIGTERM; says "ready" when it begins and, if it
pauses after each event, "handled" after the first one of all, in the midst of its batch.
"""

import random
import sys
import time

from sqlalchemy import Column, Connection, Engine, Integer, MetaData, Table, Text, select

from eventstore import EventStore, RecordedEvent
from eventstore.backends import engine_for
from eventstore.projections import Projection, Worker

metadata = MetaData()
totals = Table(
    "totals",
    metadata,
    Column("stream_id", Text, primary_key=True),
    Column("last", Integer, nullable=False),
    Column("sum", Integer, nullable=False),
)


def fold(event: RecordedEvent, connection: Connection) -> None:
    """Add an event's number to the sum of its stream; refuse one that is repeated, or out of order."""
    before = connection.execute(select(totals).where(totals.c.stream_id == event.stream_id)).one_or_none()
    assert event.version == (1 if before is None else before.last + 1)
    row = {"last": event.version, "sum": event.data["number"] + (0 if before is None else before.sum)}
    if before is None:
        connection.execute(totals.insert().values(stream_id=event.stream_id, **row))
    else:
        connection.execute(totals.update().where(totals.c.stream_id == event.stream_id).values(**row))


def folding(pause: float = 0.0, partitions: int = 1) -> Projection:
    """Return the projection; a pause makes it probable to be killed in the midst of a batch."""
    projection = Projection("totals", partitions=partitions)

    @projection.on("counted")
    def handle(event: RecordedEvent, connection: Connection) -> None:
        fold(event, connection)
        if pause and event.position == 1:
            print("handled", flush=True)
        if pause:
            time.sleep(random.uniform(0, pause))

    return projection


def folded(engine: Engine) -> dict[str, tuple[int, int]]:
    """Return (version, sum) of each stream in the table."""
    with engine.connect() as connection:
        return {row.stream_id: (row.last, row.sum) for row in connection.execute(select(totals))}


def fold_of_log(store: EventStore) -> dict[str, tuple[int, int]]:
    """Return the same, from the log itself."""
    sums: dict[str, tuple[int, int]] = {}
    for event in store.read_all():
        last, total = sums.get(event.stream_id, (0, 0))
        assert event.version == last + 1
        sums[event.stream_id] = (event.version, total + event.data["number"])
    return sums


def main(url: str, pause: float = 0.0, partitions: float = 1) -> None:
    """Run the projection until a signal comes."""
    engine = engine_for(url)
    worker = Worker(EventStore(engine), folding(pause, int(partitions)), batch_size=20)
    print("ready", flush=True)
    worker.run_forever(handle_signals=True)
    print("stopped", flush=True)
    engine.dispose()


if __name__ == "__main__":
    main(sys.argv[1], *map(float, sys.argv[2:]))
