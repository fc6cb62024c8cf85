"""Results as tables on the terminal."""

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.bench import OURS
from benchmarks.results import Comparison, Facts, Result
from benchmarks.targets import Verdict


def show(console: Console, result: Result) -> None:
    """Print one result."""
    if isinstance(result, Facts):
        _show_facts(console, result)
        return
    kind = {True: ", durable", False: ", synchronous_commit OFF", None: ""}[result.durable]
    table = Table(title=f"{result.title}{kind}", box=box.SIMPLE, title_justify="left", title_style="bold")
    table.add_column("contestant")
    for heading in ("median", "spread", f"{result.per}s a second", f"× {result.reference}"):
        table.add_column(heading, justify="right")
    for name in sorted(result.seconds, key=result.median):
        ratio = result.ratio(name)
        table.add_row(
            name,
            time_text(result.median(name)),
            f"{result.spread(name):.0%}",
            f"{1 / result.median(name):,.0f}",
            f"{ratio:.2f}" if ratio else "",
            style="green" if name.startswith(OURS) else None,
        )
    for name, reason in result.missing.items():
        table.add_row(name, "[red]missing", "", "", reason)
    console.print(table)


def _show_facts(console: Console, facts: Facts) -> None:
    table = Table(title=facts.title, box=box.SIMPLE, title_justify="left", title_style="bold")
    table.add_column("what")
    table.add_column(facts.unit, justify="right")
    for label, value in facts.values.items():
        table.add_row(label, time_text(value) if facts.unit == "seconds" else f"{value:,.1f}")
    console.print(table)


def show_targets(console: Console, verdicts: Sequence[Verdict]) -> None:
    """Print the table of the design, with what was measured."""
    table = Table(title="The targets of the design", box=box.SIMPLE, title_justify="left", title_style="bold")
    for heading in ("work", "against", "target", "measured", ""):
        table.add_column(heading)
    for each in verdicts:
        measured = "not run" if each.measured is None else f"{each.measured:.2f} ×"
        mark = "" if each.measured is None else "[green]met" if each.met else "[red]missed"
        table.add_row(each.target.work, each.target.against, each.target.wanted, measured, mark)
    console.print(table)


def time_text(seconds: float) -> str:
    """Return a time in a unit that suits it."""
    for unit, factor in (("s", 1.0), ("ms", 1e3)):
        if seconds * factor >= 1:
            return f"{seconds * factor:.2f} {unit}"
    return f"{seconds * 1e6:.1f} µs"


def is_complete(result: Result) -> bool:
    """Return whether all contestants took part."""
    return not (isinstance(result, Comparison) and result.missing)
