"""Group commit without a database: who leads, who follows, and that no thread is left waiting, whatever happens."""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import pytest

from eventstore import ANY
from eventstore.backends.protocol import Grouping, GroupRefused
from eventstore.core import group_commit
from eventstore.core.group_commit import GroupCommit
from eventstore.errors import AppendInterrupted, EventIdReused
from eventstore.events import AppendResult
from eventstore.rows.mapper import PendingAppend
from eventstore.streams import Expectation
from tests.waiting import until

PATIENT = 300.0


class Fake:
    """Stands for the database, and holds up chosen appends.

    Attributes:
        alone: The appends that were stored alone, and by which thread, in order.
        groups: The groups.
    """

    def __init__(self, leaders: int = 1, patience_seconds: float = PATIENT, *, can_share: bool = True) -> None:
        self.commit = GroupCommit(Grouping(leaders, patience_seconds), lambda: can_share)
        self.alone: list[tuple[str, str, int]] = []
        self.groups: list[tuple[list[str], int]] = []
        self.held: dict[str, threading.Event] = {}
        self.entered: list[str] = []
        self.fails: dict[str, BaseException] = {}
        self.left_out: set[str] = set()
        self.positions = iter(range(1, 10_000))
        self.threads = ThreadPoolExecutor(64)

    def hold(self, stream_id: str) -> threading.Event:
        """Hold up what has this stream in it; return what lets it go on."""
        self.held[stream_id] = threading.Event()
        return self.held[stream_id]

    def append(self, stream_id: str, name: str = "", events: int = 1, size: int = 1) -> AppendResult:
        pending = PendingAppend(
            stream_id,
            ANY,
            Expectation.NOTHING,
            event_ids=[uuid4() for _ in range(events)],
            event_types=[name] * events,
            schema_versions=[1] * events,
            codecs=[0] * events,
            data=[b"x" * size] * events,
            metadata=[None] * events,
        )
        return self.commit.append(pending, alone=self._alone, together=self._together)

    def start(self, stream_id: str, name: str = "", **options: Any) -> Future[AppendResult]:
        """Start an append in a thread; return when it is held up."""
        count = self.entered.count(stream_id)
        running = self.threads.submit(self.append, stream_id, name, **options)
        until(lambda: self.entered.count(stream_id) > count, running)
        return running

    def queue(self, stream_id: str, name: str = "", **options: Any) -> Future[AppendResult]:
        """Start an append in a thread; return when it waits for a leader."""
        count = self.commit.waiting
        running = self.threads.submit(self.append, stream_id, name, **options)
        until(lambda: self.commit.waiting > count, running)
        return running

    def _enter(self, stream_id: str) -> None:
        self.entered.append(stream_id)
        if stream_id in self.held:
            assert self.held[stream_id].wait(60)
        if stream_id in self.fails:
            raise self.fails[stream_id]

    def _alone(self, pending: PendingAppend) -> AppendResult:
        self._enter(pending.stream_id)
        self.alone.append((pending.stream_id, pending.event_types[0], threading.get_ident()))
        return AppendResult(pending.stream_id, len(pending), next(self.positions), event_id=pending.event_ids[-1])

    def _together(self, appends: Sequence[PendingAppend]) -> list[AppendResult | None]:
        self.groups.append(([each.stream_id for each in appends], threading.get_ident()))
        self._enter("group")
        return [
            None
            if each.stream_id in self.left_out
            else AppendResult(each.stream_id, 7, next(self.positions), event_id=each.event_ids[-1])
            for each in appends
        ]

    @property
    def grouped(self) -> list[list[str]]:
        return [streams for streams, _ in self.groups]


@pytest.fixture
def make() -> Iterator[Callable[..., Fake]]:
    made: list[Fake] = []

    def make(*args: Any, **kwargs: Any) -> Fake:
        made.append(Fake(*args, **kwargs))
        return made[-1]

    yield make
    for fake in made:
        for each in fake.held.values():
            each.set()
        fake.threads.shutdown()
        assert fake.commit.waiting == 0


@pytest.fixture
def fake(make: Callable[..., Fake]) -> Fake:
    return make()


def assert_it_goes_on(fake: Fake, *stream_ids: str) -> None:
    """Show that no place is lost and no stream is under way: otherwise this would wait for the patience to end."""
    alone = len(fake.alone)
    for stream_id in ("new-1", *stream_ids):
        assert fake.threads.submit(fake.append, stream_id).result(60).stream_id == stream_id
    assert len(fake.alone) == alone + 1 + len(stream_ids)


