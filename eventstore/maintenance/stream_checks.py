"""Checks of streams: heads that differ from the events, gaps and duplicates of versions, positions out of order."""

from collections.abc import Iterator
from typing import Any, Final

from eventstore.backends.protocol import Row, Run
from eventstore.common.validation import (
    MAX_CODEC,
    MAX_EVENT_TYPE_LENGTH,
    MAX_SCHEMA_VERSION,
    MAX_STREAM_ID_LENGTH,
    MAX_VERSION,
)
from eventstore.findings import Finding, FindingKind
from eventstore.maintenance.damage import damage
from eventstore.maintenance.inspection import Inspection
from eventstore.maintenance.progress import Part, Place
from eventstore.statements.verification import (
    breaks_of_stream,
    end_of_streams,
    events_out_of_bounds,
    events_without_stream,
    head_without_id,
    stream_states,
)

BREAKS_AT_MOST: Final = 1000
"""How many breaks of one stream become findings: gaps, duplicates, disorder. The last one says if there are more. So
for events with values out of bounds."""

_LOST: Final = (
    "events were deleted or lost: restore them from a backup; until then, states computed from this stream may be wrong"
)
_NEVER_WRITTEN: Final = (
    "the store never writes that: find out who did; correct it yourself, in a transaction that is permitted to change "
    "history, or restore it from a backup"
)
_DOUBLED: Final = "decide which event is right, delete the other, and restore the unique key that was missing"


def check_streams(inspection: Inspection, start: Place) -> Iterator[Finding]:
    """Yield what is wrong with the streams after a place.

    A batch is a range of stream ids. One statement reads the heads and the events in it, so both are of one moment.
    """
    after, done, is_bounded = start.key, 0, True
    if not after:
        with inspection.execution.statement() as run:
            findings = [_stream_id_out_of_bounds("", version) for (version,) in run(head_without_id)]
        yield from findings
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
    stream_id, head, count, newest, breaks, out_of_bounds, hidden, is_detached = state
    if len(stream_id) > MAX_STREAM_ID_LENGTH:
        yield _stream_id_out_of_bounds(stream_id, head)
    if count == 0 and is_detached:
        return
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
    if hidden is not None and hidden > 0:  # others are out of bounds
        yield damage(
            FindingKind.EVENTS_HIDDEN,
            stream_id=stream_id,
            position=hidden,
            found=f"an event at position {hidden}, where its head says that there is none",
            expected=f"after_position below {hidden}, otherwise reads of a partitioned log miss events",
            remedy="`eventstore repair` sets it from the events",
            repairable=True,
        )
    if breaks:
        yield from _breaks(run, stream_id, breaks, is_detached=bool(is_detached))
    if out_of_bounds:
        rows = run(events_out_of_bounds, stream_id=stream_id, page_size=BREAKS_AT_MOST)
        for number, row in enumerate(rows, start=1):
            more = f"; and more in this stream, which has {out_of_bounds} such" if number == BREAKS_AT_MOST else ""
            yield _of_event_out_of_bounds(stream_id, row, more)


def _breaks(run: Run, stream_id: str, breaks: int, *, is_detached: bool) -> Iterator[Finding]:
    # One statement, so its rows are of one moment, even if events were appended since the first read.
    rows = run(breaks_of_stream, stream_id=stream_id, page_size=BREAKS_AT_MOST)
    for number, row in enumerate(rows, start=1):
        if is_detached and row[2] == 0:  # no event is before it, because that is in a part that was detached
            continue
        more = f", and more in this stream, which has {breaks} such places" if number == BREAKS_AT_MOST else ""
        yield from _of_break(stream_id, row, more)


def _stream_id_out_of_bounds(stream_id: str, version: int) -> Finding:
    return damage(
        FindingKind.VALUE_OUT_OF_BOUNDS,
        stream_id=stream_id,
        version=version,
        found=f"a stream id of {len(stream_id)} characters",
        expected=f"1 to {MAX_STREAM_ID_LENGTH} characters",
        remedy=_NEVER_WRITTEN,
    )


def _of_event_out_of_bounds(stream_id: str, row: Row, more: str) -> Finding:
    version, position, event_type, schema_version, codec = row
    bounds: dict[str, tuple[Any, int, int]] = {
        "position {}": (position, 1, MAX_VERSION),
        "schema version {}": (schema_version, 1, MAX_SCHEMA_VERSION),
        "codec {}": (codec, 0, MAX_CODEC),
        "an event type of {} characters": (len(event_type), 1, MAX_EVENT_TYPE_LENGTH),
    }
    wrong = {
        words: (value if isinstance(value, int) else "that is no number", lowest, highest)
        for words, (value, lowest, highest) in bounds.items()
        if not isinstance(value, int) or not lowest <= value <= highest
    }
    return damage(
        FindingKind.VALUE_OUT_OF_BOUNDS,
        stream_id=stream_id,
        version=version,
        position=position,
        found=" and ".join(words.format(value) for words, (value, _, _) in wrong.items()) + more,
        expected=" and ".join(words.format(f"{low} to {high}") for words, (_, low, high) in wrong.items()),
        remedy=_NEVER_WRITTEN,
    )


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
    if position_before > 0 and position < position_before:
        yield damage(
            FindingKind.POSITIONS_OUT_OF_ORDER,
            **at,
            found=f"position {position} after {position_before} of the version before{more}",
            expected=f"a position above {position_before}",
            remedy=(
                "positions were assigned twice, or rows were changed manually, so readers of the global order get "
                "these events in the wrong order; rebuild the projections that depend on it"
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
