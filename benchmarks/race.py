"""Contestants that take turns: A B C, A B C, and so on."""

import gc
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

Contestant = Callable[[], float]
"""Does one round, and returns the seconds of one operation."""

FEWEST_ROUNDS: Final = 3
"""Even where the time is up: with fewer there is no spread to be seen."""


@dataclass(frozen=True)
class Outcome:
    """What a race has shown.

    Attributes:
        seconds: By contestant the time of each round.
        again: The times of the one that ran twice in each round.
        missing: By contestant why it did not run, or not to the end.
    """

    seconds: dict[str, list[float]]
    again: dict[str, list[float]]
    missing: dict[str, str]


def run_race(
    contestants: Mapping[str, Contestant],
    *,
    rounds: int,
    twice: str,
    ends_at: float,
    fewest: int = FEWEST_ROUNDS,
    warm_up: bool = True,
) -> Outcome:
    """Let contestants take turns; the first round warms up and is not timed.

    Args:
        contestants: By name. One that fails is left out from then on.
        rounds: How many rounds are timed.
        twice: Runs again at the end of each round: what it differs from itself is noise.
        ends_at: Of `time.monotonic`: no round begins later, once there are enough.
        fewest: How many are enough.
        warm_up: Whether there is a round before the first one that counts.
    """
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    again: list[float] = []
    missing: dict[str, str] = {}
    for number in range(0 if warm_up else 1, rounds + 1):
        if number > fewest and time.monotonic() > ends_at:
            break
        for name in list(seconds):
            gc.collect()
            try:
                taken = contestants[name]()
            except Exception as error:  # noqa: BLE001  # whoever fails is shown as missing, and the others go on
                missing[name] = _reason(error)
                del seconds[name]
                continue
            if number:
                seconds[name].append(taken)
        if number and twice in seconds:
            gc.collect()
            again.append(contestants[twice]())
    return Outcome(seconds, {twice: again} if twice in seconds else {}, missing)


def _reason(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[-1] if lines else type(error).__name__
