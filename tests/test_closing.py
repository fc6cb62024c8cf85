"""Streams that end: what the contract can't show, since it needs two connections, another store, or one database."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import Engine, create_engine, event, text
from sqlalchemy.exc import IntegrityError, ProgrammingError

from eventstore import (
    ANY,
    STREAM_EXISTS,
    Append,
    AppendResult,
    ConcurrencyConflict,
    EventStore,
    ExpectedVersion,
    InvalidInput,
    NewEvent,
    Repository,
    migrations,
)
from eventstore.backends import engine_for
from eventstore.backends.protocol import Run
from eventstore.errors import ImportConflict, PermissionDenied, SchemaOutdated, StreamArchived, StreamDeleted
from eventstore.events import STREAM_ARCHIVED_EVENT
from eventstore.statements.projections import add_dead_letter, create_checkpoint
from eventstore.testing._base import numbered, numbers
from tests.fix_engines import changing_history, migrated_sqlite
from tests.fix_migrations import BringTo
from tests.waiting import start_waiting


@pytest.fixture
def store(any_engine: Engine) -> EventStore:
    store = EventStore(any_engine)
    for stream_id in ("order-1", "order-2"):
        store.append(stream_id, numbered(5), expected_version=0)
    return store


def test_code_that_knows_nothing_of_it_appends_to_no_stream_that_has_ended(
    store: EventStore, any_engine: Engine
) -> None:
    """As the code of the release before, which runs on while the new one is rolled out."""
    store.delete_stream("order-1", expected_version=5, reason="r")
    with pytest.raises(IntegrityError, match="es_streams_deleted_version_check"), any_engine.begin() as connection:
        connection.execute(text("UPDATE es_streams SET version = version + 1 WHERE stream_id = 'order-1'"))


@pytest.mark.slow
def test_it_needs_the_newest_tables_and_appends_do_not(bring_to: BringTo, new_engine: Engine) -> None:
    bring_to(new_engine, "es_0005")
    store = EventStore(new_engine)
    store.append("order-1", numbered(1), expected_version=0)
    with pytest.raises(SchemaOutdated):
        store.delete_stream("order-1", expected_version=1, reason="r")
    with pytest.raises(ConcurrencyConflict):
        store.append("order-1", numbered(1), expected_version=0)


@pytest.mark.slow
def test_what_the_database_refuses_is_never_asked_of_it(postgres_engine: Engine) -> None:
    """The check is the second layer: an error in the database would abort the transaction that was joined."""
    store = EventStore(postgres_engine)
    store.append("order-1", numbered(1), expected_version=0)
    store.delete_stream("order-1", expected_version=1, reason="r")
    failed: list[object] = []
    event.listen(postgres_engine, "handle_error", failed.append)
    for expected in (0, 1, 2, ANY, STREAM_EXISTS):
        for count in (1, 2):
            with postgres_engine.connect() as connection:
                with pytest.raises(StreamDeleted):
                    store.join(connection).append("order-1", numbered(count), expected_version=expected)
                assert connection.execute(text("SELECT 1")).scalar() == 1
    assert failed == []


@pytest.mark.slow
def test_a_store_that_was_made_before_the_migration_is_refused_by_the_check(
    bring_to: BringTo, new_engine: Engine
) -> None:
    """It has looked at the tables when they could not say which streams have ended, and does not look again."""
    bring_to(new_engine, "es_0005")
    store = EventStore(new_engine)
    for stream_id in ("order-1", "order-2"):
        store.append(stream_id, numbered(1), expected_version=0)
    migrations.upgrade(new_engine)
    EventStore(new_engine).delete_stream("order-1", expected_version=1, reason="r")
    EventStore(new_engine).archive_stream("order-2", into=EventStore.in_memory(), expected_version=1, reason="r")
    for stream_id, error in (("order-1", StreamDeleted), ("order-2", StreamArchived)):
        for expected in (2, ANY, STREAM_EXISTS):
            with pytest.raises(error):
                store.append(stream_id, numbered(1), expected_version=expected)
            with new_engine.begin() as connection:
                with pytest.raises(error):
                    store.join(connection).append(stream_id, numbered(1), expected_version=expected)
                assert store.join(connection).append("order-3", numbered(1), expected_version=ANY).version
        assert store.stream_version(stream_id) == 2


@pytest.mark.slow
@pytest.mark.parametrize("tables", ["es_0007", "es_0008"])
def test_the_check_of_old_and_of_new_tables_is_understood(bring_to: BringTo, new_engine: Engine, tables: str) -> None:
    """It refuses appends to several streams; its name does not say for which of the two reasons."""
    bring_to(new_engine, tables)
    store = EventStore(new_engine)
    for stream_id in ("order-1", "order-2", "order-3"):
        store.append(stream_id, numbered(1), expected_version=0)
    store.delete_stream("order-1", expected_version=1, reason="r")
    store.archive_stream("order-2", into=EventStore.in_memory(), expected_version=1, reason="r")
    for stream_id, error in (("order-1", StreamDeleted), ("order-2", StreamArchived)):
        appends = [Append(each, numbered(1), expected_version=ANY) for each in ("order-3", stream_id)]
        with pytest.raises(error):
            store.append_many(appends)
        with new_engine.begin() as connection:
            with pytest.raises(error):
                store.join(connection).append_many(appends)
            assert store.join(connection).append("order-4", numbered(1), expected_version=ANY).version
        with pytest.raises(IntegrityError, match="_version_check"), new_engine.begin() as connection:
            statement = "UPDATE es_streams SET version = version + 1 WHERE stream_id = :stream_id"
            connection.execute(text(statement), {"stream_id": stream_id})
    assert store.stream_version("order-3") == 1


def test_who_appends_while_it_is_being_deleted_is_refused(store: EventStore) -> None:
    """The other writer waits for the head, and then learns that the stream has ended."""
    if store.engine.dialect.name == "sqlite":
        store = EventStore(store.engine, lock_timeout_seconds=20)

    def append(expected: ExpectedVersion) -> AppendResult:
        return store.append("order-1", numbered(1), expected_version=expected)

    with ThreadPoolExecutor(3) as threads:
        with store.transaction() as tx:
            tx.delete_stream("order-1", expected_version=5, reason="r")
            expectations: tuple[ExpectedVersion, ...] = (ANY, STREAM_EXISTS, 5)
            waiting = [start_waiting(threads, tx.connection, append, expected) for expected in expectations]
        assert [type(each.exception(timeout=30)) for each in waiting] == [StreamDeleted] * 3


def test_no_snapshot_is_left_by_one_who_was_saving_it(postgres_engine: Engine) -> None:
    """It was saved and not committed yet, so the deletion could not see it; or it was about to be saved."""
    store = EventStore(postgres_engine)
    store.append("order-1", numbered(3), expected_version=0)
    with ThreadPoolExecutor(1) as threads:
        with store.transaction() as tx:
            assert tx.snapshots.save("order-1", version=3, state="secret")
            deleting = start_waiting(
                threads, tx.connection, store.delete_stream, "order-1", expected_version=3, reason="r"
            )
        assert deleting.result(timeout=30).version == 4
    with postgres_engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM snapshots")).scalar() == 0
        assert connection.execute(text("SELECT count(*) FROM es_events")).scalar() == 1


def test_no_dead_letter_is_left_by_a_worker_that_was_writing_it(postgres_engine: Engine) -> None:
    """It was written and not committed yet, so the deletion could not see it."""
    store = EventStore(postgres_engine)
    position = store.append("order-1", numbered(1), expected_version=0).position
    with ThreadPoolExecutor(1) as threads:
        with store.transaction() as tx, tx.core.execution.statement() as run:
            write_dead_letter(run, position)
            deleting = start_waiting(
                threads, tx.connection, store.delete_stream, "order-1", expected_version=1, reason="r"
            )
        assert deleting.result(timeout=30).version == 2
    assert statuses_of_dead_letters(postgres_engine) == ["discarded"]


@pytest.mark.slow
def test_no_dead_letter_is_written_for_an_event_that_is_being_deleted(postgres_engine: Engine) -> None:
    store = EventStore(postgres_engine)
    position = store.append("order-1", numbered(1), expected_version=0).position

    def write() -> None:
        with store.transaction() as tx, tx.core.execution.statement() as run:
            write_dead_letter(run, position)

    with ThreadPoolExecutor(1) as threads:
        with store.transaction() as tx:
            tx.delete_stream("order-1", expected_version=1, reason="r")
            writing = start_waiting(threads, tx.connection, write)
        writing.result(timeout=30)
    assert statuses_of_dead_letters(postgres_engine) == []


def write_dead_letter(run: Run, position: int | None) -> None:
    run(create_checkpoint, name="totals", position=0)
    run(add_dead_letter, projection="totals", position=position, attempts=1, error="ValueError")


def statuses_of_dead_letters(engine: Engine) -> list[str]:
    with engine.connect() as connection:
        return list(connection.execute(text("SELECT status FROM es_dead_letters")).scalars())


def test_the_head_says_that_a_stream_has_ended_if_its_event_was_deleted_by_hand(store: EventStore) -> None:
    store.delete_stream("order-1", expected_version=5, reason="r")
    with changing_history(store.engine) as connection:
        connection.execute(text("DELETE FROM es_events WHERE stream_id = 'order-1'"))
    for expected in (6, ANY, STREAM_EXISTS):
        with pytest.raises(StreamDeleted):
            store.append("order-1", numbered(1), expected_version=expected)
        with pytest.raises(StreamDeleted):
            store.append_many([Append(f"order-{each}", numbered(1), expected_version=expected) for each in (1, 1)])
    with pytest.raises(StreamDeleted):
        Repository(store, category="order", initial=int, evolve=lambda state, _: state).load("1", version=0)


def test_who_may_delete_is_a_matter_of_grants(postgres_engine: Engine) -> None:
    """In one transaction; tests/test_rights.py tries the grants of the guide."""
    store, role = EventStore(postgres_engine), f"es_test_{uuid4().hex}"
    grants = [
        "SELECT, INSERT, UPDATE ON es_streams",
        "SELECT, INSERT ON es_events",
        "SELECT, INSERT, UPDATE, DELETE ON snapshots",
        "SELECT ON es_schema",
        "SELECT, UPDATE ON es_dead_letters",
    ]
    with postgres_engine.begin() as connection:
        connection.execute(text(f"CREATE ROLE {role}"))
        for grant in grants:
            connection.execute(text(f"GRANT {grant} TO {role}"))
    try:
        with postgres_engine.begin() as connection:
            connection.execute(text(f"SET LOCAL ROLE {role}"))
            joined = store.join(connection)
            joined.append("order-1", numbered(3), expected_version=0)
            with pytest.raises(PermissionDenied, match="permission denied for table es_events"):
                joined.delete_stream("order-1", expected_version=3, reason="r")
            for change in ("DELETE FROM es_events", "UPDATE es_events SET version = 1", "TRUNCATE es_events"):
                with pytest.raises(ProgrammingError, match="permission denied"), connection.begin_nested():
                    connection.execute(text("SET LOCAL eventstore.allow_history_changes = 'on'"))
                    connection.execute(text(change))
        with postgres_engine.begin() as connection:
            connection.execute(text(f"GRANT DELETE ON es_events TO {role}"))
            connection.execute(text(f"SET LOCAL ROLE {role}"))
            store.join(connection).delete_stream("order-1", expected_version=3, reason="r")
    finally:
        with postgres_engine.begin() as connection:
            connection.execute(text(f"DROP OWNED BY {role}"))
            connection.execute(text(f"DROP ROLE {role}"))
    assert len(list(store.read_stream("order-1"))) == 1


# --- archives


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[EventStore]:
    (tmp_path / "archive").mkdir()
    engine = engine_for(f"sqlite:///{migrated_sqlite(tmp_path / 'archive')}")
    yield EventStore(engine)
    engine.dispose()


def test_an_archived_stream_is_read_from_the_archive(store: EventStore, archive: EventStore) -> None:
    before = list(store.read_stream("order-1"))
    store.snapshots.save("order-1", version=5, state="old")
    result = store.archive_stream("order-1", into=archive, expected_version=5, reason="closed", metadata={"by": 7})
    assert list(archive.read_stream("order-1")) == before
    (left,) = store.read_stream("order-1")
    assert (left.event_type, left.version, left.position) == (STREAM_ARCHIVED_EVENT, 6, result.position)
    assert (left.data, left.metadata) == ({"reason": "closed", "reusable": False}, {"by": 7})
    assert store.snapshots.load("order-1") is None
    for expected in (0, 5, 6, ANY, STREAM_EXISTS):
        with pytest.raises(StreamArchived):
            store.append("order-1", [NewEvent("late")], expected_version=expected)
    with pytest.raises(StreamArchived):
        store.archive_stream("order-1", into=archive, expected_version=STREAM_EXISTS, reason="again")
    assert numbers(store.read_stream("order-2")) == [1, 2, 3, 4, 5]


def test_streams_come_into_the_archive_in_any_order(store: EventStore, archive: EventStore) -> None:
    wanted = list(store.read_all())
    for stream_id in ("order-2", "order-1"):
        store.archive_stream(stream_id, into=archive, expected_version=5, reason="closed")
    assert list(archive.read_all()) == wanted


def test_what_was_broken_off_between_two_commits_can_be_repeated(store: EventStore, archive: EventStore) -> None:
    wanted = list(store.read_stream("order-1"))
    with pytest.raises(ZeroDivisionError), store.transaction() as tx:
        tx.archive_stream("order-1", into=archive, expected_version=5, reason="closed")
        raise ZeroDivisionError
    assert list(store.read_stream("order-1")) == list(archive.read_stream("order-1")) == wanted
    store.archive_stream("order-1", into=archive, expected_version=5, reason="closed")
    assert list(archive.read_stream("order-1")) == wanted
    assert len(list(store.read_stream("order-1"))) == 1


def test_an_archive_that_has_something_else_takes_nothing(store: EventStore, archive: EventStore) -> None:
    archive.append("order-1", numbered(1), expected_version=0)
    with pytest.raises(ImportConflict):
        store.archive_stream("order-1", into=archive, expected_version=5, reason="closed")
    with pytest.raises(ConcurrencyConflict):
        store.archive_stream("order-2", into=archive, expected_version=4, reason="closed")
    assert store.stream_version("order-1") == store.stream_version("order-2") == 5
    assert archive.stream_version("order-2") == 0


def test_a_store_is_no_archive_of_its_own(store: EventStore, any_url: str) -> None:
    again = create_engine(any_url)
    for into in (store, EventStore(again), "archive.db"):
        with pytest.raises(InvalidInput, match="archive"):
            store.archive_stream("order-1", into=into, expected_version=5, reason="closed")  # type: ignore[arg-type]
    again.dispose()


@pytest.mark.slow
def test_another_schema_of_the_database_can_be_the_archive(postgres_engine: Engine) -> None:
    migrations.provision(postgres_engine, "archive")
    store, archive = EventStore(postgres_engine), EventStore(postgres_engine, schema="archive")
    store.append("order-1", numbered(3), expected_version=0)
    store.archive_stream("order-1", into=archive, expected_version=3, reason="closed")
    assert numbers(archive.read_stream("order-1")) == [1, 2, 3]
