"""Mend what can be computed anew: heads, what gives out positions, snapshots, indexes."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from eventstore import migrations
from eventstore.backends.protocol import Run
from eventstore.errors import ConstraintViolated
from eventstore.findings import Finding, FindingKind
from eventstore.maintenance.inspection import Inspection
from eventstore.statements.repairs import (
    delete_head_without_events,
    delete_snapshot_at_version,
    delete_snapshots_beyond_head,
    restore_head,
)
from eventstore.store import EventStore

_STREAMS_AT_ONCE: Final = 500
"""So many heads are locked at once, for the time of a few statements each."""

ACTIONS: Final = {
    FindingKind.HEAD_BEHIND: "set the head of stream {0.stream_id!r} by its events",
    FindingKind.HEAD_AHEAD: "set the head of stream {0.stream_id!r} by its events",
    FindingKind.HEAD_MISSING: "make a head for stream {0.stream_id!r} by its events",
    FindingKind.HEAD_WITHOUT_EVENTS: "delete the head of stream {0.stream_id!r}, and its snapshots",
    FindingKind.SNAPSHOT_BEYOND_HEAD: "delete the snapshots of stream {0.stream_id!r} that are beyond its head",
    FindingKind.SNAPSHOT_WITHOUT_STREAM: "delete the snapshots of stream {0.stream_id!r}, unless it gets a head",
    FindingKind.SNAPSHOT_UNREADABLE: (
        "delete the snapshot of stream {0.stream_id!r} at version {0.version}, schema version {0.schema_version}"
    ),
    FindingKind.POSITIONS_BEHIND: "let positions go on after {0.position}",
    FindingKind.POSITIONS_CACHED: "let sessions draw positions one by one ({0.name})",
    FindingKind.INDEX_MISSING: "build the index {0.name}",
    FindingKind.INDEX_INVALID: "build the index {0.name} again",
    FindingKind.CONSTRAINT_MISSING: "make {0.subject} what it should be, if the rows allow it",
    FindingKind.SCHEMA_INCOMPLETE: "make {0.subject} what it should be",
    FindingKind.SCHEMA_DIFFERS: "make {0.subject} what it should be",
}
"""What is done about each kind of damage that can be mended, in words."""

_LAST: Final = 3
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
    """Something that `repair` does.

    Attributes:
        action: What, in words.
        finding: What it mends.
    """

    action: str
    finding: Finding

    def __str__(self) -> str:
        return self.action


def plan(findings: Iterable[Finding]) -> list[Repair]:
    """Return what `repair` would do about findings of `verify`, in order; nothing about those it can't mend."""
    repairs = {
        (str(repair), repair.finding.stream_id): repair
        for repair in (
            Repair(ACTIONS[found.kind].format(found), found)
            for found in findings
            if found.kind is not None and found.repairable
        )
    }
    return sorted(repairs.values(), key=lambda repair: (_step(repair.finding), repair.finding.stream_id or ""))


def _step(finding: Finding) -> int:
    if finding.kind is FindingKind.CONSTRAINT_MISSING:
        return _LAST  # rows may satisfy it then
    if finding.kind in _OF_SCHEMA:
        return 0
    return 1 if finding.kind is FindingKind.POSITIONS_BEHIND else 2


def repair(store: EventStore, repairs: Iterable[Repair]) -> Iterator[Repair]:
    """Do what `plan` has planned, and return each repair once it is committed. Verify again afterwards.

    Each looks again, under a lock, and changes only what is still wrong, so others may append meanwhile, and an old
    plan does no harm. Indexes are built while others write. Positions are mended in a transaction that keeps appends
    out. Heads and snapshots are mended in transactions of up to 500 streams, whose heads are locked: all of a
    transaction or nothing.

    Args:
        store: The application's store, not joined.
        repairs: Of `plan`.

    Raises:
        InvalidInput: The store is joined to a transaction.
        sqlalchemy.exc.DBAPIError: The database refuses something. What was returned before is done.
    """
    return _repair(store, Inspection.of(store), plan(each.finding for each in repairs))


def _repair(store: EventStore, inspection: Inspection, repairs: Sequence[Repair]) -> Iterator[Repair]:
    yield from _mend_schema(store, [each for each in repairs if _step(each.finding) == 0])
    for each in repairs:
        if _step(each.finding) == 1:
            with inspection.execution.transaction() as run:
                inspection.maintenance.advance_positions(run)
            yield each
    by_stream = [
        (stream_id, list(group))
        for stream_id, group in groupby(
            (each for each in repairs if each.finding.stream_id is not None), key=lambda each: each.finding.stream_id
        )
    ]
    for start in range(0, len(by_stream), _STREAMS_AT_ONCE):
        chunk = by_stream[start : start + _STREAMS_AT_ONCE]
        with inspection.execution.transaction() as run:
            _lock(inspection, run, chunk)
            for stream_id, group in chunk:
                _mend_stream(run, str(stream_id), [each.finding for each in group])
        for _, group in chunk:
            yield from group
    yield from _mend_schema(store, [each for each in repairs if _step(each.finding) == _LAST])


def _mend_schema(store: EventStore, repairs: Sequence[Repair]) -> Iterator[Repair]:
    if not repairs:
        return
    wanted = {each.finding: each for each in repairs}
    done: set[tuple[str, ...]] = set()
    for finding in migrations.verify(store.engine, schema=store.tables.metadata.schema):
        each = wanted.get(finding)
        if each is None:
            continue
        if finding.statements not in done:  # on SQLite, one table made again is the remedy of several
            try:
                migrations.fix(store.engine, finding)
            except ConstraintViolated:  # those rows are found as well: who verifies again sees what is left
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


def _mend_stream(run: Run, stream_id: str, findings: Sequence[Finding]) -> None:
    """Mend all that is wrong with a stream whose head is locked: the head first, for a snapshot may be right then."""
    run(restore_head, stream_id=stream_id)
    run(delete_snapshots_beyond_head, stream_id=stream_id)
    run(delete_head_without_events, stream_id=stream_id)
    for found in findings:
        if found.kind is FindingKind.SNAPSHOT_UNREADABLE:
            run(
                delete_snapshot_at_version,
                stream_id=stream_id,
                schema_version=found.schema_version,
                version=found.version,
            )
