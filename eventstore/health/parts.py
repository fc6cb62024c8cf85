"""How long the parts of a partitioned log last: findings for `doctor` and the health check."""

import math
from collections.abc import Iterator
from typing import Final

from eventstore.findings import Finding, Level
from eventstore.parts import Runway

_WARN_DAYS: Final = 30
"""With fewer days left there is a warning; `partitions add` leaves 90."""
_ADD: Final = "run `eventstore partitions add`, and run it every day"


def of_runway(runway: Runway | None) -> Iterator[Finding]:
    """Yield a finding if a partitioned log will soon be out of parts: without one, all appends fail."""
    if runway is None:
        return
    left = f"{describe(runway)}, so that appends will fail"
    if runway.parts_ahead < 1:
        yield Finding(Level.ERROR, "parts", f"no unused part is ahead; {left}", _ADD)
    elif runway.days_left < _WARN_DAYS:
        yield Finding(Level.WARNING, "parts", left, _ADD)


def describe(runway: Runway) -> str:
    """Return the number of positions that are left, and the days."""
    positions = f"{runway.positions_left:,} positions are left"
    if math.isinf(runway.days_left):
        return f"{positions}, and nothing was appended in the last seven days"
    return f"{positions}, for {int(runway.days_left):,} days at {runway.per_day:,.0f} a day"
