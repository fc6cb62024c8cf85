"""Appends on condition, steered to the moments at which a wrong one would decide blindly, on PostgreSQL."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import replace
from typing import Any, Final

import psycopg
import pytest
from sqlalchemy import Engine, create_engine, event, text
from sqlalchemy.orm import Session

from eventstore import ANY, NO_STREAM, EventFilter, EventStore, NewEvent, migrations
from eventstore.backends.postgresql.dialect import PostgreSQLDialect
from eventstore.core.loading import EventLoader
from eventstore.errors import BoundaryChanged, SchemaOutdated, TooManyTags, UnsuitableTransaction
from eventstore.rows.mapper import StoredEvent
from eventstore.statements.postgresql.tag_locks import lock_tags
from eventstore.statements.reading import read_forwards
from tests.boundaries.events import COURSE, tagged
from tests.fix_engines import changing_history
from tests.processes import Python
from tests.waiting import start_waiting, until, wait_until_it_says

pytestmark = pytest.mark.postgresql


def test_an_append_waits_for_one_under_way_with_a_tag_of_its_boundary_and_is_refused(
    store: EventStore, threads: ThreadPoolExecutor
) -> None:
    boundary = store.read_boundary(COURSE)
    with store.transaction() as tx:
        first = tx.append("a-1", tagged("course:1", "x"), expected_version=ANY)
        later = store.append("b-1", tagged("other"), expected_version=ANY)
        running = start_waiting(
            threads, tx.connection, store.append, "a-2", NewEvent("n"), expected_version=ANY, condition=boundary
        )
    with pytest.raises(BoundaryChanged) as refused:
        running.result()
    assert refused.value.position == first.position < later.position


def test_it_goes_through_if_the_one_under_way_is_rolled_back(store: EventStore, threads: ThreadPoolExecutor) -> None:
    boundary = store.read_boundary(COURSE)
    with pytest.raises(RuntimeError, match="stop"), store.transaction() as tx:
        tx.append("a-1", tagged("course:1"), expected_version=ANY)
        running = start_waiting(
            threads, tx.connection, store.append, "a-2", tagged("course:1"), expected_version=ANY, condition=boundary
        )
        raise RuntimeError("stop")
    assert running.result().version == 1


def test_what_a_read_has_not_seen_is_above_its_boundary_though_its_position_is_low(store: EventStore) -> None:
    with store.transaction() as tx:
        low = tx.append("a-1", tagged("course:1"), expected_version=ANY)
        high = store.append("b-1", tagged("other", event_type="noted"), expected_version=ANY)
        boundary = store.read_boundary(COURSE, EventFilter(tags=["other"]))
    assert [event.position for event in boundary] == [high.position] > [low.position]
    with pytest.raises(BoundaryChanged) as refused:
        store.append("a-2", tagged("course:1"), expected_version=ANY, condition=boundary)
    assert refused.value.position == low.position


def test_disjoint_tags_do_not_wait_for_each_other(store: EventStore) -> None:
    with store.transaction() as tx:
        tx.append("a-1", tagged("course:1"), expected_version=ANY)
        other = store.read_boundary(EventFilter(tags=["course:2"]))
        store.append("b-1", tagged("course:2"), expected_version=ANY, condition=other)
        store.append("b-2", NewEvent("no tags"), expected_version=ANY)


def test_those_who_only_read_a_tag_do_not_exclude_each_other(store: EventStore, threads: ThreadPoolExecutor) -> None:
    boundary = store.read_boundary(COURSE)
    with store.transaction() as tx:
        tx.append("a-1", tagged("note:1"), expected_version=ANY, condition=boundary)
        store.append("a-2", tagged("note:2"), expected_version=ANY, condition=boundary)
        writing = start_waiting(
            threads, tx.connection, store.append, "a-3", tagged("course:1"), expected_version=ANY
        )  # but who writes it waits for both
    assert writing.result().version == 1


@pytest.mark.parametrize("tags", [[], ["note:1"]], ids=["an event without tags", "an event with tags"])
def test_an_append_on_condition_waits_for_one_that_has_locked_all_tags(
    store: EventStore, threads: ThreadPoolExecutor, tags: list[str]
) -> None:
    boundary = store.read_boundary(COURSE)
    bulk = [tagged(f"course:{number}") for number in range(40)]
    with store.transaction() as tx:
        tx.append("bulk-1", bulk, expected_version=ANY)
        running = start_waiting(
            threads, tx.connection, store.append, "a-1", tagged(*tags), expected_version=ANY, condition=boundary
        )
    with pytest.raises(BoundaryChanged):
        running.result()


def test_one_that_locks_all_tags_waits_for_those_who_have_locked_one(
    store: EventStore, threads: ThreadPoolExecutor
) -> None:
    boundary = store.read_boundary(*[EventFilter(tags=[f"course:{number}"]) for number in range(40)])
    with store.transaction() as tx:
        tx.append("a-1", tagged("course:1"), expected_version=ANY)
        running = start_waiting(
            threads, tx.connection, store.append, "a-2", NewEvent("n"), expected_version=ANY, condition=boundary
        )
    with pytest.raises(BoundaryChanged):
        running.result()


def test_a_savepoint_that_is_rolled_back_frees_its_tags(store: EventStore) -> None:
    with store.transaction() as tx:
        with pytest.raises(RuntimeError, match="stop"), tx.transaction() as savepoint:
            savepoint.append("a-1", tagged("course:1"), expected_version=ANY)
            raise RuntimeError("stop")
        store.append("b-1", tagged("course:1"), expected_version=ANY)


@pytest.mark.slow
def test_a_prepared_transaction_keeps_its_tags_locked(store: EventStore, threads: ThreadPoolExecutor) -> None:
    with store.engine.connect() as connection:
        if connection.execute(text("SHOW max_prepared_transactions")).scalar_one() == "0":
            pytest.skip("this server has max_prepared_transactions = 0: it can't PREPARE TRANSACTION")
    for number, end in enumerate(("COMMIT", "ROLLBACK")):
        tag, name = f"seat:{number}", f"boundaries-{number}"
        boundary = store.read_boundary(EventFilter(tags=[tag]))
        with store.engine.connect() as connection:
            store.join(connection).append(f"a-{number}", tagged(tag), expected_version=ANY)
            connection.execute(text(f"PREPARE TRANSACTION '{name}'"))
        running = threads.submit(store.append, f"b-{number}", tagged(tag), expected_version=ANY, condition=boundary)
        url = store.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
        with psycopg.connect(url, autocommit=True) as server:
            while not server.execute("SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted").fetchall():
                assert not running.done(), "it has not waited"
            server.execute(f"{end} PREPARED '{name}'")
        if end == "COMMIT":
            with pytest.raises(BoundaryChanged):
                running.result()
        else:
            assert running.result().version == 1


class OwnCursor(psycopg.Cursor[Any]):
    """As an application may have it, to observe the driver."""


@pytest.mark.parametrize("factory", [psycopg.ClientCursor, OwnCursor])
def test_the_cursor_class_of_the_application_changes_nothing(make_engine: Callable[..., Engine], factory: type) -> None:
    store = EventStore(create_engine(make_engine().url, connect_args={"cursor_factory": factory}))
    boundary = store.read_boundary(COURSE)
    odd = NewEvent("enrolled", b"\0%s%(x)b", tags=["course:1", "a'%s\\"])
    assert store.append("a-1", odd, expected_version=NO_STREAM, condition=boundary).version == 1
    for condition in (boundary, [boundary, boundary]):
        with pytest.raises(BoundaryChanged) as refused:
            store.append("a-2", odd, expected_version=ANY, condition=condition)
        assert refused.value.event_stream_id == "a-1"
    (event,) = store.read_boundary(EventFilter(tags=list(odd.tags)))
    assert (event.data, event.tags) == (odd.data, odd.tags)
    store.engine.dispose()


def test_a_session_can_join_and_goes_on_after_a_refusal(store: EventStore) -> None:
    boundary = store.read_boundary(COURSE)
    store.append("a-1", tagged("course:1"), expected_version=ANY)
    with Session(store.engine) as session, session.begin():
        session.execute(text("CREATE TEMPORARY TABLE mine (n int) ON COMMIT DROP"))
        joined = store.join(session)
        with pytest.raises(BoundaryChanged):
            joined.append("a-2", tagged("course:1"), expected_version=ANY, condition=boundary)
        session.execute(text("INSERT INTO mine VALUES (1)"))
        joined.append("a-2", tagged("course:1"), expected_version=ANY, condition=joined.read_boundary(COURSE))
    assert store.stream_version("a-2") == 1


@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE"])
def test_a_joined_transaction_at_another_level_is_refused_and_stays_usable(store: EventStore, level: str) -> None:
    boundary = store.read_boundary(COURSE)
    with store.engine.connect().execution_options(isolation_level=level) as connection:
        joined = store.join(connection)
        for condition, tags in ((boundary, ["course:1"]), (None, ["course:1"]), (boundary, [])):
            with pytest.raises(UnsuitableTransaction, match=level):
                joined.append("a-1", tagged(*tags), expected_version=ANY, condition=condition)
        joined.append("a-2", NewEvent("no tags"), expected_version=ANY)
        connection.commit()
    assert (store.stream_version("a-1"), store.stream_version("a-2")) == (0, 1)


@pytest.mark.slow
def test_a_transaction_locks_so_many_tags_and_no_more(store: EventStore) -> None:
    with store.transaction() as tx:
        for _ in range(300):
            tx.append("a-1", tagged("course:1", "course:2"), expected_version=ANY)  # these two are counted once
        for number in range(8):
            tx.append("a-1", [tagged(f"t:{number}-{each}") for each in range(30)], expected_version=ANY)
        with pytest.raises(TooManyTags):
            tx.append("a-1", [tagged(f"u:{each}") for each in range(30)], expected_version=ANY)
        with pytest.raises(TooManyTags):
            tx.append("a-1", [tagged(f"u:{each}") for each in range(33)], expected_version=ANY)
        last = tx.append("a-1", tagged("course:1"), expected_version=ANY)
    assert last.version == 300 + 240 + 1


@pytest.mark.slow
def test_with_all_tags_locked_a_transaction_may_go_on_without_end(store: EventStore) -> None:
    with store.transaction() as tx:
        for number in range(10):
            tx.append("a-1", [tagged(f"t:{number}-{each}") for each in range(33)], expected_version=ANY)
        locks = tx.connection.execute(
            text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()")
        ).scalar_one()
    assert locks == 1


def test_clients_that_name_the_schema_differently_exclude_each_other(
    store: EventStore, make_engine: Callable[..., Engine], threads: ThreadPoolExecutor
) -> None:
    by_name = EventStore(make_engine("-c search_path=pg_catalog"), schema="public")
    boundary = by_name.read_boundary(COURSE)
    with store.transaction() as tx:
        tx.append("a-1", tagged("course:1"), expected_version=ANY)
        running = start_waiting(
            threads, tx.connection, by_name.append, "a-2", tagged("x"), expected_version=ANY, condition=boundary
        )
    with pytest.raises(BoundaryChanged):
        running.result()


def test_a_boundary_is_refused_if_another_event_stands_at_its_position(store: EventStore) -> None:
    """As after a failover to a server that had not received the event."""
    store.append("a-1", [tagged("course:1"), tagged("course:1")], expected_version=ANY)
    boundary = store.read_boundary(COURSE)
    with changing_history(store.engine) as connection:
        connection.execute(text("UPDATE es_events SET event_id = gen_random_uuid() WHERE version = 2"))
    with pytest.raises(BoundaryChanged, match="no longer has"):
        store.append("a-2", tagged("x"), expected_version=ANY, condition=boundary)


def test_a_boundary_is_refused_after_tags_were_added_to_old_events(store: EventStore) -> None:
    store.append("a-1", [NewEvent("old"), tagged("course:1")], expected_version=ANY)
    boundary = store.read_boundary(COURSE)
    with store.transaction() as tx, tx.core.execution.statement() as run:
        dialect = tx.core.dialect
        dialect.lock_tags(run, None)
        dialect.insert_tags(run, [("a-1", 1, "course:1")])
        dialect.raise_generation(run)
    with pytest.raises(BoundaryChanged, match="tags were added to old events"):
        store.append("a-2", tagged("x"), expected_version=ANY, condition=boundary)
    again = store.read_boundary(COURSE)
    assert (len(again), again.generation) == (2, 1)
    store.append("a-2", tagged("x"), expected_version=ANY, condition=again)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("has_tags", "positions"),
    [(True, False), (True, True), (False, False)],
    ids=["tags", "tags, below what was read", "no tags"],
)
def test_an_append_on_condition_waits_for_an_import_and_is_refused(
    store: EventStore, threads: ThreadPoolExecutor, *, positions: bool, has_tags: bool
) -> None:
    store.append("a-0", [NewEvent("other"), NewEvent("other")], expected_version=ANY)
    boundary = store.read_boundary(COURSE)
    if not has_tags:
        boundary = store.read_boundary(EventFilter(event_types=["student-enrolled"]), lock_all_appends=True)
    with EventStore.in_memory() as source:
        source.append("b-1", tagged("course:1") if has_tags else tagged(), expected_version=ANY)
        with source.core.execution.statement() as run:
            rows = run(read_forwards, stream_id="b-1", after_version=0, up_to_version=1, page_size=1)
        dialect = source.core.dialect
        events = [StoredEvent.of(row, dialect.to_uuid, dialect.to_time) for row in rows]
    first = next(store.read_all()).position
    with changing_history(store.engine) as connection:
        connection.execute(text("DELETE FROM es_events WHERE position = :first"), {"first": first})
    with store.transaction() as tx, tx.core.execution.statement() as run:
        events = [replace(each, position=first) for each in events]
        EventLoader(tx.core, positions=positions, in_order=not positions).load(run, events)
        running = start_waiting(
            threads, tx.connection, store.append, "a-1", NewEvent("n"), expected_version=ANY, condition=boundary
        )
    with pytest.raises(BoundaryChanged):
        running.result()


def test_a_session_that_ends_between_the_two_statements_stores_nothing_and_frees_its_tags(
    store: EventStore, make_engine: Callable[..., Engine]
) -> None:
    boundary = store.read_boundary(COURSE)
    with make_engine().connect() as connection:
        locks: list[int] = []

        def kill(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
            if "pg_advisory_xact_lock" in statement:
                pid = connection.connection.driver_connection.info.backend_pid  # type: ignore[union-attr]
                with store.engine.connect() as other:
                    mine = text("SELECT count(*) FROM pg_locks WHERE pid = :pid AND locktype = 'advisory'")
                    locks.append(other.execute(mine, {"pid": pid}).scalar_one())
                    other.execute(text("SELECT pg_terminate_backend(:pid, 20000)"), {"pid": pid})

        event.listen(connection, "after_cursor_execute", kill)
        with pytest.raises(Exception, match=r"terminat|closed"):
            store.join(connection).append("a-1", tagged("course:1"), expected_version=ANY, condition=boundary)
    assert locks == [2]
    assert store.append("a-2", tagged("course:1"), expected_version=ANY, condition=boundary).version == 1
    assert store.stream_version("a-1") == 0


KILLED: Final = """
import sys, time
from sqlalchemy import create_engine, event
from eventstore import ANY, EventFilter, EventStore, NewEvent

