"""One call at a time, shared by those who asked before it began: without a database."""

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from eventstore.common import single_flight
from eventstore.common.single_flight import SingleFlight
from tests.waiting import stands_in, until

TIMEOUT_SECONDS = 30


class Calls:
    """Answers each call with its number; a call can be held, or fail."""

    def __init__(self) -> None:
        self.flight: SingleFlight[str, int] = SingleFlight()
        self.asked: list[Sequence[str]] = []
        self.errors: list[BaseException] = []
        self.held: dict[int, threading.Event] = {}

    def ask(self, name: str) -> int:
        return self.flight(name, self._call)

    def _call(self, asked: Sequence[str]) -> int:
        self.asked.append(asked)
        number = len(self.asked)
        if number in self.held:
            assert self.held[number].wait(TIMEOUT_SECONDS)
        if self.errors:
            raise self.errors.pop()
        return number


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    monkeypatch.setattr(single_flight, "_PATIENCE_SECONDS", 10 * TIMEOUT_SECONDS)
    return Calls()


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as made:
        yield made


def asking(threads: ThreadPoolExecutor, calls: Calls, *names: str) -> list[Future[int]]:
    """Let each ask in a thread of its own; return when all of them wait."""
    waiting: list[int] = []

    def ask(name: str) -> int:
        waiting.append(threading.get_ident())
        return calls.ask(name)

    running = [threads.submit(ask, name) for name in names]
    until(lambda: len(waiting) == len(names) and all(stands_in(each, SingleFlight._wait) for each in waiting), *running)
    return running


def held(threads: ThreadPoolExecutor, calls: Calls) -> tuple[Future[int], threading.Event]:
    """Begin a call, and hold it."""
    calls.held[1] = release = threading.Event()
    running = threads.submit(calls.ask, "first")
    until(lambda: calls.asked, running)
    return running, release


def test_who_asks_during_a_call_shares_the_next_one(threads: ThreadPoolExecutor, calls: Calls) -> None:
    first, release = held(threads, calls)
    others = asking(threads, calls, "a", "b", "c")
    release.set()
    assert first.result(TIMEOUT_SECONDS) == 1
    assert [each.result(TIMEOUT_SECONDS) for each in others] == [2, 2, 2]
    assert [sorted(asked) for asked in calls.asked] == [["first"], ["a", "b", "c"]]
    assert calls.ask("later") == 3


@pytest.mark.parametrize("error", [ValueError(), KeyboardInterrupt()])
def test_only_the_leader_gets_an_error_and_one_of_the_others_leads(
    threads: ThreadPoolExecutor, calls: Calls, error: BaseException
) -> None:
    first, release = held(threads, calls)
    others = asking(threads, calls, "a", "b", "c")
    calls.held[2] = second = threading.Event()
    release.set()
    until(lambda: len(calls.asked) == 2)
    calls.errors.append(error)
    second.set()
    assert first.result(TIMEOUT_SECONDS) == 1
    raised = [each.exception(TIMEOUT_SECONDS) for each in others]
    assert [each for each in raised if each is not None] == [error]
    assert [each.result() for each in others if each.exception() is None] == [3, 3]


def test_a_call_within_the_call_does_not_wait_for_it(threads: ThreadPoolExecutor, calls: Calls) -> None:
    def within(_: Sequence[str]) -> int:
        return calls.ask("within")

    assert threads.submit(calls.flight, "around", within).result(TIMEOUT_SECONDS) == 1
    assert calls.ask("later") == 2


def test_a_leader_that_hangs_does_not_stop_the_others(
    threads: ThreadPoolExecutor, calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(single_flight, "_PATIENCE_SECONDS", 0)
    first, release = held(threads, calls)
    assert threads.submit(calls.ask, "other").result(TIMEOUT_SECONDS) == 2
    assert not first.done()
    release.set()
    assert first.result(TIMEOUT_SECONDS) == 1
    assert calls.ask("later") == 3


def test_a_child_process_does_not_wait_for_a_call_of_its_parent(threads: ThreadPoolExecutor, calls: Calls) -> None:
    first, release = held(threads, calls)
    calls.flight.start_fresh()  # as after a fork; test_notifier.py forks
    assert calls.ask("child") == 2
    release.set()
    assert first.result(TIMEOUT_SECONDS) == 1
