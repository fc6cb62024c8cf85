"""Results as charts in SVG. Each has a light ground of its own, so that it can be read in a dark page, too."""

import itertools
import math
from collections.abc import Mapping, Sequence
from io import StringIO
from typing import Any, Final

import matplotlib as mpl

from benchmarks.bench import OURS
from benchmarks.logs import SIZES, log_name
from benchmarks.report import durability, time_text
from benchmarks.results import Comparison, Facts, Run
from benchmarks.targets import Verdict, verdicts
from benchmarks.workloads.growth_counts import wal_point
from benchmarks.workloads.many_writers import GROUPED, PROCESSES

mpl.use("svg")
from matplotlib.figure import Figure  # after the choice of what draws
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

_OURS: Final = "#0b7285"
_OTHERS: Final = "#adb5bd"
_MISSED: Final = "#c92a2a"
_INK: Final = "#212529"
_GROUND: Final = "#ffffff"
_LINES: Final = ("#495057", "#868e96", "#e8590c", "#5f3dc4", "#2b8a3e", "#a61e4d", "#b08900", "#1971c2")
_MARKS: Final = ("s", "^", "D", "v", "P")
_GROWN: Final = 1.25
_HIGHEST: Final = 4.0
_DASHES: Final = {OURS: "-", PROCESSES: "--", GROUPED: ":"}

mpl.rcParams.update({"svg.hashsalt": "benchmarks", "text.color": _INK, "axes.labelcolor": _INK, "font.size": 10})


def charts(run: Run) -> dict[str, str]:
    """Return all charts by name: one for each comparison, and those over several."""
    comparisons = {result.key: result for result in run.results if isinstance(result, Comparison)}
    drawn = {key: bars(each) for key, each in comparisons.items() if each.seconds}
    checked = [each for each in verdicts(run.results) if each.measured]
    if checked:
        drawn["targets"] = targets(checked)
    writers = {int(key[8:]): each for key, each in comparisons.items() if key.startswith("writers_")}
    batches = {int(key[7:]): each for key, each in comparisons.items() if key[:7] == "append_" and key[7:].isdigit()}
    growths = [each for key, each in comparisons.items() if key.startswith("growth_")]
    wals = [each for each in run.results if isinstance(each, Facts) and each.key.startswith("growth_wal_")]
    if len(writers) > 1:
        drawn["writers"] = throughputs(writers, "writers, each on streams of its own; durable commits")
    if len(batches) > 1:
        drawn["batches"] = throughputs(batches, "events in one append; durable commits")
    if growths:
        drawn["growth"] = growth(growths)
    if wals:
        drawn["wal"] = wal(wals)
    return drawn


def bars(result: Comparison) -> str:
    """Draw the median of each contestant, and its quartiles."""
    names = sorted(result.seconds, key=result.median, reverse=True)
    times = [result.middle(name) for name in names]
    unit, factor = _unit(max(time.high for time in times))
    figure, axes = _figure(height=1.0 + 0.42 * len(names))
    colors = [_OURS if name.startswith(OURS) else _OTHERS for name in names]
    medians = [time.median * factor for time in times]
    low = [(time.median - time.low) * factor for time in times]
    high = [(time.high - time.median) * factor for time in times]
    axes.barh(names, medians, color=colors, height=0.66)
    axes.errorbar(medians, names, xerr=[low, high], fmt="none", ecolor=_INK, capsize=3, linewidth=1)
    for place, (name, time) in enumerate(zip(names, times, strict=True)):
        ratio = result.ratio(name)
        label = f"  {time_text(time.median)}" + (f"   {ratio.median:.2f} ×" if ratio else "")
        axes.text(time.high * factor, place, label, va="center", fontsize=9)
    axes.set_xlim(0, max(time.high for time in times) * factor * 1.34)
    axes.set_xlabel(f"{unit} for one {result.per}{durability(result)}; less is better; × is against {result.reference}")
    return _svg(figure)