def wait_to_be_killed(_connection, _cursor, statement, *_):
    if "pg_advisory_xact_lock" in statement:
        print("locked", flush=True)
        time.sleep(60)

engine = create_engine(sys.argv[1])
store = EventStore(engine)
boundary = store.read_boundary(EventFilter(tags=["course:1"]))
event.listen(engine, "after_cursor_execute", wait_to_be_killed)
store.append("a-1", NewEvent("enrolled", tags=["course:1"]), expected_version=ANY, condition=boundary)
"""


@pytest.mark.slow
def test_a_client_that_is_killed_between_the_two_statements_stores_nothing_and_frees_its_tags(
    make_engine: Callable[..., Engine], threads: ThreadPoolExecutor
) -> None:
    store = EventStore(make_engine())
    url = store.engine.url.render_as_string(hide_password=False)
    boundary = store.read_boundary(COURSE)
    with Python("-c", KILLED, url) as client:
        wait_until_it_says(client.stdout, "locked")
        running = threads.submit(store.append, "a-2", tagged("course:1"), expected_version=ANY, condition=boundary)
        conninfo = store.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
        with psycopg.connect(conninfo, autocommit=True) as server:
            waiting = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
            until(lambda: server.execute(waiting).fetchall(), running)
        client.kill()
    assert running.result().version == 1
    assert (store.stream_version("a-1"), len(store.read_boundary(COURSE))) == (0, 1)


def test_the_key_of_a_tag_is_what_all_clients_compute() -> None:
    """Never change this: clients of the version before would lock other keys for the same tags."""
    sql, constants = PostgreSQLDialect(schema="a").sql(lock_tags)
    key = """hashtextextended(
        tag.name COLLATE "C", CAST(CAST(to_regclass(%(name_of_es_event_tags)b::TEXT) AS OID) AS BIGINT)
    )"""
    assert "".join(key.split()) in "".join(sql.split())
    assert constants["name_of_es_event_tags"] == "a.es_event_tags"


@pytest.mark.slow
def test_on_older_tables_only_what_uses_tags_is_refused(empty_postgres_url: str) -> None:
    engine = create_engine(empty_postgres_url)
    migrations.upgrade(engine, "es_0008")
    store = EventStore(engine)
    store.append("a-1", NewEvent("no tags"), expected_version=ANY)
    store.delete_stream("a-1", expected_version=1, reason="test")
    with store.transaction() as tx:
        for use in (store, tx):
            for call in (
                lambda use=use: use.append("a-2", tagged("x"), expected_version=ANY),
                lambda use=use: use.read_boundary(COURSE),
                lambda use=use: list(use.read_all(COURSE)),
            ):
                with pytest.raises(SchemaOutdated, match="eventstore migrate"):
                    call()
        tx.append("a-3", NewEvent("no tags"), expected_version=ANY)
    migrations.upgrade(engine)
    store.append("a-2", tagged("x"), expected_version=ANY, condition=store.read_boundary(COURSE))
    engine.dispose()


# --- locks that are lost, or are another table's


def test_a_refused_lock_of_all_tags_is_not_taken_for_one_that_is_held(
    store: EventStore, threads: ThreadPoolExecutor
) -> None:
    with store.transaction() as tx:
        tx.append("a-1", tagged("course:1"), expected_version=ANY)
        with pytest.raises(TooManyTags):
            tx.append("a-1", [tagged(f"u:{each}") for each in range(33)], expected_version=ANY)
        tx.append("a-1", tagged("course:2"), expected_version=ANY)
        running = start_waiting(threads, tx.connection, store.append, "a-2", tagged("course:2"), expected_version=ANY)
    assert running.result().version == 1


@pytest.mark.slow
def test_who_has_locked_all_tags_of_one_schema_has_none_of_another(
    empty_postgres_url: str, threads: ThreadPoolExecutor
) -> None:
    engine = create_engine(empty_postgres_url)
    for schema in ("one", "two"):
        migrations.upgrade(engine, schema=schema)
    one, two = (EventStore(engine, schema=schema) for schema in ("one", "two"))
    with engine.connect() as connection:
        one.join(connection).append("a-1", [tagged(f"u:{each}") for each in range(33)], expected_version=ANY)
        two.join(connection).append("a-1", tagged("course:1"), expected_version=ANY)

        running = start_waiting(threads, connection, two.append, "a-2", tagged("course:1"), expected_version=ANY)
        connection.commit()
    assert running.result().version == 1
    with engine.connect() as connection:
        for store in (one, two):  # each by one lock
            joined = store.join(connection)
            joined.append("b-1", [tagged(f"u:{each}") for each in range(33)], expected_version=ANY)
            joined.append("b-1", [tagged(f"v:{each}") for each in range(33)], expected_version=ANY)
        connection.commit()
    engine.dispose()


def test_statements_that_do_not_share_a_transaction_store_nothing(
    make_engine: Callable[..., Engine], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As behind a pooler that gives each statement to any session: the locks of the first are gone in the second."""
    store = EventStore(make_engine(prepare_threshold=None))
    boundary = store.read_boundary(COURSE)
    execute = psycopg.Cursor.execute

    def without_transaction(cursor: Any, query: Any, *arguments: Any, **options: Any) -> Any:
        is_skipped = isinstance(query, str) and query.startswith(("BEGIN", "COMMIT"))
        return execute(cursor, "SELECT 1" if is_skipped else query, *arguments, **options)

    monkeypatch.setattr(psycopg.Cursor, "execute", without_transaction)
    monkeypatch.setattr(psycopg.Connection, "pipeline", lambda _: nullcontext())
    with pytest.raises(UnsuitableTransaction, match="lost the locks"):
        store.append("a-1", tagged("course:1"), expected_version=ANY, condition=boundary)
    monkeypatch.undo()
    assert store.stream_version("a-1") == 0


def test_boundaries_of_several_generations_are_refused(store: EventStore) -> None:
    """As one that was read after tags were added, kept over a failover that has lost them, with one that was not."""
    boundary = store.read_boundary(COURSE)
    later = replace(boundary, generation=1)
    for condition in (later, [boundary, later]):
        with pytest.raises(BoundaryChanged, match="no longer has"):
            store.append("a-1", tagged("course:1"), expected_version=ANY, condition=condition)
