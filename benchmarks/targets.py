"""The targets that the design sets, each as a ratio in one run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from benchmarks.bench import OURS
from benchmarks.results import Comparison, Middle, Result
from benchmarks.workloads.delivery import STRANGER


@dataclass(frozen=True)
class Target:
    """What is wanted of one comparison.

    Attributes:
        work: What is done.
        against: With whom we are compared, in words.
        key: Of the comparison.
        other: The contestant that we are compared with.
        bound: The ratio of our time to theirs must be at most this.
        wanted: The target as it is written in the design.
        obstacle: What stands in the way where it is missed.
        ours: Our contestant.
        limit: The contestant that shows what can be reached at all: the driver alone.
    """

    work: str
    against: str
    key: str
    other: str
    bound: float
    wanted: str
    obstacle: str
    ours: str = OURS
    limit: str | None = None

    @property
    def inverse(self) -> bool:
        """Whether the ratio is shown as theirs to ours: how many times quicker we are."""
        return self.wanted.startswith("≥")


_DURABLE: Final = (
    "Most of a durable append is the round trip and the flush to disk, which all contestants pay. The driver alone, "
    "which moves no head and checks no version, shows what can be reached here."
)
_TOGETHER: Final = (
    "Writers in threads share one interpreter, and all share the processors with the server. The driver alone in as "
    "many threads shows what can be reached here."
)
_OBJECTS: Final = (
    "What the driver leaves out: the object of the event's class, metadata from JSON, the time, and the "
    "`RecordedEvent`."
)
_ARRAYS: Final = (
    "The driver has its rows encoded beforehand. Ours are encoded, checked and given their versions within the time."
)
_INSERT: Final = "psycopg INSERT"
TARGETS: Final = (
    Target(
        "append 1 event",
        "psycopg INSERT of one row",
        "append_one_new_durable",
        _INSERT,
        1.5,
        "≤ 1.5 × its time",
        "An append moves the head of its stream as well: two rows in two tables, where the driver inserts one.",
    ),
    Target(
        "append 1 event",
        "eventsourcing's EventStore.put",
        "append_one_new_durable",
        "eventsourcing",
        1 / 3,
        "≥ 3 × faster",
        _DURABLE,
        limit=_INSERT,
    ),
    Target(
        "append 1 event",
        "the same with its functions in the database",
        "append_one_new_durable",
        "eventsourcing, functions",
        1 / 3,
        "≥ 3 × faster",
        _DURABLE,
        limit=_INSERT,
    ),
    Target(
        "8 writers, 1 event each",
        "eventsourcing",
        "writers_8",
        "eventsourcing",
        1 / 5,
        "≥ 5 × its throughput",
        _TOGETHER,
        limit=_INSERT,
    ),
    Target(
        "8 writers, 1 event each",
        "the same with its functions in the database",
        "writers_8",
        "eventsourcing, functions",
        1 / 5,
        "≥ 5 × its throughput",
        _TOGETHER,
        limit=_INSERT,
    ),
    Target(
        "append 1,000 events",
        "psycopg unnest",
        "append_1000",
        "psycopg unnest",
        1 / 0.7,
        "≥ 0.7 × its throughput",
        _ARRAYS,
    ),
    Target(
        "append 50,000 events",
        "psycopg COPY",
        "append_50000",
        "psycopg COPY",
        1 / 0.6,
        "≥ 0.6 × its throughput",
        _ARRAYS,
    ),
    Target(
        "read a stream of 10,000",
        "psycopg fetch + msgpack",
        "read_stream_10000",
        "psycopg fetch + msgpack",
        1.5,
        "≤ 1.5 × its time",
        _OBJECTS,
    ),
    Target(
        "read 1,000,000 in global order",
        "psycopg keyset pages",
        "read_all",
        "psycopg pages",
        1.5,
        "≤ 1.5 × its time",
        "The driver's pages are fetched and not even unpacked. " + _OBJECTS,
    ),
    Target(
        "delivery lag, a stranger's 6 s transaction open",
        "the same without",
        "delivery",
        OURS,
        1.2,
        "≤ 1.2 ×",
        "Only appends under way hold a reader back; a difference here is noise, or the load of the stranger.",
        ours=STRANGER,
    ),
    Target(
        "SQLite: append 1 event",
        "sqlite3 INSERT",
        "sqlite_append_one",
        "sqlite3 INSERT",
        1.6,
        "≤ 1.6 × its time",
        "An append is four statements (BEGIN IMMEDIATE, the head, the event, COMMIT), the driver's INSERT one and a "
        "commit.",
    ),
)


@dataclass(frozen=True)
class Verdict:
    """A target and what was measured.

    Attributes:
        target: The target.
        measured: The ratio as the design writes it, None where the comparison was not made.
        noise: Of the same comparison: a contestant against itself.
        limit: The ratio that the driver alone reaches, where that is what one would ask.
        met: Whether it is good enough.
    """

    target: Target
    measured: Middle | None
    noise: Middle | None
    limit: float | None
    met: bool

    @property
    def word(self) -> str:
        """The verdict in a word or two."""
        return "not run" if self.measured is None else "met" if self.met else "missed"


def verdicts(results: Sequence[Result]) -> list[Verdict]:
    """Return the table of the design, with what was measured."""
    comparisons = {result.key: result for result in results if isinstance(result, Comparison)}
    return [_verdict(target, comparisons) for target in TARGETS]


def _verdict(target: Target, comparisons: Mapping[str, Comparison]) -> Verdict:
    comparison = comparisons.get(target.key)
    ratio = comparison.ratio(target.ours, target.other) if comparison else None
    if comparison is None or ratio is None:
        return Verdict(target, None, None, None, met=False)
    limit = comparison.ratio(target.limit, target.other) if target.limit else None
    return Verdict(
        target,
        _inverted(ratio) if target.inverse else ratio,
        comparison.noise(),
        1 / limit.median if limit else None,
        met=ratio.median <= target.bound,
    )


def _inverted(ratio: Middle) -> Middle:
    return Middle(1 / ratio.median, 1 / ratio.high, 1 / ratio.low)
