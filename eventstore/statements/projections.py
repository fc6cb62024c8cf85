"""Statements of projections: their checkpoints and dead letters."""

from typing import Any

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

from eventstore.statements.closing import CLOSING_TYPES
from eventstore.statements.columns import event_columns
from eventstore.tables import Tables, now

# --- checkpoints


def create_checkpoint(tables: Tables) -> ClauseElement:
    """Begin a projection at a position, unless it has begun."""
    row = insert(tables.checkpoints).values(
        name=bindparam("name", type_=Text), position=bindparam("position", type_=BigInteger)
    )
    return row.on_conflict_do_nothing(index_elements=["name"])


def find_checkpoints(tables: Tables) -> ClauseElement:
    """Return all projections, by name.

    The rows: (name, position, worker, failure, updated_at, seen_at, failed_at, the time now, has_log_gone_back).
    """
    found = tables.checkpoints.c
    when = (found.updated_at, found.seen_at, found.failed_at, now().label("now"))
    columns = (found.name, found.position, found.worker, found.failure, *when, has_log_gone_back(tables))
    return select(*columns).order_by(found.name)


def names_of_projections(tables: Tables) -> ClauseElement:
    """Return the names of all projections, in order."""
    return select(tables.checkpoints.c.name).order_by(tables.checkpoints.c.name)


def find_checkpoint(tables: Tables) -> ClauseElement:
    """Return (position, seen_at, worker, failure, the time now, failed_at) of one, and its event; no row if not begun.

    Of the event: position, id, stream id and version, NULL if it is not known; and the id of the event that stands at
    its position now, NULL if there is none.
    """
    found = tables.checkpoints.c
    columns = (
        found.position,
        found.seen_at,
        found.worker,
        found.failure,
        now().label("now"),
        found.failed_at,
        *_event_of(tables),
    )
    return select(*columns).where(found.name == bindparam("name"))


def lock_checkpoint(tables: Tables) -> ClauseElement:
    """Return its position and its event, and keep others from it until the transaction ends; no row if it is locked.

    The event is as in `find_checkpoint`. On SQLite, the transaction keeps all other writers out.
    """
    found = tables.checkpoints.c
    return (
        select(found.position, *_event_of(tables))
        .where(found.name == bindparam("name"))
        .with_for_update(skip_locked=True)
    )


def _event_of(tables: Tables) -> list[ColumnElement[Any]]:
    found, events = tables.checkpoints.c, tables.events.alias("checkpoint_event").c
    there = select(events.event_id).where(events.position == found.event_position).scalar_subquery()
    names = ("event_position", "event_id", "event_stream_id", "event_version")
    return [*[found[name] for name in names], there.label("id_there")]


def has_log_gone_back(tables: Tables) -> ColumnElement[bool]:
    """Say of a checkpoint whether its event is gone, and the log does not say why; or if there is none, has never been.

    It says why by a later event of the same stream, by which the stream has ended. A checkpoint without an event is
    judged by the newest event alone.
    """
    found, events = tables.checkpoints.c, tables.events
    there, closing, newest = (events.alias(name).c for name in ("checkpoint_event", "closing_event", "newest_event"))
    is_there = exists().where(there.position == found.event_position, there.event_id == found.event_id)
    is_explained = exists().where(
        closing.stream_id == found.event_stream_id,
        closing.version > found.event_version,
        closing.event_type.in_(CLOSING_TYPES),
    )
    last = select(func.coalesce(func.max(newest.position), literal_column("0")).label("position")).scalar_subquery()
    return case((found.event_id.is_(None), found.position > last), else_=not_(or_(is_there, is_explained))).label(
        "has_log_gone_back"
    )


