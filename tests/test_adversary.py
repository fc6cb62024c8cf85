"""The adversary finds what is broken on purpose, says so plainly, leaves nothing behind, and our store passes."""

import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from click.testing import CliRunner
from click.testing import Result as CommandResult
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.pool import NullPool

from eventstore.testing.adversary import Adapter, Delivered, Event, Reader, Write
from eventstore.testing.adversary.__main__ import main
from eventstore.testing.adversary.following import Follower, FollowerThread
from eventstore.testing.adversary.journal import Attempt, File, Outcome, read_journals
from eventstore.testing.adversary.judging import Deliveries, Judge, Score
from eventstore.testing.adversary.loading import OURS
from eventstore.testing.adversary.places import CanNotRun
from eventstore.testing.adversary.proxy import Address, NoAddress, Proxy
from eventstore.testing.adversary.running import CASES, open_setting, run
from eventstore.testing.adversary.verdicts import Result, Verdict

READER = Reader("all")


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def ground_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Return a URL that the adversary may have; it has to leave it as it was."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'new.db'}"
        assert list(tmp_path.iterdir()) == []
    else:
        yield request.getfixturevalue("postgres_ground_url")


@pytest.fixture
def postgres_ground_url(empty_postgres_url: str) -> Iterator[str]:
    yield empty_postgres_url
    assert leftovers(empty_postgres_url) == []


def leftovers(url: str) -> list[str]:
    engine = create_engine(url, poolclass=NullPool)
    with engine.connect() as connection:
        schemas = "SELECT nspname FROM pg_namespace WHERE nspname LIKE 'adversary%'"
        tables = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
        return list(connection.execute(text(f"{schemas} UNION ALL {tables}")).scalars())


def attack(url: str, adapter: str, *names: str, seconds: float = 2) -> dict[str, Verdict]:
    setting = open_setting(url, adapter, seed=1, writers=2)
    return {verdict.case: verdict for verdict in run(setting, seconds=seconds, names=names)}


def broken(name: str) -> str:
    return f"tests.broken_stores:{name}"


# --- ours


@pytest.mark.long
def test_our_store_passes(ground_url: str) -> None:
    verdicts = attack(ground_url, OURS, "first-hole", "conflict", "stress", seconds=1)
    assert {name: verdict.result for name, verdict in verdicts.items()} == dict.fromkeys(verdicts, Result.CLEAN)
    for score in verdicts["stress"].scores:
        assert score.delivered == score.written > 10


@pytest.mark.slow
def test_our_store_passes_every_steered_attack_and_each_reader_stops_if_the_log_has_gone_back(ground_url: str) -> None:
    verdicts = attack(ground_url, OURS, *(case.name for case in CASES))
    assert [verdict for verdict in verdicts.values() if verdict.result is Result.FOUND] == []
    left_out = {verdict.case for verdict in verdicts.values() if verdict.result is Result.LEFT_OUT}
    assert left_out <= ({"interleaved", "prepared", "lost-answer"} if "sqlite" in ground_url else {"prepared"})
    each_reader_has_stopped(verdicts["log-went-back"])


@pytest.mark.slow
def test_so_do_the_readers_of_a_store_with_group_commit_whose_pool_has_dead_connections(
    postgres_ground_url: str,
) -> None:
    each_reader_has_stopped(
        attack(postgres_ground_url, OURS.replace("Ours", "Grouped"), "log-went-back")["log-went-back"]
    )


@pytest.mark.long
def test_our_store_passes_on_a_partitioned_log(postgres_ground_url: str) -> None:
    verdicts = attack(postgres_ground_url, "tests.fix_partitions:InParts", *(case.name for case in CASES), seconds=20)
    assert [verdict for verdict in verdicts.values() if verdict.result is Result.FOUND] == []


def each_reader_has_stopped(verdict: Verdict) -> None:
    assert verdict.result is Result.CLEAN
    stopped = [note for note in verdict.notes if note.endswith("stopped with LogWentBack, which is right")]
    assert len(stopped) == len(verdict.scores) - 1  # all but the log itself


# --- broken on purpose


@pytest.mark.slow
@pytest.mark.parametrize(
    ("adapter", "case", "fault"),
    [
        ("Careless", "conflict", "unchecked"),
        ("Forgetful", "first-hole", "missed"),
        ("Twice", "first-hole", "doubled"),
        ("Backwards", "page-edge", "inverted"),
        ("Bare", "log-went-back", "missed"),
    ],
)
def test_what_is_broken_is_found(ground_url: str, adapter: str, case: str, fault: str) -> None:
    verdict = attack(ground_url, broken(adapter), case)[case]
    assert verdict.result is Result.FOUND
    found = [score for score in verdict.scores if getattr(score, fault)]
    assert found
    assert all(score.examples for score in found)


