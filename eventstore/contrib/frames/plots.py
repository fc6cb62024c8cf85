"""Plots of events with Matplotlib: activity over time, events by type, the life of a stream. Needs the extra `plot`.

Each function takes a frame of this package, or another Arrow stream with its columns, such as a filtered data frame of
pandas or Polars. It draws on the given axes or on new ones, and returns them.
"""

from collections.abc import Sequence
from typing import Any, Final, Literal

import pyarrow as pa
import pyarrow.compute as pc

from eventstore.contrib.frames.incoming import stream_of
from eventstore.errors import ExtraMissing, InvalidInput

try:
    import matplotlib.pyplot as plt
    from matplotlib.axes import Axes
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
except ImportError:
    raise ExtraMissing("matplotlib", "plot") from None

Unit = Literal["minute", "hour", "day", "week", "month", "year"]
_UNITS: Final = ("minute", "hour", "day", "week", "month", "year")
_INCHES_FOR_A_TYPE: Final = 0.35


def activity(
    events: Any,
    *,
    every: Unit = "day",
    time: str = "recorded_at",
    zone: str = "UTC",
    axes: Axes | None = None,
) -> Axes:
    """Draw the number of events in each period, stacked by type.

    Args:
        events: Events, with the columns `event_type` and `time`.
        every: The length of a period.
        time: The column with the times of the events. Events without a time are left out.
        zone: The time zone of periods and of the axis.
        axes: The axes to draw on. Defaults to None: a new figure.

    Raises:
        InvalidInput: There is no such column, or it has no times; or `every` is not a unit.
    """
    if every not in _UNITS:
        msg = f"every must be one of {', '.join(_UNITS)}, not {every!r}"
        raise InvalidInput(msg)
    table = _table(events, ["event_type"], time)
    # Wall time: the axis has no zone, so that two hours in one day of the year have the same name.
    local = pc.local_timestamp(table["time"].cast(pa.timestamp("us", zone)))
    table = table.set_column(table.column_names.index("time"), "time", pc.floor_temporal(local, unit=every))
    counts = table.group_by(["time", "event_type"]).aggregate([([], "count_all")]).sort_by("time").to_pylist()
    periods = _periods(table["time"], every)
    axes = axes or _new_axes()
    below = dict.fromkeys(periods, 0)
    for number, name in enumerate(_names(table)):
        heights = {row["time"]: row["count_all"] for row in counts if row["event_type"] == name}
        values = [heights.get(period, 0) for period in periods]
        tops = [below[period] + value for period, value in zip(periods, values, strict=True)]
        axes.fill_between(
            periods, list(below.values()), tops, step="post", label=name, color=_colour(number), linewidth=0
        )
        below = dict(zip(periods, tops, strict=True))
    axes.set(ylabel=f"events each {every}", ylim=(0, None))
    _finish(axes, zone)
    return axes


def event_types(events: Any, *, axes: Axes | None = None) -> Axes:
    """Draw how many events there are of each type, the most frequent on top.

    Args:
        events: Events, with the column `event_type`.
        axes: Where to draw. Defaults to None: on a new figure.

    Raises:
        InvalidInput: There is no such column.
    """
    table = _table(events, ["event_type"])
    counts = {row["values"]: row["counts"] for row in pc.value_counts(table["event_type"]).to_pylist()}
    names = sorted(counts, key=lambda name: (counts[name], name))
    colours = {name: _colour(number) for number, name in enumerate(_names(table))}
    axes = axes or _new_axes(height=1 + _INCHES_FOR_A_TYPE * len(names))
    bars = axes.barh(names, [counts[name] for name in names], color=[colours[name] for name in names])
    axes.bar_label(bars, fmt="{:,.0f}", padding=3)
    axes.set(xlabel="events")
    axes.margins(x=0.12)
    axes.spines[["top", "right"]].set_visible(False)
    return axes


