"""Stores of many schemas in one process: statements are compiled once for all, and what is kept is bounded."""

import re
import tracemalloc
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.dialects.postgresql import psycopg

from eventstore import ANY, NO_STREAM, EventStore, NewEvent, migrations
from eventstore.backends import running
from eventstore.backends.postgresql import prepared
from eventstore.backends.postgresql.dialect import PostgreSQLDialect
from eventstore.errors import InvalidInput, SchemaMissing
from eventstore.tables import define_tables
from tests import golden_sql


def compiled_alone(statement: Any, schema: str) -> tuple[str, dict[str, Any]]:
    """Compile a statement for one schema only, as SQLAlchemy does."""
    compiled = statement(define_tables(schema=schema)).compile(dialect=psycopg.dialect())  # type: ignore[no-untyped-call]  # SQLAlchemy's
    constants = {name: value for name, value in compiled.params.items() if value is not None}
    sql = str(compiled)
    if not sql.startswith("COPY"):
        sql = re.sub(r"(?<!%)%\((\w+)\)s", r"%(\1)b", sql).replace(")b::VARCHAR", ")b::TEXT")
    return sql, constants


@pytest.mark.slow
@pytest.mark.parametrize("schema", ["tenant_a", 'say "hi"', "%(schema)s", "a:b"])
def test_the_sql_for_a_schema_is_as_if_compiled_for_it_alone(schema: str) -> None:
    dialect, seen = PostgreSQLDialect(schema=schema), 0

    class Comparing:
        """Stands for a dialect, and compares what it compiles."""

        def sql(self, statement: Any) -> tuple[str, dict[str, Any]]:
            nonlocal seen
            seen += 1
            found = dialect.sql(statement)
            assert found == compiled_alone(statement, schema)
            return found

    golden_sql.compiled(Comparing(), "postgresql")  # type: ignore[arg-type]  # it uses nothing else
    assert seen > 100


@pytest.mark.slow
def test_what_a_process_keeps_does_not_grow_with_the_number_of_schemas() -> None:
    """It is the text of the last thousand statements; and a store makes its tables only if they are asked for."""

    def use(first: int, last: int) -> list[PostgreSQLDialect]:
        dialects = [PostgreSQLDialect(schema=f"tenant_{number}") for number in range(first, last)]
        for dialect in dialects:
            golden_sql.compiled(dialect, "postgresql")
        return dialects

    kept = use(0, 10)  # more statements than are kept
    tracemalloc.start()
    kept += use(10, 15)
    before, _ = tracemalloc.get_traced_memory()
    kept += use(15, 40)
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (after - before) / 25 < 20_000, "bytes for each schema"
    assert len(kept) == 40


@pytest.mark.parametrize("schema", ["", "x" * 64, 7, "a\0b"])
def test_a_bad_name_is_refused_when_the_store_is_made(schema: Any) -> None:
    with pytest.raises(InvalidInput):
        EventStore(create_engine("postgresql+psycopg:///shop"), schema=schema)


@pytest.mark.slow
def test_a_store_keeps_its_tables() -> None:
    engine = create_engine("postgresql+psycopg:///shop")
    store = EventStore(engine, schema="tenant_a")
    first = store.tables
    for number in range(50):
        EventStore(engine, schema=f"tenant_{number}").tables  # noqa: B018  # it is made
    assert store.tables is first
    assert store.tables.events.schema == "tenant_a"


@pytest.fixture
def tenants(new_postgres_engine: Engine) -> list[str]:
    names = [f"tenant_{number}" for number in range(5)]
    for name in names:
        migrations.provision(new_postgres_engine, name)
    return names


@pytest.fixture
def one_connection(new_postgres_engine: Engine) -> Any:
    engine = create_engine(new_postgres_engine.url, pool_size=1, max_overflow=0)
    yield engine
    engine.dispose()


@pytest.mark.slow
@pytest.mark.postgresql
def test_a_connection_prepares_a_bounded_number_of_statements(
    one_connection: Engine, tenants: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prepared, "_KEPT", 3)
    stores = [EventStore(one_connection, schema=tenant) for tenant in tenants]
    for version in range(4):
        for store in stores:
            result = store.append("order-1", [NewEvent("placed")], expected_version=version)
            assert (result.version, result.position) == (version + 1, version + 1)
    for store in stores:
        store.append("order-2", [NewEvent("placed")], expected_version=ANY)
    with one_connection.connect() as connection:
        query = text("SELECT count(*) FROM pg_prepared_statements WHERE name LIKE 'eventstore%'")
        assert connection.execute(query).scalar_one() == 3
    for store in stores:
        assert [each.position for each in store.read_stream("order-1")] == [1, 2, 3, 4]
        assert [each.data for each in store.read_stream("order-2")] == [{}]


@pytest.mark.slow
@pytest.mark.postgresql
def test_an_error_of_a_statement_that_is_not_prepared_is_the_same(
    one_connection: Engine, tenants: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prepared, "_KEPT", 0)
    store = EventStore(one_connection, schema=tenants[0])
    store.append("order-1", [NewEvent("placed")], expected_version=NO_STREAM)
    with one_connection.begin() as connection:
        connection.execute(text(f"ALTER TABLE {tenants[0]}.es_events RENAME TO gone"))
    with pytest.raises(SchemaMissing):
        store.append("order-1", [NewEvent("placed")], expected_version=1)


@pytest.mark.slow
@pytest.mark.postgresql
def test_what_is_noted_of_a_connection_is_bounded(
    one_connection: Engine, tenants: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "_MOST_NOTES", 4)
    for number in range(3):
        for tenant in tenants:
            EventStore(one_connection, schema=tenant).append(
                f"order-{number}", [NewEvent("placed")], expected_version=0
            )
    with one_connection.connect() as connection:
        notes = [key for key in connection.info if isinstance(key, tuple)]
    assert 0 < len(notes) <= 4
