"""The commands below projections and snapshots, and health."""

import json

import pytest
from sqlalchemy import text

from eventstore import EventStore, NewEvent
from eventstore.projections import DeadLetterStatus, ProjectionAdmin, Worker
from tests import projections_of_shop
from tests.fix_command_line import CommandLine, on_sqlite

MODULE = "tests.projections_of_shop"


@pytest.fixture
def store(command_line_store: EventStore) -> EventStore:
    """Orders, of which order-2 has a poison event, and a projection that has met it."""
    store = command_line_store
    with store.engine.begin() as connection:
        for table in ("totals", "totals_rebuilt"):
            connection.execute(text(f"CREATE TABLE {table} (price INTEGER)"))
    for stream_id, prices in (("order-1", [4]), ("order-2", [3, "five", 2]), ("order-3", [7])):
        events = [NewEvent("item-added", {"price": price}) for price in prices]
        store.append(stream_id, events, expected_version=0)
    Worker(store, projections_of_shop.totals).run_until_caught_up()
    return store


def prices(store: EventStore) -> list[int]:
    with store.engine.connect() as connection:
        return sorted(connection.execute(text("SELECT price FROM totals")).scalars())


def positions(store: EventStore, stream_id: str) -> list[int]:
    return [event.position for event in store.read_stream(stream_id)]


@pytest.mark.slow
def test_status_tells_state_lag_and_dead_letters(command: CommandLine, store: EventStore) -> None:
    (told,) = command.json("projections", "status")
    assert (told["name"], told["state"], told["lag_events"], told["dead_letters"]) == ("totals", "stopped", 0, 2)
    assert command.lines("projections", "status", "totals")[0][:2] == ["totals", "stopped"]
    assert command.lines("projections", "status", "others") == []
    with Worker(store, projections_of_shop.totals) as worker:
        worker._heartbeat(worker.run_once())
        assert command.json("projections", "status")[0]["state"] == "running"


@pytest.mark.slow
def test_the_number_of_partitions_changes(command: CommandLine, store: EventStore) -> None:
    (done,) = command.json("projections", "partitions", "totals", "3")
    assert done["done"] == "has 3 partitions"
    (told,) = command.json("projections", "status")
    assert (told["state"], [each["position"] for each in told["partitions"]]) == ("stopped", [told["position"]] * 3)
    assert command.lines("projections", "status")[0][8:10] == ["0", "3"]
    assert "totals has 3 partitions, at 1: " in command("projections", "status", columns=80, NO_COLOR="1").stdout
    command.json("projections", "partitions", "totals", "1")
    assert command.lines("projections", "status")[0][8:10] == ["0", "1"]


@on_sqlite
def test_a_failure_is_told_below_the_table(command: CommandLine, store: EventStore) -> None:
    with store.engine.begin() as connection:
        failed = "failure = 'KeyError at [red]\x1b[31m', failed_at = '2026-01-02 03:04:05.000006'"
        connection.execute(text(f"UPDATE es_checkpoints SET {failed}"))
    shown = command("projections", "status", columns=80, NO_COLOR="1").stdout
    assert shown.splitlines()[1].split()[:2] == ["totals", "failed"]
    assert r"totals has stopped: KeyError at [red]\x1b[31m" in shown
    assert command.lines("projections", "status")[0][-1] == r"KeyError at [red]\x1b[31m"


@on_sqlite
def test_what_is_tried_again_is_told_below_the_table(command: CommandLine, store: EventStore) -> None:
    retrying = "failure = 'KeyError at position 3, tried 2 times', failed_at = NULL"
    with store.engine.begin() as connection:
        connection.execute(
            text(f"UPDATE es_checkpoints SET {retrying}, seen_at = strftime('%Y-%m-%d %H:%M:%f', 'now')")
        )
    shown = command("projections", "status", columns=80, NO_COLOR="1").stdout
    assert shown.splitlines()[1].split()[:2] == ["totals", "retrying"]
    assert "totals retries an event: KeyError at position 3, tried 2 times" in shown
    assert command.lines("projections", "status")[0][-1] == "KeyError at position 3, tried 2 times"
    (status,) = command.json("projections", "status")
    assert (status["state"], status["failure"]) == ("retrying", None)
    assert status["retrying"] == "KeyError at position 3, tried 2 times"
    assert "retries an event: KeyError at position 3, tried 2 times; " in command("doctor").stdout


