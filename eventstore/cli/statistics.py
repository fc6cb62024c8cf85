"""Printing statistics."""

from collections.abc import Iterator, Mapping
from typing import Any

import click

from eventstore.cli.output import Column, has_person, print_json, print_line, print_record, print_rows, printable
from eventstore.maintenance import Count, Precision, Statistics

_KIBIBYTE = 2**10
_MEBIBYTE = 2**20
_ROWS = 20
"""How many categories and event types a table has."""


def print_statistics(statistics: Statistics, *, as_json: bool) -> None:
    """Print statistics in tables, in lines with tabs, or as one JSON object."""
    if as_json:
        print_json(_to_json(statistics))
    elif has_person():
        _print_tables(statistics)
    else:
        for what, of, count in _lines(statistics):
            if isinstance(count, Count):
                print_line(what, of, count.value, count.precision.value)
            else:
                print_line(what, of, count, "exact")
    for problem in statistics.not_counted:
        click.secho(f"could not be counted: {printable(problem)}", fg="red", err=True)


def _count(count: Count | None) -> dict[str, Any] | None:
    return None if count is None else {"value": count.value, "precision": count.precision.value}


def _to_json(statistics: Statistics) -> dict[str, Any]:
    snapshots = statistics.snapshots
    return {
        "taken_at": statistics.taken_at,
        "events": _count(statistics.events),
        "streams": _count(statistics.streams),
        "newest_position": statistics.newest_position,
        "categories": [
            {"category": each.category, "streams": _count(each.streams), "events": _count(each.events)}
            for each in statistics.categories
        ],
        "event_types": [{"event_type": name, "events": _count(count)} for name, count in statistics.event_types],
        "recent": [
            {"seconds": each.window.total_seconds(), "events": _count(each.events), "per_second": each.per_second}
            for each in statistics.recent
        ],
        "snapshots": {
            "snapshots": _count(snapshots.snapshots),
            "streams": _count(snapshots.streams),
            "long_streams": _count(snapshots.long_streams),
            "long_streams_covered": _count(snapshots.long_streams_covered),
        },
        "sizes": [{"table": each.table, "index": each.index, "bytes": each.bytes} for each in statistics.sizes],
        "database_bytes": statistics.database_bytes,
        "not_counted": list(statistics.not_counted),
    }


def _lines(statistics: Statistics) -> Iterator[tuple[str, str, Any]]:
    yield "events", "", statistics.events
    yield "streams", "", statistics.streams
    yield "newest position", "", statistics.newest_position
    if statistics.snapshots.snapshots is not None:
        yield "snapshots", "", statistics.snapshots.snapshots
    for what, count in _of_snapshots(statistics).items():
        if count is not None:
            yield what, "", count
    for each in statistics.categories:
        yield "events of category", each.category, each.events
        if each.streams is not None:
            yield "streams of category", each.category, each.streams
    for name, count in statistics.event_types:
        yield "events of type", name, count
    for recent in statistics.recent:
        yield "events within seconds", f"{recent.window.total_seconds():.0f}", recent.events
    for size in statistics.sizes:
        yield "bytes", size.index or size.table, size.bytes
    yield "bytes", "database", statistics.database_bytes


def _of_snapshots(statistics: Statistics) -> Mapping[str, Count | None]:
    snapshots = statistics.snapshots
    return {
        "streams with a snapshot": snapshots.streams,
        "streams at version 100 or higher": snapshots.long_streams,
        "of these with a snapshot": snapshots.long_streams_covered,
    }


def _print_tables(statistics: Statistics) -> None:
    record: dict[str, Any] = {
        "events": str(statistics.events),
        "streams": str(statistics.streams),
        "newest position": statistics.newest_position,
        **({} if statistics.snapshots.snapshots is None else {"snapshots": str(statistics.snapshots.snapshots)}),
        **{what: str(count) for what, count in _of_snapshots(statistics).items() if count is not None},
        "database": _bytes(statistics.database_bytes),
    }
    print_record(record, as_json=False)
    _print_table(
        (Column("category", "category", "cyan"), Column("events", "events"), Column("streams", "streams")),
        [
            {"category": each.category, "events": _cell(each.events), "streams": _cell(each.streams)}
            for each in statistics.categories
        ],
    )
    _print_table(
        (Column("event_type", "event type", "cyan"), Column("events", "events")),
        [{"event_type": name, "events": _cell(count)} for name, count in statistics.event_types],
    )
    _print_table(
        (Column("window", "within the last"), Column("events", "events"), Column("rate", "a second")),
        [
            {
                "window": _window(each.window.total_seconds()),
                "events": _cell(each.events),
                "rate": f"{each.per_second:,.2f}",
            }
            for each in statistics.recent
        ],
    )
    _print_table(
        (Column("name", "table or index", "cyan"), Column("bytes", "size")),
        [
            {"name": f"  {each.index}" if each.index else each.table, "bytes": _bytes(each.bytes)}
            for each in sorted(statistics.sizes, key=lambda size: (size.table, size.index or ""))
        ],
        at_most=None,
    )


def _print_table(columns: tuple[Column, ...], rows: list[dict[str, Any]], *, at_most: int | None = _ROWS) -> None:
    if not rows:
        return
    click.echo()
    print_rows(columns, rows[:at_most], as_json=False, empty="")
    if at_most is not None and len(rows) > at_most:
        click.echo(f"and {len(rows) - at_most:,} more; --json prints all")


def _cell(count: Count | None) -> int | str | None:
    """Return an exact number as an int, so that its column is aligned to the right."""
    if count is None:
        return None
    return count.value if count.precision is Precision.EXACT else str(count)


def _bytes(number: int) -> str:
    return f"{number / _MEBIBYTE:,.1f} MiB" if number >= _MEBIBYTE else f"{number / _KIBIBYTE:,.0f} KiB"


def _window(seconds: float) -> str:
    names = {60: "minute", 3600: "hour", 86_400: "day", 604_800: "week"}
    return names.get(int(seconds), f"{seconds:.0f} s")
