"""What verify says of the parts of the log that were detached: it does not look at their events."""

import json
from collections.abc import Iterator

from eventstore.findings import Finding, Level
from eventstore.maintenance.inspection import Inspection
from eventstore.statements.detached import detached_parts


def name_detached_parts(inspection: Inspection) -> Iterator[Finding]:
    """Yield a finding of level OK for each part that was detached."""
    with inspection.execution.statement() as run:
        inspection.dialect.look_again(run)
        rows = run(detached_parts)
    for part, events in rows:
        first, last, name, location, _ = json.loads(part)
        where = "without an export" if location is None else f"exported to {location!r}"
        found = f"was detached with {events} events, positions {first} to {last}, {where}; they were not looked at"
        yield Finding(Level.OK, f"part {name}", found, name=name, position=first)
