"""The scene of a steered attack: a store with followers, appends that are held open, and scores at the end."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager
from typing import Final, Protocol

from eventstore.testing.adversary.adapter import KINDS, Adapter, Conflict, OpenAppend, Reader, Write
from eventstore.testing.adversary.following import LONGEST_SECONDS, Follower
from eventstore.testing.adversary.journal import Memory, Outcome
from eventstore.testing.adversary.judging import Judge, Score
from eventstore.testing.adversary.places import LeftOut, Place
from eventstore.testing.adversary.proxy import Proxy
from eventstore.testing.adversary.setting import Setting
from eventstore.testing.adversary.stopping import is_open, proxy_to
from eventstore.testing.adversary.writing import new_event

_PASSES: Final = 40
_THREADS: Final = 16
_PATIENCE_SECONDS: Final = 30.0
_WAITS_SECONDS: Final = 1.0
_PAUSE_AFTER_ERROR_SECONDS: Final = 0.02
"""There are no faults that last: an error is of one connection that was cut, or it comes again at each attempt."""


class Held(Protocol):
    """An append that is not committed yet."""

    def commit(self) -> None:
        """Commit it."""
        ...

    def rollback(self) -> None:
        """Roll it back."""
        ...


class Scene:
    """An empty store with its tables and a follower for each of its readers.

    Args:
        setting: The setting of the run.
        place: The place of the store.
        adapter: An adapter of the store, whose tables exist.
        stack: Closes the followers and threads that are created here.
        case: The name of the attack.
    """

    def __init__(self, setting: Setting, place: Place, adapter: Adapter, stack: ExitStack, case: str) -> None:
        self.setting = setting
        self.place = place
        self.adapter = adapter
        self.stack = stack
        self.notes: list[str] = []
        self._memory = Memory()
        self.random = setting.generator(case)
        self._threads = stack.enter_context(ThreadPoolExecutor(_THREADS))
        self._is_holding = False
        self.followers = [self.follower(reader) for reader in setting.adapter.readers]

    # --- writing

    def write(self, stream: str, count: int = 1, expected_version: int | None = None) -> Write:
        """Return a write of new events, of which the first one also matches the filtered readers."""
        events = [new_event(self.random, KINDS[0] if number == 0 else None) for number in range(count)]
        return Write(stream, tuple(events), expected_version)

    def append(self, *writes: Write, adapter: Adapter | None = None) -> Outcome:
        """Append, and record it. A conflict is an outcome; other errors are raised."""
        number = self._memory.begin(writes)
        try:
            (adapter or self.adapter).append(writes)
        except Conflict:
            self._memory.end(number, Outcome.NOT_STORED)
            return Outcome.NOT_STORED
        self._memory.end(number, Outcome.STORED)
        return Outcome.STORED

    def append_in_thread(
        self, write: Write, *, adapter: Adapter, after: Callable[[], object] | None = None
    ) -> "Future[Outcome]":
        """Append in another thread, after the function `after` has returned, if there is one."""

        def work() -> Outcome:
            if after is not None:
                after()
            return self.append(write, adapter=adapter)

        return self._threads.submit(work)

    def append_others(self, *writes: Write) -> "Future[None]":
        """Append one write after the other while an append is held; note if they have to wait for it."""

        def work() -> None:
            own = self.opened()
            try:
                for write in writes:
                    self.append(write, adapter=own)
            finally:
                own.close()

        is_locked = self.place.is_sqlite and self.setting.is_writing(self.place)  # then they have to wait
        future = self._threads.submit(work)
        if is_locked or not wait([future], _WAITS_SECONDS).done:
            self.note("other writers wait for an open append")
        return future

    def retry(self, write: Write, adapter: Adapter) -> None:
        """Append; if the answer is lost, append the same again on another connection."""
        number = self._memory.begin([write])
        try:
            adapter.append([write])
        except Exception:  # noqa: BLE001  # the connection was cut
            try:
                self.adapter.append([write])
            except Conflict:
                return  # probably stored by the first attempt
        self._memory.end(number, Outcome.STORED)

    def opened(self, through: Proxy | None = None) -> Adapter:
        """Return another adapter."""
        return self.setting.opener(self.place, through.url if through else None)()

    # --- holding

    @contextmanager
    def hold(self, write: Write) -> Iterator[Held]:
        """Append, and hold the append open until the block ends at the latest.

        Raises:
            LeftOut: Appends of this store can't be held open.
        """
        if hasattr(self.adapter, "open"):
            with self.open() as transaction:
                transaction.append(write)
                yield transaction
        else:
            with self._hold_in_proxy(write) as held:
                yield held

    @contextmanager
    def open(self) -> Iterator["HeldTransaction"]:
        """Open a transaction.

        Raises:
            LeftOut: The store's adapter has no `open`.
        """
        if not hasattr(self.adapter, "open"):
            raise LeftOut("the adapter has no method `open`, so appends can't take part in a user's transaction")
        own = self.opened()
        transaction = HeldTransaction(own.open(), self._memory)  # type: ignore[attr-defined]  # checked above
        self._is_holding = True
        try:
            yield transaction
        finally:
            self._is_holding = False
            transaction.close()
            own.close()

    @contextmanager
    def _hold_in_proxy(self, write: Write) -> Iterator[Held]:
        with proxy_to(self.place) as proxy:
            own = self.opened(proxy)
            try:
                own.version("order-0")  # opens the connection
                proxy.start_counting(stops_commit=True)
                future = self.append_in_thread(write, adapter=own)
                if not is_open(self.setting, self.place, proxy):
                    proxy.go_on()
                    raise LeftOut(
                        "an append can't be held open: its commit is not a separate message, or is encrypted, and the "
                        "adapter has no method `open`"
                    )
                try:
                    yield HeldMessage(proxy, future)
                finally:
                    proxy.go_on()
                    wait([future], _PATIENCE_SECONDS)
            finally:
                own.close()

    # --- reading

    def follower(self, reader: Reader) -> Follower:
        """Return a new follower, which is closed at the end."""
        follower = Follower(reader, self.setting.opener(self.place), _PAUSE_AFTER_ERROR_SECONDS)
        self.stack.callback(follower.close)
        return follower

    def read(self) -> None:
        """Let each follower read all events that it can read now.

        On SQLite this excludes followers that write, such as projections, while an append is held: they would wait.
        """
        waits = self.place.is_sqlite and self._is_holding
        followers = [each for each in self.followers if not (waits and each.reader.keeps_position)]
        for reading in [self._threads.submit(_read, follower) for follower in followers]:
            reading.result()

    def note(self, text: str) -> None:
        """Add a note to the verdict, once."""
        if text not in self.notes:
            self.notes.append(text)

    def scores(self, *, only_log: bool = False) -> list[Score]:
        """Let the followers read to the end, and return the scores."""
        self.setting.wait_until_quiet(self.place)
        log = self.follower(self.setting.adapter.readers[0])
        for finishing in [self._threads.submit(each.finish, LONGEST_SECONDS) for each in (log, *self.followers)]:
            finishing.result()
        judge = Judge(self._memory.attempts, log.deliveries, only_log=only_log)
        return [
            judge.score_log(),
            *(judge.score(each.reader, each.deliveries, stopped=each.stopped) for each in self.followers),
        ]


def _read(follower: Follower) -> None:
    for _ in range(_PASSES):
        if not follower.read():
            break


class HeldTransaction:
    """An open transaction of the store's user, with the attempts made in it."""

    def __init__(self, transaction: OpenAppend, memory: Memory) -> None:
        self._transaction = transaction
        self._memory = memory
        self._numbers: list[int] = []

    def append(self, *writes: Write) -> None:
        """Append in the transaction."""
        self._numbers.append(self._memory.begin(writes))
        self._transaction.append(writes)

    def execute(self, statement: str) -> None:
        """Execute a statement in the transaction."""
        self._transaction.execute(statement)

    def commit(self) -> None:
        """Commit."""
        self._transaction.commit()
        self._end(Outcome.STORED)

    def rollback(self) -> None:
        """Roll back."""
        self._transaction.rollback()
        self._end(Outcome.NOT_STORED)

    def end_stored(self) -> None:
        """Record that the transaction was committed on another connection."""
        self._end(Outcome.STORED)

    def _end(self, outcome: Outcome) -> None:
        for number in self._numbers:
            self._memory.end(number, outcome)

    def close(self) -> None:
        """Release the connection."""
        self._transaction.close()


class HeldMessage:
    """An append whose last message is held by a proxy."""

    def __init__(self, proxy: Proxy, future: "Future[Outcome]") -> None:
        self._proxy = proxy
        self._future = future

    def commit(self) -> None:
        """Forward the message."""
        self._proxy.go_on()
        self._future.result(_PATIENCE_SECONDS)

    def rollback(self) -> None:
        """Cut the connection, so that the server rolls back. A store that retries may store the append then."""
        self._proxy.cut_all()
        self._proxy.go_on()
        wait([self._future], _PATIENCE_SECONDS)
