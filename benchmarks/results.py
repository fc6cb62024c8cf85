"""What is measured: times of several contestants in the same rounds, and single facts."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any


@dataclass(frozen=True)
class Comparison:
    """Contestants that did the same, in turns.

    Attributes:
        key: Names it in the JSON file.
        title: What was done.
        per: What a time is of: `append`, `event`.
        reference: The contestant that the others are compared with.
        seconds: By contestant the time of each round, in order: the first times are of the first round, and so on.
        missing: By contestant why it did not run.
        durable: Whether each commit was flushed to disk; None where nothing was written.
    """

    key: str
    title: str
    per: str
    reference: str
    seconds: Mapping[str, Sequence[float]]
    missing: Mapping[str, str] = field(default_factory=dict)
    durable: bool | None = None

    def median(self, name: str) -> float:
        """Return the median time of a contestant."""
        return median(self.seconds[name])

    def spread(self, name: str) -> float:
        """Return how far apart the quickest and the slowest round are, as a part of the median."""
        times = self.seconds[name]
        return (max(times) - min(times)) / self.median(name)

    def ratio(self, name: str, to: str | None = None) -> float | None:
        """Return how many times longer it took than another: the median of the ratios of the rounds."""
        to = to or self.reference
        if name not in self.seconds or to not in self.seconds:
            return None
        return median(one / other for one, other in zip(self.seconds[name], self.seconds[to], strict=True))

    def as_json(self) -> dict[str, Any]:
        """Return it with the figures that are computed of it."""
        names = list(self.seconds)
        return {
            **asdict(self),
            "median": {name: self.median(name) for name in names},
            "ratio": {name: self.ratio(name) for name in names},
        }


@dataclass(frozen=True)
class Facts:
    """Figures that are no race.

    Attributes:
        key: Names them in the JSON file.
        title: What was looked at.
        unit: Of the values.
        values: By label.
    """

    key: str
    title: str
    unit: str
    values: Mapping[str, float]

    def as_json(self) -> dict[str, Any]:
        """Return it as it is."""
        return asdict(self)


Result = Comparison | Facts
