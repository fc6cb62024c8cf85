"""Statements of projections: their checkpoints and dead letters."""

from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Integer,
    Text,
    Uuid,
    bindparam,
    case,
    exists,
    func,
    literal_column,
    not_,
    null,
    or_,
    select,
)
from sqlalchemy import delete as delete_from
from sqlalchemy import insert as insert_into
from sqlalchemy import update as update_table
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.sql import ClauseElement
from sqlalchemy.sql.dml import ReturningUpdate, Update

from eventstore.common.validation import MAX_VERSION
from eventstore.statements.columns import event_columns
from eventstore.statements.deletion import TOMBSTONE_TYPES
from eventstore.statements.detached import is_in_part
from eventstore.tables import Tables, now

PARTITIONED: Final[ColumnElement[int]] = literal_column(str(MAX_VERSION))
"""The position in the row of a projection whose partitions have checkpoints. Code from before es_0012 takes it for a
checkpoint beyond the log, and refuses to handle events."""

EVENT_OF_CHECKPOINT: Final = ("event_position", "event_id", "event_stream_id", "event_version")
"""The columns of the event that a checkpoint stands at."""

# --- checkpoints


def create_checkpoint(tables: Tables) -> ClauseElement:
    """Create the checkpoint of a projection at a position, unless it exists."""
    row = insert(tables.checkpoints).values(
        name=bindparam("name", type_=Text), position=bindparam("position", type_=BigInteger)
    )
    return row.on_conflict_do_nothing(index_elements=["name"])


def begin_projection(tables: Tables) -> ClauseElement:
    """Create the row of a projection that begins, unless it exists; return its name if it was created."""
    columns = ("name", "position", *EVENT_OF_CHECKPOINT, "started_after", "outside_after", "partitions")
    return _begun(tables, *columns)


def begin_partition(tables: Tables) -> ClauseElement:
    """Create the row of a partition of a locked projection, unless it exists; return its name if it was created."""
    columns = ("name", "position", *EVENT_OF_CHECKPOINT, "started_after", "outside_after", "partitions")
    return _begun(tables, *columns, "partition_number", "partition_of")


def _begun(tables: Tables, *columns: str) -> ClauseElement:
    values = {name: bindparam(name, type_=tables.checkpoints.c[name].type) for name in columns}
    row = insert(tables.checkpoints).values(**values)
    return row.on_conflict_do_nothing(index_elements=["name"]).returning(tables.checkpoints.c.name)


def find_checkpoints(tables: Tables) -> ClauseElement:
    """Return all checkpoints, by the name of the projection and the number of the partition.

    A projection with partitions has one for each. The columns: name of the projection, position, worker, failure,
    updated_at, seen_at, failed_at, the time now, has_log_gone_back, the number of the partition or NULL, partitions,
    started_after, next_partitions.
    """
    checkpoints, projection = tables.checkpoints.c, tables.checkpoints.alias("projection").c
    times = (checkpoints.updated_at, checkpoints.seen_at, checkpoints.failed_at, now().label("now"))
    columns = (_projection(tables), checkpoints.position, checkpoints.worker, checkpoints.failure, *times)
    following = select(projection.next_partitions).where(projection.name == checkpoints.partition_of)
    more = (checkpoints.partition_number, checkpoints.partitions, checkpoints.started_after)
    return (
        select(*columns, has_log_gone_back(tables), *more, following.scalar_subquery().label("next_partitions"))
        .where(_is_checkpoint(tables))
        .order_by(literal_column("1"), checkpoints.partition_number)
    )


def names_of_projections(tables: Tables) -> ClauseElement:
    """Return the names of all projections, in order."""
    checkpoints = tables.checkpoints.c
    return select(checkpoints.name).where(checkpoints.partition_of.is_(None)).order_by(checkpoints.name)


def _is_checkpoint(tables: Tables) -> ColumnElement[bool]:
    """Whether a row is a checkpoint, and not that of a projection whose partitions have checkpoints."""
    return or_(tables.checkpoints.c.partitions == literal_column("1"), tables.checkpoints.c.partition_of.is_not(None))


def _projection(tables: Tables) -> ColumnElement[str]:
    return func.coalesce(tables.checkpoints.c.partition_of, tables.checkpoints.c.name).label("name")


