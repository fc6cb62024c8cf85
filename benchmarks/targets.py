"""The targets that the design sets, each as a ratio in one run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from benchmarks.bench import OURS
from benchmarks.results import Comparison, Result


@dataclass(frozen=True)
class Target:
    """What is wanted of one comparison.

    Attributes:
        work: What is done.
        against: With whom we are compared.
        key: Of the comparison.
        others: Contestants to be compared with; of several that are there, the quickest.
        bound: The ratio of our time to theirs must be at most this.
        wanted: The target as it is written in the design.
        ours: Our contestant.
    """

    work: str
    against: str
    key: str
    others: tuple[str, ...]
    bound: float
    wanted: str
    ours: str = OURS

    @property
    def inverse(self) -> bool:
        """Whether the ratio is shown as theirs to ours: how many times quicker we are."""
        return self.wanted.startswith("≥")


_PEER: Final = ("eventsourcing", "eventsourcing, functions")
_DRIVER: Final = ("psycopg INSERT",)
_FETCH: Final = ("psycopg fetch + msgpack",)
_STRANGER: Final = "eventstore, a stranger's transaction open"
_ONE: Final = "append 1 event"
TARGETS: Final = (
    Target(_ONE, "psycopg INSERT of one row", "append_one_new_durable", _DRIVER, 1.5, "≤ 1.5 × its time"),
    Target(_ONE, "eventsourcing's EventStore.put", "append_one_new_durable", _PEER, 1 / 3, "≥ 3 × faster"),
    Target("8 writers, 1 event each", "eventsourcing", "writers_8", _PEER, 1 / 5, "≥ 5 × its throughput"),
    Target(
        "append 1,000 events", "psycopg unnest", "append_1000", ("psycopg unnest",), 1 / 0.7, "≥ 0.7 × its throughput"
    ),
    Target(
        "append 50,000 events", "psycopg COPY", "append_50000", ("psycopg COPY",), 1 / 0.6, "≥ 0.6 × its throughput"
    ),
    Target("read a stream of 10,000", "psycopg fetch + msgpack", "read_stream_10000", _FETCH, 1.5, "≤ 1.5 × its time"),
    Target("read all in global order", "psycopg keyset pages", "read_all", ("psycopg pages",), 1.5, "≤ 1.5 × its time"),
    Target("delivery lag, a stranger's transaction open", "without", "delivery", (OURS,), 1.2, "≤ 1.2 ×", _STRANGER),
    Target(
        "SQLite: append 1 event", "sqlite3 INSERT", "sqlite_append_one", ("sqlite3 INSERT",), 1.6, "≤ 1.6 × its time"
    ),
)


@dataclass(frozen=True)
class Verdict:
    """A target and what was measured.

    Attributes:
        target: The target.
        measured: The ratio as the design writes it, None where the comparison was not made.
        met: Whether it is good enough.
    """

    target: Target
    measured: float | None
    met: bool


def verdicts(results: Sequence[Result]) -> list[Verdict]:
    """Return the table of the design, with what was measured."""
    comparisons = {result.key: result for result in results if isinstance(result, Comparison)}
    return [_verdict(target, comparisons) for target in TARGETS]


def _verdict(target: Target, comparisons: Mapping[str, Comparison]) -> Verdict:
    comparison = comparisons.get(target.key)
    ratios = [comparison.ratio(target.ours, other) for other in target.others] if comparison else []
    known = [ratio for ratio in ratios if ratio is not None]
    if not known:
        return Verdict(target, None, met=False)
    worst = max(known)
    return Verdict(target, 1 / worst if target.inverse else worst, met=worst <= target.bound)
