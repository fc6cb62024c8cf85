"""The benchmarks are programs that must work on the day that they are wanted; what they compute is looked at here."""

import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from benchmarks import charts, markdown, plan, publish
from benchmarks.logs import SIZES, log_name
from benchmarks.race import run_race
from benchmarks.results import Comparison, Facts, Middle, Result, Run
from benchmarks.summary import summary
from benchmarks.targets import MISSED_IN_NOISE, TARGETS, failures, verdicts
from benchmarks.workloads import WORKLOADS
from benchmarks.workloads.delivery import NOTIFIED
from benchmarks.workloads.growth_counts import wal_label, wal_point
from tests.processes import run_python

pytestmark = pytest.mark.slow

ROOT: Final = Path(__file__).parent.parent
PUBLISHED: Final = publish.PAGE.with_suffix("") / "results.json"
OURS: Final = "eventstore"
OFF: Final = "append_one_new_not_durable"


def comparison(**changes: object) -> Comparison:
    values: dict[str, object] = {
        "key": "append_one_new_durable",
        "title": "append 1 event to a new stream",
        "per": "append",
        "reference": "psycopg INSERT",
        "seconds": {OURS: [3.0, 4.0, 8.0], "psycopg INSERT": [2.0, 2.0, 2.0], "eventsourcing": [30.0, 20.0, 4.0]},
        "again": {OURS: [3.0, 8.0, 8.0]},
        "durable": True,
    }
    return Comparison(**(values | changes))  # type: ignore[arg-type]


def run_of(*results: Result, full: bool = True) -> Run:
    return Run(full, {"processor": "fast"}, ["a note"], list(results))


def test_contestants_take_turns_and_the_first_round_is_not_timed() -> None:
    calls: list[str] = []

    def contestant(name: str) -> Callable[[], float]:
        def run() -> float:
            calls.append(name)
            return float(len(calls))

        return run

    outcome = run_race({"a": contestant("a"), "b": contestant("b")}, rounds=2, twice="a", ends_at=math.inf)

    assert calls == ["a", "b"] + ["a", "b", "a"] * 2
    assert outcome.seconds == {"a": [3.0, 6.0], "b": [4.0, 7.0]}
    assert outcome.again == {"a": [5.0, 8.0]}


def test_a_race_whose_time_is_up_ends_after_three_rounds() -> None:
    outcome = run_race({"a": lambda: 1.0}, rounds=10, twice="a", ends_at=0.0)

    assert outcome.seconds == {"a": [1.0] * 3}


def test_a_contestant_that_fails_is_left_out_with_its_reason_and_the_others_go_on() -> None:
    def fail() -> float:
        raise RuntimeError("first line\nno such table")

    outcome = run_race({"a": fail, "b": lambda: 2.0}, rounds=2, twice="a", ends_at=math.inf)

    assert outcome.seconds == {"b": [2.0, 2.0]}
    assert outcome.missing == {"a": "no such table"}
    assert outcome.again == {}


def test_a_ratio_is_of_the_ratios_within_each_round_with_their_quartiles() -> None:
    assert comparison().ratio(OURS) == Middle(2.0, 1.75, 3.0)
    assert comparison().ratio("who") is None


def test_noise_is_a_contestant_against_itself() -> None:
    assert comparison().noise() == Middle(1.0, 1.0, 1.5)
    assert comparison(again={}).noise() is None


def test_a_target_is_judged_by_the_median_and_shown_as_the_design_writes_it() -> None:
    by_opponent = {each.target.other: each for each in verdicts([comparison()])[:4] if each.target.key != OFF}

    assert by_opponent["psycopg INSERT"].word == "missed"
    assert by_opponent["eventsourcing"].word == "met"
    assert by_opponent["eventsourcing"].measured == pytest.approx((5.0, 1 / 1.1, 1 / 0.15))
    assert by_opponent["eventsourcing"].limit == 10.0
    assert by_opponent["eventsourcing, functions"].word == "not run"


