"""How long to wait before a retry."""

import random
from typing import Final

LONGEST_WITHOUT_CONNECTION: Final = 5.0
"""How long to wait at most, in seconds, between two attempts to reach a database that does not answer."""


class Backoff:
    """Pauses between retries, in seconds: each is twice as long as the one before, up to the longest.

    Args:
        shortest: The first pause.
        longest: The longest pause.
    """

    __slots__ = ("_longest", "_next", "_shortest")

    def __init__(self, shortest: float, longest: float) -> None:
        self._shortest = self._next = shortest
        self._longest = longest

    def pause(self, longest: float | None = None) -> float:
        """Return how long to wait now.

        Args:
            longest: The longest pause this time; None for the usual one.
        """
        pause = min(self._next, self._longest if longest is None else longest)
        self._next = pause * 2
        return pause

    def reset(self) -> None:
        """Start again with the shortest pause."""
        self._next = self._shortest


def spread(shortest: float, longest: float) -> float:
    """Return a random time between two, so that competitors do not retry at the same moment."""
    return random.uniform(shortest, longest)  # noqa: S311  # not for security