def find_checkpoint(tables: Tables) -> ClauseElement:
    """Return (position, seen_at, worker, failure, the time now, failed_at) of a checkpoint, its event, and more.

    The columns of the event: position, id, stream id and version, NULL if there is none; and the id of the event that
    is at that position now, NULL if there is none. Then: partitions, next_partitions, started_after, outside_after.
    No row if the projection has not begun.
    """
    checkpoints = tables.checkpoints.c
    columns = (
        checkpoints.position,
        checkpoints.seen_at,
        checkpoints.worker,
        checkpoints.failure,
        now().label("now"),
        checkpoints.failed_at,
        *_event_of(tables),
        checkpoints.partitions,
        checkpoints.next_partitions,
        checkpoints.started_after,
        checkpoints.outside_after,
    )
    return select(*columns).where(checkpoints.name == bindparam("name"))


def find_partitions(tables: Tables) -> ClauseElement:
    """Return the checkpoints of a projection's partitions, the lowest position first; no rows if it has none.

    The columns: name, position, the five of its event, seen_at, worker, failure, failed_at, stop_position,
    partition_number, started_after, outside_after.
    """
    checkpoints = tables.checkpoints.c
    columns = (
        checkpoints.name,
        checkpoints.position,
        *_event_of(tables),
        checkpoints.seen_at,
        checkpoints.worker,
        checkpoints.failure,
        checkpoints.failed_at,
        checkpoints.stop_position,
        checkpoints.partition_number,
        checkpoints.started_after,
        checkpoints.outside_after,
    )
    of_projection = checkpoints.partition_of == bindparam("projection")
    return select(*columns).where(of_projection).order_by(checkpoints.position, checkpoints.partition_number)


def lock_checkpoint(tables: Tables) -> ClauseElement:
    """Lock a checkpoint until the transaction ends; return its position and its event. No row if it is locked.

    Also no row if it is that of a projection with partitions. The event is as in `find_checkpoint`. On SQLite, the
    transaction keeps all other writers out.
    """
    checkpoints = tables.checkpoints.c
    return (
        select(checkpoints.position, *_event_of(tables))
        .where(checkpoints.name == bindparam("name"), checkpoints.partitions == literal_column("1"))
        .with_for_update(skip_locked=True)
    )


def lock_row(tables: Tables) -> ClauseElement:
    """Lock a row of a projection or a partition until the transaction ends, and return it. No row if it is locked.

    The columns: position, the five of its event as in `find_checkpoint`, name, partitions, partition_number,
    stop_position, outside_after.
    """
    of_name = tables.checkpoints.c.name == bindparam("name")
    return select(*_locked_columns(tables)).where(of_name).with_for_update(skip_locked=True)


def lock_partition(tables: Tables) -> ClauseElement:
    """Lock the checkpoint of a partition that is behind a position and that no one else has locked, and return it.

    The columns are those of `lock_row`. The one with the lowest position comes first. Those at whose next event a
    handler has failed come last, and of these the one whose failure is the oldest first, so that each has its turn.
    Those whose numbers are in `left_out`, such as `,2,5,`, are passed. No row if there is none.
    """
    checkpoints = tables.checkpoints.c
    number = func.cast(checkpoints.partition_number, Text)
    listed = literal_column("'%,'").concat(number).concat(literal_column("',%'"))
    return (
        select(*_locked_columns(tables))
        .where(
            checkpoints.partition_of == bindparam("projection"),
            checkpoints.position < bindparam("settled_position", type_=BigInteger),
            or_(checkpoints.stop_position.is_(None), checkpoints.position < checkpoints.stop_position),
            bindparam("left_out", type_=Text).not_like(listed),
        )
        .order_by(
            case((checkpoints.failure.is_(None), literal_column("0")), else_=literal_column("1")),
            checkpoints.failed_at.nulls_last(),
            checkpoints.position,
            checkpoints.partition_number,
        )
        .limit(literal_column("1"))
        .with_for_update(skip_locked=True)
    )


def lock_projection(tables: Tables) -> ClauseElement:
    """Lock the row of a projection until the transaction ends, after waiting for a batch under way; return it.

    The columns are those of `lock_row`. It lets partitions add dead letters meanwhile.
    """
    of_name = tables.checkpoints.c.name == bindparam("name")
    return select(*_locked_columns(tables)).where(of_name).with_for_update(key_share=True)


def _locked_columns(tables: Tables) -> list[ColumnElement[Any]]:
    checkpoints = tables.checkpoints.c
    names = ("name", "partitions", "partition_number", "stop_position", "outside_after")
    return [checkpoints.position, *_event_of(tables), *[checkpoints[name] for name in names]]


