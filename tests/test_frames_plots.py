"""What plots draw, read from Matplotlib's own objects."""

import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import pandas as pd
import pyarrow as pa
import pytest
from matplotlib.dates import num2date

from eventstore import EventFilter, EventStore, InvalidInput, NewEvent
from eventstore.contrib import frames
from eventstore.errors import ExtraMissing

mpl.use("Agg")

from eventstore.contrib.frames import plots  # after the backend is chosen

START = datetime(2026, 3, 28, 22, tzinfo=UTC)  # in Berlin, an hour before a day of 23 hours


@pytest.fixture
def store() -> Iterator[EventStore]:
    with EventStore.in_memory() as store:
        for number in range(48):
            kind = "b" if number % 4 == 0 else "a"
            at = START + timedelta(hours=number)
            store.append(f"s-{number % 2}", [NewEvent(kind, {"at": at})], expected_version=number // 2)
        store.append("t-1", [NewEvent("c", {})], expected_version=0)  # without a time of its own
        yield store
    plt.close("all")


def corners(axes: Any, number: int) -> list[tuple[datetime, float]]:
    """The corners of the area of one type, from the first drawn to the last: when, and how high."""
    vertices: Any = axes.collections[number].get_paths()[0].vertices
    to_time: Any = num2date
    return [(to_time(x).replace(tzinfo=None), float(y)) for x, y in vertices]


def test_activity_stacks_the_types_in_the_days_of_a_zone(store: EventStore) -> None:
    frame = frames.read_all(store, fields=["at"])
    axes = plots.activity(frame, time="at", zone="Europe/Berlin")
    legend: Any = axes.get_legend()
    assert [text.get_text() for text in legend.get_texts()] == ["a", "b"]
    assert axes.get_xlabel() == "time in Europe/Berlin"
    days = [datetime(2026, 3, day) for day in (28, 29, 30, 31)]  # noqa: DTZ001  # wall time
    tops = {day: max(height for at, height in corners(axes, 1) if at == day) for day in days}
    assert min(at for at, _ in corners(axes, 1)) == days[0]
    assert [tops[day] for day in days[:3]] == [1, 23, 24]  # at each edge the higher one: the second day has 23 hours
    utc = plots.activity(frame, time="at")
    assert max(height for at, height in corners(utc, 1) if at == days[0]) == 2


def test_activity_leaves_room_for_periods_without_events() -> None:
    times = [datetime(2026, 1, 31, tzinfo=UTC), datetime(2026, 4, 1, tzinfo=UTC)]
    table = pa.table({"event_type": ["a", "a"], "recorded_at": pa.array(times, pa.timestamp("us", "UTC"))})
    drawn = corners(plots.activity(table, every="month"), 0)
    assert {at.month for at, _ in drawn} == {1, 2, 3, 4, 5}
    assert {at.month for at, height in drawn if height == 0} >= {2, 3}
    plt.close("all")


def test_event_types_are_counted(store: EventStore) -> None:
    axes = plots.event_types(frames.read_all(store, fields=[]).pandas())
    assert [text.get_text() for text in axes.get_yticklabels()] == ["c", "b", "a"]
    bars: list[Any] = list(axes.patches)
    assert [bar.get_width() for bar in bars] == [1, 12, 36]


def test_the_life_of_a_stream_rises_by_a_version_with_each_event(store: EventStore) -> None:
    _, given = plt.subplots()
    axes = plots.life(frames.read_stream(store, "s-1", fields=["at"], backwards=True).polars(), time="at", axes=given)
    assert axes is given
    assert axes.get_title() == "s-1"
    ascending: Any = axes.lines[0]
    assert [*ascending.get_ydata()] == list(range(1, 25))
    marks: list[Any] = list(axes.collections)
    assert sum(len(each.get_offsets()) for each in marks) == 24


def test_nothing_is_drawn_of_nothing(store: EventStore) -> None:
    nothing = frames.read_stream(store, "nobody")
    for plot in (plots.activity, plots.event_types, plots.life):
        assert plot(nothing).get_legend() is None


def test_what_can_not_be_drawn_is_told(store: EventStore) -> None:
    frame = frames.read_all(store, EventFilter(event_types=["a"]))
    attempts: list[Callable[[], object]] = [
        lambda: plots.activity(frame, every="second"),  # type: ignore[arg-type]  # on purpose
        lambda: plots.activity(frame, time="nothing"),
        lambda: plots.activity(frame, time="version"),
        lambda: plots.event_types(pd.DataFrame({"n": [1]})),
        lambda: plots.event_types([1]),
        lambda: plots.life(frame),
    ]
    for wrong in attempts:
        with pytest.raises(InvalidInput):
            wrong()


def test_plots_say_what_they_need(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "eventstore.contrib.frames.plots")
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ExtraMissing, match=r"install sqlalchemy-eventstore\[plot\]"):
        import eventstore.contrib.frames.plots  # noqa: F401, PLC0415