def test_a_target_is_missed_where_only_the_quicker_rounds_reach_it() -> None:
    quick_at_times = comparison(seconds={OURS: [2.0, 3.0, 8.0], "psycopg INSERT": [2.0] * 3})

    (verdict, *_) = verdicts([quick_at_times])
    assert not verdict.met
    assert verdict.word == MISSED_IN_NOISE


def test_a_check_fails_for_what_even_the_better_quarter_of_the_rounds_misses() -> None:
    missed = verdicts([comparison(seconds={OURS: [3.0, 4.0, 8.0], "psycopg INSERT": [2.0] * 3})])
    in_noise = verdicts([comparison(seconds={OURS: [2.0, 3.0, 8.0], "psycopg INSERT": [2.0] * 3})])

    assert failures(missed, all_are_due=False) == ["missed: append 1 event, against psycopg INSERT"]
    assert failures(in_noise, all_are_due=False) == []
    due = [each for each in TARGETS if each.is_due]
    assert len(failures(in_noise, all_are_due=True)) == len(due) - 1  # the others were not measured
    assert {each.key.partition("_")[0] for each in TARGETS if not each.is_due} == {"growth"}


def test_a_run_in_short_says_what_was_measured_and_nothing_else() -> None:
    run = run_of(comparison(), Facts("delivery_percentile_50", "", "seconds", {OURS: 0.005, NOTIFIED: 0.002}))

    assert summary(run).splitlines() == [
        "- One append of one event: 4.00 s durable, 2.00 × the driver's INSERT.",
        "- One durable append, against others: 5.00 × as fast as eventsourcing.",
        "- Readers: 50 of 100 events arrive within 5.00 ms by polling, 2.00 ms with notify=True.",
    ]


def test_figures_of_another_run_take_the_places_of_older_ones_and_are_marked() -> None:
    kept, old, new = comparison(key="kept"), comparison(key="growth_page"), comparison(key="growth_page", title="new")
    busy = Run(full=True, machine={"day": "yesterday", "Python": "3.11"}, notes=["busy"], results=[old])
    later = Run(full=True, machine={"day": "today"}, notes=["busy"], results=[new])

    run = run_of(kept, old).with_results_of(busy).with_results_of(later)

    assert run.results == [kept, new]
    assert run.notes == ["a note", "these figures are of another run: `growth_page`. day: today; busy"]
    assert run.machine == {"processor": "fast"}


def test_a_target_may_be_of_what_was_counted() -> None:
    key = "growth_pages"
    target = next(each for each in TARGETS if each.key == key)
    counted = Facts(key, "pages", "pages", {target.ours: 8, target.other: 10})

    (verdict,) = [each for each in verdicts([counted]) if each.target is target]

    assert verdict.measured == Middle(0.8, 0.8, 0.8)
    assert (verdict.word, verdict.noise) == ("met", None)


def test_a_run_comes_back_from_json() -> None:
    run = run_of(comparison(), Facts("bytes", "bytes", "bytes", {"table": 1.5}))

    assert Run.from_json(json.loads(json.dumps(run.as_json()))) == run


def test_what_stands_in_the_way_is_said_of_missed_targets_only() -> None:
    run = run_of(comparison())

    text = markdown.targets(run)

    assert TARGETS[0].obstacle in text
    assert next(each for each in TARGETS if each.key == "writers_8").obstacle not in text


def test_a_quick_run_is_marked_wherever_its_figures_are_shown() -> None:
    quick = run_of(comparison(), full=False)

    assert "compare nothing" in markdown.targets(quick)
    assert "compare nothing" in markdown.document(quick)
    assert "compare nothing" not in markdown.document(run_of(comparison()))


def test_a_full_run_has_what_takes_long_only_if_it_is_named() -> None:
    assert "growth" not in plan.chosen([], full=True)
    assert plan.chosen(["growth", "idle"], full=True) == ["idle", "growth"]
    assert plan.chosen([], full=False) == list(WORKLOADS)