@pytest.mark.slow
def test_a_store_that_does_not_look_who_is_appending_is_found(postgres_ground_url: str) -> None:
    names = ["open-append", "first-hole", "page-edge", "two-streams", "prepared"]
    verdicts = attack(postgres_ground_url, broken("Blind"), *names)
    for verdict in verdicts.values():
        if verdict.result is not Result.LEFT_OUT:
            (log, *readers) = verdict.scores
            assert log.is_clean
            assert [score.reader for score in readers if score.missed] == [score.reader for score in readers]


@pytest.mark.long
def test_and_chance_finds_it_too(postgres_ground_url: str) -> None:
    (verdict,) = attack(postgres_ground_url, broken("Blind"), "stress", seconds=8).values()
    assert verdict.result is Result.FOUND
    assert verdict.scores[0].is_clean
    assert sum(score.missed for score in verdict.scores) > 0


@pytest.mark.slow
def test_a_reader_that_does_not_get_on_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eventstore.testing.adversary.scene.LONGEST_SECONDS", 0.5)
    (verdict,) = attack(f"sqlite:///{tmp_path / 'new.db'}", broken("Endless"), "conflict").values()
    assert verdict.result is Result.FOUND
    assert {score.stopped for score in verdict.scores} == {None, "no end, long after the last write"}


@pytest.mark.slow
def test_a_reader_that_stops_with_an_error_of_its_own_when_the_log_has_gone_back_is_right(tmp_path: Path) -> None:
    verdict = attack(f"sqlite:///{tmp_path / 'new.db'}", broken("Honest"), "log-went-back")["log-went-back"]
    assert verdict.result is Result.CLEAN
    assert any("stopped with LogHasGoneBack" in note for note in verdict.notes)


# --- the command


def command(*arguments: str) -> CommandResult:
    return CliRunner().invoke(main, arguments)


@pytest.mark.slow
def test_the_command_prints_json_and_how_to_repeat_it(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'new.db'}"
    done = command("--url", url, "--cases", "first-hole", "--seed", "7", "--json")
    assert done.exit_code == 0
    report = json.loads(done.stdout)
    assert report["verdict"] == "clean"
    (verdict,) = report["attacks"]
    assert verdict["case"] == "first-hole"
    assert {score["written"] for score in verdict["scores"]} >= {4}
    assert f"--url {url} --seconds 60 --seed 7 --cases first-hole" in report["repeat"]


@pytest.mark.slow
def test_the_command_says_what_it_has_found(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'new.db'}"
    done = command("--url", url, "--cases", "first-hole", "--adapter", broken("Forgetful"))
    assert done.exit_code == 1
    assert "first-hole     FOUND" in done.stdout
    assert "missed 1" in done.stdout
    assert "verdict: FOUND something: first-hole" in done.stdout
    assert f"--adapter {broken('Forgetful')}" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--url", "sqlite://"], "name of a file"),
        (["--url", "sqlite:///file:{new}?uri=true"], "name of a file"),
        (["--url", "mysql://db.example/x"], "the adversary works on PostgreSQL and SQLite"),
        (["--url", "sqlite:///{existing}"], "exists already"),
        (["--url", "nonsense"], "the URL is not valid for SQLAlchemy"),
        (["--url", "sqlite:///{new}", "--adapter", "nowhere:Nothing"], "there is no adapter"),
        (["--url", "sqlite:///{new}", "--adapter", "pathlib:Path"], "lacks readers, page_size"),
        (["--url", "sqlite:///{new}", "--cases", "nothing"], "there is no attack nothing"),
        (["--url", "sqlite:///{new}", "--adapter", "tests.broken_stores:Used"], "has events already"),
        (["--url", "postgresql://ann:secret@127.0.0.1:1/x"], "does not answer"),
    ],
)
def test_what_it_refuses(tmp_path: Path, arguments: list[str], reason: str) -> None:
    (tmp_path / "existing.db").write_bytes(b"not ours")
    names = {"existing": tmp_path / "existing.db", "new": tmp_path / "new.db"}
    done = command(*(argument.format(**names) for argument in arguments))
    assert done.exit_code == 2
    assert reason in done.output
    assert "secret" not in done.output
    assert [path.name for path in tmp_path.iterdir()] == ["existing.db"]


