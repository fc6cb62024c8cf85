"""Settings of SQLite and its driver: each works right, or is refused by name at the first use.

docs/reference/surroundings.md has the table.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Final

import pytest
from sqlalchemy import Engine, create_engine, event, text
from sqlalchemy.exc import OperationalError

from eventstore import ANY, AggregateNotFound, EventStore, NewEvent, Repository, migrations
from eventstore.backends.sqlite.settings import ManualBegin
from eventstore.errors import NotInTransaction, UnsuitableSetting
from tests.test_surroundings_postgresql import MAP, check_everything, watch, watched

HARMLESS: Final = [
    "foreign_keys = OFF",
    "foreign_keys = ON",
    "defer_foreign_keys = ON",
    "recursive_triggers = ON",
    "reverse_unordered_selects = ON",
    "case_sensitive_like = ON",
    "trusted_schema = OFF",
    "synchronous = OFF",
    "automatic_index = OFF",
    "full_column_names = ON",
    "short_column_names = OFF",
    "cell_size_check = ON",
    "temp_store = MEMORY",
    "journal_mode = MEMORY",
    "locking_mode = EXCLUSIVE",
]


@pytest.fixture
def url(sqlite_path: Path) -> str:
    return f"sqlite:///{sqlite_path}"


@pytest.fixture
def engine(url: str) -> Iterator[Engine]:
    engine = create_engine(url)
    yield engine
    engine.dispose()


def on_connect(engine: Engine, change: Any) -> None:
    event.listen(engine, "connect", lambda connection, _: change(connection))


def new(number: int = 1) -> list[NewEvent]:
    return [NewEvent("noted", number)]


@watched
@pytest.mark.parametrize("pragma", HARMLESS)
def test_a_pragma_changes_no_result(url: str, pragma: str, is_watched: bool) -> None:
    pool: dict[str, Any] = {"pool_size": 1, "max_overflow": 0} if "EXCLUSIVE" in pragma else {}
    engine = create_engine(url, **pool)
    on_connect(engine, lambda connection: connection.execute(f"PRAGMA {pragma}"))
    if is_watched:
        watch(engine)
    check_everything(EventStore(engine))
    engine.dispose()


@watched
@pytest.mark.parametrize("pragma", ["count_changes", "ignore_check_constraints", "read_uncommitted"])
def test_a_pragma_that_would_break_a_promise_is_refused(engine: Engine, pragma: str, is_watched: bool) -> None:
    on_connect(engine, lambda connection: connection.execute(f"PRAGMA {pragma} = ON"))
    if is_watched:
        watch(engine)
    store = EventStore(engine)
    with pytest.raises(UnsuitableSetting, match=f"PRAGMA {pragma}"), engine.connect() as connection:
        store.join(connection).stream_version("note-1")
    with pytest.raises(UnsuitableSetting, match=f"PRAGMA {pragma}"):
        store.append("note-1", new(), expected_version=ANY)


def test_a_file_without_a_journal_is_refused(sqlite_path: Path) -> None:
    engine = create_engine(f"sqlite:///{sqlite_path.with_name('without-journal.db')}")  # one in WAL mode keeps that
    migrations.upgrade(engine, "es_0001")
    engine.dispose()
    on_connect(engine, lambda connection: connection.execute("PRAGMA journal_mode = OFF"))
    with pytest.raises(UnsuitableSetting, match=r"PRAGMA journal_mode is off, .*WAL"):
        EventStore(engine).append("note-1", new(), expected_version=ANY)
    with pytest.raises(UnsuitableSetting, match="PRAGMA journal_mode"):
        migrations.upgrade(engine)
    engine.dispose()


def test_an_engine_that_reads_what_is_not_committed_is_refused(url: str) -> None:
    engine = create_engine(url, isolation_level="READ UNCOMMITTED")
    with pytest.raises(UnsuitableSetting, match="read_uncommitted"):
        list(EventStore(engine).read_all())
    engine.dispose()


def test_a_file_that_is_not_in_utf_8_is_refused_before_tables_are_made(tmp_path: Path) -> None:
    path = tmp_path / "utf16.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA encoding = 'UTF-16'")
        connection.execute("CREATE TABLE theirs (id INTEGER)")
    engine = create_engine(f"sqlite:///{path}")
    with pytest.raises(UnsuitableSetting, match="PRAGMA encoding is UTF-16"):
        migrations.upgrade(engine)
    with pytest.raises(UnsuitableSetting, match="PRAGMA encoding is UTF-16"):
        EventStore(engine).append("note-1", new(), expected_version=ANY)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT group_concat(name) FROM sqlite_master")).scalar_one() == "theirs"
    engine.dispose()


@watched
def test_a_file_for_reading_refuses_in_sqlites_words(engine: Engine, is_watched: bool) -> None:
    on_connect(engine, lambda connection: connection.execute("PRAGMA query_only = ON"))
    if is_watched:
        watch(engine)
    with pytest.raises(OperationalError, match="attempt to write a readonly database"):
        EventStore(engine).append("note-1", new(), expected_version=ANY)
    assert EventStore(engine).stream_version("note-1") == 0


# --- the driver


def as_dict(cursor: sqlite3.Cursor, row: tuple[Any, ...]) -> dict[str, Any]:
    return {column[0]: value for column, value in zip(cursor.description, row, strict=True)}


@watched
@pytest.mark.parametrize("row_factory", [sqlite3.Row, as_dict])
def test_a_row_factory_changes_nothing(engine: Engine, row_factory: Any, is_watched: bool) -> None:
    engine.connect().close()  # SQLAlchemy's own first questions are in tuples
    engine.dispose()
    on_connect(engine, lambda connection: setattr(connection, "row_factory", row_factory))
    if is_watched:
        watch(engine)
    check_everything(EventStore(engine))


def test_a_row_factory_leaves_the_drivers_timeout_alone(url: str) -> None:
    engine = create_engine(url, connect_args={"timeout": 7}, pool_size=1, max_overflow=0)
    on_connect(engine, lambda connection: setattr(connection, "row_factory", as_dict))
    EventStore(engine).append("note-1", new(), expected_version=ANY)
    with closing(engine.raw_connection()) as pooled:
        assert pooled.cursor().execute("PRAGMA busy_timeout").fetchone() == {"timeout": 7000}
    engine.dispose()


@watched
def test_a_text_factory_is_refused(engine: Engine, is_watched: bool) -> None:
    on_connect(engine, lambda connection: setattr(connection, "text_factory", bytes))
    if is_watched:
        watch(engine)
    store = EventStore(engine)
    with pytest.raises(UnsuitableSetting, match="text_factory"):
        store.append("note-1", new(), expected_version=ANY)
    with pytest.raises(UnsuitableSetting), engine.connect() as connection:
        store.join(connection).append("note-1", new(), expected_version=ANY)


@watched
def test_converters_of_times_change_nothing(
    url: str, is_watched: bool, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    monkeypatch.setitem(sqlite3.converters, "DATETIME", lambda value: datetime.fromisoformat(value.decode()))
    engine = create_engine(url, connect_args={"detect_types": sqlite3.PARSE_DECLTYPES | sqlite3.PARSE_COLNAMES})
    if is_watched:
        watch(engine)
    check_everything(EventStore(engine))
    engine.dispose()


def test_a_converter_that_makes_something_else_is_refused(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sqlite3.converters, "DATETIME", lambda _: 7)
    engine = create_engine(url, connect_args={"detect_types": sqlite3.PARSE_DECLTYPES})
    store = EventStore(engine)
    store.append("note-1", new(), expected_version=ANY)
    with pytest.raises(UnsuitableSetting, match=r"detect_types .*makes int"):
        list(store.read_stream("note-1"))
    engine.dispose()


@watched
@pytest.mark.parametrize("isolation_level", ["DEFERRED", "IMMEDIATE", "EXCLUSIVE", None])
def test_when_the_driver_begins_changes_nothing(url: str, isolation_level: Any, is_watched: bool) -> None:
    engine = create_engine(url, connect_args={"isolation_level": isolation_level})
    if is_watched:
        watch(engine)
    check_everything(EventStore(engine))
    engine.dispose()


def test_a_joined_connection_whose_driver_begins_nothing_is_refused(url: str) -> None:
    engine = create_engine(url, connect_args={"isolation_level": None})
    store = EventStore(engine)
    store.append("note-1", new(), expected_version=ANY)
    with engine.begin() as connection:
        joined = store.join(connection)
        with pytest.raises(NotInTransaction):
            joined.append("note-1", new(), expected_version=ANY)
        with pytest.raises(NotInTransaction):
            joined.snapshots.save("note-1", version=1, state=0)
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN"))
    with engine.connect() as connection:
        store.join(connection).append("note-1", new(), expected_version=ANY)
        store.join(connection).snapshots.save("note-1", version=1, state=0)
        connection.rollback()
    assert (store.stream_version("note-1"), store.snapshots.load("note-1")) == (1, None)
    engine.dispose()


class Driver:
    """A connection as Python 3.12 has it."""

    def __init__(self, autocommit: Any) -> None:
        self.autocommit = autocommit
        self.isolation_level: str | None = ""


@pytest.mark.parametrize("autocommit", [True, False])
def test_the_drivers_autocommit_of_python_3_12_is_set_and_put_back(autocommit: bool) -> None:
    driver = Driver(autocommit)
    manual_begin = ManualBegin(driver)
    assert (driver.autocommit, driver.isolation_level) == (True, "")
    manual_begin.restore()
    assert (driver.autocommit, driver.isolation_level) == (autocommit, "")


def test_without_it_the_isolation_level_is_set_and_put_back() -> None:
    driver = Driver(-1)
    manual_begin = ManualBegin(driver)
    assert (driver.autocommit, driver.isolation_level) == (-1, None)
    manual_begin.restore()
    assert (driver.autocommit, driver.isolation_level) == (-1, "")


# --- SQLAlchemy


@pytest.mark.parametrize("options", [{"stream_results": True}, {"yield_per": 2}, {"no_parameters": True}], ids=str)
def test_options_of_executions_change_nothing(engine: Engine, options: dict[str, Any]) -> None:
    engine = engine.execution_options(**options)
    watch(engine)
    check_everything(EventStore(engine))


def test_a_hook_on_sqlalchemys_connection_that_begins_changes_nothing(engine: Engine) -> None:
    event.listen(engine, "engine_connect", lambda connection: connection.execute(text("SELECT 1")))
    check_everything(EventStore(engine))


@watched
def test_a_schema_translate_map_is_refused(engine: Engine, is_watched: bool) -> None:
    engine = engine.execution_options(schema_translate_map=MAP)
    if is_watched:
        watch(engine)
    store = EventStore(engine)
    with pytest.raises(UnsuitableSetting, match="schema_translate_map"):
        store.append("note-1", new(), expected_version=ANY)
    with pytest.raises(UnsuitableSetting), engine.connect() as connection:
        store.join(connection).stream_version("note-1")
    with pytest.raises(UnsuitableSetting):
        list(store.read_all())


# --- times

AT_THE_ENDS: Final = [
    datetime.max.replace(tzinfo=timezone(timedelta(hours=-12))),
    datetime.max.replace(tzinfo=UTC),
    datetime.min.replace(tzinfo=UTC),
    datetime.min.replace(tzinfo=timezone(timedelta(hours=14))),
]


@pytest.mark.parametrize("as_of", AT_THE_ENDS, ids=str)
def test_an_aggregate_is_loaded_as_of_the_ends_of_time(any_engine: Engine, as_of: datetime) -> None:
    store = EventStore(any_engine)
    store.append("note-1", new(), expected_version=ANY)
    notes = Repository(store, category="note", initial=int, evolve=lambda state, _: state + 1)
    if as_of.year > datetime(2026, 1, 1, tzinfo=UTC).year:
        assert notes.load("1", as_of=as_of).state == 1
    else:
        with pytest.raises(AggregateNotFound):
            notes.load("1", as_of=as_of)
