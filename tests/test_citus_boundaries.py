"""Tags and appends on condition on Citus by schema, on a real cluster: tests/fix_citus.py."""

import random
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack

import psycopg
import pytest
from sqlalchemy import Engine, create_engine, make_url, text

from eventstore import ANY, AppendResult, EventFilter, EventStore, NewEvent, maintenance
from eventstore.backends.protocol import TagLocks
from eventstore.errors import BoundaryChanged, PositionsBehind, SeveralTenants
from eventstore.testing.boundary_oracle import Courses
from tests.test_citus import move, placement
from tests.waiting import start_waiting, until

COURSE = EventFilter(tags=["course:1"])
KEY = """SELECT ~hashtextextended('course:1', CAST(to_regclass(:tags) AS OID)::BIGINT)"""

KNOWN = """
SELECT known.transaction_number > 0 FROM pg_locks JOIN get_all_active_transactions() AS known ON known.process_id = pid
WHERE NOT granted AND locktype = 'advisory'
"""


@pytest.fixture
def store(citus_engine: Engine, citus_schemas: tuple[str, str]) -> EventStore:
    return EventStore(citus_engine, schema=citus_schemas[0])


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as executor:
        yield executor


class Orphan:
    """What a coordinator that has crashed has left on the worker: an append that is not committed there yet.

    Args:
        store: The store, which it has appended to. The positions are drawn by the coordinator.
        position: A position that the coordinator has forgotten; None for the next one.
    """

    def __init__(self, store: EventStore, position: int | None = None) -> None:
        schema = store.core.dialect.schema
        self.shard, host, port = placement(store.engine, str(schema))
        with store.engine.begin() as connection:
            (key,) = connection.execute(text(KEY), {"tags": f'"{schema}".es_event_tags'}).one()
            if position is None:
                position = connection.scalar(text(f"""SELECT nextval('"{schema}".es_events_position_seq')"""))
            query = text("SELECT shardid FROM pg_dist_shard WHERE logicalrelid = to_regclass(:name)")
            tags = connection.scalar(query, {"name": f'"{schema}".es_event_tags'})
        self.position = position
        url = make_url(store.engine.url).set(drivername="postgresql", host=host, port=port)
        self.worker = psycopg.connect(url.render_as_string(hide_password=False))
        self.worker.execute("SET citus.enable_manual_changes_to_shards = on")
        self.worker.execute("SELECT pg_advisory_xact_lock(%s)", (key,))
        self.worker.execute(
            f'INSERT INTO "{schema}".es_events_{self.shard} (position, stream_id, version, event_id, event_type, '
            "schema_version, codec, data, metadata) OVERRIDING SYSTEM VALUE "
            "SELECT %s, stream_id, version + 1, gen_random_uuid(), event_type, 1, 1, '\\x80', "
            f"""'{{"$tags": ["course:1"]}}' FROM "{schema}".es_events_{self.shard} ORDER BY position DESC LIMIT 1""",
            (position,),
        )
        self.worker.execute(
            f"""INSERT INTO "{schema}".es_event_tags_{tags} (position, tag, event_type) VALUES (%s, 'course:1', 'a')""",
            (position,),
        )

    def is_waited_for(self) -> bool:
        """Return whether a session on the worker waits for its tags."""
        query = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        return bool(self.worker.execute(query).fetchall())


LeaveOrphan = Callable[..., Orphan]


@pytest.fixture
def leave_orphan(store: EventStore) -> Iterator[LeaveOrphan]:
    """Return a function that makes orphans; their sessions are ended before the schema is dropped."""
    with ExitStack() as stack:

        def leave(position: int | None = None) -> Orphan:
            orphan = Orphan(store, position)
            stack.callback(orphan.worker.close)
            return orphan

        yield leave


def append(store: EventStore, threads: ThreadPoolExecutor, orphan: Orphan, **options: object) -> Future[AppendResult]:
    running = threads.submit(
        store.append,
        "b-1",
        NewEvent("a", tags=["course:1"]),
        expected_version=ANY,
        **options,  # type: ignore[arg-type]  # of the test's
    )
    until(orphan.is_waited_for, running)
    return running


def test_one_that_has_ended_on_the_coordinator_alone_keeps_its_tags_locked(
    store: EventStore, threads: ThreadPoolExecutor, leave_orphan: LeaveOrphan
) -> None:
    store.append("a-1", NewEvent("a"), expected_version=0)
    boundary = store.read_boundary(COURSE)
    orphan = leave_orphan()
    running = append(store, threads, orphan, condition=boundary)
    orphan.worker.commit()
    with pytest.raises(BoundaryChanged) as refused:
        running.result()
    assert refused.value.position == orphan.position


def test_it_frees_them_if_it_is_rolled_back(
    store: EventStore, threads: ThreadPoolExecutor, leave_orphan: LeaveOrphan
) -> None:
    store.append("a-1", NewEvent("a"), expected_version=0)
    boundary = store.read_boundary(COURSE)
    orphan = leave_orphan()
    running = append(store, threads, orphan, condition=boundary)
    orphan.worker.rollback()
    running.result()
    assert len(store.read_boundary(COURSE)) == 1


def test_no_event_gets_a_position_before_one_with_its_tag(
    store: EventStore, threads: ThreadPoolExecutor, leave_orphan: LeaveOrphan
) -> None:
    """A coordinator that crashes can lose positions that it has drawn. The next append would get a lower one."""
    store.append("a-1", NewEvent("a"), expected_version=0)
    orphan = leave_orphan(position=20)
    running = append(store, threads, orphan)
    orphan.worker.commit()
    with pytest.raises(PositionsBehind):
        running.result()
    assert [event.position for event in store.read_boundary(COURSE)] == [20]