def life(events: Any, *, time: str = "recorded_at", zone: str = "UTC", axes: Axes | None = None) -> Axes:
    """Draw the life of a stream: a line that rises by one version with each event, and a mark for each, by its type.

    Args:
        events: The events of one stream, with the columns `stream_id`, `version`, `event_type` and `time`.
        time: As for `activity`.
        zone: As for `activity`.
        axes: Where to draw. Defaults to None: on a new figure.

    Raises:
        InvalidInput: There is no such column, or there are events of several streams.
    """
    table = _table(events, ["stream_id", "version", "event_type"], time).sort_by("version")
    streams = pc.unique(table["stream_id"]).to_pylist()
    if len(streams) > 1:
        msg = f"events has {len(streams)} streams, but this draws the life of one: pass the events of one stream"
        raise InvalidInput(msg)
    moments = pc.local_timestamp(table["time"].cast(pa.timestamp("us", zone))).to_pylist()
    versions = table["version"].to_pylist()
    types = table["event_type"].to_pylist()
    axes = axes or _new_axes()
    axes.step(moments, versions, where="post", color="0.7", zorder=1)
    for number, name in enumerate(_names(table)):
        mine = [place for place, each in enumerate(types) if each == name]
        x, y = [moments[place] for place in mine], [versions[place] for place in mine]
        axes.scatter(x, y, label=name, color=_colour(number), s=28, zorder=2)
    axes.set(ylabel="version", title=streams[0] if streams else "")
    _finish(axes, zone)
    return axes


def _table(events: Any, columns: Sequence[str], time: str | None = None) -> pa.Table:
    """Return the columns, with text columns as text, and without events that have no time."""
    reader = stream_of(events)
    names = [*columns, *([time] if time else [])]
    for name in names:
        if name not in reader.schema.names:
            msg = f"there is no column {name!r}; the columns are {', '.join(map(repr, reader.schema.names))}"
            raise InvalidInput(msg)
    table = pa.Table.from_batches((batch.select(names) for batch in reader), pa.schema(map(reader.schema.field, names)))
    for name in columns:
        if name == "version":
            continue
        texts = pa.array(table[name].to_pylist(), pa.string())  # Polars and pandas have several types of text
        table = table.set_column(table.column_names.index(name), name, texts)
    if time is None:
        return table
    if not pa.types.is_timestamp(table.schema.field(time).type):
        msg = f"the column {time!r} has values of type {table.schema.field(time).type}, not times"
        raise InvalidInput(msg)
    table = table.rename_columns([*columns, "time"])
    return table.filter(pc.is_valid(table["time"]))


def _periods(times: pa.ChunkedArray, every: Unit) -> list[Any]:
    """Return all periods from the first to the last, including those without events, and the one after it."""
    if not len(times):
        return []
    bounds = pc.min_max(times).as_py()
    periods = [bounds["min"]]
    longest = {
        "minute": 1,
        "hour": 60,
        "day": 24 * 60,
        "week": 7 * 24 * 60,
        "month": 32 * 24 * 60,
        "year": 367 * 24 * 60,
    }
    step = pa.scalar(longest[every] * 60 * 10**6, pa.duration("us"))
    while periods[-1] <= bounds["max"]:
        later = pc.add(pa.scalar(periods[-1], times.type), step)
        periods.append(pc.floor_temporal(later, unit=every).as_py())
    return periods


def _names(table: pa.Table) -> list[str]:
    """Return the event types in alphabetical order, so that a type has the same colour in all plots."""
    return sorted(pc.unique(table["event_type"]).to_pylist())


def _colour(number: int) -> str:
    return f"C{number % 10}"


def _new_axes(height: float = 3.2) -> Axes:
    _, axes = plt.subplots(figsize=(8, height), layout="constrained")
    return axes


def _finish(axes: Axes, zone: str) -> None:
    locator = AutoDateLocator()  # type: ignore[no-untyped-call]  # Matplotlib's
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]  # the same
    axes.set_xlabel(f"time in {zone}")
    axes.spines[["top", "right"]].set_visible(False)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
