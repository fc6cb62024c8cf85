"""Results as a page with charts."""

from collections.abc import Mapping, Sequence
from html import escape
from io import StringIO
from pathlib import Path

import matplotlib as mpl

from benchmarks.bench import OURS
from benchmarks.report import time_text
from benchmarks.results import Comparison, Facts, Result
from benchmarks.targets import Verdict

mpl.use("svg")
from matplotlib.figure import Figure  # after the choice of what draws

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222 }
table { border-collapse: collapse; margin: 1rem 0 } th, td { text-align: left; padding: .25rem .75rem .25rem 0 }
td.number { text-align: right; font-variant-numeric: tabular-nums } th { border-bottom: 1px solid #999 }
.met { color: #07702f } .missed { color: #b00020 } svg { max-width: 100%; height: auto } dt { font-weight: 600 }
"""


def write(
    folder: Path,
    results: Sequence[Result],
    verdicts: Sequence[Verdict],
    machine: Mapping[str, str],
    notes: Sequence[str],
) -> Path:
    """Write the page, with its charts in it and beside it, and return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    parts = ["<h1>Benchmarks</h1>", _machine(machine), *(f"<p>{escape(note)}</p>" for note in notes)]
    parts.append(_targets(verdicts))
    for result in results:
        parts.append(f"<h2>{escape(result.title)}</h2>")
        if isinstance(result, Comparison):
            drawing = chart(result)
            (folder / f"{result.key}.svg").write_text(drawing)
            parts.append(drawing[drawing.index("<svg") :])
            parts += [f"<p>{escape(name)}: missing, {escape(why)}</p>" for name, why in result.missing.items()]
        else:
            parts.append(_facts(result))
    page = folder / "index.html"
    head = f'<!doctype html><meta charset="utf-8"><title>Benchmarks</title><style>{_STYLE}</style>'
    page.write_text(head + "\n".join(parts))
    return page


def chart(result: Comparison) -> str:
    """Return bars as SVG: the median of each contestant, with its quickest and slowest round."""
    names = sorted(result.seconds, key=result.median, reverse=True)
    medians = [result.median(name) * 1e6 for name in names]
    low = [median - min(result.seconds[name]) * 1e6 for name, median in zip(names, medians, strict=True)]
    high = [max(result.seconds[name]) * 1e6 - median for name, median in zip(names, medians, strict=True)]
    figure = Figure(figsize=(9, 0.9 + 0.45 * len(names)), layout="constrained")
    axes = figure.subplots()
    colors = ["#0b7285" if name.startswith(OURS) else "#adb5bd" for name in names]
    axes.barh(names, medians, color=colors, height=0.65)
    axes.errorbar(medians, names, xerr=[low, high], fmt="none", ecolor="#495057", capsize=3, linewidth=1)
    for place, name in enumerate(names):
        ratio = result.ratio(name)
        label = f"  {time_text(result.median(name))}  ({ratio:.2f} ×)" if ratio else ""
        axes.text(max(result.seconds[name]) * 1e6, place, label, va="center", fontsize=9)
    kind = {True: ", durable", False: ", synchronous_commit off", None: ""}[result.durable]
    axes.set_xlabel(f"microseconds for one {result.per}{kind}; shorter is better; × as against {result.reference}")
    axes.set_xlim(0, max(max(result.seconds[name]) for name in names) * 1.3e6)
    axes.spines[["top", "right"]].set_visible(False)
    drawing = StringIO()
    figure.savefig(drawing, format="svg", metadata={"Date": None})
    return drawing.getvalue()


def _machine(machine: Mapping[str, str]) -> str:
    rows = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in machine.items())
    return f"<dl>{rows}</dl>"


def _targets(verdicts: Sequence[Verdict]) -> str:
    rows = [
        f"<tr><td>{escape(each.target.work)}<td>{escape(each.target.against)}<td>{escape(each.target.wanted)}"
        f"<td class=number>{'' if each.measured is None else f'{each.measured:.2f} ×'}"
        f"<td class={'met' if each.met else 'missed'}>{_word(each)}"
        for each in verdicts
    ]
    return (
        "<h2>The targets of the design</h2><table><tr><th>work<th>against<th>target<th>measured<th>"
        + "".join(rows)
        + "</table>"
    )


def _word(verdict: Verdict) -> str:
    if verdict.measured is None:
        return "not run"
    return "met" if verdict.met else "missed"


def _facts(facts: Facts) -> str:
    rows = "".join(
        f"<tr><td>{escape(label)}<td class=number>{time_text(value) if facts.unit == 'seconds' else f'{value:,.1f}'}"
        for label, value in facts.values.items()
    )
    return f"<table><tr><th>what<th>{escape(facts.unit)}{rows}</table>"