def _event_of(tables: Tables) -> list[ColumnElement[Any]]:
    checkpoints, events = tables.checkpoints.c, tables.events.alias("checkpoint_event").c
    id_there = select(events.event_id).where(events.position == checkpoints.event_position).scalar_subquery()
    return [*[checkpoints[name] for name in EVENT_OF_CHECKPOINT], id_there.label("id_there")]


def has_log_gone_back(tables: Tables) -> ColumnElement[bool]:
    """Return whether a checkpoint's event is gone without a tombstone that explains it, nor was its part detached.

    A checkpoint without an event is only compared with the newest event: the log has gone back if that is older.
    """
    checkpoints, events = tables.checkpoints.c, tables.events
    there, tombstone, newest = (events.alias(name).c for name in ("checkpoint_event", "tombstone", "newest_event"))
    is_there = exists().where(there.position == checkpoints.event_position, there.event_id == checkpoints.event_id)
    is_explained = exists().where(
        tombstone.stream_id == checkpoints.event_stream_id,
        tombstone.version > checkpoints.event_version,
        tombstone.event_type.in_(TOMBSTONE_TYPES),
    )
    last = select(func.coalesce(func.max(newest.position), literal_column("0")).label("position")).scalar_subquery()
    reasons: list[ColumnElement[bool]] = [is_there, is_explained]
    if tables.layout.is_partitioned:
        reasons.append(is_in_part(tables, checkpoints.event_position))
    return case(
        (checkpoints.event_id.is_(None), (checkpoints.position > last) & (checkpoints.position < PARTITIONED)),
        else_=not_(or_(*reasons)),
    ).label("has_log_gone_back")


def advance_checkpoint(tables: Tables) -> ClauseElement:
    """Move a checkpoint from one position to another, and clear its failure; no row if it is at another position.

    The parameters `event_…` are the last event that is known at or before the new position.
    """
    checkpoints = tables.checkpoints
    return (
        update_table(checkpoints)
        .where(checkpoints.c.name == bindparam("name"), checkpoints.c.position == bindparam("old"))
        .values(
            position=bindparam("position", type_=BigInteger),
            event_position=bindparam("event_position", type_=BigInteger),
            event_id=bindparam("event_id", type_=Uuid()),
            event_stream_id=bindparam("event_stream_id", type_=Text),
            event_version=bindparam("event_version", type_=BigInteger),
            updated_at=now(),
            seen_at=now(),
            worker=bindparam("worker", type_=Text),
            failed_at=null(),
            failure=null(),
        )
        .returning(checkpoints.c.position)
    )


def mark_seen(tables: Tables) -> ClauseElement:
    """Record a worker's heartbeat. Do nothing if another worker is in a batch."""
    return _updated_unless_locked(tables, seen_at=now(), worker=bindparam("worker", type_=Text))


def mark_stopped(tables: Tables) -> ClauseElement:
    """Record that a worker has stopped, if it was the last one seen. Do nothing if another one is in a batch."""
    of_worker = tables.checkpoints.c.worker == bindparam("worker")
    return _updated_unless_locked(tables, seen_at=null()).where(of_worker)


def mark_stopped_in_partitions(tables: Tables) -> ClauseElement:
    """Do the same in all partitions of a projection."""
    checkpoints = tables.checkpoints.c
    of_worker = (checkpoints.partition_of == bindparam("projection"), checkpoints.worker == bindparam("worker"))
    unlocked = select(checkpoints.name).where(*of_worker).with_for_update(skip_locked=True)
    return update_table(tables.checkpoints).where(checkpoints.name.in_(unlocked)).values(seen_at=null())


def mark_failed(tables: Tables) -> ClauseElement:
    """Record which event has failed. Do nothing if another worker is in a batch."""
    return _updated_unless_locked(tables, failed_at=now(), failure=bindparam("failure", type_=Text))


def mark_retrying(tables: Tables) -> ClauseElement:
    """Record which event is retried, as a failure without a time. Do nothing if another worker is in a batch."""
    failure = bindparam("failure", type_=Text)
    return _updated_unless_locked(
        tables, failed_at=null(), failure=failure, seen_at=now(), worker=bindparam("worker", type_=Text)
    )


