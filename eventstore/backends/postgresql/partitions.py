"""What PostgreSQL's catalog says about the parts of the log."""

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Final

from eventstore.backends.protocol import Row, Statement
from eventstore.errors import PartitioningRefused
from eventstore.parts import Detached, Part, PartState, Runway
from eventstore.statements.postgresql.partitions import (
    appends_of_a_week,
    detached_parts_of_log,
    drawn_position,
    parts_of_log,
)

Run = Callable[[Statement], Sequence[Row]]
"""Runs a statement without parameters."""

_KEY: Final = 'RANGE ("position")'
_BOUND: Final = re.compile(r"FOR VALUES FROM \((?:MINVALUE|'?(\d+)'?)\) TO \('?(\d+)'?\)")
_DAYS: Final = 7.0


def parts_of(run: Run) -> list[Part]:
    """Return the parts that are attached, in the order of their positions; none if the log is not partitioned.

    Raises:
        PartitioningRefused: es_events is partitioned in another way.
    """
    found = []
    for key, name, bound, events, size, is_detaching in run(parts_of_log):
        if key != _KEY:
            raise PartitioningRefused(f"es_events is partitioned already, by {key}", "the store needs RANGE (position)")
        if name is None:
            raise PartitioningRefused("es_events is partitioned, but has no parts", "restore it from a backup")
        range_ = _BOUND.fullmatch(bound)
        if range_ is None:
            raise PartitioningRefused(
                f"{name} is a part of es_events that the store has not made ({bound})",
                f"detach it: ALTER TABLE es_events DETACH PARTITION {name}",
            )
        first = 1 if range_.group(1) is None else int(range_.group(1))
        state = PartState.DETACHING if is_detaching else PartState.ATTACHED
        found.append(Part(name, first, int(range_.group(2)) - 1, None if events < 0 else events, size, state))
    return sorted(found, key=_by_position)


def all_parts_of(run: Run) -> list[Part]:
    """Return the parts that are attached or in the list of detached parts, in the order of their positions.

    Raises:
        PartitioningRefused: es_events is partitioned in another way.
    """
    found = {part.name: part for part in parts_of(run)}
    for name, first, last, events, location, sha256, size in run(detached_parts_of_log):
        detached = Detached(events, location, sha256)
        if name in found:
            state = PartState.DETACHING if found[name].state is PartState.DETACHING else PartState.LISTED
            found[name] = replace(found[name], state=state, detached=detached)
        else:
            state = PartState.DROPPED if size is None else PartState.DETACHED
            found[name] = Part(name, first, last, events, size or 0, state, detached)
    return sorted(found.values(), key=_by_position)


def _by_position(part: Part) -> int:
    return part.first_position


def last_drawn(run: Run) -> int | None:
    """Return the position that was drawn last, 0 if none was; None for a role that may not read the sequence."""
    ((drawn, *_),) = run(drawn_position)
    return None if drawn is None else int(drawn)


def positions_per_day(run: Run) -> float:
    """Return how many positions a day takes, at the rate of the last seven.

    A log that is younger than a day counts as a day old.
    """
    for newest, before, began_at, now in run(appends_of_a_week):
        if began_at is None:  # nothing in these days
            return 0.0
        days = min(_DAYS, max(1.0, (now - began_at) / timedelta(days=1)))
        return float((newest - before) / days)
    return 0.0


def runway_of(run: Run) -> Runway | None:
    """Return how long the parts of the log last; None if it is not partitioned, or the role may not know."""
    there = parts_of(run)
    drawn = last_drawn(run) if there else None
    if drawn is None:
        return None
    ahead = sum(part.first_position > drawn + 1 for part in there)
    return Runway(drawn, max(0, there[-1].last_position - drawn), positions_per_day(run), ahead)
