"""The readers of each tenant miss nothing, while one store serves all of them in many threads."""

import random
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest
from django.db import connection, transaction

from eventstore import ANY, NewEvent, RecordedEvent
from eventstore.contrib.django import get_store
from eventstore.projections import Projection, Worker
from tests.test_django_tenants import Project, project_on, tenants_url

__all__ = ["tenants_url"]  # a fixture

pytestmark = [pytest.mark.postgresql, pytest.mark.slow]

TENANTS = ("a", "b")
Rows = list[tuple[int, str]]

projection = Projection("seen")


@projection.on("made", "ended")
def note(event: RecordedEvent, target: Any) -> None:
    with target.cursor() as cursor:
        cursor.execute("INSERT INTO seen (position, stream_id) VALUES (%s, %s)", [event.position, event.stream_id])


def write(chance: random.Random, stream_id: str) -> Rows:
    """Append in transactions that take their time, some of which are rolled back; return what was committed."""
    stored = []
    for _ in range(25):
        with suppress(ZeroDivisionError):
            with transaction.atomic():
                appended = get_store().append(stream_id, [NewEvent("made")], expected_version=ANY)
                time.sleep(chance.random() * 0.01)
                _ = 1 // (chance.random() > 0.2)
            stored.append((appended.position, stream_id))
    return stored


def subscribe() -> Rows:
    read: Rows = []
    with get_store().subscribe(after_position=0) as subscription:
        for event in subscription:
            if event.event_type == "ended":
                break
            read.append((event.position, event.stream_id))
    return read


def project() -> Rows:
    worker = Worker(get_store(), projection)
    while True:
        worker.run_until_caught_up()
        with connection.cursor() as cursor:
            cursor.execute("SELECT position, stream_id FROM seen ORDER BY position")
            noted: Rows = cursor.fetchall()
        if noted and noted[-1][1] == "end":
            return noted[:-1]


@pytest.mark.parametrize("way", ["SET", "backend"])
def test_the_readers_of_each_tenant_miss_nothing(way: str, tenants_url: str, in_thread: Callable[..., Any]) -> None:
    seed = random.randrange(10**9)
    print(f"seed {seed}")
    with project_on(tenants_url, way) as tenants, ThreadPoolExecutor(10) as pool:
        for tenant in TENANTS:
            set_up(tenants, tenant)

        def start(tenant: str, work: Callable[..., Rows], *arguments: Any) -> Future[Rows]:
            def as_tenant() -> Rows:
                tenants.choose(tenant)
                return work(*arguments)

            return pool.submit(in_thread, as_tenant)

        readers = {tenant: [start(tenant, subscribe), start(tenant, project)] for tenant in TENANTS}
        writers = {
            tenant: [start(tenant, write, random.Random(f"{seed} {tenant} {n}"), f"{tenant}-{n}") for n in range(3)]
            for tenant in TENANTS
        }
        stored = {tenant: sorted(row for each in found for row in each.result(60)) for tenant, found in writers.items()}
        for tenant in TENANTS:
            tenants.choose(tenant)
            get_store().append("end", [NewEvent("ended")], expected_version=ANY)
        read = {tenant: [each.result(60) for each in found] for tenant, found in readers.items()}
    assert read == {tenant: [rows, rows] for tenant, rows in stored.items()}
    assert all(len(rows) > 30 for rows in stored.values())


def set_up(tenants: Project, tenant: str) -> None:
    tenants.choose(tenant)
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE seen (position bigint PRIMARY KEY, stream_id text NOT NULL)")
