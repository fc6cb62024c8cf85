"""Writers that begin together: in threads, or in processes of their own."""

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import get_context
from multiprocessing.synchronize import Barrier
from typing import Any, Final
from uuid import uuid4

import psycopg

from benchmarks import raw
from benchmarks.events import METADATA, event_types, new_events
from benchmarks.peers import Peer
from eventstore import ANY, EventStore

_TIMEOUT_SECONDS: Final = 120.0
"""A writer that has failed must not let the others wait for ever."""


def in_threads(store: EventStore, writers: int, count: int, *, one_stream: bool = False) -> Callable[[], float]:
    """Return us, with threads that share a store; the time is that of an event, over all writers."""

    def run() -> float:
        hot = f"basket-{uuid4()}"
        barrier = threading.Barrier(writers + 1)

        def write() -> None:
            work = [(hot if one_stream else f"basket-{uuid4()}", [event]) for event in new_events(count)]
            barrier.wait(_TIMEOUT_SECONDS)
            for stream_id, events in work:
                store.append(stream_id, events, expected_version=ANY if one_stream else 0, metadata=METADATA)

        with ThreadPoolExecutor(writers) as threads:
            running = [threads.submit(write) for _ in range(writers)]
            barrier.wait(_TIMEOUT_SECONDS)
            begun = time.perf_counter()
            for each in running:
                each.result()
            return (time.perf_counter() - begun) / (writers * count)

    return run


def raw_in_threads(connections: Sequence[psycopg.Connection], count: int) -> Callable[[], float]:
    """Return the driver alone, with a thread for each connection."""

    def run() -> float:
        stream_ids = [[f"raw-{uuid4()}" for _ in range(count)] for _ in connections]
        for each in stream_ids:
            raw.create_heads(connections[0], each, 1)
        barrier = threading.Barrier(len(connections) + 1)

        def write(connection: psycopg.Connection, ids: list[str]) -> None:
            made = [raw.rows(stream_id, 1)[0] for stream_id in ids]
            cursor = connection.cursor()
            barrier.wait(_TIMEOUT_SECONDS)
            for row in made:
                cursor.execute(raw.INSERT, row)

        with ThreadPoolExecutor(len(connections)) as threads:
            running = [threads.submit(write, *each) for each in zip(connections, stream_ids, strict=True)]
            barrier.wait(_TIMEOUT_SECONDS)
            begun = time.perf_counter()
            for future in running:
                future.result()
            return (time.perf_counter() - begun) / (len(connections) * count)

    return run


def peers_together(peers: Sequence[Peer | None], *, name: str, count: int) -> Callable[[], float] | None:
    """Return a peer that appends in several processes at the same time; the time is that of an event, over all."""
    there = [peer for peer in peers if peer is not None]
    if not there:
        return None

    def run() -> float:
        for peer in there:
            peer.send("append_to_new", name=name, count=count)
        return 1 / sum(1 / float(peer.receive()) for peer in there)

    return run


class Processes:
    """Writers in processes of their own, which stay for all rounds."""

    def __init__(self, url: str, writers: int, count: int) -> None:
        context = get_context("spawn")
        self._writers, self._count = writers, count
        self._barrier = context.Barrier(writers + 1)
        self._pipes = []
        self._processes = []
        for _ in range(writers):
            ours, theirs = context.Pipe()
            process = context.Process(target=_write, args=(url, count, self._barrier, theirs), daemon=True)
            process.start()
            self._pipes.append(ours)
            self._processes.append(process)

    def run(self) -> float:
        """Let all write once; the time is that of an event, over all writers."""
        for pipe in self._pipes:
            pipe.send("write")
        self._barrier.wait(_TIMEOUT_SECONDS)
        begun = time.perf_counter()
        for pipe in self._pipes:
            assert pipe.poll(_TIMEOUT_SECONDS), "a writer does not answer"
            pipe.recv()
        return (time.perf_counter() - begun) / (self._writers * self._count)

    def close(self) -> None:
        """End the processes."""
        for pipe in self._pipes:
            pipe.send(None)
        for process in self._processes:
            process.join(30)


def _write(url: str, count: int, barrier: Barrier, pipe: Any) -> None:
    with EventStore.from_url(url, event_types=event_types) as store:
        store.stream_version("basket-1")
        while pipe.recv():
            work = [(f"basket-{uuid4()}", [event]) for event in new_events(count)]
            barrier.wait(_TIMEOUT_SECONDS)
            for stream_id, events in work:
                store.append(stream_id, events, expected_version=0, metadata=METADATA)
            pipe.send("written")
