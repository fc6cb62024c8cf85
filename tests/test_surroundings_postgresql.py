"""Settings of PostgreSQL, psycopg and SQLAlchemy: each works right, or is refused by name at the first use.

docs/reference/surroundings.md has the table.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final
from uuid import uuid4

import psycopg
import pytest
from psycopg.rows import dict_row, namedtuple_row
from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool

from eventstore import ANY, NO_STREAM, Append, ConcurrencyConflict, EventFilter, EventStore, NewEvent, Repository
from eventstore.errors import EventStoreError, ReadOnlyDatabase, UnsuitableSetting
from eventstore.projections import Projection, Worker

TEXT: Final = "Straße 中 😀 \\ ' \" % %s :x"
COUNT: Final = 7


@pytest.fixture
def shared_url(shared_postgres_engine: Engine) -> str:
    """The shared database, which is emptied afterwards."""
    return shared_postgres_engine.url.render_as_string(hide_password=False)


@contextmanager
def engine_with(url: str, **options: Any) -> Iterator[Engine]:
    engine = create_engine(url, **options)
    try:
        yield engine
    finally:
        engine.dispose()


def with_server_settings(*settings: str) -> dict[str, Any]:
    return {"connect_args": {"options": " ".join(f"-c {setting}" for setting in settings)}}


def new_events(count: int = COUNT) -> list[NewEvent]:
    metadata: list[dict[str, Any] | None] = [None, {"who": TEXT, "number": 1.5}]
    return [NewEvent("noted", {"text": TEXT, "number": n}, metadata=metadata[n % 2]) for n in range(count)]


def check_all_calls(store: EventStore, *, listing: bool = True) -> None:
    """Append, read, load and list; everything must be as it is with nothing set."""
    events = new_events()
    first = store.append("note-1", events, expected_version=NO_STREAM)
    store.append("note-1", new_events(1), expected_version=COUNT)
    assert store.append("note-1", events, expected_version=NO_STREAM).duplicate
    with pytest.raises(ConcurrencyConflict) as conflict:
        store.append("note-1", new_events(1), expected_version=3)
    assert conflict.value.actual == COUNT + 1
    store.append_many([Append(f"note-{n}", new_events(2), expected_version=NO_STREAM) for n in (2, 3)])
    assert store.stream_version("note-1") == COUNT + 1
    read = list(store.read_stream("note-1"))
    assert [(event.event_id, event.data, event.metadata) for event in read[:COUNT]] == [
        (event.event_id, event.data, event.metadata or {}) for event in events
    ]
    assert {event.recorded_at.tzname() for event in read} == {"UTC"}
    assert read[COUNT - 1].position == first.position
    assert store.snapshots.save("note-1", version=COUNT, state={"text": TEXT})
    snapshot = store.snapshots.load("note-1")
    assert snapshot is not None
    assert (snapshot.version, snapshot.state) == (COUNT, {"text": TEXT})
    if listing:
        assert [info.stream_id for info in store.list_streams()] == ["note-1", "note-2", "note-3"]


def check_global_order(store: EventStore) -> None:
    everything = list(store.read_all())
    assert len(everything) == store.settled_position() == COUNT + 5
    assert list(store.read_all(EventFilter(event_types=["noted"]))) == everything
    assert list(store.read_all(EventFilter(categories=["note"]), backwards=True, limit=2)) == everything[:-3:-1]


def check_everything(store: EventStore) -> None:
    check_all_calls(store)
    check_global_order(store)
    notes = Projection("notes")
    seen: list[int] = []

    @notes.on("noted")
    def note(event: Any, _: Any) -> None:
        seen.append(event.position)

    Worker(store, notes).run_until_caught_up()
    assert len(seen) == COUNT + 5


def watch(engine: Engine) -> None:
    """Have the store go through SQLAlchemy, as an engine with a hook does."""
    event.listen(engine, "before_cursor_execute", lambda *_: None)


watched = pytest.mark.parametrize("is_watched", [False, True], ids=["alone", "watched"])


# --- options of SQLAlchemy's executions


STREAMING: Final = [{"stream_results": True}, {"yield_per": 3}, {"stream_results": True, "max_row_buffer": 1}]


@pytest.mark.parametrize("options", STREAMING, ids=str)
def test_an_engine_that_streams_results_returns_all_rows(shared_url: str, options: dict[str, Any]) -> None:
    with engine_with(shared_url, execution_options=options) as engine:
        watch(engine)
        check_everything(EventStore(engine))


@pytest.mark.parametrize("options", STREAMING, ids=str)
def test_a_joined_connection_that_streams_results_returns_all_rows(
    shared_postgres_engine: Engine, options: dict[str, Any]
) -> None:
    store = EventStore(shared_postgres_engine)
    with shared_postgres_engine.connect() as connection, connection.begin():
        joined = store.join(connection.execution_options(**options))
        check_all_calls(joined)
        notes = Repository(joined, initial=lambda: 0, evolve=lambda state, _: state + 1, category="note")
        assert notes.load("2", must_exist=False).version == 2


OTHER_OPTIONS: Final[list[dict[str, Any]]] = [
    {"no_parameters": True},
    {"compiled_cache": None},
    {"preserve_rowcount": True},
    {"insertmanyvalues_page_size": 1},
    {"logging_token": "here"},
    {"postgresql_deferrable": True},
    {"isolation_level": "SERIALIZABLE"},
    {"isolation_level": "AUTOCOMMIT"},
]


@pytest.mark.parametrize("options", OTHER_OPTIONS, ids=str)
def test_other_options_of_executions_change_nothing(shared_url: str, options: dict[str, Any]) -> None:
    with engine_with(shared_url, execution_options=options) as engine:
        watch(engine)
        check_everything(EventStore(engine))


# --- schema_translate_map

MAP: Final = {None: "tenant_a"}


@watched
def test_a_schema_translate_map_of_the_engine_is_refused(shared_postgres_engine: Engine, is_watched: bool) -> None:
    engine = shared_postgres_engine.execution_options(schema_translate_map=MAP)
    if is_watched:
        watch(engine)
    store = EventStore(engine)
    calls: list[Callable[[], object]] = [
        lambda: store.append("order-1", new_events(1), expected_version=ANY),
        lambda: store.append("order-1", new_events(2), expected_version=ANY),
        lambda: store.append_many([Append("order-1", new_events(1), expected_version=ANY)]),
        lambda: store.stream_version("order-1"),
        lambda: list(store.read_stream("order-1")),
        lambda: list(store.read_all()),
        lambda: store.snapshots.load("order-1"),
        lambda: store.transaction().__enter__(),
    ]
    for call in calls:
        with pytest.raises(UnsuitableSetting, match=r"schema_translate_map .*EventStore\(engine, schema="):
            call()
    assert EventStore(shared_postgres_engine).stream_version("order-1") == 0


def test_a_schema_translate_map_set_after_join_is_refused(shared_postgres_engine: Engine) -> None:
    store = EventStore(shared_postgres_engine)
    with shared_postgres_engine.connect() as connection:
        joined = store.join(connection)
        assert joined.stream_version("order-1") == 0
        connection.execution_options(schema_translate_map=MAP)
        with pytest.raises(UnsuitableSetting):
            joined.append("order-1", new_events(1), expected_version=ANY)
        with pytest.raises(UnsuitableSetting):
            joined.stream_version("order-1")
    with Session(shared_postgres_engine) as session:
        joined = store.join(session)
        session.connection(execution_options={"schema_translate_map": MAP})
        with pytest.raises(UnsuitableSetting):
            joined.append_many([Append("order-1", new_events(1), expected_version=ANY)])
    with store.transaction() as transaction:
        transaction.connection.execution_options(schema_translate_map=MAP)
        with pytest.raises(UnsuitableSetting):
            list(transaction.read_stream("order-1"))


def test_a_hook_that_sets_a_schema_translate_map_is_refused(shared_url: str) -> None:
    with engine_with(shared_url) as engine:

        @event.listens_for(engine, "engine_connect")
        def _translate(connection: Connection) -> None:
            connection.execution_options(schema_translate_map=MAP)

        with pytest.raises(UnsuitableSetting):
            EventStore(engine).append("order-1", new_events(1), expected_version=ANY)


def test_a_schema_translate_map_of_other_schemas_is_none_of_our_business(shared_postgres_engine: Engine) -> None:
    engine = shared_postgres_engine.execution_options(schema_translate_map={"per_tenant": "tenant_a", None: None})
    check_everything(EventStore(engine))


# --- a connection that is for reading


@watched
def test_an_engine_for_reading_reads_and_refuses_to_write(shared_postgres_engine: Engine, is_watched: bool) -> None:
    check_all_calls(EventStore(shared_postgres_engine))
    engine = shared_postgres_engine.execution_options(postgresql_readonly=True)
    if is_watched:
        watch(engine)
    store = EventStore(engine)
    check_global_order(store)
    for count in (1, 3):
        with pytest.raises(UnsuitableSetting, match="postgresql_readonly"):
            store.append("note-1", new_events(count), expected_version=ANY)
    with pytest.raises(UnsuitableSetting):
        store.append_many([Append("note-1", new_events(1), expected_version=ANY)] * 2)
    with pytest.raises(UnsuitableSetting):
        store.snapshots.save("note-1", version=COUNT + 1, state=1)
    with pytest.raises(ReadOnlyDatabase), store.transaction() as transaction:
        transaction.append("note-1", new_events(1), expected_version=ANY)
    assert store.stream_version("note-1") == COUNT + 1


def test_a_hook_that_makes_the_drivers_connections_read_only_is_heeded(shared_url: str) -> None:
    with engine_with(shared_url) as engine:

        @event.listens_for(engine, "connect")
        def _for_reading(connection: psycopg.Connection[Any], _: object) -> None:
            connection.read_only = True

        store = EventStore(engine)
        assert store.stream_version("note-1") == 0
        with pytest.raises(UnsuitableSetting):
            store.append("note-1", new_events(1), expected_version=ANY)


# --- transactions that hooks leave open


@watched
@pytest.mark.parametrize("name", ["connect", "checkout"])
@pytest.mark.parametrize("sql", ["SET application_name = 'theirs'", "SELECT 1"])
def test_a_hook_that_leaves_a_transaction_open_is_refused(
    shared_url: str, name: str, sql: str, is_watched: bool
) -> None:
    with engine_with(shared_url, pool_size=1, max_overflow=0) as engine:
        with engine.connect():
            pass  # SQLAlchemy rolls back what hooks have begun on its very first connection
        engine.dispose()

        @event.listens_for(engine, name)
        def _begin(connection: psycopg.Connection[Any], *_: object) -> None:
            connection.execute(sql)

        if is_watched:
            watch(engine)
        store = EventStore(engine)
        for _ in range(2):
            with pytest.raises(UnsuitableSetting, match=r"left a transaction open .*commit"):
                store.append("order-1", new_events(1), expected_version=ANY)
            with pytest.raises(UnsuitableSetting), store.transaction():
                pass
        with Session(engine) as session, session.begin():
            store.join(session).append("order-1", new_events(1), expected_version=ANY)
            assert store.join(session).stream_version("order-1") == 1


def test_a_hook_on_sqlalchemys_connection_that_begins_is_refused(shared_url: str) -> None:
    with engine_with(shared_url) as engine:

        @event.listens_for(engine, "engine_connect")
        def _ping(connection: Connection) -> None:
            connection.execute(text("SELECT 1"))

        with pytest.raises(UnsuitableSetting, match="left a transaction open"):
            EventStore(engine).append("order-1", new_events(1), expected_version=ANY)


def test_a_hook_that_sets_in_autocommit_works(shared_url: str) -> None:
    """As SQLAlchemy's documentation shows."""
    with engine_with(shared_url) as engine:

        @event.listens_for(engine, "connect")
        def _set(connection: psycopg.Connection[Any], _: object) -> None:
            connection.autocommit = True
            connection.execute("SET application_name = 'theirs'")
            connection.autocommit = False

        check_everything(EventStore(engine))


