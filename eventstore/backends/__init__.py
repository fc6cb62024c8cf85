"""The databases that the store supports, and the choice of the backend for an engine."""

import os
import shlex
from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib.util import find_spec
from typing import Any, Final
from urllib.parse import quote, quote_plus

from sqlalchemy import URL, Connection, Engine, create_engine, make_url
from sqlalchemy.orm import Session, scoped_session
from sqlalchemy.pool import AsyncAdaptedQueuePool, QueuePool, StaticPool

from eventstore.backends.maintenance import MaintenanceBackend
from eventstore.backends.protocol import Backend, Grouping
from eventstore.backends.waiting import waiting_on
from eventstore.common.validation import check_flag, check_schema_name, check_seconds
from eventstore.errors import DriverMissing, InvalidInput, TablesPlace, UnsupportedDatabase
from eventstore.observer import DatabaseAddress, configured_address

_POSTGRESQL_GROUPING: Final = Grouping(leaders=4, patience_seconds=0.05)
"""More leaders keep the server busy while others wait for their commits; but the more there are, the smaller are the
groups. A leader that takes longer than the patience probably waits for a head."""

_SQLITE_PATIENCE_SECONDS: Final = 1.0
"""There is one writer at a time, for whom everyone waits anyway."""


def backend_for(
    engine: Engine,
    *,
    lock_timeout_seconds: float,
    schema: str | None = None,
    notify: bool = False,
    group_commit: bool | None = None,
) -> Backend:
    """Return the backend for this engine's database. Only that backend's driver is imported.

    Raises:
        UnsupportedDatabase: The engine is neither for PostgreSQL with psycopg 3 nor for SQLite with the standard
            library's driver or aiosqlite.
        InvalidInput: The argument is not an engine; or an option is not valid, such as a schema name that PostgreSQL
            can't store, a schema or notifications on SQLite, which has neither, group commit with another pool than
            SQLAlchemy's QueuePool, or one connection for all tasks of asyncio.
        UnsuitableServer: The engine's URL leads to several servers, of which any may answer.
    """
    check_engine(engine)
    check_seconds("lock_timeout_seconds", lock_timeout_seconds)
    check_schema_name(schema)
    check_flag("notify", notify)
    if group_commit is not None:
        check_flag("group_commit", group_commit)
    if group_commit:
        _refuse_to_share(engine)
    kind = f"{engine.dialect.name}+{engine.dialect.driver}"
    if kind == "postgresql+psycopg":
        from eventstore.backends.postgresql.connections import PostgreSQLConnections  # noqa: PLC0415
        from eventstore.backends.postgresql.dialect import PostgreSQLDialect  # noqa: PLC0415
        from eventstore.backends.postgresql.servers import refuse_several_servers  # noqa: PLC0415

        refuse_several_servers(engine)
        postgresql = PostgreSQLDialect(schema=schema, copies=not engine.dialect.is_async, place=_place(engine, schema))
        connected = PostgreSQLConnections(postgresql, waiting_on(engine))
        return Backend(connected, postgresql, _POSTGRESQL_GROUPING if group_commit else None)
    if kind in {"sqlite+pysqlite", "sqlite+aiosqlite"}:
        from eventstore.backends.sqlite.connections import NO_NOTIFICATIONS, SQLiteConnections  # noqa: PLC0415
        from eventstore.backends.sqlite.dialect import SQLiteDialect  # noqa: PLC0415

        if schema is not None:
            msg = "schema needs PostgreSQL; SQLite has no schemas, so give each store another file"
            raise InvalidInput(msg)
        if notify:
            raise InvalidInput(NO_NOTIFICATIONS)
        sqlite = SQLiteDialect(place=_place(engine, None))
        connections = SQLiteConnections(sqlite, lock_timeout_seconds=lock_timeout_seconds, waiting=waiting_on(engine))
        if engine.dialect.is_async:  # group commit is for threads
            from eventstore.backends.sqlite.asynchronous import roll_back_before_closing  # noqa: PLC0415

            _refuse_one_for_all(engine)
            roll_back_before_closing(engine)
            return Backend(connections, sqlite, None)
        grouping = Grouping(leaders=1, patience_seconds=min(lock_timeout_seconds, _SQLITE_PATIENCE_SECONDS))
        return Backend(connections, sqlite, None if group_commit is False else grouping)
    raise UnsupportedDatabase(kind)


