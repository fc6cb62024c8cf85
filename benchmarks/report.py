"""Results as tables on the terminal, and figures as text."""

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.bench import OURS
from benchmarks.results import Comparison, Facts, Middle, Result
from benchmarks.targets import MISSED_IN_NOISE, Verdict


def show(console: Console, result: Result) -> None:
    """Print one result."""
    table = Table(title=result.title, box=box.SIMPLE, title_justify="left", title_style="bold")
    if isinstance(result, Facts):
        table.add_column("what")
        table.add_column(result.unit, justify="right")
        for label, value in result.values.items():
            table.add_row(label, value_text(value, result.unit))
        console.print(table)
        return
    table.title = f"{result.title}{durability(result)}, {rounds_text(result)}, A/A {noise_text(result.noise())}"
    table.add_column("contestant")
    for heading in ("median", "quartiles", "a second", f"× {result.reference}", "quartiles"):
        table.add_column(heading, justify="right")
    for name in sorted(result.seconds, key=result.median):
        time, ratio = result.middle(name), result.ratio(name)
        table.add_row(
            name,
            time_text(time.median),
            f"{time_text(time.low)} to {time_text(time.high)}",
            f"{1 / time.median:,.0f}",
            f"{ratio.median:.2f}" if ratio else "",
            f"{ratio.low:.2f} to {ratio.high:.2f}" if ratio else "",
            style="green" if name.startswith(OURS) else None,
        )
    for name, reason in result.missing.items():
        table.add_row(name, "missing", "", "", "", reason.replace("[", "\\["), style="red")
    console.print(table)


def show_targets(console: Console, verdicts: Sequence[Verdict]) -> None:
    """Print the table of the design, with what was measured."""
    table = Table(title="The targets of the design", box=box.SIMPLE, title_justify="left", title_style="bold")
    for heading in ("work", "against", "target", "measured", "A/A", ""):
        table.add_column(heading)
    for each in verdicts:
        measured = ratio_text(each.measured) if each.measured else ""
        color = {"met": "green", "missed": "red", MISSED_IN_NOISE: "yellow"}.get(each.word)
        table.add_row(
            each.target.work, each.target.against, each.target.wanted, measured, noise_text(each.noise), each.word,
            style=color,
        )  # fmt: skip
    console.print(table)


def durability(result: Comparison) -> str:
    """Return what goes after a title, so that it is never left open whether commits were flushed."""
    return {True: ", durable", False: ", synchronous_commit off", None: ""}[result.durable]


def rounds_text(result: Comparison) -> str:
    """Return how many rounds were timed."""
    return f"{result.rounds} round{'' if result.rounds == 1 else 's'}"


def time_text(seconds: float) -> str:
    """Return a time in a unit that suits it."""
    for unit, factor in (("s", 1.0), ("ms", 1e3)):
        if seconds * factor >= 1:
            return f"{seconds * factor:.2f} {unit}"
    return f"{seconds * 1e6:.1f} µs"


def value_text(value: float, unit: str) -> str:
    """Return the value of a fact: a time in its own unit, anything else as a number."""
    if unit == "seconds":
        return time_text(value)
    return f"{value:,.0f}" if value >= 1000 or value == int(value) else f"{value:,.1f}"


def ratio_text(ratio: Middle) -> str:
    """Return a ratio with its quartiles."""
    return f"{ratio.median:.2f} × ({ratio.low:.2f} to {ratio.high:.2f})"


def noise_text(noise: Middle | None) -> str:
    """Return how far a contestant is from itself: the quartiles of the ratio."""
    return f"{noise.low:.2f} to {noise.high:.2f}" if noise else ""