@pytest.mark.slow
def test_reset_begins_again_and_empties_what_it_is_told_to(command: CommandLine, store: EventStore) -> None:
    options = ("--in-transaction", f"{MODULE}:empty", "--yes")
    assert command.json("projections", "reset", "totals", *options) == [{"projection": "totals", "done": "reset"}]
    assert (ProjectionAdmin(store).position("totals"), prices(store)) == (0, [])
    Worker(store, projections_of_shop.totals).run_until_caught_up()
    assert prices(store) == [3, 4, 7]


def test_nothing_is_done_without_a_yes(command: CommandLine, store: EventStore) -> None:
    before = ProjectionAdmin(store).status()[0].position
    for name in ("reset", "remove"):
        asked = command("projections", name, "totals", stdin="n\n")
        assert (asked.exit_code, "Aborted" in asked.stderr) == (1, True)
    assert "left as they are" in command("projections", "reset", "totals", stdin="").stderr
    assert ProjectionAdmin(store).position("totals") == before
    assert command("projections", "remove", "totals", stdin="y\n").exit_code == 0
    assert ProjectionAdmin(store).status() == []


@pytest.mark.slow
def test_a_projection_that_runs_or_is_unknown_is_refused(command: CommandLine, store: EventStore) -> None:
    with Worker(store, projections_of_shop.totals) as worker:
        worker._heartbeat(worker.run_once())
        for name in ("reset", "remove"):
            assert command("projections", name, "totals", "--yes").exit_code == 7
    assert command("projections", "reset", "others", "--yes").exit_code == 1
    rebuild = ("projections", "rebuild", "others", "--projection", f"{MODULE}:rebuilt", "--yes")
    assert command(*rebuild).exit_code == 1
    assert [status.name for status in ProjectionAdmin(store).status()] == ["totals"]


@pytest.mark.slow
def test_rebuild_beside_the_old_one_and_swap(command: CommandLine, store: EventStore) -> None:
    definition = ("--projection", f"{MODULE}:rebuilt", "--in-transaction", f"{MODULE}:swap", "--yes")
    (told,) = command.json("projections", "rebuild", "totals", *definition)
    assert told == {"projection": "totals", "done": "rebuilt", "handled": 5}
    assert prices(store) == [2, 3, 4, 5, 7]
    (status,) = ProjectionAdmin(store).status()
    assert (status.name, status.dead_letters, status.lag_events) == ("totals", 0, 0)


def test_rebuild_of_the_same_name_resets_and_runs(command: CommandLine, store: EventStore) -> None:
    definition = ("--projection", f"{MODULE}:mended", "--in-transaction", f"{MODULE}:empty", "--yes")
    told = command("projections", "rebuild", "totals", *definition, "--event-types", f"{MODULE}:event_types")
    assert (told.exit_code, told.stdout) == (0, "totals\trebuilt\t5\n")
    assert prices(store) == [2, 3, 4, 5, 7]


@on_sqlite
@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("nonsense", "package.module:attribute"),
        ("no_such_module:totals", "there is no module"),
        (f"{MODULE}:none", "has no attribute 'none'"),
        (f"{MODULE}:event_types", "is not a Projection"),
        (f"{MODULE}:counting", "is called without arguments, but needs some"),
    ],
)
def test_a_definition_that_is_not_there_is_wrong_usage(
    command: CommandLine, store: EventStore, name: str, problem: str
) -> None:
    result = command("projections", "rebuild", "totals", "--projection", name, "--yes")
    assert (result.exit_code, problem in result.stderr) == (2, True), result.output


@pytest.mark.slow
def test_dead_letters_are_listed_and_shown(command: CommandLine, store: EventStore) -> None:
    _, poison, follower = positions(store, "order-2")
    letters = ("projections", "dead-letters")
    assert [line[:7] for line in command.lines(*letters, "list", "totals")] == [
        ["totals", str(poison), "order-2", "2", "item-added", "1", "ValueError"],
        ["totals", str(follower), "order-2", "3", "item-added", "0", ""],
    ]
    cut = command(*letters, "list", "totals", "-n", "1")
    assert cut.stderr == f"there are more: continue with --after {poison}, or use --all\n"
    assert command.lines(*letters, "list", "totals", "--status", "resolved") == []
    (told,) = command.json(*letters, "show", "totals", str(poison))
    assert (told["status"], told["error"], told["event"]["data"]) == ("pending", "ValueError", {"price": "five"})
    assert '{"price": "five"}' in command(*letters, "show", "totals", str(poison), columns=80).stdout
    assert command(*letters, "show", "totals", "1").exit_code == 1