def reset_checkpoint(tables: Tables) -> ClauseElement:
    """Set a locked checkpoint back to where the projection began.

    Handlers with outside effects are not called again for the events up to its present position.
    """
    return _set_back(tables, tables.checkpoints.c.started_after)


def set_back_checkpoint(tables: Tables) -> ClauseElement:
    """Set a locked checkpoint back to a position, unless it is before that; otherwise as `reset_checkpoint`."""
    position, after = tables.checkpoints.c.position, bindparam("after_position", type_=BigInteger)
    return _set_back(tables, case((position > after, after), else_=position))


def _set_back(tables: Tables, position: ColumnElement[int]) -> ClauseElement:
    checkpoints = tables.checkpoints.c
    no_event = dict.fromkeys(EVENT_OF_CHECKPOINT, null())
    outside_after = case(
        (checkpoints.outside_after < checkpoints.position, checkpoints.position), else_=checkpoints.outside_after
    )
    return _updated(
        tables,
        position=position,
        outside_after=outside_after,
        updated_at=now(),
        failed_at=null(),
        failure=null(),
        **no_event,
    )


def rename_checkpoint(tables: Tables) -> ClauseElement:
    """Rename a locked checkpoint."""
    return _updated(tables, name=bindparam("new_name", type_=Text))


def move_partition(tables: Tables) -> ClauseElement:
    """Give a locked partition to a projection of another name."""
    names = {name: bindparam(f"new_{name}", type_=Text) for name in ("name", "partition_of")}
    return _updated(tables, **names)


def set_outside_after(tables: Tables) -> ClauseElement:
    """Set after which position the handlers with outside effects are called, in a locked checkpoint."""
    return _updated(tables, outside_after=bindparam("outside_after", type_=BigInteger))


def stop_partition(tables: Tables) -> ClauseElement:
    """Let a partition handle nothing after a position, or after its present one if that is higher.

    It waits for the partition's batch, if there is one.
    """
    return _updated(tables, stop_position=_stop_position(tables))


def stop_partition_unless_locked(tables: Tables) -> ClauseElement:
    """Do the same, but do nothing if the partition has a batch."""
    return _updated_unless_locked(tables, stop_position=_stop_position(tables))


def _stop_position(tables: Tables) -> ColumnElement[int]:
    position, at_least = tables.checkpoints.c.position, bindparam("stop_position", type_=BigInteger)
    return case((position > at_least, position), else_=at_least)


def release_partitions(tables: Tables) -> ClauseElement:
    """Let all partitions of a projection go on, because their number does not change."""
    of_projection = tables.checkpoints.c.partition_of == bindparam("projection", type_=Text)
    return update_table(tables.checkpoints).where(of_projection).values(stop_position=null())


def plan_partitions(tables: Tables) -> ClauseElement:
    """Record how many partitions a projection will have; NULL if that does not change."""
    return _updated(tables, next_partitions=bindparam("next_partitions", type_=Integer))


def set_partitions(tables: Tables) -> ClauseElement:
    """Set how many partitions a locked projection has, and the checkpoint in its own row."""
    columns = ("position", *EVENT_OF_CHECKPOINT, "outside_after", "partitions")
    values = {name: bindparam(name, type_=tables.checkpoints.c[name].type) for name in columns}
    no_worker = dict.fromkeys(("next_partitions", "seen_at", "worker", "failed_at", "failure"), null())
    return _updated(tables, **values, **no_worker, updated_at=now())


def delete_partitions(tables: Tables) -> ClauseElement:
    """Delete the locked checkpoints of all partitions of a projection."""
    return delete_from(tables.checkpoints).where(tables.checkpoints.c.partition_of == bindparam("projection"))


def delete_checkpoint(tables: Tables) -> ClauseElement:
    """Delete a locked checkpoint. Delete its dead letters first."""
    return delete_from(tables.checkpoints).where(tables.checkpoints.c.name == bindparam("name"))


def _updated(tables: Tables, **values: Any) -> Update:
    of_name = tables.checkpoints.c.name == bindparam("name", type_=Text)
    return update_table(tables.checkpoints).where(of_name).values(**values)


def _updated_unless_locked(tables: Tables, **values: Any) -> Update:
    """Update the row unless it is locked, so that a worker's heartbeat does not wait for another worker's batch."""
    name = tables.checkpoints.c.name
    unlocked = select(name).where(name == bindparam("name", type_=Text)).with_for_update(skip_locked=True)
    return update_table(tables.checkpoints).where(name == unlocked.scalar_subquery()).values(**values)


