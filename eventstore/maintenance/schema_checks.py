"""The schema, as migrations see it, and what gives out positions."""

from collections.abc import Iterator
from typing import Final

from eventstore import migrations
from eventstore.maintenance.findings import Finding, FindingKind
from eventstore.maintenance.inspection import Inspection
from eventstore.migrations import Difference

_KINDS: Final = {
    Difference.PENDING: FindingKind.SCHEMA_DIFFERS,
    Difference.MISSING: FindingKind.SCHEMA_DIFFERS,
    Difference.DIFFERS: FindingKind.SCHEMA_DIFFERS,
    Difference.CONSTRAINT_MISSING: FindingKind.CONSTRAINT_MISSING,
    Difference.INDEX_MISSING: FindingKind.INDEX_MISSING,
    Difference.INDEX_INVALID: FindingKind.INDEX_INVALID,
    Difference.POSITIONS_CACHED: FindingKind.POSITIONS_CACHED,
    Difference.VERSION_WRONG: FindingKind.SCHEMA_VERSION_WRONG,
}


def to_finding(difference: migrations.Finding) -> Finding:
    """Return what migrations have found as a finding."""
    names_itself = _KINDS[difference.kind] is not FindingKind.SCHEMA_DIFFERS and difference.name is not None
    name = difference.name if names_itself else ".".join(filter(None, (difference.table, difference.name)))
    by_repair = difference.repairable and "`eventstore repair`" not in difference.remedy
    remedy = f"`eventstore repair`, or {difference.remedy}" if by_repair else difference.remedy
    return Finding(
        _KINDS[difference.kind],
        name=name,
        found=f"it {difference.problem}",
        expected="the schema of this code",
        remedy=remedy,
        repairable=difference.repairable,
    )


def check_positions(inspection: Inspection) -> Iterator[Finding]:
    """Yield whether positions that are stored would be given out again: after a restore without the sequence, say."""
    with inspection.execution.statement() as run:
        positions = inspection.maintenance.positions(run)
    if positions is not None and positions.given < positions.newest:
        yield Finding(
            FindingKind.POSITIONS_BEHIND,
            name="es_events",
            position=positions.newest,
            found=f"{positions.given} as the last position given out",
            expected=f"{positions.newest} at least, the newest event's",
            remedy="`eventstore repair` lets positions go on after it; until then appends fail or come out of order",
            repairable=True,
        )