# --- the driver


FACTORIES: Final[list[Any]] = [psycopg.ClientCursor, psycopg.RawCursor]


@watched
@pytest.mark.parametrize("factory", FACTORIES)
def test_any_kind_of_cursor_of_psycopgs_works(shared_url: str, factory: Any, is_watched: bool) -> None:
    hostile = "-c DateStyle=German -c array_nulls=off -c bytea_output=escape -c standard_conforming_strings=off"
    with engine_with(shared_url) as engine:

        @event.listens_for(engine, "connect")
        def _choose(connection: psycopg.Connection[Any], _: object) -> None:
            connection.cursor_factory = factory

        if factory is psycopg.RawCursor:  # SQLAlchemy itself has no use for it
            with engine.connect():
                pass
        if is_watched:
            watch(engine)
        engine.dialect.connect = _connecting_with(engine, hostile)  # type: ignore[method-assign]
        check_everything(EventStore(engine))


def _connecting_with(engine: Engine, options: str) -> Any:
    connect = engine.dialect.connect

    def connect_with(*arguments: Any, **parameters: Any) -> Any:
        return connect(*arguments, **parameters, options=options)

    return connect_with


class TheirCursor(psycopg.Cursor[Any]):
    """As instrumentation of psycopg has it."""


class TheirClientCursor(psycopg.ClientCursor[Any]):
    """The same, of a ClientCursor."""


