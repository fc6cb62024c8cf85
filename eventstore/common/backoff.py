"""How long to wait before something is tried again."""

import random
from typing import Final

LONGEST_WITHOUT_CONNECTION: Final = 5.0
"""How long to wait at most, in seconds, before a database that does not answer is asked again."""


class Backoff:
    """Pauses between tries, in seconds: each is twice as long as the one before, up to a longest.

    Args:
        shortest: The first pause.
        longest: The longest one.
    """

    __slots__ = ("_longest", "_next", "_shortest")

    def __init__(self, shortest: float, longest: float) -> None:
        self._shortest = self._next = shortest
        self._longest = longest

    def pause(self, longest: float | None = None) -> float:
        """Return how long to wait now.

        Args:
            longest: What holds for this pause in place of the longest one.
        """
        pause = min(self._next, self._longest if longest is None else longest)
        self._next = pause * 2
        return pause

    def reset(self) -> None:
        """Begin with the shortest pause again."""
        self._next = self._shortest


def spread(shortest: float, longest: float) -> float:
    """Return a random time between two, so that those who compete do not try again at the same moment."""
    return random.uniform(shortest, longest)  # noqa: S311  # guards nothing
