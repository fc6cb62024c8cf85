"""Checks of streams: heads that differ from the events, gaps and duplicates of versions, positions out of order."""

from collections.abc import Iterator
from typing import Any, Final

from eventstore.backends.protocol import Row, Run
from eventstore.findings import Finding, FindingKind
from eventstore.maintenance.damage import damage
from eventstore.maintenance.inspection import Inspection
from eventstore.maintenance.progress import Part, Place
from eventstore.statements.verification import breaks_of_stream, end_of_streams, events_without_stream, stream_states

BREAKS_AT_MOST: Final = 1000
"""How many breaks of one stream become findings: gaps, duplicates, disorder. The last one says if there are more."""

_LOST: Final = (
    "events were deleted or lost: restore them from a backup; until then, states computed from this stream may be wrong"
)
_DOUBLED: Final = "decide which event is right, delete the other, and restore the unique key that was missing"


def check_streams(inspection: Inspection, start: Place) -> Iterator[Finding]:
    """Yield what is wrong with the streams after a place.

    A batch is a range of stream ids. One statement reads the heads and the events in it, so both are of one moment.
    """
    after, done, is_bounded = start.key, 0, True
    while is_bounded:
        with inspection.execution.statement() as run:
            end = run(end_of_streams, after=after, skipped=inspection.batch_size - 1)
            is_bounded = bool(end)
            bounds = {"after": after, "last": end[0][0]} if end else {"after": after}
            states = run(stream_states(bounded=is_bounded), **bounds)
            findings = [finding for state in states for finding in _of_state(run, state)]
        yield from findings
        yield from _without_head(inspection, bounds, is_bounded=is_bounded)
        done += len(states)
        after = bounds.get("last", after)
        inspection.report_progress(Place(Part.STREAMS, key=after), done)


def _of_state(run: Run, state: Row) -> Iterator[Finding]:
    stream_id, head, count, newest, breaks = state
    if count == 0:
        yield damage(
            FindingKind.HEAD_WITHOUT_EVENTS,
            stream_id=stream_id,
            version=head,
            found=f"a head at version {head} and no events",
            expected=f"{head} events" if head else "no head",
            remedy="restore the events from a backup, or `eventstore repair` deletes the head and its snapshots",
            repairable=True,
        )
        return
    if head != newest:
        behind = head < newest
        remedy = "`eventstore repair` sets it from the events"
        yield damage(
            FindingKind.HEAD_BEHIND if behind else FindingKind.HEAD_AHEAD,
            stream_id=stream_id,
            version=head,
            found=f"a head at version {head}",
            expected=f"version {newest}, that of its newest event",
            remedy=remedy if behind else f"{remedy}; if events were lost, restore them from a backup first",
            repairable=True,
        )
    if breaks:
        # One statement, so its rows are of one moment, even if events were appended since the first read.
        rows = run(breaks_of_stream, stream_id=stream_id, page_size=BREAKS_AT_MOST)
        for number, row in enumerate(rows, start=1):
            more = f", and more in this stream, which has {breaks} such places" if number == BREAKS_AT_MOST else ""
            yield from _of_break(stream_id, row, more)


def _of_break(stream_id: str, row: Row, more: str) -> Iterator[Finding]:
    version, position, version_before, position_before = row
    at: dict[str, Any] = {"stream_id": stream_id, "version": version, "position": position}
    if version == version_before:
        found = f"another event at version {version}, at position {position_before}{more}"
        yield damage(FindingKind.VERSION_DOUBLED, **at, found=found, expected="one event", remedy=_DOUBLED)
        return
    if version > version_before + 1:
        first, last = version_before + 1, version - 1
        missing = f"version {first} is" if first == last else f"versions {first} to {last} are"
        found = f"{missing} missing before it{more}"
        yield damage(FindingKind.VERSIONS_MISSING, **at, found=found, expected="no gap", remedy=_LOST)
    if position < position_before:
        yield damage(
            FindingKind.POSITIONS_OUT_OF_ORDER,
            **at,
            found=f"position {position} after {position_before} of the version before{more}",
            expected=f"a position above {position_before}",
            remedy=(
                "positions were assigned twice, or rows were changed by hand, so readers of the global order get these "
                "events in the wrong order; rebuild the projections that depend on it"
            ),
        )


def _without_head(inspection: Inspection, bounds: dict[str, str], *, is_bounded: bool) -> Iterator[Finding]:
    statement, page_size = events_without_stream(bounded=is_bounded), inspection.batch_size
    while True:
        with inspection.execution.statement() as run:
            rows = run(statement, **bounds, page_size=page_size)
        for stream_id, count, newest in rows:
            yield damage(
                FindingKind.HEAD_MISSING,
                stream_id=stream_id,
                version=newest,
                found=f"{count} events and no head",
                expected=f"a head at version {newest}",
                remedy="`eventstore repair` creates it from the events; then restore the foreign key that was missing",
                repairable=True,
            )
        if len(rows) < page_size:
            return
        bounds = {**bounds, "after": rows[-1][0]}
