"""What is measured: times of several contestants in the same rounds, and single facts."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from statistics import median, quantiles
from typing import Any, Final, NamedTuple, Self

_ELSEWHERE: Final = "these figures are of another run: "
_MACHINE: Final = ("day", "processor", "PostgreSQL", "PostgreSQL settings", "noise", "load when it began")


class Middle(NamedTuple):
    """A median, and the quartiles around it: half of the rounds are between them."""

    median: float
    low: float
    high: float


@dataclass(frozen=True)
class Comparison:
    """Contestants that did the same, in turns.

    Attributes:
        key: Names it in the JSON file.
        title: What was done.
        per: What a time is of: `append`, `event`.
        reference: The contestant that the others are compared with.
        seconds: By contestant the time of each round, in order: the first times are of the first round, and so on.
        again: One contestant a second time, in the same rounds: what it differs from itself is noise.
        missing: By contestant why it did not run.
        durable: Whether each commit was flushed to disk; None where nothing was written.
    """

    key: str
    title: str
    per: str
    reference: str
    seconds: Mapping[str, Sequence[float]]
    again: Mapping[str, Sequence[float]] = field(default_factory=dict)
    missing: Mapping[str, str] = field(default_factory=dict)
    durable: bool | None = None

    @property
    def rounds(self) -> int:
        """How many rounds were timed."""
        return max((len(times) for times in self.seconds.values()), default=0)

    def median(self, name: str) -> float:
        """Return the median time of a contestant, in seconds."""
        return median(self.seconds[name])

    def middle(self, name: str) -> Middle:
        """Return the median time of a contestant and its quartiles, in seconds."""
        return _middle(self.seconds[name])

    def ratio(self, name: str, to: str | None = None) -> Middle | None:
        """Return how many times longer it took than another, of the ratios within each round.

        None where one of both was not there.
        """
        to = to or self.reference
        if name not in self.seconds or to not in self.seconds:
            return None
        return _middle([one / other for one, other in zip(self.seconds[name], self.seconds[to], strict=True)])

    def noise(self) -> Middle | None:
        """Return how many times longer a contestant took than itself in the same rounds; None where it ran once."""
        for name, times in self.again.items():
            if name in self.seconds:
                return _middle([one / other for one, other in zip(times, self.seconds[name], strict=True)])
        return None

    def as_json(self) -> dict[str, Any]:
        """Return it with the figures that are computed of it."""
        noise = self.noise()
        return {
            **asdict(self),
            "rounds": self.rounds,
            "middle": {name: self.middle(name)._asdict() for name in self.seconds},
            "ratio": {name: ratio._asdict() for name in self.seconds if (ratio := self.ratio(name))},
            "noise": noise and noise._asdict(),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Return what `as_json` was made of."""
        return cls(**{name: value[name] for name in cls.__dataclass_fields__})


@dataclass(frozen=True)
class Facts:
    """Figures that are no race.

    Attributes:
        key: Names them in the JSON file.
        title: What was looked at.
        unit: Of the values.
        values: By label.
        note: What one should know of them.
    """

    key: str
    title: str
    unit: str
    values: Mapping[str, float]
    note: str = ""

    def ratio(self, name: str, to: str) -> Middle | None:
        """Return how many times another value a value is; None where one of both was not there."""
        if name not in self.values or to not in self.values:
            return None
        return _middle([self.values[name] / self.values[to]])

    def noise(self) -> None:
        """Return None: it was counted once."""

    def as_json(self) -> dict[str, Any]:
        """Return it as it is."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Return what `as_json` was made of."""
        return cls(**{name: value[name] for name in cls.__dataclass_fields__})


Result = Comparison | Facts


@dataclass(frozen=True)
class Run:
    """All that one run has found.

    Attributes:
        full: Whether the sizes were those of the full run; a quick one is to see that it works.
        machine: What it ran on, by name.
        notes: What the reader must know: who could not take part, what went wrong.
        results: In the order of the run.
    """

    full: bool
    machine: Mapping[str, str]
    notes: Sequence[str]
    results: Sequence[Result]

    def as_json(self) -> dict[str, Any]:
        """Return it with all figures."""
        return {
            "full": self.full,
            "machine": dict(self.machine),
            "notes": list(self.notes),
            "results": [result.as_json() for result in self.results],
        }

    def with_results_of(self, other: "Run") -> "Run":
        """Return this run with the results of another in the places of its own, and a note that says which."""
        replaced = {result.key for result in other.results}
        kept = [result for result in self.results if result.key not in replaced]
        said = f"{_ELSEWHERE}{', '.join(f'`{key}`' for key in sorted(replaced))}. "
        notes = [note for note in self.notes if not note.startswith(said)]
        machine = [f"{name}: {other.machine[name]}" for name in _MACHINE if name in other.machine]
        return replace(
            self, notes=[*notes, said + "; ".join([*machine, *other.notes])], results=[*kept, *other.results]
        )

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Return what `as_json` was made of."""
        results = [
            Comparison.from_json(each) if "seconds" in each else Facts.from_json(each) for each in value["results"]
        ]
        return cls(value["full"], value["machine"], value["notes"], results)


def _middle(values: Sequence[float]) -> Middle:
    if len(values) == 1:
        return Middle(values[0], values[0], values[0])
    low, middle, high = quantiles(values, n=4, method="inclusive")
    return Middle(middle, low, high)
