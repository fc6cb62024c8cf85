"""Subscriptions that wait for events together: one polls for all, and no wake-up is lost."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from sqlalchemy import Engine, StaticPool, create_engine, text

from eventstore import EventStore, LogWentBack
from eventstore.common.waker import Waker
from eventstore.core import idle
from eventstore.core.idle import IdleReaders
from tests.fix_engines import changing_history
from tests.readers import Background, append, unfinished
from tests.waiting import stands_in, until

pytestmark = pytest.mark.slow

HOUR = 3600.0


class Subscriber(Background):
    """Follows a subscription in a thread of its own."""

    def __init__(self, store: EventStore, longest: float = 0.05, **options: Any) -> None:
        shortest = min(longest, 0.005)
        if longest == HOUR:
            shortest = HOUR
        options = {"shortest_interval_seconds": shortest, "longest_interval_seconds": longest, **options}
        self.subscription = store.subscribe(**{"after_position": 0, **options})
        self.positions: list[int] = []
        self.thread = 0
        super().__init__(self._follow, self.subscription.stop)

    def _follow(self) -> None:
        self.thread = threading.get_ident()
        for event in self.subscription:
            self.positions.append(event.position)

    def wait_for(self, *positions: int) -> None:
        self.wait_until(lambda: len(self.positions) >= len(positions))
        assert (self.error, self.positions) == (None, list(positions))

    @property
    def sleeps(self) -> bool:
        return stands_in(self.thread, Waker.wait)

    @property
    def is_held_back(self) -> bool:
        """Whether a poll has seen newer events than what is settled."""
        return self.subscription._idle.held_back_since is not None

    def end(self) -> None:
        super().end()
        self.subscription.close()


@contextmanager
def subscribers(count: int, store: EventStore, longest: float = 0.05, **options: Any) -> Iterator[list[Subscriber]]:
    with ExitStack() as stack:
        made = []
        for _ in range(count):
            made.append(Subscriber(store, longest, **options))
            stack.callback(made[-1].end)
        until(lambda: all(each.sleeps for each in made))
        yield made


@contextmanager
def polls(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Yield the threads of the polls that have ended, in their order."""
    threads: list[int] = []
    poll = IdleReaders._poll

    def noted(readers: IdleReaders) -> None:
        poll(readers)
        threads.append(threading.get_ident())

    with monkeypatch.context() as patches:
        patches.setattr(IdleReaders, "_poll", noted)
        yield threads


