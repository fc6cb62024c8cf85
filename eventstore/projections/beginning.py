"""How a projection begins: its checkpoint is created where it is to start."""

from datetime import datetime
from typing import Any

from eventstore.backends.protocol import Run
from eventstore.common.validation import MAX_VERSION
from eventstore.core.global_order import GlobalOrder
from eventstore.errors import InvalidInput, UnknownProjection
from eventstore.projections.definition import Projection, Start, name_of_partition
from eventstore.statements.projections import (
    begin_partition,
    begin_projection,
    find_checkpoint,
    first_event_since,
)
from eventstore.store import EventStore
from eventstore.tokens import START, After


def begin(store: EventStore, order: GlobalOrder, projection: Projection) -> None:
    """Create the checkpoint of a projection, and those of its partitions, unless it has begun.

    Several workers may do this at the same time: what the first one has stored counts.

    Raises:
        UnknownProjection: It rebuilds a projection that has never run.
        PositionBeyondLog: It begins after a position that the log has never reached.
        LogWentBack: It begins after an event that the log does not have.
        InvalidInput: Another projection has the name of one of its partitions.
    """
    after = _start_of(store, order, projection)
    columns = columns_of(store, after)
    with store.transaction() as transaction, transaction.core.execution.statement() as run:
        started_after = {
            "started_after": after.position,
            "outside_after": _outside_after(run, projection, after),
        }
        has_partitions = projection.partitions > 1
        own = columns_of(store, After(MAX_VERSION)) if has_partitions else columns
        begun = run(begin_projection, name=projection.name, partitions=projection.partitions, **own, **started_after)
        if begun and has_partitions:
            add_partitions(run, projection.name, projection.partitions, columns | started_after)


def add_partitions(run: Run, projection: str, partitions: int, columns: dict[str, Any]) -> None:
    """Create the checkpoints of partitions, all alike.

    Raises:
        InvalidInput: Another projection has the name of one of them.
    """
    for number in range(1, partitions + 1):
        name = name_of_partition(projection, number, partitions)
        more = {"name": name, "partition_of": projection, "partition_number": number, "partitions": partitions}
        if not run(begin_partition, **columns, **more):
            msg = (
                f"partition {number} of projection {projection!r} needs the name {name!r}, which another projection has"
            )
            raise InvalidInput(msg)


def columns_of(store: EventStore, after: After) -> dict[str, Any]:
    """Return the columns of a checkpoint's position and event."""
    token = after.token
    return {
        "position": after.position,
        "event_position": None if token is None else token.position,
        "event_id": None if token is None else store.core.dialect.from_uuid(token.event_id),
        "event_stream_id": None if token is None else token.stream_id,
        "event_version": None if token is None else token.version,
    }


def _outside_after(run: Run, projection: Projection, after: After) -> int | None:
    """Return after which position handlers with outside effects are called: for a rebuild, after none."""
    if projection.outside_handlers.is_empty:
        return None
    if projection.rebuilds is None:
        return after.position
    if not run(find_checkpoint, name=projection.rebuilds):
        raise UnknownProjection(projection.rebuilds)
    return MAX_VERSION


def _start_of(store: EventStore, order: GlobalOrder, projection: Projection) -> After:
    """Return the position after which a projection begins, so that nothing that it is to handle is at or before it.

    What is not settled may still be committed before the newest event. So it begins at the settled position at most.
    """
    start = projection.start
    if start is Start.BEGINNING:
        return START
    execution = store.core.execution
    if not isinstance(start, Start | datetime):
        after = After.of(start)
        with execution.global_reading() as run:
            order.horizon(run, after=after)  # raises if the log does not have it
        return after
    with execution.global_reading() as run:
        horizon = order.horizon(run)
    settled = After(horizon.settled, horizon.event)
    if isinstance(start, datetime):
        with execution.statement() as run:
            ((first,),) = run(first_event_since, since=store.core.dialect.from_time(start))
        if first is not None and first <= settled.position:
            return After(first - 1)
    return settled
