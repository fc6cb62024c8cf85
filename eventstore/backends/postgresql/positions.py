"""How PostgreSQL draws positions: from a sequence, in order."""

from eventstore.backends.maintenance import Positions
from eventstore.backends.protocol import Run
from eventstore.errors import PositionCacheEnabled, PositionsBehind, UnloggedEvents
from eventstore.statements.postgresql.positions import drawn_positions, position_sequence


def positions_of(run: Run) -> Positions | None:
    """Read the sequence; None if the column `position` has none. Needs SELECT on the sequence."""
    sequence = run(position_sequence)
    if not sequence:
        return None
    ((newest, last, is_called),) = run(drawn_positions(*sequence[0]))
    return Positions(newest, last if is_called else last - 1)


def check_drawing(run: Run, newest: int, persistence: str, cache: int | None, drawn: int | None) -> int | None:
    """Check the row of `drawing_state`, and return the last position that was drawn.

    Returns:
        None if the role may not read the sequence, or there is none.

    Raises:
        UnloggedEvents: es_events is UNLOGGED or temporary.
        PositionCacheEnabled: Each session draws several positions at a time.
        PositionsBehind: The sequence is behind the newest event.
    """
    if persistence != "p":
        raise UnloggedEvents
    if cache is not None and cache != 1:
        raise PositionCacheEnabled(cache)
    if drawn == -1:  # nothing was drawn since the sequence was made or set; then only the sequence itself has its start
        positions = positions_of(run) if newest else None
        newest, drawn = (newest, 0) if positions is None else (positions.newest, positions.last_drawn)
    if drawn is not None and drawn < newest:
        raise PositionsBehind(newest, drawn)
    return drawn
