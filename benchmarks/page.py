"""Results as a page with charts."""

from html import escape
from pathlib import Path
from typing import Final

from benchmarks import charts
from benchmarks.report import durability, noise_text, ratio_text, rounds_text, time_text, value_text
from benchmarks.results import Comparison, Facts, Run
from benchmarks.summary import lines
from benchmarks.targets import Verdict, verdicts

_STYLE: Final = """
:root { color-scheme: light dark; --ink: #222; --ground: #fff; --line: #999; --met: #07702f; --missed: #b00020 }
@media (prefers-color-scheme: dark) {
  :root { --ink: #ddd; --ground: #16181b; --line: #666; --met: #5fd38d; --missed: #ff8a80 }
}
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem;
  color: var(--ink); background: var(--ground) }
table { border-collapse: collapse; margin: 1rem 0; font-size: .9rem }
th, td { text-align: left; vertical-align: top; padding: .2rem .8rem .2rem 0 }
th { border-bottom: 1px solid var(--line) }
td.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap }
.met, .missed, .not { white-space: nowrap }
.met { color: var(--met) } .missed { color: var(--missed) } dt { font-weight: 600 }
svg { max-width: 100%; height: auto; border-radius: 6px }
"""


def write(folder: Path, run: Run) -> None:
    """Write the page, with its charts in it and beside it."""
    drawn = charts.charts(run)
    for name, drawing in drawn.items():
        (folder / f"{name}.svg").write_text(drawing)
    (folder / "index.html").write_text(_page(run, {name: svg[svg.index("<svg") :] for name, svg in drawn.items()}))


def _page(run: Run, drawn: dict[str, str]) -> str:
    parts = ["<h1>Benchmarks</h1>"]
    if not run.full:
        parts.append("<p><b>A quick run: its sizes are small. It shows that all works; compare nothing.</b>")
    parts += ["<dl>", *(f"<dt>{escape(name)}<dd>{escape(value)}" for name, value in run.machine.items()), "</dl>"]
    parts += [f"<p>{escape(note)}" for note in run.notes]
    parts += ["<h2>In short</h2><ul>", *(f"<li>{escape(line)}" for line in lines(run)), "</ul>"]
    parts += [
        f"<h2>{name.capitalize()}</h2>{drawn[name]}"
        for name in ("batches", "writers", "growth", "wal")
        if name in drawn
    ]
    for result in run.results:
        parts.append(f"<h2>{escape(result.title[0].upper() + result.title[1:])}</h2>")
        if isinstance(result, Comparison):
            parts += [drawn.get(result.key, ""), _comparison(result)]
        else:
            parts.append(_facts(result))
    parts += ["<h2>The targets of the design</h2>", drawn.get("targets", ""), _targets(verdicts(run.results))]
    head = '<!doctype html><html lang="en"><meta charset="utf-8"><title>Benchmarks</title>'
    return f"{head}<style>{_STYLE}</style>\n" + "\n".join(parts) + "\n"


def _targets(checked: list[Verdict]) -> str:
    rows = [
        f"<tr><td>{escape(each.target.work)}<td>{escape(each.target.against)}<td>{escape(each.target.wanted)}"
        f"<td class=number>{ratio_text(each.measured) if each.measured else ''}<td>{noise_text(each.noise)}"
        f"<td class=number>{f'{each.limit:.2f} ×' if each.limit else ''}<td class={each.word.split()[0]}>{each.word}"
        for each in checked
    ]
    return (
        "<table><tr><th>work<th>against<th>target<th>measured (quartiles)<th>A/A<th>the limit<th>"
        + "".join(rows)
        + "</table>"
    )


def _comparison(result: Comparison) -> str:
    rows = []
    for name in sorted(result.seconds, key=result.median):
        time, ratio = result.middle(name), result.ratio(name)
        rows.append(
            f"<tr><td>{escape(name)}<td class=number>{time_text(time.median)}"
            f"<td class=number>{time_text(time.low)} to {time_text(time.high)}"
            f"<td class=number>{1 / time.median:,.0f}<td class=number>{ratio_text(ratio) if ratio else ''}"
        )
    rows += [f"<tr><td>{escape(name)}<td colspan=4>missing: {escape(why)}" for name, why in result.missing.items()]
    noise = result.noise()
    return (
        f"<table><tr><th>contestant<th>one {escape(result.per)}{durability(result)}<th>quartiles<th>a second"
        f"<th>× {escape(result.reference)} (quartiles)"
        + "".join(rows)
        + f"</table><p>{rounds_text(result)}"
        + (f"; {escape(next(iter(result.again)))} against itself (A/A): {ratio_text(noise)}" if noise else "")
    )


def _facts(facts: Facts) -> str:
    rows = "".join(
        f"<tr><td>{escape(label)}<td class=number>{value_text(value, facts.unit)}"
        for label, value in facts.values.items()
    )
    return f"<table><tr><th>what<th>{escape(facts.unit)}{rows}</table><p>{escape(facts.note)}"
