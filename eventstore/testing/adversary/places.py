"""The places where the adversary works: schemas, databases or files that it creates and removes."""

import secrets
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from sqlalchemy import URL, Connection, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from eventstore.backends import engine_for
from eventstore.common.error_type import error_type

_TRIES: Final = 20
_PAUSE_SECONDS: Final = 0.1
_IN_MEMORY: Final = (None, "", ":memory:")
_SQLITE_SUFFIXES: Final = ("", "-wal", "-shm", "-journal")


class CanNotRun(Exception):
    """The adversary can't work here; the text says why."""


class LeftOut(Exception):
    """One attack can't be made here; the text says why."""


@dataclass(frozen=True, slots=True)
class Place:
    """The place of one attack.

    Attributes:
        url: The URL for adapters.
        schema: The schema for adapters.
        direct_url: The URL of the server itself, to create tables and to check the place from outside.
    """

    url: URL
    schema: str | None
    direct_url: URL

    @property
    def is_sqlite(self) -> bool:
        """Whether it is a file of SQLite."""
        return self.url.get_backend_name() == "sqlite"


class Ground:
    """The database that the adversary was given.

    Args:
        url: The URL of a PostgreSQL database, or of a SQLite file that does not exist yet.
        direct_url: The URL of the server itself, if `url` leads to a pooler. Defaults to None: it is the same URL.
        takes_schema: Whether the store can work in a schema.

    Attributes:
        name: The prefix of the names of everything that is created here; unique to this run.

    Raises:
        CanNotRun: The file exists, or the database is in memory.
    """

    def __init__(self, url: URL, direct_url: URL | None = None, *, takes_schema: bool) -> None:
        self.url = _known(url)
        self.direct_url = self.url if direct_url is None else _known(direct_url)
        self._takes_schema = takes_schema
        self.is_sqlite = url.get_backend_name() == "sqlite"
        if not self.is_sqlite and self.url.get_backend_name() != "postgresql":
            raise CanNotRun(f"the URL is of {url.get_backend_name()}; the adversary works on PostgreSQL and SQLite")
        if self.is_sqlite:
            name = url.database
            if name in _IN_MEMORY or str(name).startswith("file:"):
                raise CanNotRun("several processes share the database; pass the name of a file, not a URI")
            if Path(str(name)).exists():
                raise CanNotRun("the file exists already; pass the name of a new one, which is created and removed")
        self.name = f"adversary_{secrets.token_hex(4)}"
        self._count = 0

    def version(self) -> str:
        """Return the name and version of the database.

        Raises:
            CanNotRun: The database does not answer.
        """
        if self.is_sqlite:
            return f"SQLite {sqlite3.sqlite_version}"
        try:
            with self.connect() as connection:
                return f"PostgreSQL {connection.scalar(text('SHOW server_version'))}"
        except SQLAlchemyError as error:
            raise CanNotRun(f"the database does not answer: {error_type(error)}") from error

    @contextmanager
    def connect(self, url: URL | None = None) -> Iterator[Connection]:
        """Open a connection in autocommit, by default to the direct URL."""
        engine = engine_for(url or self.direct_url, isolation_level="AUTOCOMMIT")
        try:
            with engine.connect() as connection:
                yield connection
        finally:
            engine.dispose()

    @contextmanager
    def place(self) -> Iterator[Place]:
        """Create an empty place, and remove it at the end.

        Raises:
            CanNotRun: The database user may not create it.
        """
        name = self._next_name()
        if self.is_sqlite:
            created = _file(self.url.set(database=f"{self.url.database}-{name}"))
        elif self._takes_schema:
            created = self._schema(name)
        else:
            created = self._database(name, CanNotRun)
        with created as place:
            yield place

    @contextmanager
    def database(self) -> Iterator[Place]:
        """Create a place that is a whole database (PostgreSQL), and remove it at the end.

        Raises:
            LeftOut: The database user may not create it.
        """
        with self._database(self._next_name(), LeftOut) as place:
            yield place

    def _next_name(self) -> str:
        self._count += 1
        return f"{self.name}_{self._count}"

    @contextmanager
    def _schema(self, name: str) -> Iterator[Place]:
        with self.connect() as connection:
            _create(connection, f"CREATE SCHEMA {name}", CanNotRun)
        try:
            yield Place(self.url, name, self.direct_url)
        finally:
            with self.connect() as connection:
                _retry(partial(connection.execute, text(f"DROP SCHEMA {name} CASCADE")))

    @contextmanager
    def _database(self, name: str, error_class: type[Exception]) -> Iterator[Place]:
        with self.connect() as connection:
            _create(connection, f"CREATE DATABASE {name}", error_class)
        try:
            yield Place(self.url.set(database=name), None, self.direct_url.set(database=name))
        finally:
            with self.connect() as connection:
                for each in (name, _other(name)):
                    _retry(partial(drop, connection, each))

    @contextmanager
    def copied(self, place: Place) -> Iterator["Copy"]:
        """Copy a database or a file, so that the copy can replace it."""
        copy = Copy(self, place)
        try:
            yield copy
        finally:
            if place.is_sqlite:
                _remove(Path(f"{place.url.database}-copy"))


