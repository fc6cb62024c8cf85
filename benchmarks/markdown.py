"""Results as Markdown, for a page of their own and for the documentation."""

from collections.abc import Iterable, Sequence
from typing import Final

from benchmarks.bench import OURS
from benchmarks.report import durability, noise_text, ratio_text, rounds_text, time_text, value_text
from benchmarks.results import Comparison, Facts, Result, Run
from benchmarks.summary import summary
from benchmarks.targets import Verdict, verdicts

_NOT_COMPARABLE: Final = "**A quick run: its sizes are small. It shows that all works; compare nothing.**"


def document(run: Run) -> str:
    """Return a page with everything."""
    parts = ["# Benchmarks", *([] if run.full else [_NOT_COMPARABLE]), machine(run)]
    parts += ["## In short", summary(run), "## The figures", *(result(each) for each in run.results)]
    parts += ["## The targets", targets(run)]
    return "\n\n".join(part for part in parts if part) + "\n"


def machine(run: Run) -> str:
    """Return what it ran on, and what the reader must know."""
    notes = "".join(f"\n\n{_escaped(note[0].upper() + note[1:])}." for note in run.notes)
    return _table(["", ""], [[name, value] for name, value in run.machine.items()]) + notes


def targets(run: Run) -> str:
    """Return the table of the design, and why what is missed is missed."""
    checked = verdicts(run.results)
    headings = ["work", "against", "target", "measured", "quartiles", "A/A", "the limit", ""]
    table = _table(headings, [_target_row(each) for each in checked])
    return "\n\n".join(part for part in ("" if run.full else _NOT_COMPARABLE, table, _missed(checked)) if part)


def _target_row(verdict: Verdict) -> list[str]:
    target, measured = verdict.target, verdict.measured
    word = verdict.word.replace("missed", "**missed**")
    if measured is None:
        return [target.work, target.against, target.wanted, "", "", "", "", word]
    return [
        target.work,
        target.against,
        target.wanted,
        f"{measured.median:.2f} ×",
        f"{measured.low:.2f} to {measured.high:.2f}",
        noise_text(verdict.noise),
        f"{verdict.limit:.2f} ×" if verdict.limit else "",
        word,
    ]


def _missed(checked: Sequence[Verdict]) -> str:
    """Say what stands in the way, once for all targets with the same obstacle."""
    works: dict[str, list[str]] = {}
    for each in checked:
        if each.measured and not each.met:
            limit = f" ({each.target.limit}: {each.limit:.2f} ×)" if each.limit else ""
            name = f"{each.target.work}, against {each.target.against}{limit}"
            works.setdefault(each.target.obstacle, []).append(name)
    return "\n".join(f"- **Missed: {'; '.join(names)}.** {obstacle}" for obstacle, names in works.items())


def result(each: Result) -> str:
    """Return a table under its title, which is no heading: a page has dozens of them."""
    title = each.title[0].upper() + each.title[1:]
    if isinstance(each, Facts):
        return "\n\n".join(part for part in (f"**{title}**", _facts(each), each.note) if part)
    return "\n\n".join(part for part in (f"**{title}{durability(each)}**", _comparison(each), _noise(each)) if part)


def _comparison(each: Comparison) -> str:
    headings = ["contestant", f"one {each.per}", "quartiles", "a second", f"× {each.reference}", "quartiles"]
    rows = []
    for name in sorted(each.seconds, key=each.median):
        time, ratio = each.middle(name), each.ratio(name)
        shown = [
            f"**{name}**" if name.startswith(OURS) else name,
            time_text(time.median),
            f"{time_text(time.low)} to {time_text(time.high)}",
            f"{1 / time.median:,.0f}",
        ]
        rows.append(shown + ([f"{ratio.median:.2f}", f"{ratio.low:.2f} to {ratio.high:.2f}"] if ratio else ["", ""]))
    rows += [[name, f"missing: {_escaped(why)}", "", "", "", ""] for name, why in each.missing.items()]
    return _table(headings, rows)


def _noise(each: Comparison) -> str:
    noise = each.noise()
    if noise is None:
        return ""
    (name,) = each.again
    return f"{rounds_text(each)}. {name} against itself in the same rounds (A/A): {ratio_text(noise)}."


def _facts(facts: Facts) -> str:
    return _table(["", facts.unit], [[label, value_text(value, facts.unit)] for label, value in facts.values.items()])


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(headings) + " |", "|" + "---|" * len(headings)]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(line.replace("|  |", "| |").replace("|  |", "| |") for line in lines)


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")