class TheirRawCursor(psycopg.RawCursor[Any]):
    """The same, of a RawCursor."""


@watched
@pytest.mark.parametrize("factory", [TheirCursor, TheirClientCursor])
@pytest.mark.parametrize("setting", ["DateStyle=German", "array_nulls=off"])
def test_cursors_of_the_application_work_or_are_refused(
    shared_url: str, factory: Any, setting: str, is_watched: bool
) -> None:
    """They are used, with results as text, which some settings of the server change."""
    options = with_server_settings(setting)
    options["connect_args"]["cursor_factory"] = factory
    with engine_with(shared_url, **options) as engine:
        if is_watched:
            watch(engine)
        store = EventStore(engine)
        if setting == "array_nulls=off" and factory is TheirCursor:  # whose parameters are binary
            check_everything(store)
            return
        with pytest.raises(UnsuitableSetting, match=setting.partition("=")[0]):
            store.append("note-1", new_events(), expected_version=ANY)
    with engine_with(shared_url) as engine:
        assert EventStore(engine).stream_version("note-1") == 0


@watched
@pytest.mark.parametrize("factory", [TheirCursor, TheirClientCursor])
def test_results_as_text_are_the_same_under_other_settings(shared_url: str, factory: Any, is_watched: bool) -> None:
    options = with_server_settings("bytea_output=escape", "extra_float_digits=-15", "TimeZone=Asia/Tokyo")
    options["connect_args"]["cursor_factory"] = factory
    with engine_with(shared_url, **options) as engine:
        if is_watched:
            watch(engine)
        check_everything(EventStore(engine))