@pytest.mark.slow
def test_what_the_user_may_not_make_is_said(postgres_ground_url: str) -> None:
    role = f"adversary_{time.monotonic_ns()}"
    engine = create_engine(postgres_ground_url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE ROLE {role} LOGIN"))
        try:
            url = make_url(postgres_ground_url).set(username=role).render_as_string()
            no_schema = command("--url", url, "--cases", "first-hole")
            no_database = command("--url", url, "--cases", "log-went-back")
        finally:
            connection.execute(text(f"DROP ROLE {role}"))
    assert (no_schema.exit_code, no_database.exit_code) == (2, 0)
    assert "the database user may not CREATE SCHEMA" in no_schema.output
    assert "left out: log-went-back" in no_database.output


@pytest.mark.slow
def test_ended_in_the_midst_it_leaves_nothing_behind(postgres_ground_url: str) -> None:
    arguments = ["--url", postgres_ground_url, "--cases", "stress", "--seconds", "60"]
    program = [sys.executable, "-m", "eventstore.testing.adversary", *arguments]
    with subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as adversary:
        for _ in range(300):
            if leftovers(postgres_ground_url):
                break
            time.sleep(0.1)
        assert leftovers(postgres_ground_url)
        adversary.send_signal(signal.SIGTERM)
        _, errors = adversary.communicate(timeout=60)
    assert adversary.returncode == 2
    assert b"interrupted" in errors


@pytest.mark.slow
def test_no_reader_goes_on_after_an_interruption_and_makes_the_file_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading: list[FollowerThread] = []

    class Noted(FollowerThread):
        def __init__(self, follower: Follower) -> None:
            super().__init__(follower)
            reading.append(self)

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("eventstore.testing.adversary.storm.FollowerThread", Noted)
    monkeypatch.setattr("eventstore.testing.adversary.storm._write", interrupt)
    done = command("--url", f"sqlite:///{tmp_path / 'attacked.db'}", "--cases", "stress", "--seconds", "1")
    assert done.exit_code == 2
    assert reading
    assert not any(thread._thread.is_alive() for thread in reading)  # nothing else tells
    assert list(tmp_path.iterdir()) == []


def test_an_attack_that_fails_is_shown_without_the_password(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> Verdict:
        raise RuntimeError("no connection to postgresql://ann:s3cret@db/x")

    monkeypatch.setattr("eventstore.testing.adversary.running._play", fail)
    monkeypatch.setattr("eventstore.testing.adversary.places.Ground.version", lambda _: "PostgreSQL")
    done = command("--url", "postgresql://ann:s3cret@db/x", "--cases", "first-hole,page-edge")
    assert done.exit_code == 2
    assert "an unexpected error: RuntimeError" in done.output
    assert "Traceback" in done.output
    assert "verdict: could not run; failed: first-hole, page-edge" in done.output
    assert "s3cret" not in done.output


# --- judging


def events(count: int) -> list[Event]:
    return [Event(UUID(int=number), "even" if number % 2 else "odd") for number in range(1, count + 1)]


def delivered(events: Sequence[Event], stream: str = "order-1") -> list[Delivered]:
    return [Delivered(number, event.event_id, stream, number) for number, event in enumerate(events, start=1)]


def judged(
    log: Sequence[Delivered], given: Sequence[Delivered], *attempts: Attempt, reader: Reader = READER
) -> tuple[Score, Score]:
    judge = Judge(attempts, Deliveries(log))
    return judge.score_log(), judge.score(reader, Deliveries(given))


def stored(events: Sequence[Event], expected_version: int | None = None) -> Attempt:
    return Attempt((Write("order-1", tuple(events), expected_version),), Outcome.STORED)


def test_a_reader_that_is_given_everything_once_and_in_order_is_clean() -> None:
    four = events(4)
    log, reader = judged(delivered(four), delivered(four), stored(four))
    assert log.is_clean
    assert reader == Score("all", written=4, delivered=4)


def test_missed_doubled_and_inverted_are_counted_apart() -> None:
    four = events(4)
    one, two, three, last = delivered(four)
    assert judged([one, two, three, last], [one, three, last], stored(four))[1].missed == 1
    assert judged([one, two, three, last], [one, two, two, three, last], stored(four))[1].doubled == 1
    score = judged([one, two, three, last], [two, one, three, last], stored(four))[1]
    assert (score.missed, score.doubled, score.inverted) == (0, 0, 1)


def test_a_filtered_reader_is_asked_for_its_kind_only() -> None:
    four = events(4)
    odd_ones = [each for each, event in zip(delivered(four), four, strict=True) if event.kind == "odd"]
    score = judged(delivered(four), odd_ones, stored(four), reader=Reader("odd", kind="odd"))[1]
    assert (score.is_clean, score.written) == (True, 2)


def test_what_was_acknowledged_and_is_not_in_the_log_is_missed() -> None:
    two = events(2)
    log, reader = judged(delivered(two[:1]), delivered(two[:1]), stored(two))
    assert log.missed == reader.missed == 1


def test_what_was_rolled_back_must_not_be_delivered() -> None:
    two = events(2)
    refused = Attempt((Write("order-1", tuple(two[1:]), None),), Outcome.NOT_STORED)
    assert judged(delivered(two[:1]), delivered(two), stored(two[:1]), refused)[1].unwritten == 1


def test_of_an_unknown_outcome_readers_and_log_have_to_agree() -> None:
    two = events(2)
    unknown = Attempt((Write("order-1", tuple(two[1:]), None),), Outcome.UNKNOWN)
    assert judged(delivered(two), delivered(two), stored(two[:1]), unknown)[1].is_clean
    assert judged(delivered(two[:1]), delivered(two[:1]), stored(two[:1]), unknown)[1].is_clean
    assert judged(delivered(two), delivered(two[:1]), stored(two[:1]), unknown)[1].missed == 1


def test_an_append_at_another_version_than_expected_is_found() -> None:
    two = events(2)
    assert judged(delivered(two), [], stored(two[:1], 0), stored(two[1:], 1))[0].unchecked == 0
    assert judged(delivered(two), [], stored(two[:1], 0), stored(two[1:], 0))[0].unchecked == 1


def test_notes_of_a_writer_that_was_killed_are_read_up_to_its_last_line(tmp_path: Path) -> None:
    path = tmp_path / "notes"
    notes, (one, two) = File(path), events(2)
    notes.end(notes.begin([Write("order-1", (one,), 0)]), Outcome.STORED)
    notes.begin([Write("order-2", (two,), None)])
    notes.close()
    with path.open("ab") as file:
        file.write(b'[["order-3", nul')
    attempts = list(read_journals([path]))
    assert [attempt.outcome for attempt in attempts] == [Outcome.STORED, Outcome.UNKNOWN]
    assert attempts[1].writes == (Write("order-2", (two,), None),)


# --- the proxy


@pytest.fixture
def echo() -> Iterator[Address]:
    """A server that answers each message with itself."""

    def serve(connection: socket.socket) -> None:
        with connection:
            while chunk := connection.recv(100):
                connection.sendall(chunk)

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield Address(*listener.getsockname())
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def connected(proxy: Proxy) -> socket.socket:
    url = proxy.url(make_url("postgresql://somewhere/x"))
    return socket.create_connection((str(url.host), int(str(url.port))), timeout=30)


def test_a_proxy_stops_a_message_and_lets_it_go_on(echo: Address) -> None:
    with Proxy(echo) as proxy, connected(proxy) as client:
        proxy.start_counting(stop_before=2)
        client.sendall(b"one")
        assert client.recv(100) == b"one"
        client.sendall(b"two")
        assert proxy.wait_until_stopped(30)
        assert proxy.messages == 1
        proxy.go_on()
        assert client.recv(100) == b"two"


def test_a_proxy_stops_a_commit(echo: Address) -> None:
    with Proxy(echo) as proxy, connected(proxy) as client:
        proxy.start_counting(stops_commit=True)
        client.sendall(b"insert")
        assert client.recv(100) == b"insert"
        client.sendall(b"commit")
        assert proxy.wait_until_stopped(30)
        proxy.go_on()
        assert client.recv(100) == b"commit"


def test_a_proxy_loses_an_answer(echo: Address) -> None:
    with Proxy(echo) as proxy, connected(proxy) as client:
        proxy.start_counting(lose_answer_to=2)
        client.sendall(b"one")
        assert client.recv(100) == b"one"
        client.sendall(b"two")
        assert client.recv(100) == b""


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("postgresql://db.example/x", Address("db.example", 5432)),
        ("postgresql://db.example:6432/x", Address("db.example", 6432)),
        ("postgresql:///x?host=/run/postgresql&port=5433", Address("/run/postgresql", 5433)),
        ("postgresql:///x", None),
        ("postgresql:///x?host=one,two", None),
        ("postgresql://db.example/x?sslmode=verify-full", None),
    ],
)
def test_which_addresses_a_proxy_can_use(url: str, address: Address | None) -> None:
    if address is None:
        with pytest.raises(NoAddress):
            Address.of(make_url(url))
    else:
        assert Address.of(make_url(url)) == address


@pytest.mark.slow
def test_our_adapter_is_an_adapter(tmp_path: Path) -> None:
    setting = open_setting(f"sqlite:///{tmp_path / 'new.db'}", OURS, seed=1, writers=1)
    with setting.ground.place() as place, setting.prepared(place) as adapter:
        assert isinstance(adapter, Adapter)


def test_a_store_that_has_events_is_left_as_it_is(sqlite_path: Path) -> None:
    before = sqlite_path.read_bytes()
    with pytest.raises(CanNotRun):
        open_setting(f"sqlite:///{sqlite_path}", OURS, seed=1, writers=1)
    assert sqlite_path.read_bytes() == before