def advance_checkpoint(tables: Tables) -> ClauseElement:
    """Come forward from one position to another, and forget the last failure; no row if it is elsewhere by now.

    `event_…` name the last event that is known at or before the new position.
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
    """Say that a worker is there, though there may be nothing to do. Do nothing if another one is in a batch."""
    return _updated_unless_locked(tables, seen_at=now(), worker=bindparam("worker", type_=Text))


def mark_stopped(tables: Tables) -> ClauseElement:
    """Say that a worker has stopped, if it was the last one seen. Do nothing if another one is in a batch."""
    of_worker = tables.checkpoints.c.worker == bindparam("worker")
    return _updated_unless_locked(tables, seen_at=null()).where(of_worker)


def mark_failed(tables: Tables) -> ClauseElement:
    """Say which event has failed. Do nothing if another worker is trying it."""
    return _updated_unless_locked(tables, failed_at=now(), failure=bindparam("failure", type_=Text))


def mark_retrying(tables: Tables) -> ClauseElement:
    """Say which event is tried again: a failure without a time. Do nothing if another worker is in a batch."""
    failure = bindparam("failure", type_=Text)
    return _updated_unless_locked(
        tables, failed_at=null(), failure=failure, seen_at=now(), worker=bindparam("worker", type_=Text)
    )


def set_checkpoint(tables: Tables) -> ClauseElement:
    """Set a checkpoint that was locked, as if it had just begun there."""
    position = bindparam("position", type_=BigInteger)
    no_event = dict.fromkeys(("event_position", "event_id", "event_stream_id", "event_version"), null())
    return _updated(tables, position=position, updated_at=now(), failed_at=null(), failure=null(), **no_event)


def rename_checkpoint(tables: Tables) -> ClauseElement:
    """Give a checkpoint that was locked another name."""
    return _updated(tables, name=bindparam("new_name", type_=Text))


def delete_checkpoint(tables: Tables) -> ClauseElement:
    """Delete a checkpoint that was locked. Its dead letters are deleted before."""
    return delete_from(tables.checkpoints).where(tables.checkpoints.c.name == bindparam("name"))


def _updated(tables: Tables, **values: Any) -> Update:
    of_name = tables.checkpoints.c.name == bindparam("name", type_=Text)
    return update_table(tables.checkpoints).where(of_name).values(**values)


def _updated_unless_locked(tables: Tables, **values: Any) -> Update:
    """Update the row unless its lock is held: whoever says something of itself must not wait for another's batch."""
    name = tables.checkpoints.c.name
    unlocked = select(name).where(name == bindparam("name", type_=Text)).with_for_update(skip_locked=True)
    return update_table(tables.checkpoints).where(name == unlocked.scalar_subquery()).values(**values)


def count_events_after(tables: Tables) -> ClauseElement:
    """Return how many events there are after a position, counting up to a limit."""
    position = tables.events.c.position
    counted = (
        select(literal_column("1").label("event"))
        .select_from(tables.events)
        .where(position > bindparam("after_position", type_=BigInteger))
        .limit(bindparam("at_most", type_=BigInteger))
        .subquery("counted")
    )
    return select(func.count().label("events")).select_from(counted)


def next_event_time(tables: Tables) -> ClauseElement:
    """Return when the first event after a position was recorded; no row if there is none."""
    events = tables.events.c
    after = events.position > bindparam("after_position", type_=BigInteger)
    return select(events.recorded_at).where(after).order_by(events.position).limit(literal_column("1"))


def projection_health(tables: Tables) -> ClauseElement:
    """Return, of each projection by name, how far it is behind and what it could not handle.

    The rows: (name, position, events after it, when the first of these was recorded, pending dead letters, failure,
    when that was, the time now, whether the log went back). Events and dead letters are counted up to `at_most`, so
    that a probe stays cheap however bad things are.
    """
    checkpoints, events, letters = tables.checkpoints.c, tables.events.c, tables.dead_letters.c
    at_most = bindparam("at_most", type_=BigInteger)
    after = events.position > checkpoints.position
    behind = select(events.position).where(after).limit(at_most).correlate(tables.checkpoints).subquery("behind")
    is_pending = (letters.projection == checkpoints.name, letters.status == literal_column("'pending'"))
    pending = select(letters.position).where(*is_pending).limit(at_most)
    oldest = select(events.recorded_at).where(after).order_by(events.position).limit(literal_column("1"))
    return select(
        checkpoints.name,
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
    ).order_by(checkpoints.name)


# --- dead letters