def test_cursors_that_take_other_placeholders_are_refused(shared_url: str) -> None:
    with engine_with(shared_url) as engine:
        with engine.connect():
            pass
        engine.dispose()

        @event.listens_for(engine, "connect")
        def _choose(connection: psycopg.Connection[Any], _: object) -> None:
            connection.cursor_factory = TheirRawCursor

        with pytest.raises(UnsuitableSetting, match="cursor_factory"):
            EventStore(engine).append("note-1", new_events(1), expected_version=ANY)


@pytest.mark.slow
@watched
@pytest.mark.parametrize("row_factory", [dict_row, namedtuple_row])
@pytest.mark.parametrize("factory", [psycopg.Cursor, TheirCursor])
def test_a_row_factory_changes_nothing(shared_url: str, row_factory: Any, factory: Any, is_watched: bool) -> None:
    with engine_with(shared_url) as engine:
        with engine.connect():
            pass  # SQLAlchemy itself asks for the version in tuples
        engine.dispose()

        @event.listens_for(engine, "connect")
        def _choose(connection: psycopg.Connection[Any], _: object) -> None:
            connection.row_factory = row_factory
            connection.cursor_factory = factory

        if is_watched:
            watch(engine)
        check_everything(EventStore(engine))


@pytest.mark.parametrize("threshold", [0, 1, None])
def test_when_statements_are_prepared_changes_nothing(shared_url: str, threshold: int | None) -> None:
    with engine_with(shared_url, connect_args={"prepare_threshold": threshold}) as engine:
        check_everything(EventStore(engine))