def test_a_tenant_is_not_moved_while_its_tags_are_locked(store: EventStore, threads: ThreadPoolExecutor) -> None:
    schema = str(store.core.dialect.schema)
    store.append("a-1", NewEvent("a"), expected_version=0)
    before = placement(store.engine, schema)
    with store.transaction() as tx:
        with tx.core.execution.statement() as run:
            tx.core.dialect.lock_tags(run, TagLocks(frozenset({"course:1"})))
        moving = start_waiting(threads, tx.connection, move, store.engine, schema, before[2])
        assert placement(store.engine, schema) == before
        tx.append("a-2", NewEvent("a", tags=["course:1"]), expected_version=0)
    moving.result()
    assert placement(store.engine, schema) != before
    assert len(store.read_boundary(COURSE)) == 1


def test_those_who_only_read_a_tag_do_not_exclude_each_other(store: EventStore, threads: ThreadPoolExecutor) -> None:
    boundary = store.read_boundary(COURSE)
    with store.transaction() as tx:
        tx.append("a-1", NewEvent("a", tags=["x"]), expected_version=ANY, condition=boundary)
        store.append("a-2", NewEvent("a", tags=["y"]), expected_version=ANY, condition=boundary)
        writing = start_waiting(
            threads, tx.connection, store.append, "a-3", NewEvent("a", tags=["course:1"]), expected_version=ANY
        )
    assert writing.result().version == 1


def test_citus_knows_those_who_wait_for_tags(store: EventStore, threads: ThreadPoolExecutor) -> None:
    """It takes all that it does not know for one transaction, and cancels some of them for a deadlock that is none."""
    with store.transaction() as one, store.transaction() as other:  # the first append of a connection checks more
        one.append("a-1", NewEvent("a"), expected_version=0)
        other.append("b-1", NewEvent("a"), expected_version=0)
    with store.transaction() as tx:
        tx.append("a-2", NewEvent("a", tags=["course:1"]), expected_version=ANY)
        waiting = start_waiting(
            threads, tx.connection, store.append, "a-3", NewEvent("a", tags=["course:1"]), expected_version=ANY
        )
        with store.engine.connect() as connection:
            known = connection.execute(text(KNOWN)).scalars().all()
    assert waiting.result().version == 1
    assert known == [True]


def test_a_decision_across_tenants_is_refused(citus_engine: Engine, citus_schemas: tuple[str, str]) -> None:
    one, other = (EventStore(citus_engine, schema=schema) for schema in citus_schemas)
    boundary = other.read_boundary(COURSE)
    with citus_engine.begin() as connection:
        one.join(connection).append("a-1", NewEvent("a", tags=["course:1"]), expected_version=0)
        with pytest.raises(SeveralTenants):
            other.join(connection).append("a-1", NewEvent("a"), expected_version=0, condition=boundary)
    assert other.stream_version("a-1") == 0


def test_two_tenants_with_the_same_tag_do_not_wait_for_each_other(
    citus_engine: Engine, citus_schemas: tuple[str, str]
) -> None:
    one, other = (EventStore(citus_engine, schema=schema) for schema in citus_schemas)
    with one.transaction() as tx:
        tx.append("a-1", NewEvent("a", tags=["course:1"]), expected_version=0)
        other.append("a-1", NewEvent("a", tags=["course:1"]), expected_version=0)


def test_tags_are_repaired(store: EventStore) -> None:
    store.append("a-1", [NewEvent("a", tags=["course:1"]), NewEvent("b", tags=["x"])], expected_version=0)
    boundary = store.read_boundary(COURSE)
    with store.engine.begin() as connection:
        connection.execute(text(f"""DELETE FROM "{store.core.dialect.schema}".es_event_tags WHERE tag = 'x'"""))
    repairs = maintenance.plan(maintenance.verify(store))
    assert len(list(maintenance.repair(store, repairs))) == 1
    assert list(maintenance.verify(store)) == []
    with pytest.raises(BoundaryChanged, match="tags were added"):
        store.append("a-2", NewEvent("a"), expected_version=0, condition=boundary)


def test_events_are_given_tags_afterwards(store: EventStore) -> None:
    store.append("a-1", NewEvent("a", {"course": 1}, metadata={"by": "me"}), expected_version=0)
    store.append("a-2", NewEvent("a", {"course": 1}, tags=["x"]), expected_version=0)
    assert maintenance.fill_tags(store, tags_of=lambda event: [f"course:{event.data['course']}"]).tagged == 2
    one, other = store.read_boundary(COURSE)
    assert (one.tags, one.metadata, other.tags) == (("course:1",), {"by": "me"}, ("x", "course:1"))
    assert list(maintenance.verify(store)) == []


# --- the oracle


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_no_decision_is_blind_while_the_tenant_moves(
    citus_url: str, citus_schemas: tuple[str, str], threads: ThreadPoolExecutor
) -> None:
    seed = random.randrange(10**6)
    print("seed", seed)
    engine = create_engine(citus_url, pool_size=20)
    courses = Courses(EventStore(engine, schema=citus_schemas[0]), seed=seed, locks_all_appends=False)
    before = placement(engine, citus_schemas[0])
    running = threads.submit(courses.run, writers=16, seconds=20)
    move(engine, citus_schemas[0], before[2])
    running.result()
    print(courses.counts)
    assert placement(engine, citus_schemas[0]) != before
    assert min(courses.counts["stored"], courses.counts["refused"]) > 20
    courses.judge()
    engine.dispose()
