"""How a call waits: its thread sleeps; or, on an engine for asyncio, its task lets others run."""

import time
from contextlib import AbstractContextManager
from typing import Any, Final, Protocol

from sqlalchemy import Connection, Engine

from eventstore.common.waker import Waker


class Wakes(Protocol):
    """Lets one caller sleep, and any thread wake it; see `Waker`."""

    def wake(self) -> None:
        """End the current `wait`, or the next one."""
        ...

    def wait(self, seconds: float, *others: Any) -> bool:
        """Sleep, unless woken, also by readable data on one of the others; return whether it was woken."""
        ...

    def close(self) -> object:
        """Give up what it needs to be woken."""
        ...


class Turns(Protocol):
    """Lets one caller at a time do something."""

    def turn(self, timeout_seconds: float) -> AbstractContextManager[None]:
        """Wait for the turn of this caller, which lasts until the end of the block.

        Raises:
            DatabaseBusy: It did not come in time.
        """
        ...


class Waiting(Protocol):
    """How the calls of one store wait."""

    def pause(self, seconds: float) -> None:
        """Wait for some time."""
        ...

    def waker(self) -> Wakes:
        """Return an object by which a call can wait until it is woken."""
        ...

    def turns(self) -> Turns | None:
        """Return turns for callers who would otherwise try again and again; None if they may do that."""
        ...

    def connect(self, engine: Engine) -> AbstractContextManager[Connection]:
        """Take a connection from the pool, and return it at the end of the block, also of one that is cancelled.

        Raises:
            SynchronousCall: The engine is for asyncio, and nothing awaits this call.
        """
        ...

    def check(self) -> None:
        """Check that the caller can wait.

        Raises:
            SynchronousCall: As for `connect`.
        """
        ...


class ThreadWaiting:
    """The thread that calls waits."""

    def pause(self, seconds: float) -> None:
        """Let the thread sleep."""
        time.sleep(seconds)

    def waker(self) -> Wakes:
        """Return a waker of threads."""
        return Waker()

    def turns(self) -> None:
        """Return None."""

    connect = staticmethod(Engine.connect)
    """SQLAlchemy's own, whose connection closes itself: without a call of ours on the way."""

    def check(self) -> None:
        """Do nothing: a thread can wait."""


THREAD: Final[Waiting] = ThreadWaiting()


def waiting_on(engine: Engine) -> Waiting:
    """Return how calls on an engine wait."""
    if not engine.dialect.is_async:
        return THREAD
    from eventstore.backends.tasks import TASK  # noqa: PLC0415  # only for engines for asyncio

    return TASK
