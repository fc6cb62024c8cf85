"""How far a verification has come, so that another can go on from there."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Self

from eventstore.common.validation import MAX_VERSION, check_number
from eventstore.errors import InvalidInput


class Part(Enum):
    """What is verified in batches, in this order. What takes but a moment comes first, each time."""

    STREAMS = "streams"
    EVENTS = "events"
    SNAPSHOTS = "snapshots"
    DEAD_LETTERS = "dead-letters"


@dataclass(frozen=True, slots=True)
class Place:
    """The end of a batch. Its text, as `streams:0:order-42` or `events:51000:`, is what to give to another run.

    Attributes:
        part: The part; those before it are done.
        number: Of the last row: position or schema version; 0 where it has none.
        key: Of the last row: stream id or name of the projection; empty where it has none.
    """

    part: Part
    number: int = 0
    key: str = ""

    def __post_init__(self) -> None:
        check_number("the number of a place", self.number)

    def __str__(self) -> str:
        return f"{self.part.value}:{self.number}:{self.key}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the place that a text stands for.

        Raises:
            InvalidInput: It is no such text.
        """
        part, _, rest = text.partition(":")
        number, colon, key = rest.partition(":")
        known = {each.value: each for each in Part}
        if part not in known or not colon or not number.isdecimal() or int(number) > MAX_VERSION:
            msg = f"a place looks like streams:0:order-42 or events:51000:, not {text!r}"
            raise InvalidInput(msg)
        return cls(known[part], int(number), key)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a verification has come.

    Attributes:
        place: Where to go on from: `verify(after=place)`.
        done: How many rows of the part this run has seen: streams, events, snapshots or dead letters.
        total: About how many there are of them, in all.
    """

    place: Place
    done: int
    total: int


Report = Callable[[Progress], None]