def test_connections_in_autocommit_work(shared_url: str) -> None:
    with engine_with(shared_url, connect_args={"autocommit": True}) as engine:
        check_everything(EventStore(engine))


# --- the server

FILLED: Final = ("es_events", "es_streams", "snapshots", "es_checkpoints", "es_dead_letters")
HARMLESS: Final = [
    "DateStyle=German",
    "DateStyle=SQL,DMY",
    "IntervalStyle=sql_standard",
    "TimeZone=Pacific/Chatham",
    "array_nulls=off",
    "standard_conforming_strings=off",
    "bytea_output=escape",
    "extra_float_digits=-15",
    "synchronous_commit=off",
    "default_transaction_isolation=repeatable\\ read",
    "default_transaction_isolation=serializable",
    "default_transaction_deferrable=on",
    "row_security=off",
    "session_replication_role=replica",
    "statement_timeout=60s",
    "lock_timeout=60s",
    "plan_cache_mode=force_generic_plan",
    "quote_all_identifiers=on",
]


@pytest.mark.slow
@watched
def test_settings_of_the_server_change_no_result(shared_url: str, is_watched: bool) -> None:
    for number, setting in enumerate(HARMLESS):
        with engine_with(shared_url, **with_server_settings(setting)) as engine:
            if number:
                with engine.begin() as connection:
                    connection.execute(text("SET LOCAL eventstore.allow_history_changes = 'on'"))
                    connection.execute(text(f"TRUNCATE {', '.join(FILLED)} RESTART IDENTITY"))
            if is_watched:
                watch(engine)
            check_everything(EventStore(engine))


@watched
@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
def test_an_encoding_that_can_not_hold_every_text_is_refused(shared_url: str, encoding: str, is_watched: bool) -> None:
    with engine_with(shared_url) as engine:

        @event.listens_for(engine, "connect")
        def _encode(connection: psycopg.Connection[Any], _: object) -> None:
            connection.autocommit = True
            connection.execute(f"SET client_encoding = '{encoding}'")
            connection.autocommit = False

        if is_watched:
            watch(engine)
        store = EventStore(engine)
        with pytest.raises(UnsuitableSetting, match=f"client_encoding is {encoding}"):
            store.append("note-1", new_events(1), expected_version=ANY)
        with pytest.raises(UnsuitableSetting), Session(engine) as session:
            store.join(session).append("note-1", new_events(1), expected_version=ANY)
    with engine_with(shared_url) as engine:
        assert EventStore(engine).stream_version("note-1") == 0


def test_a_database_in_another_encoding_is_refused(postgres_server_url: str) -> None:
    server = create_engine(postgres_server_url, isolation_level="AUTOCOMMIT")
    name = f"eventstore_test_latin1_{uuid4().hex}"
    with server.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name} ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
        with engine_with(server.url.set(database=name).render_as_string(hide_password=False)) as engine:
            event.listen(engine, "connect", _speak_utf8)
            with pytest.raises(UnsuitableSetting, match="server_encoding is LATIN1"):
                EventStore(engine).append("note-1", new_events(1), expected_version=ANY)
        connection.exec_driver_sql(f"DROP DATABASE {name}")
    server.dispose()


def _speak_utf8(connection: psycopg.Connection[Any], _: object) -> None:
    connection.autocommit = True
    connection.execute("SET client_encoding = 'UTF8'")
    connection.autocommit = False


