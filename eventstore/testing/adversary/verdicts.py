"""The verdicts on attacks."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum

from eventstore.testing.adversary.judging import Score


class Result(Enum):
    """The result of an attack."""

    CLEAN = "clean"
    FOUND = "found"
    LEFT_OUT = "left out"
    FAILED = "failed"
    """The attack ended early because of an unexpected error."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The verdict on one attack.

    Attributes:
        case: The name of the attack.
        what: Its description.
        result: The result.
        scores: The scores of the log and of each reader.
        notes: More information, such as why it was left out, or how many faults were caused.
        seconds: How long it took.
        trace: The traceback of the error, if it failed.
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
        """Return the verdict for scores."""
        result = Result.CLEAN if all(score.is_clean for score in scores) else Result.FOUND
        return cls(case, what, result, tuple(scores), tuple(notes))

    def plus(self, other: "Verdict") -> "Verdict":
        """Return the sum of this verdict and a clean one on another round."""
        scores = [
            replace(one, written=one.written + two.written, delivered=one.delivered + two.delivered)
            for one, two in zip(self.scores, other.scores, strict=True)
        ]
        return replace(self, scores=tuple(scores), notes=(*self.notes, *other.notes))
