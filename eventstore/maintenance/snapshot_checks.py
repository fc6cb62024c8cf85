"""Checks of snapshots: beyond the head of their stream, without a stream, or unreadable."""

from collections.abc import Iterator
from typing import Any

from eventstore.backends.protocol import Row
from eventstore.codecs.payload import PayloadCodec
from eventstore.errors import DecodingError
from eventstore.findings import Finding, FindingKind
from eventstore.maintenance.damage import damage
from eventstore.maintenance.inspection import Inspection
from eventstore.maintenance.progress import Part, Place
from eventstore.statements.verification import snapshot_states


def check_snapshots(inspection: Inspection, start: Place, codec: PayloadCodec | None) -> Iterator[Finding]:
    """Yield what is wrong with the snapshots after a place. With a codec, their states are decoded, too."""
    stream_id, schema_version, done = start.key, start.number, 0
    while True:
        with inspection.execution.statement() as run:
            rows = run(
                snapshot_states,
                stream_id=stream_id,
                schema_version=schema_version,
                page_size=inspection.batch_size,
            )
        for row in rows:
            finding = _finding(row, codec)
            if finding is not None:
                yield finding
        if rows:
            stream_id, schema_version, *_ = rows[-1]
        done += len(rows)
        inspection.report_progress(Place(Part.SNAPSHOTS, schema_version, stream_id), done)
        if len(rows) < inspection.batch_size:
            return


def _finding(row: Row, codec: PayloadCodec | None) -> Finding | None:
    stream_id, schema_version, version, number, state, head = row
    at: dict[str, Any] = {"stream_id": stream_id, "version": version, "schema_version": schema_version}
    remedy = "it is a cache: `eventstore repair` deletes it"
    if head is None:
        kind, found, expected = FindingKind.SNAPSHOT_WITHOUT_STREAM, "a snapshot without a stream", "a stream"
    elif version > head:
        found = f"a snapshot at version {version} of a stream at version {head}"
        kind, expected = FindingKind.SNAPSHOT_BEYOND_HEAD, f"at most version {head}"
        remedy += ", unless it repairs the head first and the snapshot is then valid"
    elif codec is not None and (problem := _problem(codec, number, state)) is not None:
        kind, found, expected = FindingKind.SNAPSHOT_UNREADABLE, problem, "a state that can be read"
        remedy += "; until then it is ignored"
    else:
        return None
    return damage(kind, **at, found=found, expected=expected, remedy=remedy, repairable=True)


def _problem(codec: PayloadCodec, number: int, state: bytes) -> str | None:
    try:
        codec.decode(number, state)
    except DecodingError as error:
        return error.problem
    return None
