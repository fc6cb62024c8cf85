"""Appends on condition with the library `eventsourcing`: its recorder for dynamic consistency boundaries."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

from eventsourcing.dcb.api import DCBAppendCondition, DCBEvent, DCBQuery, DCBQueryItem
from eventsourcing.dcb.persistence import DCBInfrastructureFactory
from eventsourcing.utils import Environment

ENROLLED = "student-enrolled"
_recorders: dict[str, Any] = {}


def use_boundaries(name: str, environment: dict[str, str]) -> None:
    """Open a recorder, whose tables and functions are made."""
    environment = {**environment, "PERSISTENCE_MODULE": "eventsourcing.dcb.postgres_tt"}
    factory: Any = DCBInfrastructureFactory.construct(Environment("dcb", environment))
    _recorders[name] = factory.dcb_recorder()


def decide_together(name: str, writers: int, count: int, data: str) -> float:
    """Return the seconds of an append when threads append on condition, each with tags of its own.

    What was read before is not part of the time: the head of the log.
    """
    recorder = _recorders[name]
    barrier = threading.Barrier(writers + 1)

    def write() -> None:
        head = recorder.read(limit=None, after=2**62).head or 0
        work = [_work(f"course:{uuid4()}", f"student:{uuid4()}", head, data) for _ in range(count)]
        barrier.wait()
        for events, condition in work:
            recorder.append(events, condition)

    with ThreadPoolExecutor(writers) as threads:
        running = [threads.submit(write) for _ in range(writers)]
        barrier.wait()
        begun = time.perf_counter()
        for each in running:
            each.result()
        return (time.perf_counter() - begun) / (writers * count)


def _work(course: str, student: str, head: int, data: str) -> tuple[list[DCBEvent], DCBAppendCondition]:
    query = DCBQuery([DCBQueryItem(tags=[course]), DCBQueryItem(types=[ENROLLED], tags=[student])])
    event = DCBEvent(ENROLLED, bytes.fromhex(data), [course, student])
    return [event], DCBAppendCondition(query, after=head)
