"""How positions are given out on PostgreSQL: by a sequence, in the order in which they are drawn."""

from eventstore.backends.maintenance import Positions
from eventstore.backends.protocol import Run
from eventstore.errors import PositionCacheEnabled, PositionsBehind, UnloggedEvents
from eventstore.statements.postgresql.positions import drawn_positions, position_sequence


def positions_of(run: Run) -> Positions | None:
    """Return what the sequence says; None if position has none. Needs SELECT on the sequence."""
    sequence = run(position_sequence)
    if not sequence:
        return None
    ((newest, last, was_given),) = run(drawn_positions(*sequence[0]))
    return Positions(newest, last if was_given else last - 1)


def check_drawing(run: Run, newest: int, persistence: str, cache: int | None, drawn: int | None) -> int | None:
    """Check what `drawing_state` has returned, and return the last position that was drawn.

    Returns:
        None if the role may not read the sequence, or there is none.

    Raises:
        UnloggedEvents: es_events is no ordinary table.
        PositionCacheEnabled: Sessions draw several positions at once, and use them up later.
        PositionsBehind: The sequence is behind the newest event.
    """
    if persistence != "p":
        raise UnloggedEvents
    if cache is not None and cache != 1:
        raise PositionCacheEnabled(cache)
    if drawn == -1:  # nothing was drawn since the sequence was made or set: what will be first is in itself only
        positions = positions_of(run) if newest else None
        newest, drawn = (newest, 0) if positions is None else (positions.newest, positions.given)
    if drawn is not None and drawn < newest:
        raise PositionsBehind(newest, drawn)
    return drawn
