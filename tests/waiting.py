"""Proof that a call waits, from what knows it: PostgreSQL, SQLite's driver, or the thread that runs it.

A call that has not returned for some time may not have begun: then a test passes though the call would not have waited.
"""

import sys
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from typing import IO, Any, Final, ParamSpec, TypeVar

import psycopg
import pytest
from sqlalchemy import Connection, Engine, event

P = ParamSpec("P")
T = TypeVar("T")
Waiters = Callable[[], set[int]]

_TIMEOUT_SECONDS: Final = 60
_LOOKS: Final = 5
_BLOCKED: Final = """
    SELECT pid, pg_blocking_pids(pid) FROM pg_stat_activity
    WHERE wait_event_type = 'Lock' AND datname = current_database()
"""


def until(condition: Callable[[], object], *running: Future[Any]) -> None:
    """Return when a condition holds. Fails if one of the calls that run has ended before, or after a minute."""
    deadline = time.monotonic() + _TIMEOUT_SECONDS
    while not condition():
        ended = next((each for each in running if each.done()), None)
        if ended is not None:
            pytest.fail(f"it has not waited, but ended: {ended.exception() or ended.result()!r}")
        assert time.monotonic() < deadline, "it has not begun to wait"
        time.sleep(0.005)
    assert not any(each.done() for each in running)


def start_waiting(
    threads: Executor, holder: Connection, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs
) -> Future[T]:
    """Start a call; return when the database says that it waits for the transaction on the connection `holder`.

    Several may wait, one after the other; on PostgreSQL also for one that waits for the holder. On SQLite, the call has
    to take its connection from the holder's engine, and to begin with BEGIN IMMEDIATE.
    """
    with waiters_for(holder) as waiters:
        before = waiters()
        running = threads.submit(call, *args, **kwargs)
        until(lambda: waiters() - before, running)
    return running


@contextmanager
def waiters_for(holder: Connection, engine: Engine | None = None) -> Iterator[Waiters]:
    """Yield what returns a number for each session that waits for the holder.

    Args:
        holder: Its transaction has the lock. Nothing is executed on it.
        engine: On SQLite, whose connections are watched from now on; the holder's if None.
    """
    raw: Any = holder.connection.dbapi_connection
    if holder.dialect.name == "sqlite":
        with _refused_on_sqlite(engine or holder.engine) as waiters:
            yield waiters
        return
    url = holder.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(url, autocommit=True) as server:
        yield lambda: _blocked_by(server, raw.info.backend_pid)


def _blocked_by(server: psycopg.Connection[Any], pid: int) -> set[int]:
    """Return who waits for a lock that a process has, or for one who does."""
    blockers: dict[int, list[int]] = dict(server.execute(_BLOCKED).fetchall())
    found: set[int] = set()
    while more := {each for each, others in blockers.items() if {pid, *found} & set(others)} - found:
        found |= more
    return found


@contextmanager
def _refused_on_sqlite(engine: Engine) -> Iterator[Waiters]:
    """Yield what returns the connections on which the driver has executed BEGIN IMMEDIATE twice in a row.

    That is only possible if the first was refused, for another has the write lock. No hook of the engine is used: with
    one, the store would not execute by the driver alone.
    """
    executed: dict[int, deque[str]] = defaultdict(lambda: deque(maxlen=2))

    def note(connection: Any, *_: object) -> None:
        connection.set_trace_callback(executed[id(connection)].append)

    event.listen(engine.pool, "checkout", note)
    try:
        yield lambda: {each for each, last in executed.copy().items() if list(last) == ["BEGIN IMMEDIATE"] * 2}
    finally:
        event.remove(engine.pool, "checkout", note)


def start_reading(
    threads: Executor, engine: Engine, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs
) -> Future[T]:
    """Start a call that reads the global order; return when it waits for an append, on PostgreSQL.

    Readers lock nothing: they ask again and again who is appending. To read what there is, two answers are enough.
    """
    looks = 0

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        nonlocal looks
        looks += "pg_locks" in statement

    event.listen(engine, "after_cursor_execute", note)
    try:
        running = threads.submit(call, *args, **kwargs)
        until(lambda: looks >= _LOOKS, running)
    finally:
        event.remove(engine, "after_cursor_execute", note)
    return running


def stands_in(thread_id: int, function: Callable[..., Any]) -> bool:
    """Return whether a thread has called a function of Python that has not returned."""
    frame = sys._current_frames().get(thread_id)
    while frame is not None and frame.f_code is not function.__code__:
        frame = frame.f_back
    return frame is not None


def wait_until_it_says(stream: IO[str] | None, *texts: str) -> None:
    """Read what a process writes, up to a line that has some texts in it. Fails if it ends before."""
    assert stream is not None
    said = []
    for line in stream:
        if all(text in line for text in texts):
            return
        said.append(line)
    pytest.fail(f"it has not said {texts!r}, but ended: {''.join(said)}")
