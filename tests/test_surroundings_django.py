"""Settings of Django's connections: each works right, or is refused by name at the first use."""

import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from django.db import IntegrityError, connection, transaction
from django.db.backends.signals import connection_created

from eventstore import ANY, Append, ConcurrencyConflict, NewEvent
from eventstore.backends.postgresql import dialect as postgresql
from eventstore.contrib.django import engine_of, events_appended, get_store
from eventstore.errors import SerializationConflict, UnsuitableSetting
from tests.fix_django import leave_database, use_database
from tests.fix_leaks import SECRET
from tests.test_default_isolation import somebody_writing
from tests.test_payload_in_errors import assert_hidden

EVENTS = [NewEvent("invoiced", {"number": 1})]


@pytest.fixture
def listening() -> Iterator[list[int]]:
    told: list[int] = []

    def listen(version: int, **_: Any) -> None:
        told.append(version)

    events_appended.connect(listen)
    yield told
    events_appended.disconnect(listen)


def refuse_everything() -> None:
    store = get_store()
    for call in (
        lambda: store.append("invoice-1", EVENTS, expected_version=ANY),
        lambda: store.append_many([Append("invoice-1", EVENTS, expected_version=ANY)]),
        lambda: store.stream_version("invoice-1"),
        lambda: list(store.read_all()),
        lambda: store.snapshots.save("invoice-1", version=1, state=0),
        lambda: store.transaction().__enter__(),
    ):
        with pytest.raises(UnsuitableSetting, match=r"AUTOCOMMIT is off.*transaction\.atomic"):
            call()


def test_a_database_with_autocommit_off_is_refused(django_database: dict[str, Any], listening: list[int]) -> None:
    use_database({**django_database, "AUTOCOMMIT": False})
    refuse_everything()
    connection.ensure_connection()
    refuse_everything()
    with transaction.atomic():  # whose savepoint would commit on SQLite
        refuse_everything()
    connection.rollback()
    use_database(django_database)
    assert get_store().stream_version("invoice-1") == 0
    assert listening == []


def test_autocommit_that_was_turned_off_is_refused_and_on_again_works(
    django_database: dict[str, Any], listening: list[int]
) -> None:
    get_store().append("invoice-1", EVENTS, expected_version=ANY)
    transaction.set_autocommit(False)
    refuse_everything()
    transaction.rollback()
    transaction.set_autocommit(True)
    with transaction.atomic(), transaction.atomic():
        get_store().append("invoice-1", [NewEvent("paid")], expected_version=1)
    assert (get_store().stream_version("invoice-1"), listening) == (2, [1, 2])


@pytest.mark.parametrize("factory", ["row_factory", "text_factory"])
def test_a_factory_of_the_driver_works_or_is_refused(django_sqlite: dict[str, Any], factory: str) -> None:
    def choose(connection: Any, **_: Any) -> None:
        setattr(connection.connection, factory, {"row_factory": sqlite3.Row, "text_factory": bytes}[factory])

    connection_created.connect(choose)
    try:
        if factory == "row_factory":
            assert get_store().append("invoice-1", EVENTS, expected_version=ANY).version == 1
            assert [event.version for event in get_store().read_all()] == [1]
        else:
            with pytest.raises(UnsuitableSetting, match="text_factory"):
                get_store().append("invoice-1", EVENTS, expected_version=ANY)
    finally:
        connection_created.disconnect(choose)
        connection.close()


@pytest.mark.parametrize("options", [{"server_side_binding": True}, {"options": "-c DateStyle=German"}], ids=str)
def test_how_the_driver_sends_and_reads_changes_nothing(
    django_postgresql: dict[str, Any], options: dict[str, Any]
) -> None:
    use_database({**django_postgresql, "OPTIONS": options})
    store = get_store()
    store.append("invoice-1", [NewEvent("invoiced", {}), NewEvent("paid", {}, metadata={"a": 1})], expected_version=ANY)
    assert [event.metadata for event in store.read_all()] == [{}, {"a": 1}]


def test_a_row_factory_of_psycopg_changes_nothing(django_postgresql: dict[str, Any]) -> None:
    connection.ensure_connection()
    connection.connection.row_factory = psycopg.rows.dict_row
    assert get_store().append("invoice-1", EVENTS, expected_version=ANY).version == 1
    assert [event.version for event in get_store().read_stream("invoice-1")] == [1]


def test_another_encoding_is_refused(django_postgresql: dict[str, Any]) -> None:
    """Django connects in UTF8, whatever its settings say."""
    with connection.cursor() as cursor:
        cursor.execute("SET client_encoding = 'LATIN1'")
    with pytest.raises(UnsuitableSetting, match="client_encoding is LATIN1"):
        get_store().append("invoice-1", EVENTS, expected_version=ANY)


@pytest.mark.parametrize("count", [1, 3])
def test_another_isolation_level_gives_conflicts(django_postgresql: dict[str, Any], count: int) -> None:
    """An atomic block is the caller's: one that was overtaken is over."""
    serializable = psycopg.IsolationLevel.SERIALIZABLE
    use_database({**django_postgresql, "OPTIONS": {"isolation_level": serializable}})
    store = get_store()
    store.append("invoice-1", EVENTS, expected_version=ANY)
    use_database({**django_postgresql, "OPTIONS": {"isolation_level": serializable}}, "other")
    other = get_store("other")
    new = [NewEvent("paid", n) for n in range(count)]
    with pytest.raises(SerializationConflict) as conflict, transaction.atomic():
        assert store.stream_version("invoice-1") == 1
        other.append("invoice-1", EVENTS, expected_version=ANY)
        store.append("invoice-1", new, expected_version=ANY)
    assert isinstance(conflict.value, ConcurrencyConflict)
    assert store.append("invoice-1", new, expected_version=2).version == 2 + count
    leave_database("other")


