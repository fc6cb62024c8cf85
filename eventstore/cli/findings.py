"""What maintenance finds, as it is printed: for people in blocks, for programs in lines with tabs or JSON."""

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from eventstore.cli.output import console, has_person, note, print_json, print_line, printable
from eventstore.findings import Finding, Level
from eventstore.maintenance import Part, Place
from eventstore.maintenance import Progress as Step

_COLOURS: Final = {Level.OK: "green", Level.WARNING: "yellow", Level.ERROR: "red"}


def print_finding(finding: Finding, where: Console, *, as_json: bool = False) -> None:
    """Print one finding, as soon as it was found.

    Args:
        finding: The finding.
        where: Where the bar is, if there is one, so that it makes room.
        as_json: Whether JSON was asked for.
    """
    kind = None if finding.kind is None else finding.kind.value
    if as_json:
        print_json(finding.as_dict())
    elif not has_person():
        print_line(finding.level.value, kind, finding.subject, finding.found, finding.expected, finding.remedy)
    else:
        heading = Text(f"{finding.level.value:<9}", _COLOURS[finding.level])
        if kind is not None:
            heading.append(f"{kind}  ", "bold")
        heading.append(printable(finding.subject), "bold" if kind is None else "not bold default")
        if finding.level is Level.OK:
            where.print(heading.append(f"  {printable(finding.found)}", "not bold default"))
            return
        where.print(heading)
        for name, value in (("found", finding.found), ("expected", finding.expected), ("remedy", finding.remedy)):
            if value:
                _print_row(where, name, printable(value), is_sql=name == "remedy" and bool(finding.statements))


def _print_row(where: Console, name: str, value: str, *, is_sql: bool) -> None:
    if is_sql:  # to be copied
        where.print(Text(f"  {name:<8}  ", "dim").append(value, "not dim default"), soft_wrap=True)
        return
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True, width=10)
    table.add_column(overflow="fold")
    table.add_row(Text(f"  {name}"), Text(value))
    where.print(table)


class Watch:
    """Takes in how far a verification is: for the bar, for its rate, and to say where to go on.

    Attributes:
        place: Where to go on from; None before the first batch.
        where: The console that the bar is on, if there is one.
        counts: How many findings of each kind there were.
        repairable: How many of them can be repaired.
    """

    def __init__(self, where: Console, bars: Progress | None) -> None:
        self.where = where
        self.place: Place | None = None
        self.counts: Counter[str] = Counter()
        self.repairable = 0
        self._bars = bars
        self._tasks: dict[Part, TaskID] = {}
        self._done: dict[Part, int] = {}
        self._began = time.monotonic()

    def __call__(self, step: Step) -> None:
        """Take in a step."""
        part = step.place.part
        self.place = step.place
        self._done[part] = step.done
        if self._bars is not None:
            if part not in self._tasks:
                for task in self._tasks.values():
                    self._bars.remove_task(task)
                self._tasks = {part: self._bars.add_task(part.value, total=None)}
            self._bars.update(self._tasks[part], completed=step.done, total=step.total or None)

    def add(self, finding: Finding) -> None:
        """Count a finding."""
        self.counts["" if finding.kind is None else finding.kind.value] += 1
        self.repairable += finding.repairable

    def summary(self) -> dict[str, Any]:
        """Return what was seen, and how quickly."""
        seconds = time.monotonic() - self._began
        events = self._done.get(Part.EVENTS, 0)
        return {
            "findings": self.counts.total(),
            "repairable": self.repairable,
            "kinds": dict(self.counts),
            "streams": self._done.get(Part.STREAMS, 0),
            "events": events,
            "seconds": round(seconds, 3),
            "events_per_second": round(events / seconds) if seconds else 0,
        }


@contextmanager
def watching(*, quiet: bool) -> Iterator[Watch]:
    """Show a bar where a person looks, and say where to go on where it ends too early."""
    where = console()
    bars = None
    if where.is_interactive and not quiet:
        columns = (TextColumn("{task.description}"), BarColumn(bar_width=24), TaskProgressColumn())
        bars = Progress(*columns, TimeRemainingColumn(), console=where, transient=True, redirect_stdout=False)
    watch = Watch(where, bars)
    try:
        if bars is None:
            yield watch
        else:
            with bars:
                yield watch
    except BaseException:
        if watch.place is not None:
            note(f"it ended before the end; go on with --after {_quoted(str(watch.place))}")
        raise


def _quoted(text: str) -> str:
    return "'" + printable(text).replace("'", "'\\''") + "'"


def print_summary(watch: Watch, *, as_json: bool) -> None:
    """Say what was seen: to stdout for JSON and for people, beside the output for others."""
    told = watch.summary()
    if as_json:
        print_json(told)
        return
    seen = f"{told['streams']:,} streams and {told['events']:,} events in {told['seconds']:.1f} s"
    seen += f" ({told['events_per_second']:,} events a second)" if told["events"] else ""
    if not watch.counts:
        _say(f"nothing is wrong: {seen}", "green")
        return
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in watch.counts.most_common())
    total = "1 finding" if told["findings"] == 1 else f"{told['findings']:,} findings"
    _say(f"{total}, of which `eventstore repair` mends {watch.repairable:,}: {kinds}", "red")
    _say(seen, "")


def _say(text: str, colour: str) -> None:
    if has_person():
        console().print(Text(text, colour))
    else:
        click.echo(text, err=True)
