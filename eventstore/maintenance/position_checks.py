"""The check of what assigns positions."""

from collections.abc import Iterator

from eventstore.findings import Finding, FindingKind
from eventstore.maintenance.damage import damage
from eventstore.maintenance.inspection import Inspection


def check_positions(inspection: Inspection) -> Iterator[Finding]:
    """Yield a finding if stored positions would be assigned again, for example after a restore without the sequence."""
    with inspection.execution.statement() as run:
        positions = inspection.maintenance.positions(run)
    if positions is not None and positions.last_drawn < positions.newest:
        yield damage(
            FindingKind.POSITIONS_BEHIND,
            name="es_events",
            position=positions.newest,
            found=f"{positions.last_drawn} as the last assigned position",
            expected=f"at least {positions.newest}, the position of the newest event",
            remedy="`eventstore repair` advances the positions; until then appends fail or are stored out of order",
            repairable=True,
        )
