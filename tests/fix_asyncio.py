"""Tests of asyncio: coroutine functions as tests, and synchronous tests in a task, marked `in_a_task`."""

import asyncio
import inspect
import threading
import time
from collections.abc import Callable, Coroutine, Generator
from typing import Any, TypeVar

import psycopg
import pytest
from _pytest.runner import runtestprotocol

from eventstore.backends import tasks
from eventstore.contrib.asyncio import AsyncEventStore

Result = TypeVar("Result")


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a test that is a coroutine function in a loop of its own."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = inspect.signature(pyfuncitem.obj).parameters
    asyncio.run(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in names}))
    return True


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    """Run a synchronous test and its fixtures in a task, so that they can use an engine for asyncio."""
    if item.get_closest_marker("in_a_task") is None:
        return None
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    asyncio.run(tasks.spawn(runtestprotocol, item, nextitem=nextitem))
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


def async_url(url: str) -> str:
    """Return the URL of the same database for the driver for asyncio."""
    return url.replace("sqlite:", "sqlite+aiosqlite:")


class Cancelling:
    """Cancels a task where the store's code waits for something, in all tasks that `spawn` makes for it.

    Attributes:
        waits: How often the code has waited.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.waits = 0
        self._cancel: Callable[[], object] = lambda: None
        original: Any = tasks._in_greenlet

        async def in_greenlet(*arguments: Any, **options: Any) -> Any:
            return await _Steps(self._counting(original(*arguments, **options)))

        monkeypatch.setattr(tasks, "_in_greenlet", in_greenlet)

    async def at(self, number: int, awaited: Coroutine[Any, Any, Result], *, again: bool = False) -> Result:
        """Await something in a task of its own, and cancel that where the code waits for this number of times, from 1.

        Args:
            number: Where to cancel.
            awaited: What to await.
            again: Whether to cancel also wherever it waits from then on, as `anyio` does.

        Returns:
            The result, if it has not waited so often.

        Raises:
            CancelledError: It was cancelled.
        """
        self.waits = 0
        task = asyncio.create_task(awaited)

        def cancel() -> None:
            if self.waits == number or (again and self.waits > number):
                task.cancel()

        self._cancel = cancel
        try:
            return await task
        finally:
            self._cancel = lambda: None

    def _counting(self, awaited: Coroutine[Any, Any, Any]) -> Generator[Any, None, Any]:
        error: BaseException | None = None
        while True:
            try:
                future = awaited.send(None) if error is None else awaited.throw(error)
            except StopIteration as end:
                return end.value
            self.waits += 1
            self._cancel()
            try:
                yield future
                error = None
            except BaseException as raised:  # noqa: BLE001  # handed on
                error = raised


class _Steps:
    """Awaits what a generator does."""

    def __init__(self, steps: Generator[Any, None, Any]) -> None:
        self._steps = steps

    def __await__(self) -> Generator[Any, None, Any]:
        return self._steps


@pytest.fixture
def cancelling(monkeypatch: pytest.MonkeyPatch) -> Cancelling:
    """Cancel tasks at their n-th wait."""
    return Cancelling(monkeypatch)


class Blocked(AssertionError):
    """The loop's thread has called what blocks it."""


class LoopWatch:
    """Finds calls that would block the thread that makes it, and its loop: synchronous drivers', and `time.sleep`.

    Attributes:
        calls: What was called.
        statements: How many statements SQLite has executed in other threads.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[str] = []
        self.statements = 0
        self._thread = threading.get_ident()
        self._watch(monkeypatch, time, "sleep")
        self._watch(monkeypatch, psycopg.Connection, "wait")
        self._watch_sqlite(monkeypatch)

    def _called(self, name: str) -> None:
        if threading.get_ident() == self._thread:
            self.calls.append(name)
            raise Blocked(name)

    def _watch(self, monkeypatch: pytest.MonkeyPatch, owner: Any, name: str) -> None:
        original = getattr(owner, name)

        def call(*arguments: Any, **options: Any) -> Any:
            self._called(name)
            return original(*arguments, **options)

        monkeypatch.setattr(owner, name, call)

    def _watch_sqlite(self, monkeypatch: pytest.MonkeyPatch) -> None:
        import sqlite3  # noqa: PLC0415  # the module whose function is replaced

        watch, connect = self, sqlite3.connect

        class Cursor(sqlite3.Cursor):
            def execute(self, *arguments: Any) -> Any:
                watch._called("sqlite3 execute")
                watch.statements += 1
                return super().execute(*arguments)

            def executemany(self, *arguments: Any) -> Any:
                watch._called("sqlite3 executemany")
                return super().executemany(*arguments)

            def fetchall(self) -> Any:
                watch._called("sqlite3 fetchall")
                return super().fetchall()

        class Connection(sqlite3.Connection):
            def cursor(self, factory: Any = Cursor) -> Any:
                return super().cursor(factory)

            def execute(self, *arguments: Any) -> Any:
                return self.cursor().execute(*arguments)

            def commit(self) -> None:
                watch._called("sqlite3 commit")
                super().commit()

            def rollback(self) -> None:
                watch._called("sqlite3 rollback")
                super().rollback()

            def close(self) -> None:
                watch._called("sqlite3 close")
                super().close()

        def connected(*arguments: Any, **options: Any) -> sqlite3.Connection:
            watch._called("sqlite3 connect")
            connection: sqlite3.Connection = connect(*arguments, **{"factory": Connection, **options})
            return connection

        monkeypatch.setattr(sqlite3, "connect", connected)


@pytest.fixture
def loop_watch(monkeypatch: pytest.MonkeyPatch) -> LoopWatch:
    """Let calls fail that would block the test's loop."""
    return LoopWatch(monkeypatch)


async def eventually(condition: Callable[[], object]) -> None:
    """Return when a condition holds; fail after a minute."""
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110  # it waits for no event
            await asyncio.sleep(0.002)


def checked_out(store: AsyncEventStore) -> int:
    """Return how many connections are out of the store's pool."""
    pool: Any = store.engine.sync_engine.pool
    count: int = pool.checkedout()
    return count
