"""Checks of the table of tags, which has the tags of events by which they are found. Findings show no tag."""

from collections import Counter
from collections.abc import Iterator
from typing import Final

from eventstore.common.validation import MAX_VERSION
from eventstore.findings import Finding, FindingKind
from eventstore.maintenance.damage import damage
from eventstore.maintenance.inspection import Inspection
from eventstore.statements.global_order import newest_position

_REMEDY: Final = "`eventstore repair` makes the table of tags what the metadata of all events says"


def check_tags(inspection: Inspection) -> Iterator[Finding]:
    """Yield events whose tags are not stored, up to the newest event at the start, and tags that no event has."""
    with inspection.execution.statement() as run:
        ((newest,),) = run(newest_position)
    for after in range(0, newest, inspection.batch_size):
        with inspection.execution.statement() as run:
            rows = inspection.maintenance.missing_tags(
                run, after_position=after, up_to_position=min(after + inspection.batch_size, newest)
            )
        for position, stream_id, version, number in rows:
            yield damage(
                FindingKind.TAG_MISSING,
                stream_id=stream_id,
                version=version,
                position=position,
                found=f"{number} of its tags are not in es_event_tags",
                expected="each of its tags, with its event type",
                remedy=_REMEDY,
                repairable=True,
            )
    yield from _superfluous(inspection)


def _superfluous(inspection: Inspection) -> Iterator[Finding]:
    tag, position = "", MAX_VERSION  # after the rows of generations
    while True:
        with inspection.execution.statement() as run:
            rows = inspection.maintenance.page_of_tags(
                run, after_tag=tag, after_position=position, page_size=inspection.batch_size
            )
        for at, number in Counter(row[1] for row in rows if not row[2]).items():
            yield damage(
                FindingKind.TAG_SUPERFLUOUS,
                position=at,
                found=f"{number} tags in es_event_tags that the event does not have, or no event",
                expected="the tags in the metadata of the event",
                remedy=_REMEDY,
                repairable=True,
            )
        if len(rows) < inspection.batch_size:
            return
        tag, position, _ = rows[-1]