def test_the_plan_of_a_full_run_fits_into_a_quarter_of_an_hour_and_a_quick_one_into_two_minutes() -> None:
    assert plan.plan(plan.chosen([], full=True), full=True)[-1].ends_after <= 15 * 60
    assert plan.plan(plan.chosen([], full=False), full=False)[-1].ends_after <= 2 * 60


def test_figures_go_into_their_places_again_and_again() -> None:
    page = "before\n<!-- figures: append_* -->\nold\n<!-- end of figures -->\nafter\n"
    run = run_of(comparison())

    once = publish.filled(page, run)

    assert "old" not in once
    assert "| **eventstore** | 4.00 s |" in once
    assert once.startswith("before\n")
    assert once.endswith("after\n")
    assert publish.filled(once, run) == once


@pytest.mark.parametrize("path", [publish.PAGE, *publish.FRONT_PAGES], ids=lambda path: path.name)
def test_a_page_has_the_figures_of_the_published_file_and_no_others(path: Path) -> None:
    run = Run.from_json(json.loads(PUBLISHED.read_text()))
    page = path.read_text()

    assert publish.places(page)
    assert publish.filled(page, run) == page


def test_each_place_of_the_page_names_what_a_run_has() -> None:
    run = Run.from_json(json.loads(PUBLISHED.read_text()))
    page = publish.PAGE.read_text()

    assert "Not measured in this run." not in page
    assert not [each.word for each in verdicts(run.results) if each.measured is None]


def test_charts_are_drawn_the_same_each_time() -> None:
    run = run_of(comparison(), comparison(key="writers_1"), comparison(key="writers_8"))

    drawn = charts.charts(run)

    assert {"append_one_new_durable", "targets", "writers"} <= drawn.keys()
    assert charts.charts(run) == drawn


def test_growth_is_drawn_for_one_table_and_for_parts_and_wal_by_appends() -> None:
    names = [log_name(size, is_partitioned=with_parts) for with_parts in (False, True) for size in SIZES]
    race = comparison(
        key="growth_page", title="a page, in logs", seconds={name: [1.0, 2.0] for name in names}, again={}
    )
    wal = Facts("growth_wal_new", "one event to a stream, since", "bytes", {wal_label(names[0], 1000): 9e3})

    drawn = charts.charts(run_of(race, wal))

    assert "partitioned" in drawn["growth"]
    assert wal_point(wal_label(names[-1], 20_000)) == (names[-1], 20_000)
    assert "10,000 events" in drawn["wal"]


def test_a_chart_has_a_line_for_each_of_many_contestants() -> None:
    many = {f"contestant {number}": [1.0] for number in range(20)}
    run = run_of(comparison(key="writers_1", seconds=many), comparison(key="writers_8", seconds=many))

    drawn = charts.charts(run)["writers"]

    assert all(name in drawn for name in many)


def test_one_workload_runs_from_the_command_line_without_the_others(tmp_path: Path) -> None:
    command = ["-m", "benchmarks", "sqlite", "--quick", "--rounds", "1", "-c", "sqlite3", "--output", str(tmp_path)]

    done = run_python(*command, cwd=ROOT)

    assert done.returncode == 0, done.stdout + done.stderr
    run = Run.from_json(json.loads((tmp_path / "results.json").read_text()))
    assert [each.key for each in run.results] == ["sqlite_append_one", "sqlite_append_1000", "sqlite_read_stream"]
    assert [each.target.work for each in verdicts(run.results) if each.measured] == ["SQLite: append 1 event"]
    assert "eventsourcing could not take part: it was not chosen" in run.notes
    assert {"index.html", "results.md", "sqlite_append_one.svg"} <= {file.name for file in tmp_path.iterdir()}


@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_quick_run_covers_each_target_of_the_design(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks", "--quick", "--output", str(tmp_path)]

    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=os.environ)

    assert done.returncode == 0, done.stdout + done.stderr
    run = Run.from_json(json.loads((tmp_path / "results.json").read_text()))
    assert not [each.target for each in verdicts(run.results) if each.measured is None]
    assert not [note for note in run.notes if "could not take part" in note or "has failed" in note]