def test_one_polls_for_all(any_engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    store = EventStore(any_engine)
    with subscribers(5, store) as readers:
        with polls(monkeypatch) as threads:
            until(lambda: len(threads) >= 6)
        assert len(set(threads)) == 1
        last = append(store)
        for each in readers:
            each.wait_for(last)


def test_two_that_an_open_append_held_back_are_delivered_though_nobody_appends_again(
    postgres_engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The newest position does not change any more: whoever wakes on it alone leaves both events lying."""
    store = EventStore(postgres_engine)
    first = append(store, count=4)
    with subscribers(3, store, after_position=first) as readers, unfinished(postgres_engine) as (connection, held):
        last = append(store)
        for each in readers:
            each.wait_until(lambda each=each: each.is_held_back)  # type: ignore[misc]
        with polls(monkeypatch) as threads:  # the newest position is old news by now
            until(lambda: len(threads) >= 3)
        connection.commit()
        for each in readers:
            each.wait_for(held, last)


def test_what_follows_a_gap_that_a_reader_has_passed_is_delivered_to_it(postgres_engine: Engine) -> None:
    """The append in the gap stays open. It does not concern a reader behind it, though nothing above it is settled."""
    store = EventStore(postgres_engine)
    with unfinished(postgres_engine) as (_, held):
        passed = append(store)
        with subscribers(1, store, after_position=passed) as (behind,), subscribers(1, store) as (before,):
            last = append(store)
            behind.wait_for(last)
            assert before.positions == []
    assert held < passed


def test_what_is_settled_between_a_readers_look_and_its_wait_is_not_missed(
    any_engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another reader sees it, and no reader polls for an hour."""
    store = EventStore(any_engine)
    wait = IdleReaders.wait
    appended: list[int] = []

    def append_and_wait(*args: Any, **named: Any) -> None:
        if not appended:
            appended.append(append(store))
            assert len(list(store.read_all())) == 1
        wait(*args, **named)

    monkeypatch.setattr(IdleReaders, "wait", append_and_wait)
    with subscribers(1, store, HOUR) as (reader,):
        reader.wait_for(*appended)


def test_a_reader_that_begins_to_wait_during_a_poll_is_woken_by_it(
    any_engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The poll has asked for the others only, and what it finds is all that there is for an hour."""
    store = EventStore(any_engine)
    look, asked, may_answer = IdleReaders._look, threading.Event(), threading.Event()

    def hold(readers: IdleReaders, positions: Any) -> Any:
        asked.set()
        assert may_answer.wait(60)
        return look(readers, positions)

    with subscribers(1, store) as (first,):
        monkeypatch.setattr(IdleReaders, "_look", hold)
        assert asked.wait(60)
        with subscribers(1, store, HOUR) as (second,):
            last = append(store)
            first.subscription.stop()  # or it would poll again
            may_answer.set()
            second.wait_for(last)


def test_the_shortest_interval_counts(any_engine: Engine) -> None:
    store = EventStore(any_engine)
    with subscribers(1, store, HOUR) as (patient,), subscribers(1, store) as (busy,):
        last = append(store)
        busy.wait_for(last)
        patient.wait_for(last)


@pytest.mark.parametrize("how", ["stopped", "interrupted"])
def test_another_takes_over_from_one_that_leaves(any_engine: Engine, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    monkeypatch.setattr(idle, "_PATIENCE_SECONDS", HOUR)
    store = EventStore(any_engine)
    with subscribers(3, store) as readers, polls(monkeypatch) as threads:
        until(lambda: threads)
        (leader,) = (each for each in readers if each.thread == threads[-1])
        if how == "stopped":
            leader.end()
        else:
            interrupt(leader, monkeypatch)
        others = {each.thread for each in readers if each is not leader}
        until(lambda: others & set(threads))
        last = append(store)
        for each in readers:
            if each is not leader:
                each.wait_for(last)


def interrupt(reader: Subscriber, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let Ctrl-C come while a reader polls."""
    look = IdleReaders._look

    def interrupted(readers: IdleReaders, asked: Any) -> Any:
        if threading.get_ident() == reader.thread:
            raise StandInForCtrlC
        return look(readers, asked)

    with monkeypatch.context() as patches:
        patches.setattr(IdleReaders, "_look", interrupted)
        reader.wait_until(lambda: reader.error is not None)
    assert isinstance(reader.error, StandInForCtrlC)


class StandInForCtrlC(Exception):
    """Passes `_look`, which is replaced, and so everything that catches errors of the database."""


def test_another_takes_over_from_one_that_hangs(any_engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idle, "_PATIENCE_SECONDS", 0.05)
    store = EventStore(any_engine)
    look, release = IdleReaders._look, threading.Event()
    hung: list[int] = []

    def hang(readers: IdleReaders, asked: Any) -> Any:
        if not hung:
            hung.append(threading.get_ident())
            assert release.wait(60)
        return look(readers, asked)

    with subscribers(3, store) as readers:
        monkeypatch.setattr(IdleReaders, "_look", hang)
        until(lambda: hung)
        last = append(store)
        for each in readers:
            if each.thread != hung[0]:
                each.wait_for(last)
        release.set()
        for each in readers:
            each.wait_for(last)


def test_an_error_that_a_poll_meets_is_met_by_each(postgres_engine: Engine) -> None:
    store = EventStore(postgres_engine)
    with subscribers(3, store) as readers:
        with postgres_engine.begin() as connection:
            connection.execute(text("ALTER SEQUENCE es_events_position_seq CACHE 5"))
        for each in readers:
            each.wait_until(lambda: False)  # until it has failed
            assert type(each.error).__name__ == "PositionCacheEnabled"


def test_all_who_wait_notice_that_their_event_is_gone(any_engine: Engine) -> None:
    store = EventStore(any_engine)
    append(store, "order-1", 2)
    with subscribers(3, store) as readers:
        for each in readers:
            each.wait_for(1, 2)
        until(lambda: all(each.sleeps for each in readers))
        with changing_history(any_engine) as connection:
            connection.execute(text("DELETE FROM es_events WHERE position = 2"))
        for each in readers:
            each.wait_until(lambda: False)
            assert isinstance(each.error, LogWentBack)


def test_subscriptions_of_a_store_that_does_not_share_poll_by_themselves(postgres_url: str) -> None:
    engine = create_engine(postgres_url, poolclass=StaticPool)
    store = EventStore(engine)
    first, second = store.subscribe(after_position=0), store.subscribe(after_position=0)
    assert first._idle_readers is not second._idle_readers
    engine.dispose()
