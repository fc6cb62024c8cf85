"""The databases that the store works with, and which engine is of which."""

import os
import shlex
from dataclasses import replace
from importlib.util import find_spec
from typing import Any
from urllib.parse import quote, quote_plus

from sqlalchemy import URL, Connection, Engine, create_engine, make_url
from sqlalchemy.orm import Session, scoped_session

from eventstore.backends.maintenance import MaintenanceBackend
from eventstore.backends.protocol import Backend
from eventstore.common.validation import check_flag, check_seconds
from eventstore.errors import DriverMissing, InvalidInput, TablesPlace, UnsupportedDatabase


def backend_for(
    engine: Engine, *, lock_timeout_seconds: float, schema: str | None = None, notify: bool = False
) -> Backend:
    """Return how the store uses this engine's database. A driver is imported only where it is used.

    Raises:
        UnsupportedDatabase: It is neither PostgreSQL by psycopg 3 nor SQLite by the standard library's driver.
        InvalidInput: It is no engine; or an option is not valid, such as a schema whose name PostgreSQL can't keep; or
            the database is SQLite, which has neither schemas nor notifications.
    """
    check_engine(engine)
    check_seconds("lock_timeout_seconds", lock_timeout_seconds)
    check_flag("notify", notify)
    kind = f"{engine.dialect.name}+{engine.dialect.driver}"
    if kind == "postgresql+psycopg":
        from eventstore.backends.postgresql.connections import PostgreSQLConnections  # noqa: PLC0415
        from eventstore.backends.postgresql.dialect import PostgreSQLDialect  # noqa: PLC0415

        postgresql = PostgreSQLDialect(
            schema=schema, notify=notify, copies=not engine.dialect.is_async, place=_place(engine, schema)
        )
        return Backend(PostgreSQLConnections(postgresql), postgresql)
    if kind == "sqlite+pysqlite":
        from eventstore.backends.sqlite.connections import NO_NOTIFICATIONS, SQLiteConnections  # noqa: PLC0415
        from eventstore.backends.sqlite.dialect import SQLiteDialect  # noqa: PLC0415

        if schema is not None:
            msg = "schema is for PostgreSQL: a SQLite database is one file, so give each store a file of its own"
            raise InvalidInput(msg)
        if notify:
            raise InvalidInput(NO_NOTIFICATIONS)
        sqlite = SQLiteDialect(place=_place(engine, None))
        return Backend(SQLiteConnections(sqlite, lock_timeout_seconds=lock_timeout_seconds), sqlite)
    raise UnsupportedDatabase(kind)


def maintenance_backend(engine: Engine) -> MaintenanceBackend:
    """Return what looking after a store needs of this engine's database. A driver is imported only if it is used."""
    if engine.dialect.name == "postgresql":
        from eventstore.backends.postgresql.maintenance import PostgreSQLMaintenance  # noqa: PLC0415

        return PostgreSQLMaintenance()
    from eventstore.backends.sqlite.maintenance import SQLiteMaintenance  # noqa: PLC0415

    return SQLiteMaintenance()


def check_engine(engine: object) -> Engine:
    """Return the engine.

    Raises:
        InvalidInput: It is something else; the text says how to get an engine of it, if there is a way.
    """
    if isinstance(engine, Engine):
        return engine
    hint = ""
    if isinstance(engine, str | URL):
        hint = "; of a URL, EventStore.from_url(url) makes a store, and sqlalchemy.create_engine(url) an engine"
    elif isinstance(getattr(engine, "sync_engine", None), Engine):
        hint = "; the store is synchronous: take the sync_engine of this one, and join it within AsyncSession.run_sync"
    elif isinstance(engine, Connection | Session | scoped_session):
        hint = "; for a connection or session, join it: EventStore(engine).join(…)"
    elif isinstance(getattr(type(engine), "engine", None), property):
        hint = "; pass its attribute engine"
    msg = f"engine is a sqlalchemy.Engine, not {type(engine).__name__}{hint}"
    raise InvalidInput(msg)


def _place(engine: Engine, schema: str | None) -> TablesPlace:
    url = engine.url
    if url.get_backend_name() == "sqlite" and url.database in {None, "", ":memory:"}:
        remedy = "make the store by EventStore.in_memory(), which creates them, or call migrations.upgrade(engine)"
        return TablesPlace("a SQLite database in memory", remedy=remedy)
    place = TablesPlace(without_password(str(url), url), schema)
    if schema is None:
        return place
    option = f"--schema {shlex.quote(schema)}"
    return replace(place, remedy=place.remedy.replace("eventstore migrate", f"eventstore migrate {option}"))


