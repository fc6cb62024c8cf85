"""Checks of projections: checkpoints beyond the log, and dead letters without an event."""

from collections.abc import Iterator

from eventstore.findings import Finding, FindingKind
from eventstore.maintenance.damage import damage
from eventstore.maintenance.inspection import Inspection
from eventstore.maintenance.progress import Part, Place
from eventstore.statements.verification import checkpoints_beyond_log, pending_letters


def check_checkpoints(inspection: Inspection) -> Iterator[Finding]:
    """Yield the projections whose checkpoint is beyond the newest event, or at an event that is gone."""
    with inspection.execution.statement() as run:
        rows = run(checkpoints_beyond_log)
    for name, position, newest, event_id in rows:
        is_beyond = position > newest
        expected = f"at most {newest}, the position of the newest event" if is_beyond else "the event of the checkpoint"
        its_id = "" if event_id is None else f", whose event {inspection.dialect.to_uuid(event_id)} is gone"
        yield damage(
            FindingKind.CHECKPOINT_BEYOND_LOG,
            name=name,
            position=position,
            found=f"a checkpoint at position {position}{its_id}",
            expected=expected,
            remedy=(
                "the projection has handled events that are gone, and would skip new ones: restore the events, or "
                "rebuild the projection (ProjectionAdmin.reset)"
            ),
        )


def check_dead_letters(inspection: Inspection, start: Place) -> Iterator[Finding]:
    """Yield the pending dead letters after a place whose event does not exist."""
    projection, position, done = start.key, start.number, 0
    while True:
        with inspection.execution.statement() as run:
            rows = run(
                pending_letters,
                projection=projection,
                position=position,
                page_size=inspection.batch_size,
            )
        for name, at_position, stream_id, version, exists in rows:
            if not exists:
                yield damage(
                    FindingKind.DEAD_LETTER_WITHOUT_EVENT,
                    name=name,
                    stream_id=stream_id,
                    version=version,
                    position=at_position,
                    found="no such event at this position",
                    expected="the event that failed",
                    remedy="restore the event from a backup, or discard the dead letter (DeadLetters.discard)",
                )
        if rows:
            projection, position, *_ = rows[-1]
        done += len(rows)
        inspection.report_progress(Place(Part.DEAD_LETTERS, position, projection), done)
        if len(rows) < inspection.batch_size:
            return
