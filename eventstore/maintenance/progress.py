"""How far a verification has come, so that another run can continue from there."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Self

from eventstore.common.validation import MAX_VERSION, check_number
from eventstore.errors import InvalidInput


class Part(Enum):
    """What `verify` checks in batches, in this order. The quick checks come before these, in every run."""

    STREAMS = "streams"
    EVENTS = "events"
    SNAPSHOTS = "snapshots"
    DEAD_LETTERS = "dead-letters"


@dataclass(frozen=True, slots=True)
class Place:
    """The end of a batch. Its text, such as `streams:0:order-42` or `events:51000:`, lets another run continue there.

    Attributes:
        part: The part; the parts before it are done.
        number: The position or schema version of the last row; 0 if the part has neither.
        key: The stream id or projection name of the last row; empty if the part has neither.
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
        """Parse the text of a place.

        Raises:
            InvalidInput: It is not the text of a place.
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
        place: Where another run continues: `verify(after=place)`.
        done: How many streams, events, snapshots or dead letters of the part this run has checked.
        total: An estimate of how many there are in all.
    """

    place: Place
    done: int
    total: int


OnProgress = Callable[[Progress], None]