@dataclass(frozen=True, slots=True)
class Copy:
    """A copy of a place, taken when the object is created."""

    ground: Ground
    place: Place

    def __post_init__(self) -> None:
        name = str(self.place.url.database)
        if self.place.is_sqlite:
            _copy_file(Path(name), Path(f"{name}-copy"))
        else:
            with self.ground.connect() as connection:
                _retry(partial(_copy_database, connection, name))

    def swap(self) -> None:
        """Replace the original, which is dropped, by the copy."""
        name = str(self.place.url.database)
        if self.place.is_sqlite:
            _remove(Path(name))
            _copy_file(Path(f"{name}-copy"), Path(name))
            return
        with self.ground.connect() as connection:
            _retry(partial(drop, connection, name))
            connection.execute(text(f"ALTER DATABASE {_other(name)} RENAME TO {name}"))


def drop(connection: Connection, database: str) -> None:
    """Drop a database that the adversary has created, if it exists."""
    disconnect(connection, database)
    connection.execute(text(f"DROP DATABASE IF EXISTS {database}"))


def disconnect(connection: Connection, database: str) -> None:
    """Terminate all sessions of a database that the adversary has created."""
    ends = text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name")
    connection.execute(ends, {"name": database})


def _retry(work: Callable[[], object]) -> None:
    """Call a function until it succeeds, because sessions need a moment to end and to release their locks."""
    for attempt in range(_TRIES):
        try:
            work()
        except SQLAlchemyError:
            if attempt == _TRIES - 1:
                raise
            time.sleep(_PAUSE_SECONDS)
        else:
            return


def _create(connection: Connection, statement: str, error_class: type[Exception]) -> None:
    try:
        connection.execute(text(statement))
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) == "42501":
            raise error_class(f"the database user may not {' '.join(statement.split()[:2])}") from error
        raise


def _copy_database(connection: Connection, name: str) -> None:
    disconnect(connection, name)
    connection.execute(text(f"CREATE DATABASE {_other(name)} TEMPLATE {name}"))


@contextmanager
def _file(url: URL) -> Iterator[Place]:
    try:
        yield Place(url, None, url)
    finally:
        _remove(Path(str(url.database)))


def _remove(path: Path) -> None:
    for suffix in _SQLITE_SUFFIXES:
        Path(f"{path}{suffix}").unlink(missing_ok=True)


def has_writer(url: URL) -> bool:
    """Return whether a transaction of SQLite has begun to write."""
    with closing(sqlite3.connect(str(url.database), timeout=0, isolation_level=None)) as connection:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY:
                return True
            raise
    return False


def _known(url: URL) -> URL:
    return url.set(drivername="postgresql") if url.drivername == "postgres" else url


def _copy_file(source: Path, target: Path) -> None:
    """Copy a database by SQLite's backup, which includes the write-ahead log."""
    with closing(sqlite3.connect(source)) as one, closing(sqlite3.connect(target)) as other:
        one.backup(other)


def _other(name: str) -> str:
    return f"{name}_copy"
