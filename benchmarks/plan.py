"""What will be run, and how long it may take."""

import time
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.workloads import WORKLOADS

START_SECONDS: Final = 5.0
"""Of the server. Installing the other libraries, in the first run of all, comes on top: about half a minute."""


@dataclass(frozen=True)
class Step:
    """A workload of the plan.

    Attributes:
        name: The workload.
        seconds: How long it may take.
        ends_after: When its time is up, in seconds after the run has begun: what others leave over, it may use.
    """

    name: str
    seconds: float
    ends_after: float


def chosen(named: Collection[str], *, full: bool) -> list[str]:
    """Return the workloads of a run: those that are named, or all; a full one has some only if they are named."""
    return [
        name for name, workload in WORKLOADS.items() if (name in named if named else not (full and workload.only_named))
    ]


def plan(names: Iterable[str], *, full: bool) -> list[Step]:
    """Return the steps of a run."""
    return list(_steps(names, full=full))


def _steps(names: Iterable[str], *, full: bool) -> Iterator[Step]:
    after = START_SECONDS
    for name in names:
        seconds = WORKLOADS[name].full_seconds if full else WORKLOADS[name].quick_seconds
        after += seconds
        yield Step(name, seconds, after)


def show(console: Console, steps: list[Step]) -> None:
    """Print what will be run."""
    table = Table(title="The plan", box=box.SIMPLE, title_justify="left", title_style="bold")
    for heading in ("workload", "what", "may take"):
        table.add_column(heading)
    for step in steps:
        table.add_row(step.name, WORKLOADS[step.name].what, f"{step.seconds:.0f} s")
    console.print(table)
    seconds = steps[-1].ends_after if steps else 0.0
    end = time.strftime("%H:%M", time.localtime(time.time() + seconds))
    console.print(f"At most about {_minutes(seconds)}, until {end}.")


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.0f} minutes" if seconds >= 150 else f"{seconds:.0f} seconds"
