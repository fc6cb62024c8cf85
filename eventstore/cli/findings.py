"""Printing findings: for people in blocks, for programs in JSON or in lines with tabs."""

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

from eventstore.cli.output import console, counted, has_person, note, print_json, print_line, printable
from eventstore.findings import Finding, Level
from eventstore.maintenance import Part, Place
from eventstore.maintenance import Progress as Step

_COLOURS: Final = {Level.OK: "green", Level.WARNING: "yellow", Level.ERROR: "red"}


def print_finding(finding: Finding, where: Console, *, as_json: bool = False) -> None:
    """Print one finding.

    Args:
        finding: The finding.
        where: The console, which must be that of a progress bar if there is one.
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
    if is_sql:  # without wrapping, so that it can be copied
        where.print(Text(f"  {name:<8}  ", "dim").append(value, "not dim default"), soft_wrap=True)
        return
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True, width=10)
    table.add_column(overflow="fold")
    table.add_row(Text(f"  {name}"), Text(value))
    where.print(table)


class VerificationProgress:
    """Follows a verification: moves the bar, counts findings, and knows where another run can continue.

    Attributes:
        place: Where another run continues; None before the first batch.
        where: The console, which has the bar if there is one.
        counts: How many findings of each kind there are.
        repairable: How many findings can be repaired.
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
        """Take a step of the verification."""
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
        """Count a finding, unless all is well."""
        if finding.level is Level.OK:
            return
        self.counts["" if finding.kind is None else finding.kind.value] += 1
        self.repairable += finding.repairable

    def summary(self) -> dict[str, Any]:
        """Return the numbers of findings, streams and events, and the speed."""
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
def verification_progress(*, quiet: bool) -> Iterator[VerificationProgress]:
    """Show a bar in a terminal; if the block is interrupted, print where another run can continue."""
    where = console()
    bars = None
    if where.is_interactive and not quiet:
        columns = (TextColumn("{task.description}"), BarColumn(bar_width=24), TaskProgressColumn())
        bars = Progress(*columns, TimeRemainingColumn(), console=where, transient=True, redirect_stdout=False)
    progress = VerificationProgress(where, bars)
    try:
        if bars is None:
            yield progress
        else:
            with bars:
                yield progress
    except BaseException:
        if progress.place is not None:
            note(f"interrupted; continue with --after {_quoted(str(progress.place))}")
        raise


def _quoted(text: str) -> str:
    return "'" + printable(text).replace("'", "'\\''") + "'"


def print_summary(progress: VerificationProgress, *, as_json: bool) -> None:
    """Print the summary: to stdout as JSON and for people, to stderr in a pipe."""
    summary = progress.summary()
    if as_json:
        print_json(summary)
        return
    streams, events = counted(summary["streams"], "stream"), counted(summary["events"], "event")
    extent = f"{streams} and {events} in {summary['seconds']:.1f} s"
    extent += f" ({summary['events_per_second']:,} events a second)" if summary["events"] else ""
    if not progress.counts:
        _print_line(f"no problems found: {extent}", "green")
        return
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in progress.counts.most_common())
    total = counted(summary["findings"], "finding")
    _print_line(f"{total}, of which `eventstore repair` can repair {progress.repairable:,}: {kinds}", "red")
    _print_line(extent, "")


def _print_line(text: str, colour: str) -> None:
    if has_person():
        console().print(Text(text, colour))
    else:
        click.echo(text, err=True)