@pytest.mark.slow
@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("lock_timeout=1", "lock timeout"),
        ("statement_timeout=500", "statement timeout"),  # milliseconds: SQLAlchemy has to connect first
    ],
)
def test_what_the_server_refuses_is_told_in_its_words_and_nothing_is_stored(
    shared_url: str, setting: str, told: str
) -> None:
    with engine_with(shared_url) as holder, engine_with(shared_url, **with_server_settings(setting)) as engine:
        before = EventStore(holder).append("note-1", new_events(1), expected_version=ANY)
        with holder.begin() as connection:
            EventStore(holder).join(connection).append("note-1", new_events(1), expected_version=ANY)
            with pytest.raises(DBAPIError, match=told):
                EventStore(engine).append("note-1", new_events(1), expected_version=ANY)
            with pytest.raises((DBAPIError, EventStoreError), match=told):
                EventStore(engine).append_many([Append("note-1", new_events(1), expected_version=ANY)] * 2)
            connection.rollback()
        assert EventStore(holder).stream_version("note-1") == before.version


@pytest.mark.slow
def test_a_user_who_may_only_read_reads_and_is_refused_by_name(shared_url: str) -> None:
    with (
        engine_with(shared_url) as holder,
        engine_with(shared_url, **with_server_settings("default_transaction_read_only=on")) as engine,
    ):
        before = EventStore(holder).append("note-1", new_events(1), expected_version=ANY)
        store = EventStore(engine)
        for count in (1, 3, 10_000):
            with pytest.raises(ReadOnlyDatabase, match="default_transaction_read_only"):
                store.append("note-1", new_events(count), expected_version=ANY)
        with pytest.raises(ReadOnlyDatabase):
            store.append_many([Append("note-1", new_events(1), expected_version=ANY)] * 2)
        assert store.stream_version("note-1") == before.version
        assert store.wait_for(before, settled=True) is store


# --- connections are given back as they were


@pytest.mark.slow
@watched
@pytest.mark.parametrize("isolation_level", [psycopg.IsolationLevel.SERIALIZABLE, None])
@pytest.mark.parametrize("autocommit", [True, False])
def test_a_hooks_choices_for_the_drivers_connection_are_kept(
    shared_url: str, isolation_level: psycopg.IsolationLevel | None, autocommit: bool, is_watched: bool
) -> None:
    with engine_with(shared_url, pool_size=1, max_overflow=0) as engine:

        @event.listens_for(engine, "connect")
        def _choose(connection: psycopg.Connection[Any], _: object) -> None:
            connection.isolation_level = isolation_level
            connection.autocommit = autocommit

        if is_watched:
            watch(engine)
        store = EventStore(engine)
        check_everything(store)
        with pytest.raises(ConcurrencyConflict), store.transaction() as transaction:
            transaction.append("note-1", new_events(1), expected_version=0)
        with engine.connect() as connection:
            driver: Any = connection.connection.driver_connection
            assert (driver.isolation_level, driver.autocommit) == (isolation_level, autocommit)


def test_pipeline_mode_of_a_joined_connection_is_refused(shared_postgres_engine: Engine) -> None:
    """Results come later there: there would be no rows."""
    store = EventStore(shared_postgres_engine)
    with shared_postgres_engine.begin() as connection:
        driver: Any = connection.connection.driver_connection
        with driver.pipeline(), pytest.raises(UnsuitableSetting, match="pipeline mode"):
            store.join(connection).append("note-1", new_events(1), expected_version=ANY)
        store.join(connection).append("note-1", new_events(1), expected_version=ANY)
    assert store.stream_version("note-1") == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    "options", [{"pool_pre_ping": True}, {"poolclass": NullPool}, {"pool_reset_on_return": None}], ids=str
)
def test_other_pools_change_nothing(shared_url: str, options: dict[str, Any]) -> None:
    with engine_with(shared_url, **options) as engine:
        check_everything(EventStore(engine))
