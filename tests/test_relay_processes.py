"""A relay and its receiver, each in a process of its own, killed in turn."""

import json
import multiprocessing
import random
import socket
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Engine

from eventstore import ANY, EventStore, NewEvent
from eventstore.projections import ProjectionAdmin
from tests import relay_process, webhook_receiver
from tests.relay_process import EVENTS_AT_ONCE
from tests.waiting import until

pytestmark = pytest.mark.slow


processes = multiprocessing.get_context("forkserver")  # it has imported what takes long
processes.set_forkserver_preload(["tests.relay_process", "tests.webhook_receiver"])


class Killable:
    """A process that is killed, and started again."""

    def __init__(self, run: Callable[..., None], *arguments: object) -> None:
        self._run, self._arguments = run, arguments
        self.start()

    def start(self) -> None:
        self._process = processes.Process(target=self._run, args=self._arguments, daemon=True)
        self._process.start()

    def kill(self) -> None:
        assert self._process.is_alive(), "it has ended by itself"
        self._process.kill()
        self._process.join()
        self._process.close()


@contextmanager
def appending(store: EventStore, chooser: random.Random) -> Iterator[list[str]]:
    """Append while a block runs; yield the ids of the events, in their order."""
    event_ids, ending = list[str](), threading.Event()

    def append() -> None:
        while not ending.is_set():
            event = NewEvent("counted", {"number": len(event_ids)})
            store.append(f"order-{chooser.randrange(5)}", event, expected_version=ANY)
            event_ids.append(str(event.event_id))
            time.sleep(chooser.uniform(0, 0.02))

    thread = threading.Thread(target=append, daemon=True)
    thread.start()
    try:
        yield event_ids
    finally:
        ending.set()
        thread.join(30)


def wait_for_growth(file: Path) -> None:
    before = file.stat().st_size
    until(lambda: file.stat().st_size > before)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
        return port


def kill_in_turn(engine: Engine, folder: Path, kills: int) -> None:
    seed = random.randrange(2**32)
    print(f"\nseed {seed}")
    chooser, store, taken = random.Random(seed), EventStore(engine), folder / "taken.jsonl"
    taken.touch()
    port = free_port()
    receiver = Killable(webhook_receiver.run, port, str(taken))
    relay = Killable(relay_process.run, engine.url.render_as_string(hide_password=False), port)
    try:
        with appending(store, chooser) as event_ids:
            for kill in range(kills):
                wait_for_growth(taken)  # so it is at work
                time.sleep(chooser.uniform(0, 0.03))
                killed = relay if kill % 2 == 0 else receiver
                killed.kill()
                killed.start()
        ProjectionAdmin(store).wait_for("out", store.settled_position(), timeout_seconds=120)
    finally:
        relay.kill()
        receiver.kill()
    check(event_ids, [json.loads(line) for line in taken.read_text().splitlines()])


def check(event_ids: list[str], messages: list[dict[str, object]]) -> None:
    """Check that nothing is missing or out of order, and that only messages of the last batch are repeated."""
    numbers = [int(str(message["number"])) for message in messages]
    assert [event_ids[number] for number in numbers] == [message["id"] for message in messages]
    newest = previous = -1
    for number in numbers:
        assert number <= previous + 1, "something is left out"
        assert number > newest - EVENTS_AT_ONCE, "a message of an earlier batch is repeated"
        newest, previous = max(newest, number), number
    assert newest == len(event_ids) - 1
    firsts: dict[str, list[int]] = defaultdict(list)
    for number, message in zip(numbers, messages, strict=True):
        of_stream = firsts[str(message["subject"])]
        if number not in of_stream:
            of_stream.append(number)
    assert all(of_stream == sorted(of_stream) for of_stream in firsts.values())
    print(f"{len(event_ids)} events, {len(messages) - len(event_ids)} messages repeated")


def test_a_killed_relay_and_a_killed_receiver_lose_nothing(any_engine: Engine, tmp_path: Path) -> None:
    kill_in_turn(any_engine, tmp_path, 4)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_two_hundred_kills_of_the_relay_and_its_receiver_in_turn(any_engine: Engine, tmp_path: Path) -> None:
    kill_in_turn(any_engine, tmp_path, 200)


def test_the_check_finds_what_is_wrong() -> None:
    def messages(*numbers: int) -> list[dict[str, object]]:
        return [{"id": f"id-{number}", "subject": "order-1", "number": number} for number in numbers]

    ids = [f"id-{number}" for number in range(9)]
    check(ids, messages(0, 1, 2, 3, 0, 1, 2, 3, 4, 5, 6, 7, 8))
    for wrong in (
        (0, 1, 2, 3, 4, 5, 6, 7),  # one is missing
        (0, 1, 3, 4, 5, 6, 7, 8),
        (0, 2, 1, 3, 4, 5, 6, 7, 8),  # out of order
        (0, 1, 2, 3, 4, 5, 0, 1, 2, 3, 4, 5, 6, 7, 8),  # of an earlier batch
    ):
        with pytest.raises(AssertionError):
            check(ids, messages(*wrong))