@pytest.mark.slow
def test_retry_goes_on_with_other_streams_where_one_fails(command: CommandLine, store: EventStore) -> None:
    store.append("order-4", [NewEvent("item-added", {"price": "six"})], expected_version=0)
    Worker(store, projections_of_shop.totals).run_until_caught_up()
    retry = ("projections", "dead-letters", "retry", "--projection", f"{MODULE}:mended")
    result = command(*retry, "--all", "--json")
    told = [json.loads(line) for line in result.stdout.splitlines()]
    assert result.exit_code == 1
    assert told[0] == {"stream_id": "order-2", "resolved": 2, "failure": None}
    assert (told[1]["stream_id"], "ValueError" in told[1]["failure"]) == ("order-4", True)
    assert prices(store) == [2, 3, 4, 5, 7]
    assert command(*retry, "order-2").stdout == "order-2\t0\t\n"
    assert command(*retry).exit_code == 2


def test_discard_takes_a_note(command: CommandLine, store: EventStore) -> None:
    _, poison, follower = positions(store, "order-2")
    discard = ("projections", "dead-letters", "discard", "totals", str(poison))
    assert command(*discard, "--note", "a gift").exit_code == 0
    (letter,) = ProjectionAdmin(store).dead_letters.list("totals", status=DeadLetterStatus.DISCARDED)
    assert (letter.position, letter.note) == (poison, "a gift")
    assert command(*discard).exit_code == 1
    (still,) = command.json("projections", "dead-letters", "list", "totals")
    assert still["position"] == follower


@pytest.mark.slow
def test_snapshots_are_listed_shown_counted_and_deleted(command: CommandLine, store: EventStore) -> None:
    for schema_version, state in ((1, {"total": 3}), (2, {"[red]\x1b": (1,)})):
        store.snapshots.save("order-2", version=2, state=state, schema_version=schema_version)
    assert [line[:5] for line in command.lines("snapshots", "list")] == [
        ["order-2", "1", "2", "1", "8"], ["order-2", "2", "2", "1", "13"],
    ]  # fmt: skip
    assert command.json("snapshots", "list", "--category", "others") == []
    assert (
        command("snapshots", "list", "-n", "1").stderr
        == "there are more: continue with --after order-2, or use --all\n"
    )
    (shown,) = command.json("snapshots", "show", "order-2", "--schema-version", "2")
    assert (shown["version"], shown["state"]) == (2, {"[red]\x1b": {"$tuple": [1]}})
    assert r'"[red]\u001b"' in command("snapshots", "show", "order-2", "--schema-version", "2", columns=80).stdout
    assert command("snapshots", "show", "order-1").exit_code == 1
    assert command.json("snapshots", "coverage") == [
        {"streams": 3, "covered": 1, "events_after": 3, "most_events_after": 1}
    ]
    assert command.json("snapshots", "delete", "order-2", "--schema-version", "1") == [{"deleted": 1}]
    assert command.lines("snapshots", "delete", "order-2") == [["deleted", "1"]]


@pytest.mark.slow
def test_health_tells_by_its_exit_code(command: CommandLine, store: EventStore) -> None:
    well = command("health", "--json")
    assert (well.exit_code, json.loads(well.stdout)["ok"]) == (0, True)
    assert command("health", "--quiet", "--max-dead-letters", "2").output == ""
    bad = command("health", "--quiet", "--max-dead-letters", "1")
    assert (bad.exit_code, bad.stdout) == (1, "")
    assert bad.stderr == "problem: projection 'totals': 2 pending dead letters\n"
    missing = command("health", "--projection", "others", "--json")
    assert (missing.exit_code, json.loads(missing.stdout)["projections"]) == (1, [])
    assert command.lines("health")[0] == ["store", "well"]
    assert "dead letters" in command("health", columns=80).stdout
