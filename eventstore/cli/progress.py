"""The progress of commands, on stderr: of migrations, and of those that go through all events."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeElapsedColumn

from eventstore.cli.output import counted
from eventstore.migrations import Progress as Step
from eventstore.migrations.settings import OnProgress, logger


@contextmanager
def reporting(*, quiet: bool) -> Iterator[OnProgress | None]:
    """Yield what to pass as `on_progress` to a migration: a bar in a terminal, lines elsewhere; None if `quiet`."""
    logger.addHandler(logging.NullHandler())  # waiting is printed here, so logging's last resort must not print it, too
    if quiet:
        yield None
        return
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _Lines(console)
        return
    columns = (TextColumn("  {task.description}"), BarColumn(bar_width=24), TextColumn("{task.percentage:>3.0f} %"))
    with Progress(*columns, TimeElapsedColumn(), console=console, transient=True) as bars:
        yield _Bar(console, bars)


class _Lines:
    """Prints one line for each step, and another one when the step waits for another process."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._last = ""

    def __call__(self, step: Step) -> None:
        if step.total is not None:  # the progress within a step
            return
        line = _line(step)
        if line != self._last:
            self._last = line
            self._console.print(line, markup=False, highlight=False, soft_wrap=True)


class _Bar(_Lines):
    """Prints the same lines, and a bar while an index is built."""

    def __init__(self, console: Console, bars: Progress) -> None:
        super().__init__(console)
        self._bars = bars
        self._task: TaskID | None = None

    def __call__(self, step: Step) -> None:
        super().__call__(step)
        if step.total is not None:
            phase = step.step.split(": ", 1)[-1]  # the line above names the index
            if self._task is None:
                self._task = self._bars.add_task(phase, total=step.total)
            self._bars.update(self._task, description=phase, completed=step.done or 0, total=step.total)
        elif self._task is not None:
            self._bars.remove_task(self._task)
            self._task = None


def _line(step: Step) -> str:
    return f"{step.step}: waiting for {'; '.join(step.waiting_for)}" if step.waiting_for else step.step


OnEvents = Callable[[int, int, int | None], object]


@contextmanager
def counting_events(verb: str, *, quiet: bool) -> Iterator[OnEvents | None]:
    """Yield a function that moves a bar on stderr, called with events, position and end; None if it is no terminal."""
    console = Console(stderr=True)
    if quiet or not console.is_terminal:
        yield None
        return
    columns = (TextColumn("  {task.description}"), BarColumn(bar_width=24), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bars:
        task = bars.add_task(verb, total=None)

        def report(events: int, position: int, end: int | None) -> None:
            bars.update(task, description=f"{verb} {counted(events, 'event')}", completed=position, total=end)

        yield report