def _refuse_to_share(engine: Engine) -> None:
    pool = type(engine.pool)
    if pool is not QueuePool:
        msg = (
            "group_commit needs a QueuePool, from which any thread can take any connection; the engine has a "
            f"{pool.__name__}"
        )
        raise InvalidInput(msg)


def _refuse_one_for_all(engine: Engine) -> None:
    if isinstance(engine.pool, StaticPool):
        msg = (
            "the engine has one connection for all tasks, so that their transactions would be one; for a database in "
            "memory, make the store by AsyncEventStore.in_memory()"
        )
        raise InvalidInput(msg)


def maintenance_backend(engine: Engine) -> MaintenanceBackend:
    """Return the maintenance backend for this engine's database. Only that backend's driver is imported."""
    return maintenance_backend_of(engine.dialect.name)


def maintenance_backend_of(system: str) -> MaintenanceBackend:
    """Return the maintenance backend for a database system, which is `postgresql` or `sqlite`."""
    if system == "postgresql":
        from eventstore.backends.postgresql.maintenance import PostgreSQLMaintenance  # noqa: PLC0415

        return PostgreSQLMaintenance()
    from eventstore.backends.sqlite.maintenance import SQLiteMaintenance  # noqa: PLC0415

    return SQLiteMaintenance()


def check_engine(engine: object) -> Engine:
    """Return the engine.

    Raises:
        InvalidInput: The argument is not an engine. The message says how to get one from it, if there is a way.
    """
    if isinstance(engine, Engine):
        return engine
    hint = ""
    if isinstance(engine, str | URL):
        hint = "; call EventStore.from_url(url) to make a store from a URL, or sqlalchemy.create_engine(url)"
    elif isinstance(getattr(engine, "sync_engine", None), Engine):
        hint = "; for asyncio, make an eventstore.contrib.asyncio.AsyncEventStore; migrations take a synchronous engine"
    elif isinstance(engine, Connection | Session | scoped_session):
        hint = "; to use a connection or session, join it: EventStore(engine).join(…)"
    elif isinstance(getattr(type(engine), "engine", None), property):
        hint = "; pass its attribute engine"
    msg = f"engine must be a sqlalchemy.Engine, not {type(engine).__name__}{hint}"
    raise InvalidInput(msg)


def _place(engine: Engine, schema: str | None) -> TablesPlace:
    url = engine.url
    if url.get_backend_name() == "sqlite" and url.database in {None, "", ":memory:"}:
        remedy = "make the store with EventStore.in_memory(), which creates them, or call migrations.upgrade(engine)"
        return TablesPlace("a SQLite database in memory", remedy=remedy)
    place = TablesPlace(without_password(str(url), url), schema)
    if schema is None:
        return place
    option = f"--schema {shlex.quote(schema)}"
    return replace(place, remedy=place.remedy.replace("eventstore migrate", f"eventstore migrate {option}"))


def engine_of_store(
    url: str | URL,
    engine_options: Mapping[str, Any] | None,
    store_options: Mapping[str, Any],
    *,
    is_async: bool = False,
) -> Engine:
    """Check the options of `EventStore.from_url`, and return the engine; see `engine_for`."""
    if engine_options is not None and not isinstance(engine_options, Mapping):
        msg = f"engine_options must be a mapping of options of create_engine, not {type(engine_options).__name__}"
        raise InvalidInput(msg)
    for name in engine_options or ():
        if not isinstance(name, str) or name in {"url", "lock_timeout_seconds", "is_async"}:
            msg = f"engine_options has {name!r}, which is not an option of create_engine"
            raise InvalidInput(msg)
    lock_timeout = {name: store_options[name] for name in ("lock_timeout_seconds",) if name in store_options}
    return engine_for(url, is_async=is_async, **lock_timeout, **(engine_options or {}))