def engine_for(url: str | URL, *, lock_timeout_seconds: float = 30.0, **options: Any) -> Engine:
    """Return a new engine with sound defaults for its database.

    Args:
        url: As for `sqlalchemy.create_engine`. `postgresql://` and `postgres://` mean psycopg 3; `sqlite://` a new
            database in memory.
        lock_timeout_seconds: How long SQLite's driver waits for a lock.
        options: As for `sqlalchemy.create_engine`; they replace the defaults, `connect_args` key by key.

    Raises:
        UnsupportedDatabase: The URL is of another database or driver.
        DriverMissing: It is of PostgreSQL, and psycopg is not installed.
        InvalidInput: It is no URL, or the lock timeout is none.
    """
    if not isinstance(url, str | URL):
        msg = f"url is a string or a sqlalchemy.URL, not {type(url).__name__}"
        raise InvalidInput(msg)
    check_seconds("lock_timeout_seconds", lock_timeout_seconds)
    parsed = make_url(url.replace("postgres://", "postgresql://", 1) if isinstance(url, str) else url)
    if parsed.drivername == "postgresql":
        parsed = parsed.set(drivername="postgresql+psycopg")
    if parsed.drivername == "postgresql+psycopg":
        if find_spec("psycopg") is None:
            raise DriverMissing
        from eventstore.backends.postgresql.connections import ENGINE_OPTIONS  # noqa: PLC0415

        return create_engine(parsed, **_merged(ENGINE_OPTIONS, options))
    if parsed.drivername in {"sqlite", "sqlite+pysqlite"}:
        from eventstore.backends.sqlite import engines as sqlite  # noqa: PLC0415

        options = _merged(sqlite.engine_options(lock_timeout_seconds), options)
        if parsed.host or parsed.username:
            msg = (
                "a URL of SQLite has three slashes before the file, sqlite:///shop.db, or four: sqlite:////srv/shop.db"
            )
            raise InvalidInput(msg)
        in_memory = parsed.database in {None, "", ":memory:"}
        engine = sqlite.create_memory_engine(**options) if in_memory else create_engine(parsed, **options)
        sqlite.prepare_engine(engine)
        return engine
    raise UnsupportedDatabase(parsed.drivername)


def prepare_savepoints(engine: Engine) -> None:
    """Let a savepoint of SQLAlchemy (`session.begin_nested()`) be a part of the transaction around it.

    It is on PostgreSQL. SQLite's driver begins no transaction for it, so it would be one itself, and commit at its end:
    there the write lock is taken before a savepoint. Transactions without savepoints are as before.
    """
    if engine.dialect.name == "sqlite":
        from eventstore.backends.sqlite.engines import begin_before_savepoints  # noqa: PLC0415

        begin_before_savepoints(engine)


def _merged(defaults: dict[str, Any], options: dict[str, Any]) -> dict[str, Any]:
    connect_args = {**defaults["connect_args"], **options.get("connect_args", {})}
    return {"hide_parameters": True, **defaults, **options, "connect_args": connect_args}


def same_database(one: Engine, other: Engine) -> bool:
    """Return whether two engines lead to the same database, as far as their pools and URLs tell."""
    if one is other or one.pool is other.pool:
        return True
    return _address(one) == _address(other)


def _address(engine: Engine) -> tuple[Any, ...]:
    url = engine.url
    if engine.dialect.name == "sqlite":
        if url.database in {None, "", ":memory:"}:
            return ("sqlite", id(engine.pool))  # each engine has a memory of its own
        is_path = not str(url.database).startswith("file:")
        return ("sqlite", os.path.realpath(str(url.database)) if is_path else url.database)
    return (
        engine.dialect.name,
        engine.dialect.driver,
        url.host,
        url.port or 5432,
        url.database,
        dict(url.query).get("host"),
    )


def without_password(text: str, url: URL) -> str:
    """Return what somebody has said about a URL, without the password in it."""
    secrets = {
        url.password,
        *(value for name in ("password", "passfile", "sslpassword") for value in _values(url, name)),
    }
    for secret in sorted(filter(None, map(str, secrets - {None})), key=len, reverse=True):
        for written in {secret, quote(secret, safe=""), quote_plus(secret)}:
            text = text.replace(written, "***")
    return text


def _values(url: URL, name: str) -> tuple[str, ...]:
    value = url.query.get(name, ())
    return (value,) if isinstance(value, str) else tuple(value)