def test_who_finds_a_place_stores_alone_in_its_own_thread(fake: Fake) -> None:
    assert fake.append("order-1").version == 1
    assert (fake.alone, fake.groups) == ([("order-1", "", threading.get_ident())], [])


def test_who_waits_is_stored_together_by_the_first_of_them_each_with_its_own_result(fake: Fake) -> None:
    release = fake.hold("order-0")
    first = fake.start("order-0")
    waiting = [fake.queue(f"order-{number}") for number in (3, 1, 2)]
    release.set()
    assert [each.result(60).stream_id for each in waiting] == ["order-3", "order-1", "order-2"]
    assert first.result(60).stream_id == "order-0"
    assert fake.grouped == [["order-3", "order-1", "order-2"]]
    assert len({each.result().position for each in (first, *waiting)}) == 4


def test_the_leadership_is_handed_on_to_those_who_came_meanwhile(fake: Fake) -> None:
    first, group = fake.hold("order-0"), fake.hold("group")
    running = [fake.start("order-0"), fake.queue("order-1"), fake.queue("order-2")]
    first.set()
    until(lambda: "group" in fake.entered, *running[1:])
    running += [fake.queue("order-3"), fake.queue("order-4")]
    group.set()
    assert {each.result(60).stream_id for each in running} == {f"order-{number}" for number in range(5)}
    assert fake.grouped == [["order-1", "order-2"], ["order-3", "order-4"]]
    assert len({thread for _, thread in fake.groups}) == 2
    assert_it_goes_on(fake)


def test_one_who_waited_and_finds_no_other_stores_alone(fake: Fake) -> None:
    release = fake.hold("order-0")
    running = [fake.start("order-0"), fake.queue("order-1")]
    release.set()
    assert [each.result(60).version for each in running] == [1, 1]
    assert fake.groups == []


def test_there_are_as_many_leaders_as_the_database_can_have(make: Callable[..., Fake]) -> None:
    fake = make(leaders=3)
    held = [fake.hold(f"order-{number}") for number in range(3)]
    running = [fake.start(f"order-{number}") for number in range(3)]
    running += [fake.queue("order-3"), fake.queue("order-4")]
    held[1].set()
    assert [each.result(60).version for each in (running[1], *running[3:])] == [1, 7, 7]
    assert not running[0].done()
    assert fake.append("order-5").version == 1  # the place is free again
    fake.hold("order-6")
    running.append(fake.start("order-6"))
    running.append(fake.queue("order-7"))  # and there are no more than before
    for each in (*held, fake.held["order-6"]):
        each.set()
    assert [each.result(60).version for each in running[-2:]] == [1, 1]


def test_appends_to_one_stream_keep_the_order_in_which_they_came_one_in_a_group(make: Callable[..., Fake]) -> None:
    fake = make(leaders=2)
    release, group = fake.hold("same-1"), fake.hold("group")
    running = [fake.start("same-1", "first"), fake.queue("same-1", "second")]
    assert fake.append("other-1").version == 1  # does not wait for the stream
    blocked = fake.hold("other-2")
    running += [fake.start("other-2"), fake.queue("same-1", "third"), fake.queue("other-3"), fake.queue("same-1", "4")]
    blocked.set()
    running[2].result(60)
    until(lambda: len(fake.alone) == 3)  # other-3: it was free to go
    release.set()
    group.set()
    assert all(each.result(60) for each in running)
    assert [name for stream_id, name, _ in fake.alone if stream_id == "same-1"] == ["first", "second", "third", "4"]
    assert all(streams.count("same-1") <= 1 for streams in fake.grouped)


def test_the_rest_of_a_stream_comes_with_the_next_group(fake: Fake) -> None:
    release = fake.hold("order-0")
    running = [fake.start("order-0")]
    running += [fake.queue(stream_id) for stream_id in ("same-1", "order-1", "same-1", "order-2", "same-1")]
    release.set()
    assert all(each.result(60) for each in running)
    assert fake.grouped == [["same-1", "order-1", "order-2"]]
    assert [stream_id for stream_id, *_ in fake.alone] == ["order-0", "same-1", "same-1"]


def test_who_was_left_out_goes_alone_and_nobody_overtakes_it(fake: Fake) -> None:
    release, held = fake.hold("order-0"), fake.hold("order-1")
    fake.left_out = {"order-1"}
    running = [fake.start("order-0"), fake.queue("order-1", "first"), fake.queue("order-2")]
    release.set()
    until(lambda: "order-1" in fake.entered, running[1])
    assert running[2].result(60).version == 7
    later = fake.queue("order-1", "second")
    assert fake.append("order-3").version == 1  # it keeps no place
    held.set()
    assert [each.result(60).version for each in (running[1], later)] == [1, 1]
    assert [name for stream_id, name, _ in fake.alone if stream_id == "order-1"] == ["first", "second"]


