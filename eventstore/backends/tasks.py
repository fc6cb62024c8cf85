"""Engines for asyncio: synchronous code that a task awaits.

SQLAlchemy runs the code in a greenlet. Where the driver has to be awaited, the greenlet hands the awaitable over to the
task, and goes on with the result. So the loop's thread never waits for the database, and other tasks run meanwhile.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, Final, ParamSpec, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.util import concurrency

from eventstore.backends.waiting import Turns, Waiting, Wakes
from eventstore.errors import DatabaseBusy, SynchronousCall

Result = TypeVar("Result")
Parameters = ParamSpec("Parameters")

_names: Final[Any] = concurrency
_await: Final[Callable[[Awaitable[Any]], Any]] = getattr(_names, "await_", None) or _names.await_only
"""SQLAlchemy 2.0 has the second name only, and 2.2 deprecates it."""


async def spawn(
    function: Callable[Parameters, Result], *arguments: Parameters.args, **options: Parameters.kwargs
) -> Result:
    """Call a synchronous function that uses an engine for asyncio, and await what it waits for.

    It runs in a task of its own, with a copy of the context variables. If the calling task is cancelled, CancelledError
    is raised where the function waits, but once only, and this does not return before the function has ended: what it
    does then, such as to return a connection, is not cancelled.
    """
    return await _end_of(asyncio.create_task(_in_greenlet(function, *arguments, **options)), hands_on=True)


async def _in_greenlet(
    function: Callable[Parameters, Result], *arguments: Parameters.args, **options: Parameters.kwargs
) -> Result:
    result: Result = await _names.greenlet_spawn(function, *arguments, **options)
    return result


async def _end_of(task: asyncio.Task[Result], *, hands_on: bool) -> Result:
    """Return the result of a task when it has ended, however often the calling task is cancelled.

    Args:
        task: The task.
        hands_on: Whether to cancel it, once, when the calling task is cancelled.
    """
    cancellation: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:  # `anyio` cancels a task again and again until it ends
            if hands_on and cancellation is None:
                task.cancel()
            cancellation = error
    if cancellation is None:
        return task.result()
    if not task.cancelled():
        task.exception()  # asyncio would log that no one has asked
    try:
        raise cancellation
    finally:  # the error refers to this frame: what the task has used would stay until the garbage collector runs
        del cancellation, task


def await_(awaitable: Awaitable[Result]) -> Result:
    """Await something in synchronous code that was called by `spawn`.

    Raises:
        SynchronousCall: It was not.
    """
    if not concurrency.in_greenlet():
        if asyncio.iscoroutine(awaitable):
            awaitable.close()
        raise SynchronousCall
    result: Result = _await(awaitable)
    return result


def finish(awaitable: Coroutine[Any, Any, object]) -> None:
    """Await something to its end in synchronous code that was called by `spawn`, also if the task is cancelled.

    Raises:
        CancelledError: It was; raised at the end.
    """
    await_(_end_of(asyncio.create_task(awaitable), hands_on=False))


def within(seconds: float, function: Callable[[], Result]) -> Result | None:
    """Call a function, and cancel it if it takes too long; return its result, or None."""

    async def limited() -> Result | None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                return await spawn(function)
        return None

    return await_(limited())


class TaskWaker:
    """Lets one task sleep, and any thread wake it."""

    def __init__(self) -> None:
        self._is_woken = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._event = asyncio.Event()

    def wake(self) -> None:
        """End the current `wait`, or the next one. Can be called from any thread, and from a signal handler."""
        self._is_woken = True
        loop = self._loop
        if loop is not None:
            with suppress(RuntimeError):  # the loop is closed, so nothing waits any more
                loop.call_soon_threadsafe(self._event.set)

    def wait(self, seconds: float, *others: Any) -> bool:
        """Sleep, unless woken; see `Wakes`."""
        return await_(self._wait(seconds, others))

    async def _wait(self, seconds: float, others: tuple[Any, ...]) -> bool:
        # `wake` sets the flag before it looks for the loop, so one of the two notices the other
        self._loop = loop = asyncio.get_running_loop()
        try:
            for source in others:
                loop.add_reader(source.fileno(), self._event.set)
            if not self._is_woken:
                with suppress(TimeoutError):
                    async with asyncio.timeout(max(seconds, 0)):
                        await self._event.wait()
            return self._is_woken or self._event.is_set()
        finally:
            for source in others:
                loop.remove_reader(source.fileno())
            self._loop, self._is_woken = None, False
            self._event.clear()

    def close(self) -> None:
        """Do nothing: there is nothing to give up."""


class TaskTurns:
    """Lets one task at a time do something, in the order in which they came."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lock = asyncio.Lock()

    @contextmanager
    def turn(self, timeout_seconds: float) -> Iterator[None]:
        """Wait for the turn of this task, which lasts until the end of the block.

        Raises:
            DatabaseBusy: It did not come in time.
        """
        loop = asyncio.get_running_loop()
        if loop is not self._loop:  # a lock is for one loop
            self._loop, self._lock = loop, asyncio.Lock()
        lock = self._lock

        async def acquire() -> None:
            async with asyncio.timeout(timeout_seconds):
                await lock.acquire()

        try:
            await_(acquire())
        except TimeoutError:
            raise DatabaseBusy(timeout_seconds) from None
        try:
            yield
        finally:
            lock.release()


class TaskWaiting:
    """The task waits in which `spawn` makes the call."""

    def pause(self, seconds: float) -> None:
        """Let other tasks run meanwhile."""
        await_(asyncio.sleep(seconds))

    def waker(self) -> Wakes:
        """Return a waker of tasks."""
        return TaskWaker()

    def turns(self) -> Turns:
        """Return turns of tasks."""
        return TaskTurns()

    @contextmanager
    def connect(self, engine: Engine) -> Iterator[Connection]:
        """Take a connection, which is returned when the block has ended, also if the task is cancelled then.

        A connection on which a call was cancelled is closed: no one has to know what was set on it by then.
        """
        self.check()
        connection = engine.connect()
        end = connection.close
        try:
            yield connection
        except BaseException as error:
            if not isinstance(error, Exception):
                end = partial(_discard, connection)
            raise
        finally:
            # To cancel SQLAlchemy's return of a connection to the pool would lose the connection, and before SQLAlchemy
            # 2.1 its place in the pool as well.
            finish(_in_greenlet(end))

    def check(self) -> None:
        """Check that the call was made by `spawn`, or by SQLAlchemy's `run_sync`."""
        if not concurrency.in_greenlet():
            raise SynchronousCall


def close_when_cancelled(engine: Engine) -> None:
    """Close each connection whose opening is cancelled: aiosqlite forgets it, open.

    This is done in the dialect, because a hook of the engine would count as a listener.
    """
    connect = engine.dialect.connect

    def finish(function: Callable[[], object]) -> None:
        await_(_end_of(asyncio.create_task(_in_greenlet(function)), hands_on=False))

    def connect_to_the_end(*arguments: Any, **options: Any) -> Any:
        TASK.check()
        opened: list[Any] = []
        try:
            finish(lambda: opened.append(connect(*arguments, **options)))
        except asyncio.CancelledError:
            for connection in opened:
                finish(connection.close)
            raise
        return opened[0]

    engine.dialect.connect = connect_to_the_end  # type: ignore[method-assign]  # for this engine's dialect only


def _discard(connection: Connection) -> None:
    connection.invalidate()
    connection.close()


TASK: Final[Waiting] = TaskWaiting()
