"""How a batch fails, and how often it is repeated."""

from typing import Final

from eventstore.backends.protocol import Row
from eventstore.common.backoff import spread

REPEATS_IF_LOST: Final = 3
"""How often a batch is repeated if its connection is lost while the handler of the same event runs."""

REPEATS_IN_CONTENTION: Final = 10
"""How often a batch is repeated if concurrent transactions make the handler of the same event fail."""

_LONGEST_PAUSE_SECONDS: Final = 1.0


def pause_before_repeat(times: int) -> float:
    """Return how long to wait, in seconds, before the first, second, third repetition.

    The time is random, so that two transactions that have collided do not collide again.
    """
    longest: float = min(0.02 * 2**times, _LONGEST_PAUSE_SECONDS)
    return spread(longest / 2, longest)


class HandlerFailed(Exception):  # never leaves the package
    """A handler has raised an error, which is the cause of this one. The batch was rolled back.

    Attributes:
        row: The row of the event.
        repeats: How often to repeat the batch before the error counts as a failure of the event.
    """

    def __init__(self, row: Row, *, repeats: int = 0) -> None:
        self.row = row
        self.repeats = repeats
        super().__init__()


class RepeatOneByOne(Exception):  # never leaves the package
    """A batch has failed, and any of its events may be the cause. It was rolled back; repeat it.

    Attributes:
        up_to_position: The position of the last of these events. Until then, each one is a batch.
    """

    def __init__(self, up_to_position: int) -> None:
        self.up_to_position = up_to_position
        super().__init__()
