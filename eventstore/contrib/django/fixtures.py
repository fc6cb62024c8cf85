"""Rows of fixtures, which Django's `loaddata` loads, and its tests with `serialized_rollback`.

What is stored is never changed. Events are imported with their positions, so they come after all stored ones, or are
stored already; the positions of later appends follow. Every other row is new, or the same as the stored one.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from eventstore.backends.protocol import Run
from eventstore.codecs.metadata import encode_metadata, pop_tags
from eventstore.contrib.django.fields import as_utc
from eventstore.contrib.django.store import get_store
from eventstore.core.core import Core
from eventstore.core.loading import EventLoader
from eventstore.core.schema_version import REQUIRED_BY_HISTORY_CHANGES, SchemaGate
from eventstore.errors import FixtureConflict
from eventstore.rows.mapper import StoredEvent
from eventstore.statements.transfer import insert_snapshot, set_times_of_stream


def load_event(event: Any, using: str) -> None:
    """Store an event with its position, unless it is stored already.

    Raises:
        ImportConflict: It contradicts the stored events, or its position is not above all of theirs.
        InvalidInput: The row has values that no event has.
    """
    metadata = dict(event.metadata or {})
    tags = pop_tags(metadata)
    stored = StoredEvent(
        position=event.position,
        stream_id=event.stream_id,
        version=event.version,
        event_id=event.event_id,
        event_type=event.event_type,
        schema_version=event.schema_version,
        codec=event.codec,
        data=bytes(event.data),
        metadata=encode_metadata(metadata, tags),
        recorded_at=as_utc(event.recorded_at),
    )
    with _writing(using) as (core, run):
        EventLoader(core, positions=True, in_order=True).load(run, [stored])


def load_stream(stream: Any, using: str) -> None:
    """Compare a stream with the one that its events have created, and set its times.

    Raises:
        FixtureConflict: It is another one, or its events are not there.
    """
    names = ["version", "deleted_version", "archived_version"]
    found = _stored(stream, using, ["stream_id"], names)
    if found is None and not stream.version:  # a stream that never had an event
        return
    if found != [getattr(stream, name) for name in names]:
        problem = (
            "its events are not there; dump eventstore.Event before eventstore.Stream"
            if found is None
            else f"its version is {stream.version}, but {found[0]} here"
        )
        raise FixtureConflict("stream", stream.stream_id, problem)
    with _writing(using) as (core, run):
        from_time = core.dialect.from_time
        times = {name: from_time(as_utc(getattr(stream, name))) for name in ("created_at", "updated_at")}
        run.many(set_times_of_stream, [{"of_stream": stream.stream_id, "at_version": stream.version, **times}])


def load_snapshot(snapshot: Any, using: str) -> None:
    """Save a snapshot, unless there is one of the same version or newer.

    Raises:
        FixtureConflict: It is beyond its stream.
    """
    with _writing(using) as (core, run):
        head = core.dialect.lock_heads(run, [snapshot.stream_id], create=()).get(snapshot.stream_id, 0)
        if snapshot.version > head:
            problem = f"it is of version {snapshot.version}, but the stream is at {head}"
            raise FixtureConflict("snapshot", snapshot.stream_id, problem)
        row = {name: getattr(snapshot, name) for name in ("stream_id", "schema_version", "version", "codec")}
        created_at = core.dialect.from_time(as_utc(snapshot.created_at))
        run.many(insert_snapshot, [{**row, "state": bytes(snapshot.state), "created_at": created_at}])


def is_new(row: Any, using: str, *, key: Sequence[str], same: Sequence[str]) -> bool:
    """Return whether there is no row with the same key.

    Args:
        row: The row of a fixture.
        using: The alias of the database.
        key: The names of the fields of its key.
        same: The names of fields that a stored row must have in common with it.

    Raises:
        FixtureConflict: There is another row.
    """
    found = _stored(row, using, key, same)
    if found is None:
        return True
    for name, value in zip(same, found, strict=True):
        if value != getattr(row, name):
            named = ", ".join(str(getattr(row, each)) for each in key)
            problem = f"its {name.replace('_', ' ')} is {getattr(row, name)}, but {value} here"
            raise FixtureConflict(row._meta.verbose_name, named, problem)  # noqa: SLF001  # Django's own API
    return False


def _stored(row: Any, using: str, key: Sequence[str], names: Sequence[str]) -> list[Any] | None:
    """Return fields of the stored row with the same key; None if there is none."""
    rows = type(row).objects.using(using).filter(**{name: getattr(row, name) for name in key})
    found = rows.values_list(*names).first()
    return None if found is None else list(found)


@contextmanager
def _writing(using: str) -> Iterator[tuple[Core, Run]]:
    with get_store(using).core.begin() as core, core.execution.statement() as run:
        SchemaGate(REQUIRED_BY_HISTORY_CHANGES, suit=core.dialect.suit)(run)
        yield core, run
