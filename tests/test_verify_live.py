"""`verify` finds nothing in a store that others append to meanwhile."""

import random
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Engine

from eventstore import ANY, Append, ConcurrencyConflict, EventStore, NewEvent
from eventstore.maintenance import Part, Progress, verify
from eventstore.projections import OnFailure, Projection, Worker

WRITERS = 4


class Undone(Exception):
    pass


class Writer:
    """Appends in all ways there are, to streams that others append to, too."""

    def __init__(self, engine: Engine, seed: int, stop: threading.Event) -> None:
        self._store = EventStore(engine)
        self._random = random.Random(seed)
        self._stop = stop
        self.appended = 0

    def __call__(self) -> int:
        ways = [self._one, self._at_version, self._many, self._undone, self._with_snapshot]
        while not self._stop.wait(self._random.uniform(0, 0.02)):  # otherwise the store grows faster than it is read
            try:
                self._random.choice(ways)()
            except (ConcurrencyConflict, Undone):
                continue
            self.appended += 1
        return self.appended

    def _stream(self) -> str:
        return f"{self._random.choice(['order', 'user'])}-{self._random.randint(1, 60):03}"

    def _events(self) -> list[NewEvent]:
        return [NewEvent("noted", {"n": number}) for number in range(self._random.randint(1, 4))]

    def _one(self) -> None:
        self._store.append(self._stream(), self._events(), expected_version=ANY)

    def _at_version(self) -> None:
        stream_id = self._stream()
        version = self._store.stream_version(stream_id)
        self._store.append(stream_id, self._events(), expected_version=version)

    def _many(self) -> None:
        self._store.append_many([Append(self._stream(), self._events(), expected_version=ANY) for _ in range(5)])

    def _undone(self) -> None:
        with self._store.transaction() as transaction:
            transaction.append(self._stream(), self._events(), expected_version=ANY)
            raise Undone

    def _with_snapshot(self) -> None:
        with self._store.transaction() as transaction:
            result = transaction.append(self._stream(), self._events(), expected_version=ANY)
            transaction.snapshots.save(result.stream_id, version=result.version, state={"n": 1})


@contextmanager
def writing(engine: Engine, seed: int) -> Iterator[list[Writer]]:
    """Let writers append, and a projection go on and put events aside, until the end."""
    stop = threading.Event()
    writers = [Writer(engine, seed + number, stop) for number in range(WRITERS)]
    worker = Worker(EventStore(engine), refusing())
    with ThreadPoolExecutor(WRITERS + 1) as threads:
        running = [threads.submit(writer) for writer in writers]
        projecting = threads.submit(worker.run_forever)
        try:
            yield writers
        finally:
            stop.set()
            worker.stop()
    projecting.result()
    assert all(each.result() for each in running)


def refusing() -> Projection:
    projection = Projection("refusing", on_failure=OnFailure.DEAD_LETTER)

    @projection.on("noted")
    def refuse(event: Any, _: Any) -> None:
        if event.stream_id.endswith("7"):
            raise ValueError

    return projection


def verify_again_and_again(engine: Engine, times: int) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    choose = random.Random(seed)
    seen: list[Progress] = []
    store = EventStore(engine)
    with writing(engine, seed) as writers:
        while min(writer.appended for writer in writers) == 0:
            time.sleep(0.01)
        for _ in range(times):
            batch_size = choose.choice([7, 50, 1000])
            assert list(verify(store, batch_size=batch_size, on_progress=seen.append)) == []
    assert any(step.place.part is Part.EVENTS and step.done > 0 for step in seen)
    print(f"{sum(writer.appended for writer in writers)} appends, {times} times verified")


@pytest.mark.slow
def test_verify_finds_nothing_while_others_write(any_engine: Engine) -> None:
    verify_again_and_again(any_engine, times=2)


@pytest.mark.long
def test_verify_finds_nothing_twenty_times_while_others_write(any_engine: Engine) -> None:
    verify_again_and_again(any_engine, times=20)
