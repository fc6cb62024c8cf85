"""examples/flights_report.py, run as its users run it."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from flights_data import FlightDeparted, event_types
from sqlalchemy import text

from eventstore import EventStore, migrations
from eventstore.projections import ProjectionAdmin
from eventstore.views import EventViews
from tests.fix_engines import sqlite_when_there_is_time
from tests.fix_flights import IMPORT, REPORT, finish, run, started
from tests.test_flights_projection_example import expected_figures

pytestmark = pytest.mark.slow


@sqlite_when_there_is_time
def test_the_view_and_the_table_agree_with_the_file(any_url: str, tmp_path: Path) -> None:
    run(any_url, IMPORT, "--days", "1")
    output = run(any_url, REPORT, "--days", "1", "--chart", str(tmp_path / "report.svg"))
    assert "✓ The table agrees with the file" in output
    expected = expected_figures(1)
    with EventStore.from_url(any_url) as store, store.engine.connect() as connection:
        by_airline = text("SELECT substr(flight, 1, 2), count(*), sum(delay_minutes) FROM flight_departed GROUP BY 1")
        by_view = {airline: (count, int(minutes)) for airline, count, minutes in connection.execute(by_airline)}
        assert by_view == {airline: figures for (airline, _), figures in expected.items()}
        departures, minutes = connection.execute(text("SELECT sum(departures), sum(minutes_late) FROM aircraft")).one()
        assert departures == sum(count for count, _ in expected.values())
        assert minutes > sum(minutes for _, minutes in expected.values()), "early departures count as on time"
        (status,) = ProjectionAdmin(store).status("aircraft")
        newest = store.settled_position()
        assert [partition.position for partition in status.partitions] == [newest] * 4
        assert EventViews(event_types).check(store.engine) == []
    assert "</svg>" in (tmp_path / "report.svg").read_text(encoding="utf-8")


@pytest.mark.long
def test_the_next_report_goes_on_from_there_with_another_number_of_workers(any_url: str) -> None:
    for days, options in (("1", []), ("2", ["--workers", "1"])):
        run(any_url, IMPORT, "--days", days)
        assert "✓" in run(any_url, REPORT, "--days", days, *options)


def test_it_says_what_is_missing(sqlite_path: Path) -> None:
    url = f"sqlite:///{sqlite_path}"
    with started(url, REPORT) as process:
        exit_code, output = finish(process)
    assert exit_code == 1
    assert "There are no departures; first run: python examples/flights.py" in output
    with EventStore.from_url(url, event_types=event_types) as store:  # the default codec, MessagePack
        migrations.upgrade(store.engine)
        departed = FlightDeparted(datetime(2013, 1, 1, tzinfo=UTC), "UA1", "EWR", 5)
        store.append("aircraft-N1", departed, expected_version=0)
    with started(url, REPORT) as process:
        exit_code, output = finish(process)
    assert exit_code == 1
    assert "1 departures are not stored as JSON; first run: eventstore recode" in output
