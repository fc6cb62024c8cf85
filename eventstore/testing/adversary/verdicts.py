"""What has come of each attack, and of all."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum

from eventstore.testing.adversary.judging import Score


class Result(Enum):
    """What has come of an attack."""

    CLEAN = "clean"
    FOUND = "found"
    LEFT_OUT = "left out"
    FAILED = "failed"
    """The attack could not be made to its end, because of an error where none was meant to be."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What has come of one attack.

    Attributes:
        case: Its name.
        what: What it does.
        result: Clean, found something, left out, or failed.
        scores: Of the log and of each reader.
        notes: What else there is to say: why it was left out, how many faults were made.
        seconds: How long it took.
        trace: Of the error, if it has failed.
    """

    case: str
    what: str
    result: Result
    scores: Sequence[Score] = ()
    notes: Sequence[str] = ()
    seconds: float = 0.0
    trace: str | None = None

    @classmethod
    def of(cls, case: str, what: str, scores: Sequence[Score], notes: Sequence[str] = ()) -> "Verdict":
        """Return the verdict on scores."""
        result = Result.CLEAN if all(score.is_clean for score in scores) else Result.FOUND
        return cls(case, what, result, tuple(scores), tuple(notes))

    def plus(self, other: "Verdict") -> "Verdict":
        """Return this and a clean verdict on another round, added up."""
        scores = [
            replace(one, written=one.written + two.written, delivered=one.delivered + two.delivered)
            for one, two in zip(self.scores, other.scores, strict=True)
        ]
        return replace(self, scores=tuple(scores), notes=(*self.notes, *other.notes))