def count_events_after(tables: Tables) -> ClauseElement:
    """Return how many events there are after a position, counting up to a limit."""
    position = tables.events.c.position
    some = (
        select(literal_column("1").label("event"))
        .select_from(tables.events)
        .where(position > bindparam("after_position", type_=BigInteger))
        .limit(bindparam("at_most", type_=BigInteger))
        .subquery("counted")
    )
    return select(func.count().label("events")).select_from(some)


def next_event_time(tables: Tables) -> ClauseElement:
    """Return when the first event after a position was recorded; no row if there is none."""
    events = tables.events.c
    after = events.position > bindparam("after_position", type_=BigInteger)
    return select(events.recorded_at).where(after).order_by(events.position).limit(literal_column("1"))


def first_event_since(tables: Tables) -> ClauseElement:
    """Return the lowest position of an event that was recorded at or after a time; NULL if there is none.

    The sum keeps the planner from searching the index of positions from its start.
    """
    events = tables.events.c
    since = events.recorded_at >= bindparam("since", type_=events.recorded_at.type)
    return select(func.min(events.position + literal_column("0")).label("position")).where(since)


def projection_health(tables: Tables) -> ClauseElement:
    """Return the lag and the failures of each checkpoint, by the name of the projection and the partition's number.

    The columns: name of the projection, position, events after it, when the first of these was recorded, pending dead
    letters of the projection, failure, time of the failure, the time now, whether the log went back, number of the
    partition, worker, seen_at, updated_at, started_after. Events and dead letters are counted up to `at_most`, so that
    a health check stays cheap however large the lag is.
    """
    checkpoints, events, letters = tables.checkpoints.c, tables.events.c, tables.dead_letters.c
    at_most = bindparam("at_most", type_=BigInteger)
    after = events.position > checkpoints.position
    behind = select(events.position).where(after).limit(at_most).correlate(tables.checkpoints).subquery("behind")
    is_own_pending = (
        letters.projection == func.coalesce(checkpoints.partition_of, checkpoints.name),
        letters.status == literal_column("'pending'"),
    )
    pending = select(letters.position).where(*is_own_pending).limit(at_most)
    oldest = select(events.recorded_at).where(after).order_by(events.position).limit(literal_column("1"))
    columns = (
        _projection(tables),
        checkpoints.position,
        select(func.count().label("number")).select_from(behind).scalar_subquery().label("behind"),
        oldest.correlate(tables.checkpoints).scalar_subquery().label("oldest"),
        select(func.count().label("number"))
        .select_from(pending.correlate(tables.checkpoints).subquery("pending"))
        .scalar_subquery()
        .label("dead_letters"),
        checkpoints.failure,
        checkpoints.failed_at,
        now().label("now"),
        has_log_gone_back(tables),
        checkpoints.partition_number,
        checkpoints.worker,
        checkpoints.seen_at,
        checkpoints.updated_at,
        checkpoints.started_after,
    )
    return select(*columns).where(_is_checkpoint(tables)).order_by(literal_column("1"), checkpoints.partition_number)


# --- dead letters


def add_dead_letter(tables: Tables) -> ClauseElement:
    """Add the event at a position as a dead letter."""
    events, names = tables.events.c, ["position", "version", "event_id", "stream_id", "event_type"]
    parameters: list[ColumnElement[Any]] = [
        bindparam("projection", type_=Text).label("projection"),
        bindparam("attempts", type_=Integer).label("attempts"),
        bindparam("error", type_=Text).label("error"),
        literal_column("'pending'").label("status"),
    ]
    of_event = select(*[events[name] for name in names], *parameters).where(
        events.position == bindparam("position", type_=BigInteger)
    )
    columns = [*names, "projection", "attempts", "error", "status"]
    return insert_into(tables.dead_letters).from_select(columns, of_event, include_defaults=False)


def blocked_streams(tables: Tables) -> ClauseElement:
    """Return the streams that have a pending dead letter, so that their later events become dead letters, too."""
    return select(tables.dead_letters.c.stream_id).where(is_pending(tables)).distinct()


def count_dead_letters(tables: Tables) -> ClauseElement:
    """Return (projection, number of pending dead letters) of each projection that has some."""
    letters = tables.dead_letters.c
    return (
        select(letters.projection, func.count().label("pending"))
        .where(letters.status == literal_column("'pending'"))
        .group_by(letters.projection)
    )


