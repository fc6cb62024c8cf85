"""How the number of a projection's partitions changes while workers run it.

The partitions are at different positions, and streams move from one to another. So all partitions first stop at one
common position: the highest of theirs. Once the last one has reached it, one transaction replaces their checkpoints by
those of the new partitions, all at that position. So each event is handled by the old or by the new partition of its
stream, and never by both or by none.

Each step can be made by any process, and again: by workers, or by the command. They find out under locks what is left
to do, so it may be killed at any time.
"""

from typing import Any

from eventstore.backends.protocol import Row, Run
from eventstore.common.validation import MAX_VERSION
from eventstore.errors import ProjectionBehind, UnknownProjection
from eventstore.projections.beginning import add_partitions, columns_of
from eventstore.statements.projections import (
    delete_partitions,
    find_checkpoint,
    find_partitions,
    lock_projection,
    lock_row,
    plan_partitions,
    release_partitions,
    set_partitions,
    stop_partition,
    stop_partition_unless_locked,
)
from eventstore.store import EventStore
from eventstore.tokens import After

_NAME, _POSITION, _STOP, _STARTED_AFTER, _OUTSIDE_AFTER = 0, 1, 11, 13, 14
"""Columns of `find_partitions`."""


def plan(store: EventStore, name: str, partitions: int) -> bool:
    """Record how many partitions a projection that exists is to have; return whether that is already so.

    If it has one, the change is made at once, after waiting for the batch under way.

    Raises:
        UnknownProjection: No projection was ever run under this name.
        ProjectionBehind: It was reset, and a partition has not reached the position up to which its handlers with
            outside effects are not called. Other partitions have another one.
    """
    with store.transaction() as transaction, transaction.core.execution.statement() as run:
        rows = run(lock_projection, name=name)
        if not rows:
            raise UnknownProjection(name)
        locked = rows[0]
        _check_outside(run, name)
        if locked[7] == partitions:
            run(plan_partitions, name=name, next_partitions=None)
            run(release_partitions, projection=name)
            return True
        if locked[7] > 1:
            run(plan_partitions, name=name, next_partitions=partitions)
            return False
        row = run(find_checkpoint, name=name)[0]
        of_position = _columns(row[0], row[6:10])
        more = {"started_after": row[13], "outside_after": row[14]}
        run(
            set_partitions,
            name=name, partitions=partitions, outside_after=row[14], **columns_of(store, After(MAX_VERSION)),
        )  # fmt: skip
        add_partitions(run, name, partitions, of_position | more)
        return True


def _check_outside(run: Run, name: str) -> None:
    rows = [(row[_POSITION], row[_OUTSIDE_AFTER]) for row in run(find_partitions, projection=name)]
    if all(outside_after == rows[0][1] for _, outside_after in rows):
        return
    for position, outside_after in rows:
        if outside_after is not None and position < outside_after < MAX_VERSION:
            raise ProjectionBehind(name, position, outside_after)


def change_partitions(store: EventStore, name: str, *, waits: bool = False) -> int | None:
    """Make the next step of a change that was planned, if it can be made now.

    Args:
        store: The application's store.
        name: The projection.
        waits: Whether to wait for the batches of partitions that are to stop. Workers do not, so that a slow batch of
            one holds back no other; they try again before their next batch.

    Returns:
        The common position that the partitions are to reach; None if no change is planned, or it is done.
    """
    with store.core.execution.statement() as run:
        rows = run(find_checkpoint, name=name)
        partitions = run(find_partitions, projection=name)
    if not rows or rows[0][12] is None or not partitions:
        return None
    common = max(max(row[_POSITION], row[_STOP] or 0) for row in partitions)
    for row in partitions:
        if row[_STOP] != common:
            # One transaction for each, so that waiting for one locks no other.
            with store.core.execution.statement() as run:
                statement = stop_partition if waits else stop_partition_unless_locked
                run(statement, name=row[_NAME], stop_position=common)
    if all(row[_STOP] == row[_POSITION] == common for row in partitions):
        with store.transaction() as transaction, transaction.core.execution.statement() as run:
            if _replace(store, run, name, common):
                return None
    return int(common)


def _replace(store: EventStore, run: Run, name: str, common: int) -> bool:
    """Replace the partitions, unless they have changed meanwhile; return whether that was done."""
    (locked,) = run(lock_projection, name=name)
    own = run(find_checkpoint, name=name)[0]
    partitions = run(find_partitions, projection=name)
    wanted = own[12]
    if wanted is None or locked[7] != own[11] or len(partitions) != own[11]:
        return False
    for row in partitions:
        if not run(lock_row, name=row[_NAME]):
            return False
    partitions = run(find_partitions, projection=name)
    if not all(row[_STOP] == row[_POSITION] == common for row in partitions):
        return False
    of_position = _event_of(partitions, common)
    outside = [row[_OUTSIDE_AFTER] for row in partitions]
    outside_after = None if None in outside else min(outside)
    run(delete_partitions, projection=name)
    position = of_position if wanted == 1 else columns_of(store, After(MAX_VERSION))
    run(set_partitions, name=name, partitions=wanted, outside_after=outside_after, **position)
    if wanted > 1:
        more = {"started_after": partitions[0][_STARTED_AFTER], "outside_after": outside_after}
        add_partitions(run, name, wanted, of_position | more)
    return True


def _event_of(partitions: list[Row] | Any, common: int) -> dict[str, Any]:
    """Return the common position with the newest event that one of the partitions knows there."""
    newest = max(partitions, key=lambda row: row[2] or 0)
    return _columns(common, newest[2:6])


def _columns(position: int, event: Any) -> dict[str, Any]:
    event_position, event_id, stream_id, version = event
    return {
        "position": position,
        "event_position": event_position,
        "event_id": event_id,
        "event_stream_id": stream_id,
        "event_version": version,
    }
