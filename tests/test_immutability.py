"""Events are never changed: the database refuses it, unless somebody says that they mean it."""

from uuid import uuid4

import pytest
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.exc import DBAPIError, IntegrityError

from eventstore import EventStore, NewEvent, migrations
from eventstore.errors import HistoryChangeRefused, NotInTransaction, SchemaOutdated
from tests.fix_engines import changing_history
from tests.fix_migrations import BringTo

CHANGES = [
    "UPDATE es_events SET event_type = 'never-happened' WHERE version = 2",
    "UPDATE es_events SET version = 77 WHERE version = 3",
    "DELETE FROM es_events WHERE version = 3",
    "DELETE FROM es_events",
]
ON_POSTGRESQL = ["TRUNCATE es_events", "TRUNCATE es_streams CASCADE"]


@pytest.fixture
def store(any_engine: Engine) -> EventStore:
    store = EventStore(any_engine)
    store.append("order-1", [NewEvent("placed"), NewEvent("paid"), NewEvent("shipped")], expected_version=0)
    return store


def types(store: EventStore) -> list[str]:
    return [event.event_type for event in store.read_stream("order-1")]


def test_history_can_not_be_changed(store: EventStore, any_engine: Engine) -> None:
    for change in CHANGES + (ON_POSTGRESQL if any_engine.dialect.name == "postgresql" else []):
        with pytest.raises(IntegrityError) as refused, any_engine.begin() as connection:
            connection.execute(text(change))
        assert "events are never changed" in str(refused.value), change
    assert types(store) == ["placed", "paid", "shipped"]


@pytest.mark.slow
def test_history_can_not_be_changed_in_a_schema_of_its_own(new_postgres_engine: Engine) -> None:
    schema = "My Events"
    migrations.upgrade(new_postgres_engine, schema=schema)
    store = EventStore(new_postgres_engine, schema=schema)
    store.append("order-1", [NewEvent("placed")], expected_version=0)
    with pytest.raises(IntegrityError, match="never changed"), new_postgres_engine.begin() as connection:
        connection.execute(store.tables.events.delete())
    with changing_history(new_postgres_engine, schema) as connection:
        connection.execute(store.tables.events.delete())
    assert types(store) == []
    assert migrations.verify(new_postgres_engine, schema=schema) == []


def test_a_role_that_may_do_anything_with_the_tables_can_not_change_history(postgres_engine: Engine) -> None:
    """It has been granted even what docs/how-to/migrate.md does not grant."""
    role = f"es_test_{uuid4().hex}"  # roles belong to the server, not to the database
    with postgres_engine.begin() as connection:
        connection.execute(text(f"CREATE ROLE {role}"))
        connection.execute(text(f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}"))
    store = EventStore(postgres_engine)
    try:
        with postgres_engine.begin() as connection:
            connection.execute(text(f"SET LOCAL ROLE {role}"))
            store.join(connection).append("order-1", [NewEvent("placed")], expected_version=0)
        for change in CHANGES + ON_POSTGRESQL:
            with pytest.raises(IntegrityError, match="never changed"), postgres_engine.begin() as connection:
                connection.execute(text(f"SET LOCAL ROLE {role}"))
                connection.execute(text(change))
    finally:
        with postgres_engine.begin() as connection:
            connection.execute(text(f"DROP OWNED BY {role}"))
            connection.execute(text(f"DROP ROLE {role}"))
    assert types(store) == ["placed"]


def test_the_permission_ends_with_its_block(store: EventStore, any_engine: Engine) -> None:
    change = text(CHANGES[0])
    with store.transaction() as tx:
        with tx.allow_history_changes():
            tx.connection.execute(change)
        with pytest.raises(IntegrityError), tx.transaction() as inner:
            inner.connection.execute(change)
        with tx.allow_history_changes(), tx.allow_history_changes():
            pass
        with pytest.raises(IntegrityError), tx.transaction() as inner:
            inner.connection.execute(change)
        with tx.allow_history_changes():
            with tx.allow_history_changes():
                pass
            tx.connection.execute(change)  # the inner block has not taken it away
    assert types(store) == ["placed", "never-happened", "shipped"]
    assert migrations.verify(any_engine) == [], "the permission was left behind"


def test_the_permission_ends_with_an_error(store: EventStore, any_engine: Engine) -> None:
    with store.transaction() as tx:
        with pytest.raises(ZeroDivisionError), tx.allow_history_changes():
            raise ZeroDivisionError
        with pytest.raises(IntegrityError), tx.transaction() as inner:
            inner.connection.execute(text(CHANGES[0]))
    with pytest.raises(DBAPIError, match="no_such_table"), changing_history(any_engine) as connection:
        connection.execute(text("DELETE FROM no_such_table"))
    with pytest.raises(IntegrityError), any_engine.begin() as connection:
        connection.execute(text(CHANGES[0]))
    assert migrations.verify(any_engine) == []


def test_nobody_else_has_the_permission(store: EventStore, any_url: str) -> None:
    """On SQLite nobody else could write meanwhile, and the row of the permission is not seen."""
    other = create_engine(any_url, connect_args={"timeout": 0} if any_url.startswith("sqlite") else {})
    with changing_history(store.engine), pytest.raises(DBAPIError), other.begin() as connection:
        connection.execute(text(CHANGES[0]))
    other.dispose()
    assert types(store) == ["placed", "paid", "shipped"]


@pytest.mark.slow
def test_it_needs_a_transaction_and_the_triggers(bring_to: BringTo, new_engine: Engine) -> None:
    bring_to(new_engine, "es_0005")
    store = EventStore(new_engine)
    with pytest.raises(NotInTransaction), store.allow_history_changes():
        pass
    with store.transaction() as tx, pytest.raises(SchemaOutdated), tx.allow_history_changes():
        pass


def test_a_refusal_of_the_stores_own_statement_is_an_error_of_its_own(store: EventStore) -> None:
    def delete_all(tables: object) -> object:
        return store.tables.events.delete()

    with pytest.raises(HistoryChangeRefused), store.core.execution.statement() as run:
        run(delete_all)  # type: ignore[arg-type]  # a statement that the store has not
    assert types(store) == ["placed", "paid", "shipped"]


def test_a_whole_session_can_be_set_to_allow_it(postgres_url: str) -> None:
    """As for tests that empty their tables."""
    allowing = create_engine(postgres_url, connect_args={"options": "-c eventstore.allow_history_changes=on"})
    store = EventStore(allowing)
    store.append("order-1", [NewEvent("placed")], expected_version=0)
    with allowing.begin() as connection:
        connection.execute(text("TRUNCATE es_events, es_streams, snapshots"))
    assert store.append("order-1", [NewEvent("placed")], expected_version=0).position == 2
    allowing.dispose()