def count_some_dead_letters(tables: Tables) -> ClauseElement:
    """Return how many pending dead letters a projection has, counted up to `at_most`."""
    letters = tables.dead_letters.c
    in_order = select(letters.position).where(is_pending(tables)).order_by(letters.stream_id, letters.position)
    some = in_order.limit(bindparam("at_most", type_=BigInteger)).subquery("counted")
    return select(func.count().label("pending")).select_from(some)


def count_pending_after(tables: Tables) -> ClauseElement:
    """Return how many pending dead letters a projection has after a position."""
    after = tables.dead_letters.c.position > bindparam("after_position", type_=BigInteger)
    return select(func.count().label("pending")).where(is_pending(tables), after)


def find_dead_letters(tables: Tables) -> ClauseElement:
    """Return a page of the dead letters with a status, in order of position."""
    letters = tables.dead_letters.c
    return (
        select(*letter_columns(tables))
        .where(
            letters.projection == bindparam("projection"),
            letters.status == bindparam("status"),
            letters.position > bindparam("after_position"),
        )
        .order_by(letters.position)
        .limit(bindparam("page_size", type_=BigInteger))
    )


def letter_columns(tables: Tables) -> list[ColumnElement[Any]]:
    """Return the columns of a dead letter, in the order of the attributes of `DeadLetter`."""
    letters = tables.dead_letters.c
    return [
        letters.projection, letters.position, letters.stream_id, letters.version, letters.event_id, letters.event_type,
        letters.status, letters.attempts, letters.error, letters.note, letters.first_failed_at, letters.last_failed_at,
        letters.closed_at,
    ]  # fmt: skip


def read_pending(tables: Tables) -> ClauseElement:
    """Return a page of the events of a stream's pending dead letters, in order, with the columns of all reads."""
    events, letters = tables.events.c, tables.dead_letters.c
    return (
        select(*event_columns(tables))
        .where(
            events.position == letters.position,
            is_pending(tables),
            letters.stream_id == bindparam("stream_id"),
        )
        .order_by(letters.position)
        .limit(bindparam("page_size", type_=BigInteger))
    )


def close_dead_letter(tables: Tables) -> ClauseElement:
    """Resolve or discard a pending dead letter; no row if there is none."""
    return _changed(
        tables,
        status=bindparam("status", type_=Text),
        closed_at=now(),
        note=func.coalesce(bindparam("note", type_=Text), tables.dead_letters.c.note),
    )


def fail_dead_letter(tables: Tables) -> ClauseElement:
    """Record that a retry of a dead letter has failed; return (position, attempts so far)."""
    attempts = tables.dead_letters.c.attempts + literal_column("1")
    changed = _changed(tables, attempts=attempts, last_failed_at=now(), error=bindparam("error", type_=Text))
    return changed.returning(tables.dead_letters.c.attempts)


def rename_dead_letters(tables: Tables) -> ClauseElement:
    """Rename the projection of its dead letters. The foreign key has already done so if the database enforces it."""
    letters = tables.dead_letters
    of_projection = letters.c.projection == bindparam("name", type_=Text)
    return update_table(letters).where(of_projection).values(projection=bindparam("new_name", type_=Text))


def delete_dead_letters(tables: Tables) -> ClauseElement:
    """Delete all dead letters of a projection."""
    return delete_from(tables.dead_letters).where(tables.dead_letters.c.projection == bindparam("projection"))


def delete_dead_letters_after(tables: Tables) -> ClauseElement:
    """Delete the dead letters of a projection after a position."""
    letters = tables.dead_letters
    of_projection = letters.c.projection == bindparam("projection", type_=Text)
    return delete_from(letters).where(of_projection, letters.c.position > bindparam("after_position", type_=BigInteger))


def _changed(tables: Tables, **values: Any) -> ReturningUpdate[Any]:
    letters = tables.dead_letters
    at_position = letters.c.position == bindparam("at_position", type_=BigInteger)
    return update_table(letters).where(is_pending(tables), at_position).values(**values).returning(letters.c.position)


def is_pending(tables: Tables) -> ColumnElement[bool]:
    """Select pending dead letters by the constant that is also the condition of the partial index."""
    letters = tables.dead_letters.c
    return (letters.projection == bindparam("projection", type_=Text)) & (letters.status == literal_column("'pending'"))
