"""How often an event is tried again, and when."""

from typing import Final

from eventstore.common.backoff import Backoff, spread
from eventstore.errors import InvalidInput, MessageRejected, TargetGone, TargetUnavailable
from eventstore.projections.definition import OnFailure, Projection

LONGEST_BACKOFF_SECONDS: Final = 60.0
"""The longest pause between two attempts, unless the service that a handler calls asks for a longer one."""

_LONGEST_WISH_SECONDS: Final = 3600.0
"""How long a service can make the worker wait at most; a mistaken header must not stop it for years."""

_SPREAD_OF_WISH: Final = 1.1

_FINAL: Final = (MessageRejected, TargetGone, InvalidInput)
"""Errors that another attempt would raise again. `InvalidInput` says that the program itself is wrong."""


class Retries:
    """The attempts to handle one event.

    Args:
        projection: The projection, which says how many attempts there are, and how long the pauses are.
    """

    def __init__(self, projection: Projection) -> None:
        self.made = 1
        """How many attempts were made."""
        self._projection = projection
        self._backoff = Backoff(projection.backoff_seconds, LONGEST_BACKOFF_SECONDS)
        self._failed = 0

    def pause(self, cause: BaseException) -> float | None:
        """Return how long to wait after an attempt that has failed; None if it was the last one.

        An attempt does not count if the service that the handler calls is not available.
        """
        wish = 0.0
        if isinstance(cause, TargetUnavailable):
            wish = min(cause.retry_after_seconds or 0.0, _LONGEST_WISH_SECONDS)
        else:
            self._failed += 1
            if isinstance(cause, _FINAL) or self._failed >= self._projection.attempts:
                return None
        pause = self._backoff.pause()
        if self._projection.spreads_pauses:
            pause = spread(pause / 2, pause)
        return max(pause, spread(wish, wish * _SPREAD_OF_WISH))

    def on_failure(self, cause: BaseException) -> OnFailure:
        """Return what happens after the last attempt."""
        return OnFailure.STOP if isinstance(cause, TargetGone) else self._projection.on_failure
