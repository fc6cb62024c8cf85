"""Making stores, sharing them, and what can't be shared."""

import copy
import os
import pickle
import textwrap
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine
from sqlalchemy.orm import Session

from eventstore import EventStore, InvalidInput, NewEvent
from eventstore.backends import backend_for, same_database
from eventstore.codecs import JSONCodec
from eventstore.errors import DatabaseMismatch, DriverMissing, UnsupportedDatabase
from tests.fix_engines import migrated_sqlite
from tests.processes import run_python


def test_other_databases_are_refused_by_url() -> None:
    for url, found in (
        ("mysql+pymysql://localhost/x", r"mysql\+pymysql"),
        ("postgresql+psycopg2://localhost/x", r"postgresql\+psycopg2"),
        ("sqlite+aiosqlite:///x.db", r"sqlite\+aiosqlite"),
    ):
        with pytest.raises(UnsupportedDatabase, match=found):
            EventStore.from_url(url)


@pytest.mark.parametrize("url", ["sqlite://shop.db", "sqlite://srv/shop.db", "sqlite://ada:secret@shop.db"])
def test_a_file_after_two_slashes_is_not_taken_for_a_database_in_memory(url: str) -> None:
    """What is stored there would be gone with the process."""
    with pytest.raises(InvalidInput, match="three slashes") as refused:
        EventStore.from_url(url)
    assert "secret" not in str(refused.value)


def test_a_driver_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eventstore.backends.find_spec", lambda _: None)
    with pytest.raises(DriverMissing, match=r"sqlalchemy-eventstore\[postgresql\]"):
        EventStore.from_url("postgresql://localhost/shop")


def test_other_databases_are_refused_by_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = create_engine("sqlite://")
    monkeypatch.setattr(engine.dialect, "name", "oracle")  # its driver is not installed
    monkeypatch.setattr(engine.dialect, "driver", "oracledb")
    with pytest.raises(UnsupportedDatabase) as error:
        backend_for(engine, lock_timeout_seconds=1)
    assert error.value.found == "oracle+oracledb"


def test_an_engine_is_needed(sqlite_engine: Engine) -> None:
    with sqlite_engine.connect() as connection:
        for wrong in (connection, "sqlite://", None):
            with pytest.raises(InvalidInput, match="engine"):
                EventStore(wrong)  # type: ignore[arg-type]  # on purpose


@pytest.mark.parametrize("page_size", [0, -1, True, 1.5])
def test_a_page_has_at_least_one_event(sqlite_engine: Engine, page_size: Any) -> None:
    with pytest.raises(InvalidInput, match="page_size"):
        EventStore(sqlite_engine, page_size=page_size)


def test_options_reach_the_engine_and_the_store(sqlite_path: Path) -> None:
    url = f"sqlite:///{sqlite_path}"
    with EventStore.from_url(
        url, codec=JSONCodec(), engine_options={"pool_size": 2, "connect_args": {"timeout": 1.5}}
    ) as store:
        assert store.engine.pool.size() == 2  # type: ignore[attr-defined]  # a QueuePool
        store.append("order-1", [NewEvent("placed", {"total": 30})], expected_version=0)
        with store.engine.connect() as connection:
            assert connection.exec_driver_sql("PRAGMA busy_timeout").scalar() == 1500
            assert connection.exec_driver_sql("SELECT data FROM es_events").scalar() == b'{"total":30}'


def test_closing_disposes_of_an_engine_of_its_own_only(sqlite_path: Path, sqlite_engine: Engine) -> None:
    owned = EventStore.from_url(f"sqlite:///{sqlite_path}")
    before, kept = owned.engine.pool, sqlite_engine.pool
    owned.close()
    EventStore(sqlite_engine).close()
    assert owned.engine.pool is not before
    assert sqlite_engine.pool is kept


def test_a_store_can_not_be_pickled_or_copied(sqlite_engine: Engine) -> None:
    store = EventStore(sqlite_engine)
    for attempt in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="URL"):
            attempt(store)


def test_its_repr_shows_no_password() -> None:
    pytest.importorskip("psycopg")
    with EventStore.from_url("postgresql://user:geheim@nowhere/orders") as store:
        assert "geheim" not in repr(store)
        assert "nowhere/orders" in repr(store)


def test_a_session_of_another_database_is_refused(sqlite_engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = create_engine(f"sqlite:///{migrated_sqlite(tmp_path / 'other')}")
    store = EventStore(sqlite_engine)
    with Session(other) as session, pytest.raises(DatabaseMismatch, match="other"):
        store.join(session)
    with other.connect() as connection, pytest.raises(DatabaseMismatch):
        store.join(connection)
    with Session() as session, pytest.raises(DatabaseMismatch, match="not bound to an engine"):
        store.join(session)
    other.dispose()


def test_another_engine_of_the_same_database_may_join(sqlite_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(sqlite_path.parent)
    one, other = create_engine(f"sqlite:///{sqlite_path}"), create_engine(f"sqlite:///{sqlite_path.name}")
    with Session(other) as session, session.begin():
        EventStore(one).join(session).append("order-1", [NewEvent("placed")], expected_version=0)
    assert EventStore(one).stream_version("order-1") == 1
    one.dispose()
    other.dispose()


def test_which_engines_lead_to_the_same_database() -> None:
    def engine(url: str) -> Engine:
        return create_engine(url)

    server = "postgresql+psycopg://user@host"
    assert same_database(engine(f"{server}/one"), engine(f"{server}:5432/one"))
    assert same_database(engine(f"{server}/one"), engine("postgresql+psycopg://other@host/one"))
    assert not same_database(engine(f"{server}/one"), engine(f"{server}/two"))
    assert not same_database(engine(f"{server}/one"), engine(f"{server}:5433/one"))
    assert not same_database(engine("sqlite://"), engine("sqlite://"))
    assert not same_database(engine("sqlite://"), engine(f"{server}/one"))


FORK = """
    import os, sys
    from sqlalchemy import create_engine, text
    from eventstore import EventStore, NewEvent

    url, owned = sys.argv[1], sys.argv[2] == "owned"
    store = EventStore.from_url(url) if owned else EventStore(create_engine(url))

    def connection_id():
        with store.engine.connect() as connection:
            return id(connection.connection.dbapi_connection)

    def append(stream_id, count):
        for version in range(count):
            store.append(stream_id, [NewEvent("written")], expected_version=version)

    append("parent", 3)
    before = connection_id()
    children = []
    for number in range(3):
        process_id = os.fork()
        if process_id == 0:
            append(f"child-{number}", 50)
            assert connection_id() != before, "the child uses its parent's connection"
            os._exit(0)
        children.append(process_id)
    for version in range(3, 53):
        store.append("parent", [NewEvent("written")], expected_version=version)
    assert connection_id() == before, "the parent has lost its connection"
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0, 0, 0]
    assert [store.stream_version(f"child-{number}") for number in range(3)] == [50, 50, 50]
    assert len(list(store.read_stream("parent"))) == 53
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.parametrize("owner", ["owned", "application"])
def test_after_a_fork_no_connection_is_shared(any_url: str, owner: str) -> None:
    """As under gunicorn with --preload, where the workers are forks of a process that has used the store."""
    done = run_python("-c", textwrap.dedent(FORK), any_url, owner)
    assert done.returncode == 0, done.stderr
