"""The targets that the design sets, each as a ratio in one run."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from benchmarks.arrow import DRIVER, JSON, TYPED
from benchmarks.bench import OURS, UMADB
from benchmarks.logs import log_name
from benchmarks.results import Middle, Result
from benchmarks.workloads.boundaries import HOT, THEIRS, UNCHECKED, WITHOUT_TABLE
from benchmarks.workloads.delivery import NOTIFIED, STRANGER
from benchmarks.workloads.growth_counts import APPENDS, DESIGNED, HUNDRED, LATE, PAGE_OF_ALL, PLAIN, wal_label
from benchmarks.workloads.idle import CORE
from benchmarks.workloads.looks import ALONE, TOGETHER
from benchmarks.workloads.many_writers import GROUPED
from benchmarks.workloads.processor_time import MORE_CHECKS
from benchmarks.workloads.state import READ

MISSED_IN_NOISE: Final = "missed, within the noise"


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
        limit: The contestant that shows what can be reached at all: the rows are stored without any check.
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
    def is_due(self) -> bool:
        """Whether a run of everything measures it."""
        return not self.key.startswith("growth_")

    @property
    def inverse(self) -> bool:
        """Whether the ratio is shown as theirs to ours: how many times quicker we are."""
        return self.wanted.startswith("≥")


_DURABLE: Final = (
    "Most of a durable append is the round trip and the flush to disk, which all contestants pay. The driver alone, "
    "which moves no head and checks no version, shows what can be reached here."
)
_TOGETHER: Final = (
    "Threads share one interpreter, and all share the processors with the server. The driver alone in as many threads "
    "shows what can be reached here."
)
_UMADB: Final = (
    "UmaDB's client is compiled, and its server has one writer, which flushes many appends together. Ours are rows in "
    "PostgreSQL. The driver alone in as many threads shows what can be reached here."
)
_OBJECTS: Final = (
    "What the driver leaves out: the object of the event's class, metadata from JSON, the time, and the "
    "`RecordedEvent`."
)
_ARRAYS: Final = (
    "The driver has its rows encoded beforehand. Ours are encoded, checked and given their versions within the time."
)
_HEAD: Final = "An append moves the head of its stream as well: two rows in two tables, where the driver inserts one."
_SQLITE: Final = (
    "An append takes the write lock first, moves the head and looks at what was there; the driver inserts one row."
)
_SQLITE_TOGETHER: Final = (
    "SQLite has one writer at a time. Appends that wait for it are stored together, and share a flush to disk."
)
_ARROW: Final = "The driver stops at Python's objects. Ours go on to columns, with names and types."
_LOCKED_TABLE: Final = (
    "Their function locks the table until its commit is on disk, and ours does not, so a slow flush helps us: with "
    "flushes of 5 ms, by hand, 8 and 16 writers reached 3.8 and 7.0 times, and an INSERT that checks nothing 4.5 and "
    "9.1. At 0.2 ms, all wait for two processors."
)
_GROWTH: Final = (
    "Trees of indexes get deeper with the number of rows. What is read anywhere in a log that is larger than "
    "PostgreSQL's memory comes from the operating system. A stream that began in an old part is searched in all parts "
    "since."
)
_WAL: Final = (
    "What remains is the head of the stream, a page of es_streams or of its index, which parts do not change. The "
    "newest part saves a page of its key only if it gets more appends between two checkpoints than its key has pages."
)
_INSERT: Final = "psycopg INSERT"


def _faster(work: str, against: str, key: str, other: str, times: float, *, obstacle: str, **more: str) -> Target:
    """Return a target in words of throughput: we are at least so many times as quick as another."""
    return Target(work, against, key, other, 1 / times, f"≥ {times:g} × its throughput", obstacle, **more)


def _grows(work: str, key: str, *, is_partitioned: bool) -> Target:
    ours, other = (log_name(size, is_partitioned=is_partitioned) for size in (10_000_000, 1_000_000))
    return Target(
        f"{work}, 10 million events{' in parts' * is_partitioned}",
        "1 million",
        key,
        other,
        1.25,
        "≤ 1.25 × its time",
        _GROWTH,
        ours=ours,
    )


def _wal(work: str, key: str) -> Target:
    ours, other = (
        wal_label(log_name(3_000_000, is_partitioned=is_partitioned), APPENDS[-1]) for is_partitioned in (True, False)
    )
    what = f"WAL of an append to {work}, 3 million events in parts"
    return Target(what, "plain", key, other, 0.65, "≤ 0.65 × its bytes", _WAL, ours=ours)


TARGETS: Final = (
    Target("append 1 event", _INSERT, "append_one_new_durable", _INSERT, 1.3, "≤ 1.3 × its time", _HEAD),
    Target(
        "append 1 event, synchronous_commit off",
        _INSERT,
        "append_one_new_not_durable",
        _INSERT,
        1.7,
        "≤ 1.7 × its time",
        _HEAD,
    ),
    _faster(
        "append 1 event",
        "eventsourcing",
        "append_one_new_durable",
        "eventsourcing",
        2.5,
        obstacle=_DURABLE,
        limit=_INSERT,
    ),
    _faster(
        "append 1 event",
        "eventsourcing with its functions in the database",
        "append_one_new_durable",
        "eventsourcing, functions",
        1.4,
        obstacle=_DURABLE,
        limit=_INSERT,
    ),
    _faster(
        "8 threads, 1 event each", "eventsourcing", "writers_8", "eventsourcing", 4, obstacle=_TOGETHER, limit=_INSERT
    ),
    _faster(
        "8 threads, 1 event each",
        "eventsourcing with its functions in the database",
        "writers_8",
        "eventsourcing, functions",
        1.7,
        obstacle=_TOGETHER,
        limit=_INSERT,
    ),
    _faster("8 threads, 1 event each", UMADB, "writers_8", UMADB, 0.8, obstacle=_UMADB, limit=_INSERT),
    _faster(
        "64 threads, 1 event each, group_commit=True",
        UMADB,
        "writers_64",
        UMADB,
        1.3,
        obstacle=_UMADB,
        ours=GROUPED,
        limit=_INSERT,
    ),
    _faster("append 1,000 events", "psycopg unnest", "append_1000", "psycopg unnest", 0.8, obstacle=_ARRAYS),
    _faster("append 50,000 events", "psycopg COPY", "append_50000", "psycopg COPY", 0.75, obstacle=_ARRAYS),
    Target(
        "append 1 event: time of the server's processors",
        "the constraints before es_0008",
        "processor_server",
        MORE_CHECKS,
        0.8,
        "≤ 0.8 × its time",
        "PostgreSQL parses each constraint that is left at each execution, and the foreign key stays.",
    ),
    Target(
        "SQLite: append 1 event",
        "sqlite3 INSERT",
        "sqlite_append_one",
        "sqlite3 INSERT",
        1.4,
        "≤ 1.4 × its time",
        _SQLITE,
    ),
    _faster("SQLite: 8 threads", "eventsourcing", "sqlite_writers_8", "eventsourcing", 1.5, obstacle=_SQLITE_TOGETHER),
    _faster("SQLite: 32 threads", "eventsourcing", "sqlite_writers_32", "eventsourcing", 4, obstacle=_SQLITE_TOGETHER),
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
        "projection that counts",
        "read_all",
        "projection",
        READ,
        1.3,
        "≤ 1.3 × its time",
        "Each batch of a projection is a transaction with its checkpoint, and each event finds its handlers.",
    ),
    *(
        Target(
            f"1,000,000 events to Arrow, {what}", DRIVER, "frames", DRIVER, 1.5, "≤ 1.5 × its time", _ARROW, ours=ours
        )
        for what, ours in (("payload as JSON", JSON), ("fields of a class", TYPED))
    ),
    Target(
        "live delivery, notify=True, 8 writers: median lag",
        "polling",
        "delivery",
        OURS,
        0.5,
        "≤ 0.5 ×",
        "Notifications are sent at most every few milliseconds, and then there is a look and a page to read.",
        ours=NOTIFIED,
    ),
    _faster(
        "the same: throughput of 8 writers",
        "without notify",
        "tuning_notify_8",
        OURS,
        0.97,
        obstacle="The notifier is a thread of the writers' process.",
        ours="eventstore, notify=True",
    ),
    Target(
        "delivery lag, a stranger's 3 s transaction open",
        "the same without",
        "delivery",
        OURS,
        1.2,
        "≤ 1.2 ×",
        "Only appends under way hold a reader back; a difference here is noise, or the load of the stranger.",
        ours=STRANGER,
    ),
    Target(
        "50 idle subscriptions, client and server",
        "one core",
        "idle_subscriptions",
        CORE,
        0.03,
        "≤ 0.03 ×",
        "The subscriptions of a store share a poller, which asks some times a second.",
    ),
    Target(
        "look beside 1,000 connections in transactions, 20 readers",
        "1 reader",
        "looks",
        ALONE,
        2.0,
        "≤ 2 ×",
        "A reader that comes while a look is under way shares the next one; then 20 threads wake.",
        ours=TOGETHER,
    ),
    *(
        _faster(
            f"append on condition, 2 tags, {writers} writer{'s' * (writers > 1)}, by pgbench",
            "eventsourcing's function",
            f"boundaries_pgbench_{writers}",
            THEIRS,
            times,
            obstacle=_LOCKED_TABLE,
            limit=UNCHECKED,
        )
        for writers, times in ((1, 1), (8, 5), (16, 7))
    ),
    Target(
        "decide by a tag of a million events and a cold one",
        "two cold tags",
        "boundaries_hot",
        OURS,
        2.0,
        "≤ 2 × its time",
        "The rarest tag of a query is found by counting up to 1,000 entries of each.",
        ours=HOT,
    ),
    Target(
        "append 1 event without tags",
        "tables without es_event_tags",
        "boundaries_unused",
        WITHOUT_TABLE,
        1.03,
        "1.00 × within the noise",
        "The statements are the same.",
    ),
    *(
        _grows(work, f"growth_{key}", is_partitioned=is_partitioned)
        for work, key in (
            ("append 1 event to a new stream", "append"),
            ("append 1 event to any stream", "append_old"),
            ("read a new stream of 3", "stream"),
            ("read any stream of 3", "stream_old"),
            ("read a new page", "page"),
            ("read any page", "page_old"),
            ("read a new page of one type", "filtered"),
            ("read any page of one type", "filtered_old"),
            ("look", "look"),
        )
        for is_partitioned in (False, True)
    ),
    _wal("any stream", "growth_wal_old"),
    _wal("a new stream", "growth_wal_new"),
    Target(
        "read a new stream of 3 in 100 parts: pages of memory",
        "10",
        "growth_pages",
        f"{DESIGNED}: {LATE}",
        1.0,
        "≤ 10 pages",
        "To read the head for `after_position`, and the list of detached parts, adds five pages to those of one table.",
        ours=f"{HUNDRED}: {LATE}",
    ),
    Target(
        "read a page in 100 parts: pages of memory",
        "plain",
        "growth_pages",
        f"{PLAIN}: {PAGE_OF_ALL}",
        1.1,
        "≤ 1.1 ×",
        "The read itself touches no more pages. The others are the planner's, which looks at each part at each run.",
        ours=f"{HUNDRED}: {PAGE_OF_ALL}",
    ),
)


@dataclass(frozen=True)
class Verdict:
    """A target and what was measured.

    Attributes:
        target: The target.
        measured: The ratio as the design writes it, None where the comparison was not made.
        noise: Of the same comparison: a contestant against itself.
        limit: The ratio that storing the rows without any check reaches, where that is what one would ask.
        met: Whether it is good enough.
        in_noise: Whether it is missed, but not in a quarter of the rounds: that may be noise.
    """

    target: Target
    measured: Middle | None
    noise: Middle | None
    limit: float | None
    met: bool
    in_noise: bool = False

    @property
    def word(self) -> str:
        """The verdict in a word or two."""
        if self.measured is None:
            return "not run"
        return "met" if self.met else MISSED_IN_NOISE if self.in_noise else "missed"


def verdicts(results: Sequence[Result]) -> list[Verdict]:
    """Return the table of the design, with what was measured."""
    measured = {result.key: result for result in results}
    return [_verdict(target, measured.get(target.key)) for target in TARGETS]


def _verdict(target: Target, measured: Result | None) -> Verdict:
    ratio = measured.ratio(target.ours, target.other) if measured else None
    if measured is None or ratio is None:
        return Verdict(target, None, None, None, met=False)
    limit = measured.ratio(target.limit, target.other) if target.limit else None
    return Verdict(
        target,
        _inverted(ratio) if target.inverse else ratio,
        measured.noise(),
        1 / limit.median if limit else None,
        met=ratio.median <= target.bound,
        in_noise=ratio.low <= target.bound < ratio.median,
    )


def failures(checked: Sequence[Verdict], *, all_are_due: bool) -> list[str]:
    """Return what `--check` fails for: targets missed by more than the noise, and those that were not measured.

    Args:
        checked: The verdicts.
        all_are_due: Whether a target that was not measured is a failure.
    """
    return [
        f"{each.word}: {each.target.work}, against {each.target.against}"
        for each in checked
        if each.word == "missed" or (each.word == "not run" and all_are_due and each.target.is_due)
    ]


def _inverted(ratio: Middle) -> Middle:
    return Middle(1 / ratio.median, 1 / ratio.high, 1 / ratio.low)