def test_after_an_error_that_the_database_has_reported_each_goes_alone(fake: Fake) -> None:
    release = fake.hold("order-0")
    running = [fake.start("order-0"), *[fake.queue(f"order-{number}") for number in (1, 2, 3)]]
    fake.fails = {"group": GroupRefused(), "order-2": EventIdReused("order-2", uuid4(), 1)}
    release.set()
    assert [running[number].result(60).version for number in (1, 3)] == [1, 1]
    with pytest.raises(EventIdReused):
        running[2].result(60)
    assert_it_goes_on(fake, "order-1", "order-3")


def test_after_an_error_without_an_answer_each_gets_it_and_nothing_is_repeated(fake: Fake) -> None:
    release = fake.hold("order-0")
    running = [fake.start("order-0"), *[fake.queue(f"order-{number}") for number in (1, 2, 3)]]
    fake.fails["group"] = ConnectionError("lost")
    release.set()
    errors = [each.exception(60) for each in running[1:]]
    assert [repr(each) for each in errors] == ["ConnectionError('lost')"] * 3
    assert len({id(each) for each in errors}) == 3  # each thread adds its own traceback
    assert [stream_id for stream_id, *_ in fake.alone] == ["order-0"]
    assert_it_goes_on(fake, "order-1", "order-2", "order-3")


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(), MemoryError()])
def test_an_interrupted_leader_lets_its_followers_know(fake: Fake, error: BaseException) -> None:
    release = fake.hold("order-0")
    running = [fake.start("order-0"), *[fake.queue(f"order-{number}") for number in (1, 2, 3)]]
    fake.fails["group"] = error
    release.set()
    assert running[1].exception(60) is error
    followers = [each.exception(60) for each in running[2:]]
    expected = MemoryError if isinstance(error, MemoryError) else AppendInterrupted
    assert [type(each) for each in followers] == [expected] * 2
    assert_it_goes_on(fake, "order-1", "order-2", "order-3")


def test_an_error_of_a_lone_append_is_its_own(fake: Fake) -> None:
    release = fake.hold("order-0")
    fake.fails["order-0"] = KeyboardInterrupt()
    running = [fake.start("order-0"), fake.queue("order-1"), fake.queue("order-2")]
    release.set()
    assert isinstance(running[0].exception(60), KeyboardInterrupt)
    assert [each.result(60).version for each in running[1:]] == [7, 7]


@pytest.mark.parametrize("options", [{"events": 11}, {"size": 65_537}])
def test_what_is_large_does_not_wait_for_a_group(fake: Fake, options: dict[str, Any]) -> None:
    fake.hold("order-0")
    fake.start("order-0")
    assert fake.append("order-1", **options).stream_id == "order-1"
    assert len(fake.alone) == 1


def test_a_thread_whose_connection_is_its_own_does_not_wait_for_a_group(make: Callable[..., Fake]) -> None:
    fake = make(can_share=False)
    fake.hold("order-0")
    fake.start("order-0")
    assert fake.append("order-1").version == 1


@pytest.mark.parametrize(("options", "most"), [({"events": 10}, 20), ({"size": 65_536}, 16)])
def test_a_group_has_limits(fake: Fake, options: dict[str, Any], most: int) -> None:
    release = fake.hold("order-0")
    running = [fake.start("order-0"), *[fake.queue(f"order-{number}", **options) for number in range(1, 31)]]
    release.set()
    assert all(each.result(60) for each in running)
    assert [len(streams) for streams in fake.grouped] == [most, 30 - most]


def test_nobody_depends_on_leaders_who_wait_themselves(make: Callable[..., Fake]) -> None:
    """They may wait for a transaction whose thread is now in this queue."""
    fake = make(leaders=2, patience_seconds=0.01)
    held = [fake.hold(f"order-{number}") for number in range(2)]
    running = [fake.start(f"order-{number}") for number in range(2)]
    assert fake.threads.submit(fake.append, "order-2").result(60).version == 1
    for each in held:
        each.set()
    assert [each.result(60).version for each in running] == [1, 1]


def test_leaders_who_wait_keep_no_places(make: Callable[..., Fake]) -> None:
    fake = make(leaders=2, patience_seconds=0.01)
    held = [fake.hold(f"order-{number}") for number in range(2)]
    running = [fake.start(f"order-{number}") for number in range(2)]
    fake.threads.submit(fake.append, "order-2").result(60)
    fake.hold("order-3")
    running.append(fake.start("order-3"))
    assert fake.append("order-4").version == 1
    for each in (*held, fake.held["order-3"]):
        each.set()
    assert [each.result(60).version for each in running] == [1, 1, 1]