def targets(checked: Sequence[Verdict]) -> str:
    """Draw each measured ratio as a part of what the target allows: left of the line it is met."""
    checked = list(reversed(checked))
    figure, axes = _figure(height=1.2 + 0.46 * len(checked))
    for place, each in enumerate(checked):
        assert each.measured is not None
        bound = 1 / each.target.bound if each.target.inverse else each.target.bound
        part = bound / each.measured.median if each.target.inverse else each.measured.median / bound
        axes.barh(place, part, color=_OURS if each.met else _MISSED, height=0.62)
        axes.text(
            max(part, 1),
            place,
            f"  {each.measured.median:.2f} × ({each.target.wanted}): {each.word}",
            va="center",
            fontsize=9,
        )
    axes.axvline(1, color=_INK, linewidth=1, linestyle="--")
    axes.set_yticks(range(len(checked)), [f"{each.target.work},\nagainst {each.target.against}" for each in checked])
    axes.tick_params(axis="y", labelsize=8)
    longest = max((bar.get_width() for bar in axes.patches), default=1.0)
    axes.set_xlim(0, max(longest, 1.0) * 1.75)
    axes.set_xlabel("measured, as a part of what the target allows; left of the line it is met")
    return _svg(figure)


def throughputs(comparisons: Mapping[int, Comparison], what: str) -> str:
    """Draw events a second by the number of something; more is better."""
    figure, axes = _figure(height=4.4)
    sizes = sorted(comparisons)
    names = list(dict.fromkeys(name for size in sizes for name in comparisons[size].seconds))
    styles = zip(itertools.cycle(_LINES), itertools.cycle(_MARKS), strict=False)  # 35 pairs
    for name in names:
        known = [size for size in sizes if name in comparisons[size].seconds]
        if len(known) < 2:
            continue
        rates = [1 / comparisons[size].median(name) for size in known]
        if name in _DASHES:
            axes.plot(known, rates, color=_OURS, marker="o", linewidth=2.4, linestyle=_DASHES[name], label=name)
        else:
            color, mark = next(styles)
            axes.plot(known, rates, color=color, marker=mark, markersize=5, linewidth=1.3, label=name)
    axes.set_xscale("log", base=2 if sizes[-1] < 100 else 10)
    axes.set_yscale("log")
    ticks = _apart(sizes)
    axes.set_xticks(ticks, [f"{size:,}" for size in ticks])
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_major_locator(LogLocator(base=10, subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.grid(axis="y", color="#dee2e6", linewidth=0.8)
    axes.set_xlabel(what)
    axes.set_ylabel("events a second; more is better")
    figure.legend(loc="outside right upper", frameon=False, fontsize=9)
    return _svg(figure)


def growth(comparisons: Sequence[Comparison]) -> str:
    """Draw the times in logs of different sizes, each as a multiple of that with a million events: flat is good."""
    figure = Figure(figsize=(9, 5.4), layout="constrained", facecolor=_GROUND)
    panels = figure.subplots(1, 2, sharey=True)
    for axes, is_partitioned in zip(panels, (False, True), strict=True):
        _prepare(axes)
        reference = log_name(1_000_000, is_partitioned=is_partitioned)
        for result, color, mark in zip(comparisons, (_OURS, *_LINES), itertools.cycle(("o", *_MARKS)), strict=False):
            names = {size: log_name(size, is_partitioned=is_partitioned) for size in SIZES}
            ratios = {size: ratio for size, name in names.items() if (ratio := result.ratio(name, reference))}
            middle = [ratio.median for ratio in ratios.values()]
            spread = [
                [ratio.median - ratio.low for ratio in ratios.values()],
                [ratio.high - ratio.median for ratio in ratios.values()],
            ]
            label = None if is_partitioned else result.title.split(", in logs")[0].replace(" percent", " %")
            axes.errorbar(
                list(ratios), middle, yerr=spread, color=color, marker=mark, capsize=3, linewidth=1.6, label=label
            )
        axes.axhline(_GROWN, color=_INK, linewidth=1, linestyle="--")
        axes.set_xscale("log")
        axes.set_xticks(SIZES, [_short(size) for size in SIZES])
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.grid(axis="y", color="#dee2e6", linewidth=0.8)
        axes.set_title("partitioned" if is_partitioned else "one table", fontsize=10)
        axes.set_xlabel("events in the log")
    panels[0].set_ylim(0, max(2.0, min(_HIGHEST, panels[0].get_ylim()[1])))
    panels[0].set_ylabel("× the time with 1 million; dashed: the target")
    figure.legend(loc="outside upper left", frameon=False, fontsize=8, ncols=2)
    return _svg(figure)


def wal(drawn: Sequence[Facts]) -> str:
    """Draw the WAL of an append by the number of appends since the last checkpoint: less is better."""
    figure = Figure(figsize=(9, 4.6), layout="constrained", facecolor=_GROUND)
    panels = figure.subplots(1, len(drawn), sharey=True, squeeze=False)[0]
    for axes, facts in zip(panels, drawn, strict=True):
        _prepare(axes)
        lines: dict[str, dict[int, float]] = {}
        for label, value in facts.values.items():
            name, appends = wal_point(label)
            lines.setdefault(name.removeprefix("eventstore with "), {})[appends] = value / 1000
        sizes = list(dict.fromkeys(name.removesuffix(", partitioned") for name in lines))
        for name, points in lines.items():
            is_partitioned = name.endswith(", partitioned")
            place = sizes.index(name.removesuffix(", partitioned"))
            axes.plot(
                list(points),
                list(points.values()),
                color=_OURS if is_partitioned else _LINES[2],
                marker=("o", *_MARKS)[place],
                markersize=5,
                linewidth=1.6,
                linestyle="--" if is_partitioned else "-",
                label=name if axes is panels[0] else None,
            )
        axes.set_xscale("log")
        axes.set_xticks(list(points), [_short(appends) for appends in points])
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.grid(axis="y", color="#dee2e6", linewidth=0.8)
        axes.set_title(facts.title.partition("event to ")[2].partition(", since")[0], fontsize=10)
        axes.set_xlabel("appends since the last checkpoint")
    panels[0].set_ylim(bottom=0)
    panels[0].set_ylabel("kB of WAL for one append; less is better")
    figure.legend(loc="outside upper left", frameon=False, fontsize=9, ncols=3)
    return _svg(figure)


def _short(number: int) -> str:
    for unit, size in (("M", 1_000_000), ("k", 1_000)):
        if number >= size:
            return f"{number / size:g}{unit}"
    return str(number)


def _apart(sizes: Sequence[int]) -> list[int]:
    """Return those of the sizes whose labels do not meet on a logarithmic axis."""
    kept = list(sizes[:1])
    for size in sizes[1:]:
        if math.log(size / kept[-1]) > 0.1 * math.log(sizes[-1] / sizes[0]):
            kept.append(size)
    return kept


def _unit(longest: float) -> tuple[str, float]:
    return next(
        ((name, factor) for name, factor in (("seconds", 1.0), ("milliseconds", 1e3)) if longest * factor >= 1),
        ("microseconds", 1e6),
    )


def _figure(height: float) -> tuple[Figure, Any]:
    figure = Figure(figsize=(9, height), layout="constrained", facecolor=_GROUND)
    axes = figure.subplots()
    _prepare(axes)
    return figure, axes


def _prepare(axes: Any) -> None:
    axes.set_facecolor(_GROUND)
    axes.spines[["top", "right"]].set_visible(False)


def _svg(figure: Figure) -> str:
    drawing = StringIO()
    figure.savefig(drawing, format="svg", metadata={"Date": None})
    return "\n".join(line.rstrip() for line in drawing.getvalue().splitlines()) + "\n"