def add_dead_letter(tables: Tables) -> ClauseElement:
    """Add the event at a position."""
    events, names = tables.events.c, ["position", "version", "event_id", "stream_id", "event_type"]
    given: list[ColumnElement[Any]] = [
        bindparam("projection", type_=Text).label("projection"),
        bindparam("attempts", type_=Integer).label("attempts"),
        bindparam("error", type_=Text).label("error"),
        literal_column("'pending'").label("status"),
    ]
    of_event = select(*[events[name] for name in names], *given).where(
        events.position == bindparam("position", type_=BigInteger)
    )
    columns = [*names, "projection", "attempts", "error", "status"]
    return insert_into(tables.dead_letters).from_select(columns, of_event, include_defaults=False)


def blocked_streams(tables: Tables) -> ClauseElement:
    """Return the streams of which an event is pending: their later events follow it."""
    return select(tables.dead_letters.c.stream_id).where(_pending(tables)).distinct()


def count_dead_letters(tables: Tables) -> ClauseElement:
    """Return (projection, how many are pending) of each projection that has some."""
    letters = tables.dead_letters.c
    return (
        select(letters.projection, func.count().label("pending"))
        .where(letters.status == literal_column("'pending'"))
        .group_by(letters.projection)
    )


def find_dead_letters(tables: Tables) -> ClauseElement:
    """Return a page of those of a status, in order of position."""
    letters = tables.dead_letters.c
    columns = (
        letters.projection, letters.position, letters.stream_id, letters.version, letters.event_id, letters.event_type,
        letters.status, letters.attempts, letters.error, letters.note, letters.first_failed_at, letters.last_failed_at,
        letters.closed_at,
    )  # fmt: skip
    return (
        select(*columns)
        .where(
            letters.projection == bindparam("projection"),
            letters.status == bindparam("status"),
            letters.position > bindparam("after_position"),
        )
        .order_by(letters.position)
        .limit(bindparam("page_size", type_=BigInteger))
    )


def read_pending(tables: Tables) -> ClauseElement:
    """Return a page of the pending events of a stream, in order, with the columns of all reads."""
    events, letters = tables.events.c, tables.dead_letters.c
    return (
        select(*event_columns(tables))
        .where(
            events.position == letters.position,
            _pending(tables),
            letters.stream_id == bindparam("stream_id"),
        )
        .order_by(letters.position)
        .limit(bindparam("page_size", type_=BigInteger))
    )


def close_dead_letter(tables: Tables) -> ClauseElement:
    """Resolve or discard one that is pending; no row if none is."""
    return _changed(
        tables,
        status=bindparam("status", type_=Text),
        closed_at=now(),
        note=func.coalesce(bindparam("note", type_=Text), tables.dead_letters.c.note),
    )


def fail_dead_letter(tables: Tables) -> ClauseElement:
    """Say that one was tried again in vain; return (position, attempts by now)."""
    attempts = tables.dead_letters.c.attempts + literal_column("1")
    changed = _changed(tables, attempts=attempts, last_failed_at=now(), error=bindparam("error", type_=Text))
    return changed.returning(tables.dead_letters.c.attempts)


def rename_dead_letters(tables: Tables) -> ClauseElement:
    """Give all of a projection its new name: its foreign key has done so already, if the database enforces it."""
    letters = tables.dead_letters
    of_projection = letters.c.projection == bindparam("name", type_=Text)
    return update_table(letters).where(of_projection).values(projection=bindparam("new_name", type_=Text))


def delete_dead_letters(tables: Tables) -> ClauseElement:
    """Delete all of a projection."""
    return delete_from(tables.dead_letters).where(tables.dead_letters.c.projection == bindparam("projection"))


def _changed(tables: Tables, **values: Any) -> ReturningUpdate[Any]:
    letters = tables.dead_letters
    at_position = letters.c.position == bindparam("at_position", type_=BigInteger)
    return update_table(letters).where(_pending(tables), at_position).values(**values).returning(letters.c.position)


def _pending(tables: Tables) -> ColumnElement[bool]:
    """Select in a form that the partial index has: its condition is a constant."""
    letters = tables.dead_letters.c
    return (letters.projection == bindparam("projection", type_=Text)) & (letters.status == literal_column("'pending'"))