def engine_for(url: str | URL, *, lock_timeout_seconds: float = 30.0, is_async: bool = False, **options: Any) -> Engine:
    """Return a new engine with sound defaults for its database.

    Args:
        url: As for `sqlalchemy.create_engine`. `postgresql://` and `postgres://` mean psycopg 3, `sqlite://` means a
            new database in memory.
        lock_timeout_seconds: How long SQLite's driver waits for a lock.
        is_async: Whether to return the `sync_engine` of an engine for asyncio.
        options: As for `sqlalchemy.create_engine`; they override the defaults, `connect_args` key by key.

    Raises:
        UnsupportedDatabase: The URL is for another database or driver.
        DriverMissing: The URL is for PostgreSQL, and psycopg is not installed.
        InvalidInput: The URL is not a URL, or the lock timeout is not valid.
    """
    if not isinstance(url, str | URL):
        msg = f"url must be a string or a sqlalchemy.URL, not {type(url).__name__}"
        raise InvalidInput(msg)
    check_seconds("lock_timeout_seconds", lock_timeout_seconds)
    create: Callable[..., Engine] = _create_for_asyncio if is_async else create_engine
    parsed = make_url(url.replace("postgres://", "postgresql://", 1) if isinstance(url, str) else url)
    if parsed.drivername == "postgresql":
        parsed = parsed.set(drivername="postgresql+psycopg")
    if parsed.drivername == "postgresql+psycopg":
        if find_spec("psycopg") is None:
            raise DriverMissing
        from eventstore.backends.postgresql.connections import ENGINE_OPTIONS  # noqa: PLC0415

        return create(parsed, **_merged(ENGINE_OPTIONS, options))
    if parsed.drivername in {"sqlite", "sqlite+aiosqlite" if is_async else "sqlite+pysqlite"}:
        from eventstore.backends.sqlite import engines as sqlite  # noqa: PLC0415

        options = _merged(sqlite.engine_options(lock_timeout_seconds), options)
        if parsed.host or parsed.username:
            msg = (
                "a URL of SQLite has three slashes before the file, sqlite:///shop.db, or four: sqlite:////srv/shop.db"
            )
            raise InvalidInput(msg)
        parsed = parsed.set(drivername="sqlite+aiosqlite" if is_async else parsed.drivername)
        if parsed.database in {None, "", ":memory:"}:
            engine = sqlite.create_memory_engine(parsed.drivername, create, **options)
        else:
            engine = create(parsed, **options)
        sqlite.prepare_engine(engine)
        return engine
    raise UnsupportedDatabase(parsed.drivername)


def _create_for_asyncio(url: URL, **options: Any) -> Engine:
    from sqlalchemy.ext.asyncio import create_async_engine  # noqa: PLC0415  # it needs greenlet

    options.setdefault("poolclass", AsyncAdaptedQueuePool)  # SQLAlchemy 2.0.36 would pool no files of SQLite
    return create_async_engine(url, **options).sync_engine


def prepare_savepoints(engine: Engine) -> None:
    """Make a savepoint of SQLAlchemy (`session.begin_nested()`) a part of the transaction around it on SQLite.

    On PostgreSQL it is one anyway. SQLite's driver begins no transaction for a savepoint, which would then itself be
    the transaction, and commit at its end. After this call the write lock is taken before a savepoint. Transactions
    without savepoints do not change.
    """
    if engine.dialect.name == "sqlite":
        from eventstore.backends.sqlite.engines import begin_before_savepoints  # noqa: PLC0415

        begin_before_savepoints(engine)


def _merged(defaults: dict[str, Any], options: dict[str, Any]) -> dict[str, Any]:
    connect_args = {**defaults["connect_args"], **options.get("connect_args", {})}
    return {"hide_parameters": True, **defaults, **options, "connect_args": connect_args}


def same_database(one: Engine, other: Engine) -> bool:
    """Return whether two engines lead to the same database, judging by their pools and URLs."""
    if one is other or one.pool is other.pool:
        return True
    return _address(one) == _address(other)


def _address(engine: Engine) -> tuple[Any, ...]:
    url = engine.url
    if engine.dialect.name == "sqlite":
        if url.database in {None, "", ":memory:"}:
            return ("sqlite", id(engine.pool))  # each engine has another database in memory
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


def address_of(engine: Engine, schema: str | None) -> DatabaseAddress:
    """Return where the engine's URL leads, for observers."""
    if engine.dialect.name == "sqlite":
        return DatabaseAddress("sqlite", None if engine.url.database == ":memory:" else engine.url.database)
    _, options = engine.dialect.create_connect_args(engine.url)  # the host and the port may be in the query
    return configured_address(
        engine.dialect.name,
        database=options.get("dbname"),
        schema=schema,
        host=options.get("host"),
        port=options.get("port"),
    )


def without_password(text: str, url: URL) -> str:
    """Return a text about a URL, without the URL's password in it."""
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
