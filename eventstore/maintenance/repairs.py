"""Repair what can be computed again: heads, the next position, snapshots, tags, indexes and constraints."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from eventstore import migrations
from eventstore.backends.protocol import Run
from eventstore.errors import ConstraintViolated
from eventstore.findings import Finding, FindingKind
from eventstore.maintenance.inspection import Inspection
from eventstore.maintenance.tag_filling import restore_tags
from eventstore.statements.repairs import (
    delete_head_without_events,
    delete_snapshot_at_version,
    delete_snapshots_beyond_head,
    restore_head,
)
from eventstore.store import EventStore

_STREAMS_AT_ONCE: Final = 500
"""How many heads one transaction locks, for a few statements each."""

ACTIONS: Final = {
    FindingKind.HEAD_BEHIND: "set the head of stream {0.stream_id!r} from its events",
    FindingKind.HEAD_AHEAD: "set the head of stream {0.stream_id!r} from its events",
    FindingKind.EVENTS_HIDDEN: "set the head of stream {0.stream_id!r} from its events",
    FindingKind.HEAD_MISSING: "create a head for stream {0.stream_id!r} from its events",
    FindingKind.HEAD_WITHOUT_EVENTS: "delete the head of stream {0.stream_id!r}, and its snapshots",
    FindingKind.SNAPSHOT_BEYOND_HEAD: "delete the snapshots of stream {0.stream_id!r} that are beyond its head",
    FindingKind.SNAPSHOT_WITHOUT_STREAM: "delete the snapshots of stream {0.stream_id!r}, unless it gets a head",
    FindingKind.SNAPSHOT_UNREADABLE: (
        "delete the snapshot of stream {0.stream_id!r} at version {0.version}, schema version {0.schema_version}"
    ),
    FindingKind.POSITIONS_BEHIND: "advance the positions beyond {0.position}",
    FindingKind.POSITIONS_CACHED: "set CACHE of the sequence {0.name} to 1",
    FindingKind.TAG_MISSING: "make es_event_tags what the metadata of all events says",
    FindingKind.TAG_SUPERFLUOUS: "make es_event_tags what the metadata of all events says",
    FindingKind.INDEX_MISSING: "build the index {0.name}",
    FindingKind.INDEX_INVALID: "build the index {0.name} again",
    FindingKind.CONSTRAINT_MISSING: "restore {0.subject}, if the rows satisfy it",
    FindingKind.SCHEMA_INCOMPLETE: "restore {0.subject}",
    FindingKind.SCHEMA_DIFFERS: "restore {0.subject}",
}
"""What `repair` does about each kind of damage that it can repair, in words."""

_OF_TAGS: Final = (FindingKind.TAG_MISSING, FindingKind.TAG_SUPERFLUOUS)
_STREAMS: Final = 2
_TAGS: Final = 3
_LAST: Final = 4
_OF_SCHEMA: Final = (
    FindingKind.POSITIONS_CACHED,
    FindingKind.INDEX_MISSING,
    FindingKind.INDEX_INVALID,
    FindingKind.CONSTRAINT_MISSING,
    FindingKind.SCHEMA_INCOMPLETE,
    FindingKind.SCHEMA_DIFFERS,
)


@dataclass(frozen=True, slots=True)
class Repair:
    """One repair.

    Attributes:
        action: What `repair` does, in words.
        finding: The damage that it repairs.
    """

    action: str
    finding: Finding

    def __str__(self) -> str:
        return self.action


def plan(findings: Iterable[Finding]) -> list[Repair]:
    """Return the repairs for findings of `verify`, in the order in which `repair` does them.

    Findings that can't be repaired have none.
    """
    repairs = {
        (str(repair), None if repair.finding.kind in _OF_TAGS else repair.finding.stream_id): repair
        for repair in (
            Repair(ACTIONS[finding.kind].format(finding), finding)
            for finding in findings
            if finding.kind is not None and finding.repairable
        )
    }
    return sorted(repairs.values(), key=lambda repair: (_step(repair.finding), repair.finding.stream_id or ""))


def _step(finding: Finding) -> int:
    if finding.kind is FindingKind.CONSTRAINT_MISSING:
        return _LAST  # the rows may satisfy it after the other repairs
    if finding.kind in _OF_SCHEMA:
        return 0
    if finding.kind in _OF_TAGS:
        return _TAGS
    return 1 if finding.kind is FindingKind.POSITIONS_BEHIND else _STREAMS


def repair(store: EventStore, repairs: Iterable[Repair]) -> Iterator[Repair]:
    """Do the repairs of a plan, and yield each one after its commit. Verify again afterwards.

    Each repair checks again under a lock and changes only what is still wrong: other processes may append meanwhile,
    and an outdated plan does no harm. Indexes are built without blocking writers. The transaction that advances the
    positions blocks appends. One transaction deletes superfluous tags, while it blocks appends of events with tags;
    missing ones are stored in batches of 1000 events, as by `fill_tags`. Each of these refuses the boundaries that were
    read before. Heads and snapshots are repaired in transactions of up to 500 streams, with their heads locked; such a
    transaction is committed as a whole or not at all.

    Args:
        store: The application's store, not joined.
        repairs: The result of `plan`.

    Raises:
        InvalidInput: The store is joined to a transaction.
        UnsuitableSetting: Row level security hides rows from the database user. Nothing was repaired.
        sqlalchemy.exc.DBAPIError: The database refuses a statement. The repairs yielded before are committed.
    """
    return _repair(store, Inspection.of(store), plan(each.finding for each in repairs))


def _repair(store: EventStore, inspection: Inspection, repairs: Sequence[Repair]) -> Iterator[Repair]:
    if repairs:
        with inspection.execution.statement() as run:
            inspection.maintenance.check_sees_all_rows(run)
    yield from _repair_schema(store, [each for each in repairs if _step(each.finding) == 0])
    with inspection.execution.statement() as run:
        inspection.dialect.look_again(run)  # streams may have events in parts of the log that were detached
    for each in repairs:
        if _step(each.finding) == 1:
            with inspection.execution.transaction() as run:
                inspection.maintenance.advance_positions(run)
            yield each
    by_stream = [
        (stream_id, list(group))
        for stream_id, group in groupby(
            (each for each in repairs if _step(each.finding) == _STREAMS and each.finding.stream_id is not None),
            key=lambda each: each.finding.stream_id,
        )
    ]
    for start in range(0, len(by_stream), _STREAMS_AT_ONCE):
        chunk = by_stream[start : start + _STREAMS_AT_ONCE]
        with inspection.execution.transaction() as run:
            _lock(inspection, run, chunk)
            for stream_id, group in chunk:
                _repair_stream(run, str(stream_id), [each.finding for each in group])
        for _, group in chunk:
            yield from group
    for each in repairs:
        if _step(each.finding) == _TAGS:
            with inspection.execution.transaction() as run:
                inspection.dialect.lock_tags(run, None)
                inspection.maintenance.delete_superfluous_tags(run)
                inspection.dialect.raise_generation(run)
            restore_tags(inspection)
            yield each
    yield from _repair_schema(store, [each for each in repairs if _step(each.finding) == _LAST])


def _repair_schema(store: EventStore, repairs: Sequence[Repair]) -> Iterator[Repair]:
    if not repairs:
        return
    repair_of = {each.finding: each for each in repairs}
    done: set[tuple[str, ...]] = set()
    for finding in migrations.verify(store.engine, schema=store.tables.metadata.schema):
        each = repair_of.get(finding)
        if each is None:
            continue
        if finding.statements not in done:  # on SQLite, recreating one table is the remedy of several findings
            try:
                migrations.fix(store.engine, finding)
            except ConstraintViolated:  # the rows have findings, too: the next verification shows what is left
                continue
            done.add(finding.statements)
        yield each


def _lock(inspection: Inspection, run: Run, chunk: Sequence[tuple[str | None, Sequence[Repair]]]) -> None:
    stream_ids = [str(stream_id) for stream_id, _ in chunk]
    missing = [
        str(stream_id)
        for stream_id, group in chunk
        if any(each.finding.kind is FindingKind.HEAD_MISSING for each in group)
    ]
    inspection.dialect.lock_heads(run, stream_ids, create=missing)


def _repair_stream(run: Run, stream_id: str, findings: Sequence[Finding]) -> None:
    """Repair a stream whose head is locked: the head first, because a snapshot may be right afterwards."""
    run(restore_head, stream_id=stream_id)
    run(delete_snapshots_beyond_head, stream_id=stream_id)
    run(delete_head_without_events, stream_id=stream_id)
    for finding in findings:
        if finding.kind is FindingKind.SNAPSHOT_UNREADABLE:
            run(
                delete_snapshot_at_version,
                stream_id=stream_id,
                schema_version=finding.schema_version,
                version=finding.version,
            )
