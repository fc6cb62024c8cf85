"""A run in five lines, for those who want to know what an append costs, how many a second, and against whom."""

from collections.abc import Iterator, Mapping
from typing import Final

from benchmarks.bench import OURS, UMADB
from benchmarks.report import time_text
from benchmarks.results import Comparison, Facts, Run
from benchmarks.workloads.delivery import NOTIFIED
from benchmarks.workloads.idle import CORE
from benchmarks.workloads.many_writers import GROUPED

_RIVALS: Final = {
    "eventsourcing": "eventsourcing",
    "eventsourcing, functions": "eventsourcing with its functions in the database",
    UMADB: UMADB,
    "python-event-sourcery": "python-event-sourcery",
}


def summary(run: Run) -> str:
    """Return the lines as a list in Markdown."""
    return "\n".join(f"- {line}" for line in lines(run))


def lines(run: Run) -> list[str]:
    """Return the lines; what was not measured is left out."""
    comparisons = {result.key: result for result in run.results if isinstance(result, Comparison)}
    facts = {result.key: result for result in run.results if isinstance(result, Facts)}
    found = (
        _line("One append of one event", "; ", _cost(comparisons)),
        _line("Events a second", "; ", _throughput(comparisons)),
        _line("One durable append, against others", "; ", _rivals(comparisons)),
        _line("SQLite", "; ", _sqlite(comparisons)),
        _line("Readers", "; ", _readers(comparisons, facts)),
    )
    return [line for line in found if line]


def headline(run: Run) -> str:
    """Return a paragraph of ratios for the front pages; what was not measured is left out."""
    comparisons = {result.key: result for result in run.results if isinstance(result, Comparison)}
    said = ". ".join(_headline(comparisons))
    return f"{said}. (Measured in turns, on {run.machine['processor']}.)" if said else ""


def _headline(comparisons: Mapping[str, Comparison]) -> Iterator[str]:
    if _has(comparisons, "append_one_new_durable", OURS):
        ratio = comparisons["append_one_new_durable"].ratio(OURS)
        if ratio:
            yield f"A durable append of one event takes {ratio.median:.1f} times as long as the driver's bare INSERT"
    for key, when in (("append_one_new_durable", "One writer appends"), ("writers_8", "Eight writers append")):
        ratios = {
            title: comparisons[key].ratio(name, OURS)
            for name, title in _RIVALS.items()
            if _has(comparisons, key, OURS, name)
        }
        times = [f"{ratio.median:.1f} times as fast as with {title}" for title, ratio in ratios.items() if ratio]
        if times:
            yield f"{when} {', '.join(times)}"


def _line(head: str, separator: str, parts: Iterator[str]) -> str:
    said = separator.join(parts)
    return f"{head}: {said}." if said else ""


def _has(comparisons: Mapping[str, Comparison], key: str, *names: str) -> bool:
    return key in comparisons and all(name in comparisons[key].seconds for name in names)


def _cost(comparisons: Mapping[str, Comparison]) -> Iterator[str]:
    for key, how in (("append_one_new_durable", "durable"), ("append_one_new_not_durable", "synchronous_commit off")):
        if _has(comparisons, key, OURS):
            each = comparisons[key]
            ratio = each.ratio(OURS)
            said = f", {ratio.median:.2f} × the driver's INSERT" if ratio else ""
            yield f"{time_text(each.median(OURS))} {how}{said}"


def _throughput(comparisons: Mapping[str, Comparison]) -> Iterator[str]:
    for writers in (1, 8, 64):
        for name, how in ((OURS, ""), (GROUPED, ", with group_commit=True")):
            if _has(comparisons, f"writers_{writers}", name) and (name == OURS or writers > 8):
                rate = 1 / comparisons[f"writers_{writers}"].median(name)
                yield f"{rate:,.0f} by {writers} thread{'s' * (writers > 1)}{how}"
    if _has(comparisons, "append_1000", OURS):
        yield f"{1 / comparisons['append_1000'].median(OURS):,.0f} in appends of 1,000"


def _rivals(comparisons: Mapping[str, Comparison]) -> Iterator[str]:
    for name, title in _RIVALS.items():
        if _has(comparisons, "append_one_new_durable", OURS, name):
            yield f"{_times(comparisons['append_one_new_durable'], name)} as fast as {title}"
    for name, title in _RIVALS.items():
        if _has(comparisons, "writers_8", OURS, name):
            yield f"with 8 threads {_times(comparisons['writers_8'], name)} as fast as {title}"


def _sqlite(comparisons: Mapping[str, Comparison]) -> Iterator[str]:
    if _has(comparisons, "sqlite_append_one", OURS):
        each = comparisons["sqlite_append_one"]
        ratio = each.ratio(OURS)
        said = f", {ratio.median:.2f} × the driver's INSERT" if ratio else ""
        yield f"{time_text(each.median(OURS))} for one append{said}"
    for writers in (8, 32):
        if _has(comparisons, f"sqlite_writers_{writers}", OURS):
            each = comparisons[f"sqlite_writers_{writers}"]
            against = (
                f", {_times(each, 'eventsourcing')} as fast as eventsourcing" if "eventsourcing" in each.seconds else ""
            )
            yield f"{1 / each.median(OURS):,.0f} events a second by {writers} threads{against}"


def _readers(comparisons: Mapping[str, Comparison], facts: Mapping[str, Facts]) -> Iterator[str]:
    for percent in (50, 99):
        lags = facts.get(f"delivery_percentile_{percent}")
        if lags and NOTIFIED in lags.values:
            polled, notified = (time_text(lags.values[name]) for name in (OURS, NOTIFIED))
            yield f"{percent} of 100 events arrive within {polled} by polling, {notified} with notify=True"
    if _has(comparisons, "projection", OURS):
        yield f"{1 / comparisons['projection'].median(OURS):,.0f} events a second into a projection that counts"
    if _has(comparisons, "idle_subscriptions", OURS, CORE):
        yield f"50 idle subscriptions take {comparisons['idle_subscriptions'].median(OURS):.1%} of one core"


def _times(comparison: Comparison, other: str) -> str:
    ratio = comparison.ratio(other, OURS)
    return f"{ratio.median:.2f} ×" if ratio else ""