def test_who_has_no_patience_left_for_its_own_stream_waits_in_the_database(make: Callable[..., Fake]) -> None:
    fake = make(leaders=2, patience_seconds=0.01)
    release = fake.hold("order-0")
    running = [fake.start("order-0") for _ in range(5)]  # returns when it has come to the database
    release.set()
    assert [each.result(60).version for each in running] == [1] * 5


# --- Ctrl-C


@contextmanager
def ctrl_c(threads: Executor, condition: Callable[[], object]) -> Iterator[None]:
    """Send Ctrl-C to the main thread when a condition holds."""

    def send() -> None:
        until(condition)
        signal.pthread_kill(main, signal.SIGINT)

    main = threading.get_ident()
    sender = threads.submit(send)
    with pytest.raises(KeyboardInterrupt):
        yield
    sender.result(60)


def test_ctrl_c_removes_an_append_that_waits(fake: Fake) -> None:
    release = fake.hold("order-0")
    running = [fake.start("order-0")]
    with ctrl_c(fake.threads, lambda: fake.commit.waiting == 1):
        fake.append("order-1")
    assert fake.commit.waiting == 0
    running.append(fake.queue("order-2"))
    release.set()
    assert [each.result(60).version for each in running] == [1, 1]
    assert [stream_id for stream_id, *_ in fake.alone] == ["order-0", "order-2"]
    assert_it_goes_on(fake, "order-1")


def test_ctrl_c_can_not_take_an_append_out_of_a_group_that_is_being_stored(fake: Fake) -> None:
    release, group = fake.hold("order-0"), fake.hold("group")
    running = [fake.start("order-0"), fake.queue("order-1")]

    def start_group() -> None:
        until(lambda: fake.commit.waiting == 2)
        release.set()

    starter = fake.threads.submit(start_group)
    with ctrl_c(fake.threads, lambda: "group" in fake.entered):
        fake.append("order-2")
    starter.result(60)
    group.set()
    assert [each.result(60).version for each in running] == [1, 7]
    assert fake.grouped == [["order-1", "order-2"]]
    assert_it_goes_on(fake, "order-1", "order-2")


@pytest.mark.slow
def test_ctrl_c_at_any_call_of_a_leader_leaves_no_thread_waiting(make: Callable[..., Fake]) -> None:
    number = 1
    while is_interrupted_at(number, make()):
        number += 1
    assert number > 30  # so many calls it makes at least


def is_interrupted_at(number: int, fake: Fake) -> bool:
    """Interrupt a leader of two others at one of its calls; return whether it made so many."""
    release = fake.hold("order-0")
    first = fake.start("order-0")
    leader = fake.threads.submit(append_interrupted_at, number, fake, "order-1")
    until(lambda: fake.commit.waiting == 1 or leader.done())
    followers = [fake.threads.submit(fake.append, f"order-{each}") for each in (2, 3)]
    until(lambda: fake.commit.waiting == 3 - leader.done())
    release.set()
    assert first.result(60).version == 1
    for each in followers:
        assert each.exception(60) is None or isinstance(each.exception(), AppendInterrupted)
    assert_it_goes_on(fake, "order-2", "order-3")
    is_interrupted = isinstance(leader.exception(60), KeyboardInterrupt)
    assert_it_goes_on(fake, "order-1")
    return is_interrupted


def append_interrupted_at(number: int, fake: Fake, stream_id: str) -> AppendResult:
    """Append, and raise KeyboardInterrupt at one of the calls and returns of the module.

    It can't be raised when a function in C is called, only when it has returned.
    """
    seen = 0

    def profile(frame: Any, what: str, _: object) -> None:
        nonlocal seen
        if frame.f_code.co_filename == group_commit.__file__ and what != "c_call":
            seen += 1
            if seen == number:
                sys.setprofile(None)
                raise KeyboardInterrupt

    sys.setprofile(profile)
    try:
        return fake.append(stream_id)
    finally:
        sys.setprofile(None)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_child_process_does_not_wait_for_the_threads_of_its_parent(fake: Fake) -> None:
    release = fake.hold("order-0")
    running = [fake.start("order-0"), fake.queue("order-1")]
    process_id = os.fork()
    if process_id == 0:
        signal.alarm(60)  # ends a child that hangs
        fake.held.clear()
        try:
            fake.append("order-0")
            os._exit(0 if fake.commit.waiting == 0 else 1)
        finally:
            os._exit(2)
    assert os.waitpid(process_id, 0)[1] == 0
    release.set()
    assert [each.result(60).version for each in running] == [1, 1]
