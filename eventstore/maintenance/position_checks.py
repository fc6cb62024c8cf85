"""What gives out positions."""

from collections.abc import Iterator

from eventstore.findings import Finding, FindingKind
from eventstore.maintenance.damage import damage
from eventstore.maintenance.inspection import Inspection


def check_positions(inspection: Inspection) -> Iterator[Finding]:
    """Yield whether positions that are stored would be given out again: after a restore without the sequence, say."""
    with inspection.execution.statement() as run:
        positions = inspection.maintenance.positions(run)
    if positions is not None and positions.last_drawn < positions.newest:
        yield damage(
            FindingKind.POSITIONS_BEHIND,
            name="es_events",
            position=positions.newest,
            found=f"{positions.last_drawn} as the last position given out",
            expected=f"{positions.newest} at least, the newest event's",
            remedy="`eventstore repair` lets positions go on after it; until then appends fail or come out of order",
            repairable=True,
        )
