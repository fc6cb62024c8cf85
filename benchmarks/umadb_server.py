"""UmaDB: its server in a process of its own, its client in ours. Both come with its package.

Its settings are its defaults, with which each commit is flushed: strace shows its `fdatasync`, and there is no option
to leave it out. A stream is a tag. What another store calls the expected version is a condition here: that no event
has the tag yet.
"""

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Final, Self
from uuid import uuid4

import umadb

from benchmarks import raw
from benchmarks.boundaries import DATA, ENROLLED
from benchmarks.events import METADATA

VERSION: Final = version("umadb")
_METADATA: Final = {name: str(value) for name, value in METADATA.items()}
_READY_TIMEOUT_SECONDS: Final = 15.0
_TIMEOUT_SECONDS: Final = 120.0


class UmaDB:
    """A server on a free port of 127.0.0.1; a context manager."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port: int = free.getsockname()[1]
        self._folder = folder

    def __enter__(self) -> Self:
        program = Path(sys.executable).with_name("umadb")
        options = ["--listen", f"127.0.0.1:{self._port}", "--db-path", str(self._folder)]
        self._process = subprocess.Popen(
            [str(program), *options], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self.client = self._connected()
        return self

    def _connected(self) -> umadb.Client:
        deadline = time.monotonic() + _READY_TIMEOUT_SECONDS
        while True:
            try:
                client = umadb.Client(f"http://127.0.0.1:{self._port}")
                client.head()
            except (umadb.TransportError, OSError):
                if self._process.poll() is not None or time.monotonic() > deadline:
                    self.__exit__(None, None, None)
                    raise
                time.sleep(0.05)
            else:
                return client

    def __exit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._process.terminate()
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(30)

    def to_new(self, count: int, *, size: int = 1, checked: bool = True) -> Callable[[], float]:
        """Return a contestant that appends to so many new streams; its time is that of an event.

        Args:
            count: How many appends a round has.
            size: How many events an append has.
            checked: Whether it makes sure that the stream is new, as the others do.
        """

        def run() -> float:
            work = [_new_stream(size) for _ in range(count)]
            return raw.seconds_of(lambda part: self._append(*part, checked=checked), work) / size

        return run

    def together(self, writers: int, count: int, *, checked: bool = True) -> Callable[[], float]:
        """Return a contestant of so many threads, which share a client; its time is that of an event, over all."""

        def run() -> float:
            barrier = threading.Barrier(writers + 1)

            def write() -> None:
                work = [_new_stream(1) for _ in range(count)]
                barrier.wait(_TIMEOUT_SECONDS)
                for stream_id, events in work:
                    self._append(stream_id, events, checked=checked)

            with ThreadPoolExecutor(writers) as threads:
                running = [threads.submit(write) for _ in range(writers)]
                barrier.wait(_TIMEOUT_SECONDS)
                begun = time.perf_counter()
                for each in running:
                    each.result()
                return (time.perf_counter() - begun) / (writers * count)

        return run

    def deciding(self, writers: int, count: int) -> Callable[[], float]:
        """Return a contestant of threads that append on condition of two queries; its time is that of an append.

        The head of the log is read beforehand.
        """

        def run() -> float:
            barrier = threading.Barrier(writers + 1)

            def write() -> None:
                head = self.client.head()
                work = [_decision(head) for _ in range(count)]
                barrier.wait(_TIMEOUT_SECONDS)
                for events, condition in work:
                    self.client.append(events, condition)

            with ThreadPoolExecutor(writers) as threads:
                running = [threads.submit(write) for _ in range(writers)]
                barrier.wait(_TIMEOUT_SECONDS)
                begun = time.perf_counter()
                for each in running:
                    each.result()
                return (time.perf_counter() - begun) / (writers * count)

        return run

    def _append(self, stream_id: str, events: Sequence[umadb.Event], *, checked: bool) -> None:
        if checked:
            is_new = umadb.AppendCondition(umadb.Query([umadb.QueryItem(tags=[stream_id])]))
            self.client.append(events, is_new)
        else:
            self.client.append(events)


def _new_stream(size: int) -> tuple[str, list[umadb.Event]]:
    """Return a new stream and its events, whose payloads are encoded beforehand."""
    stream_id = f"basket-{uuid4()}"
    made = raw.rows(stream_id, size)
    return stream_id, [umadb.Event(row[3], row[6], tags=[stream_id], uuid=row[2], metadata=_METADATA) for row in made]


def _decision(head: int | None) -> tuple[list[umadb.Event], umadb.AppendCondition]:
    """Return an event with two tags, and the condition that no event after the head matches one of two queries."""
    course, student = f"course:{uuid4()}", f"student:{uuid4()}"
    query = umadb.Query([umadb.QueryItem(tags=[course]), umadb.QueryItem(types=[ENROLLED], tags=[student])])
    return [umadb.Event(ENROLLED, DATA, tags=[course, student])], umadb.AppendCondition(query, after=head)