def test_what_refuses_a_row_does_not_show_it(own_django_postgresql: dict[str, Any]) -> None:
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE es_events ADD CONSTRAINT theirs CHECK (event_type <> 'refused')")
    for count in (1, 3):
        refused = [NewEvent("refused", {"card": SECRET}, metadata={"card": SECRET}) for _ in range(count)]
        with pytest.raises(Exception, match='violates check constraint "theirs"') as error:
            get_store().append("invoice-1", refused, expected_version=ANY)
        assert type(error.value).__name__ == "IntegrityError"
        assert_hidden(error.value)


def deferred(sql: str) -> str:
    return f"""
        CREATE TABLE theirs (card text CHECK (length(card) < 5));
        CREATE FUNCTION theirs() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN {sql}; RETURN new; END $$;
        CREATE CONSTRAINT TRIGGER theirs AFTER INSERT ON es_events DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION theirs()"""


def test_what_refuses_a_row_at_the_commit_does_not_show_it(own_django_postgresql: dict[str, Any]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(deferred("INSERT INTO theirs VALUES (new.metadata->>'card')"))
    new = [NewEvent("refused", {}, metadata={"card": SECRET})]
    with pytest.raises(IntegrityError, match="violates check constraint") as error, get_store().transaction() as block:
        block.append("invoice-1", new, expected_version=ANY)
    assert_hidden(error.value)


# --- the level that the database takes for its default

WAITING: dict[str, Callable[[], int]] = {
    "append": lambda: get_store().append("invoice-1", EVENTS, expected_version=ANY).version,
    "append of several": lambda: get_store().append("invoice-1", many(3), expected_version=ANY).version,
    "append by COPY": lambda: get_store().append("invoice-1", many(5), expected_version=ANY).version,
    "append_many": lambda: get_store().append_many([Append("invoice-1", EVENTS, expected_version=ANY)])[0].version,
}


def many(count: int) -> list[NewEvent]:
    return [NewEvent("invoiced", {"number": number}) for number in range(count)]


@pytest.mark.parametrize("level", ["read committed", "repeatable read", "serializable"])
@pytest.mark.parametrize("call", WAITING)
def test_who_has_waited_for_another_writer_succeeds(
    django_postgresql: dict[str, Any], level: str, call: str, monkeypatch: pytest.MonkeyPatch, in_thread: Any
) -> None:
    monkeypatch.setattr(postgresql, "COPY_FROM", 5)
    setting = f"-c default_transaction_isolation={level.replace(' ', chr(92) + ' ')}"
    use_database({**django_postgresql, "OPTIONS": {"options": setting}})
    get_store().append("invoice-1", EVENTS, expected_version=ANY)
    engine = engine_of()
    with (
        ThreadPoolExecutor(1) as threads,
        somebody_writing(engine, lambda joined: joined.append("invoice-1", EVENTS, expected_version=1)) as commit,
    ):
        waiter = threads.submit(in_thread, WAITING[call])
        commit()
        version = waiter.result(timeout=30)
    assert get_store().stream_version("invoice-1") == version > 2


@pytest.mark.slow
@pytest.mark.parametrize("level", ["read committed", "repeatable read", "serializable"])
def test_who_has_waited_and_lost_gets_a_conflict(django_postgresql: dict[str, Any], level: str, in_thread: Any) -> None:
    setting = f"-c default_transaction_isolation={level.replace(' ', chr(92) + ' ')}"
    use_database({**django_postgresql, "OPTIONS": {"options": setting}})
    get_store().append("invoice-1", EVENTS, expected_version=ANY)
    engine = engine_of()
    calls: list[Callable[[int], object]] = [
        lambda version: get_store().append("invoice-1", [NewEvent("paid")], expected_version=version),
        lambda version: get_store().append_many([Append("invoice-1", [NewEvent("paid")], expected_version=version)]),
    ]
    for version, call in enumerate(calls, start=1):
        with (
            ThreadPoolExecutor(1) as threads,
            somebody_writing(
                engine,
                lambda joined, version=version: joined.append("invoice-1", EVENTS, expected_version=version),  # type: ignore[misc]
            ) as commit,
        ):
            waiter = threads.submit(in_thread, call, version)
            commit()
            with pytest.raises(ConcurrencyConflict) as conflict:
                waiter.result(timeout=30)
        assert conflict.value.actual == version + 1


def test_a_block_of_the_stores_own_leaves_the_connection_as_it_was(django_postgresql: dict[str, Any]) -> None:
    connection.ensure_connection()
    connection.connection.isolation_level = psycopg.IsolationLevel.SERIALIZABLE
    with get_store().transaction() as block:
        block.append("invoice-1", EVENTS, expected_version=ANY)
    assert connection.connection.isolation_level == psycopg.IsolationLevel.SERIALIZABLE
