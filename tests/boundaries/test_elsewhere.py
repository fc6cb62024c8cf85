"""Boundaries that are kept over a failover, and over a restore into a new cluster."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from eventstore import ANY, EventFilter, EventStore, NewEvent, migrations
from eventstore.errors import BoundaryChanged
from tests.fix_clusters import Cluster
from tests.readers import opened
from tests.waiting import start_waiting

pytestmark = [pytest.mark.slow, pytest.mark.long]

COURSE = EventFilter(tags=["course:1"])
UNTAGGED = EventFilter(event_types=["enrolled"])
LOST = 70
"""A sequence logs 32 positions ahead, so that a log which has lost fewer draws none of them again."""


def enrolled(number: int = 1) -> list[NewEvent]:
    return [NewEvent("enrolled", tags=["course:1"]) for _ in range(number)]


def test_a_boundary_that_is_kept_over_a_failover_is_refused_if_it_knows_what_was_lost(
    cluster: Cluster, new_cluster: Callable[[], Cluster]
) -> None:
    with opened(cluster.url) as engine:
        migrations.upgrade(engine)
        store = EventStore(engine)
        store.append("a-1", enrolled(), expected_version=ANY)
        standby = new_cluster()
        standby.follow(cluster)
        standby.catch_up(cluster)
        standby.stop_receiving()
        kept = store.read_boundary(COURSE)
        kept_untagged = store.read_boundary(UNTAGGED, lock_all_appends=True)
        last = store.append("a-1", enrolled(LOST), expected_version=ANY)
        lost = store.read_boundary(COURSE)
        lost_untagged = store.read_boundary(UNTAGGED, lock_all_appends=True)
        assert (len(kept), len(lost)) == (1, 1 + LOST)
    cluster.kill()
    standby.promote()
    with opened(standby.url) as engine:
        store = EventStore(engine)
        for boundary in (lost, lost_untagged):
            with pytest.raises(BoundaryChanged, match="no longer has"):
                store.append("b-1", NewEvent("n"), expected_version=ANY, condition=boundary)
        for boundary in (kept, kept_untagged):
            store.append("b-1", NewEvent("n"), expected_version=ANY, condition=boundary)
        again = store.append("a-1", enrolled(LOST + 40), expected_version=ANY)
        assert again.position > last.position
        assert last.position in {event.position for event in store.read_boundary(COURSE)}
        for boundary in (lost, lost_untagged, kept, kept_untagged):
            with pytest.raises(BoundaryChanged):
                store.append("b-1", NewEvent("n"), expected_version=ANY, condition=boundary)
        assert store.stream_version("b-1") == 2


def test_a_boundary_is_valid_in_a_new_cluster_that_was_restored_from_a_dump(
    cluster: Cluster, new_cluster: Callable[[], Cluster]
) -> None:
    dump = cluster.data.parent / "dump"
    with opened(cluster.url) as engine:
        migrations.upgrade(engine)
        store = EventStore(engine)
        store.append("a-1", enrolled(3), expected_version=ANY)
        before = store.read_boundary(COURSE)
        untagged = store.read_boundary(UNTAGGED, lock_all_appends=True)
        cluster.run("pg_dump", *cluster.address, "-Fc", "-f", str(dump), "postgres")
        store.append("a-1", enrolled(), expected_version=ANY)
        after = store.read_boundary(COURSE)
    restored = new_cluster()
    restored.create()
    restored.start()
    restored.query("CREATE TABLE another (n int)")  # so that the tables have other oids
    restored.run("pg_restore", *restored.address, "-d", "postgres", str(dump))
    with opened(restored.url) as engine, ThreadPoolExecutor(1) as threads:
        store = EventStore(engine)
        with pytest.raises(BoundaryChanged, match="no longer has"):
            store.append("b-1", enrolled(), expected_version=ANY, condition=after)
        with store.transaction() as tx:
            tx.append("b-1", enrolled(), expected_version=ANY, condition=[before, untagged])
            running = start_waiting(
                threads, tx.connection, store.append, "b-2", enrolled(), expected_version=ANY, condition=before
            )
        with pytest.raises(BoundaryChanged):
            running.result()
        assert len(store.read_boundary(COURSE)) == 4
