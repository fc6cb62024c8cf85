"""Where the adversary works: a schema, a database or a file of its own, which it makes and removes."""

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
    """The adversary can't work here; says why."""


class LeftOut(Exception):
    """One attack can't be made here; says why."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where one attack works.

    Attributes:
        url: For adapters.
        schema: For adapters.
        direct_url: The same place by the server's own address: to make tables, and to look at it from outside.
    """

    url: URL
    schema: str | None
    direct_url: URL

    @property
    def is_sqlite(self) -> bool:
        """Whether it is a file."""
        return self.url.get_backend_name() == "sqlite"


class Ground:
    """The database that the adversary was given.

    Args:
        url: Of PostgreSQL; or of a SQLite file that is not there yet.
        direct_url: Of the same database by its server's own address, if `url` leads to a pooler. Defaults to None: it
            is the same URL.
        takes_schema: Whether the store can work in a schema.

    Attributes:
        name: What the names of all that is made here begin with; unlike those of any other run.

    Raises:
        CanNotRun: The file is there, or the database is one in memory.
    """

    def __init__(self, url: URL, direct_url: URL | None = None, *, takes_schema: bool) -> None:
        self.url = _known(url)
        self.direct_url = self.url if direct_url is None else _known(direct_url)
        self._takes_schema = takes_schema
        self.is_sqlite = url.get_backend_name() == "sqlite"
        if not self.is_sqlite and self.url.get_backend_name() != "postgresql":
            raise CanNotRun(f"the URL is of {url.get_backend_name()}; it works on PostgreSQL and SQLite")
        if self.is_sqlite:
            name = url.database
            if name in _IN_MEMORY or str(name).startswith("file:"):
                raise CanNotRun("several processes need the database; give the name of a file, and no URI")
            if Path(str(name)).exists():
                raise CanNotRun("the file is there already; give the name of one that is not: it is made and removed")
        self.name = f"adversary_{secrets.token_hex(4)}"
        self._count = 0

    def version(self) -> str:
        """Return what the database is.

        Raises:
            CanNotRun: It does not answer.
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
        """Open a connection of the adversary's own, in autocommit. Defaults to the direct URL."""
        engine = engine_for(url or self.direct_url, isolation_level="AUTOCOMMIT")
        try:
            with engine.connect() as connection:
                yield connection
        finally:
            engine.dispose()

    @contextmanager
    def place(self) -> Iterator[Place]:
        """Make an empty place, and remove it at the end.

        Raises:
            CanNotRun: The user may not make it.
        """
        name = self._next_name()
        if self.is_sqlite:
            made = _file(self.url.set(database=f"{self.url.database}-{name}"))
        elif self._takes_schema:
            made = self._schema(name)
        else:
            made = self._database(name, CanNotRun)
        with made as place:
            yield place

    @contextmanager
    def database(self) -> Iterator[Place]:
        """Make a place that is a database (PostgreSQL), and remove it at the end.

        Raises:
            LeftOut: The user may not make it.
        """
        with self._database(self._next_name(), LeftOut) as place:
            yield place

    def _next_name(self) -> str:
        self._count += 1
        return f"{self.name}_{self._count}"

    @contextmanager
    def _schema(self, name: str) -> Iterator[Place]:
        with self.connect() as connection:
            _make(connection, f"CREATE SCHEMA {name}", CanNotRun)
        try:
            yield Place(self.url, name, self.direct_url)
        finally:
            with self.connect() as connection:
                again(partial(connection.execute, text(f"DROP SCHEMA {name} CASCADE")))

    @contextmanager
    def _database(self, name: str, refused: type[Exception]) -> Iterator[Place]:
        with self.connect() as connection:
            _make(connection, f"CREATE DATABASE {name}", refused)
        try:
            yield Place(self.url.set(database=name), None, self.direct_url.set(database=name))
        finally:
            with self.connect() as connection:
                for each in (name, _other(name)):
                    again(partial(drop, connection, each))

    @contextmanager
    def copied(self, place: Place) -> Iterator["Copy"]:
        """Copy a database, or a file, so that it can be put in the place of the one it was copied from."""
        copy = Copy(self, place)
        try:
            yield copy
        finally:
            if place.is_sqlite:
                _remove(Path(f"{place.url.database}-copy"))


@dataclass(frozen=True, slots=True)
class Copy:
    """A copy of a place, made at once."""

    ground: Ground
    place: Place

    def __post_init__(self) -> None:
        name = str(self.place.url.database)
        if self.place.is_sqlite:
            _copy_file(Path(name), Path(f"{name}-copy"))
        else:
            with self.ground.connect() as connection:
                again(partial(_copy_database, connection, name))

    def swap(self) -> None:
        """Put the copy in the place of the original, which is gone then."""
        name = str(self.place.url.database)
        if self.place.is_sqlite:
            _remove(Path(name))
            _copy_file(Path(f"{name}-copy"), Path(name))
            return
        with self.ground.connect() as connection:
            again(partial(drop, connection, name))
            connection.execute(text(f"ALTER DATABASE {_other(name)} RENAME TO {name}"))


def drop(connection: Connection, database: str) -> None:
    """Drop a database that the adversary has made, if it is there."""
    disconnect(connection, database)
    connection.execute(text(f"DROP DATABASE IF EXISTS {database}"))


def disconnect(connection: Connection, database: str) -> None:
    """End all sessions of a database: one that the adversary has made."""
    ends = text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name")
    connection.execute(ends, {"name": database})


def again(work: Callable[[], object]) -> None:
    """Call until it succeeds: sessions need a moment to end, and locks to be had."""
    for tried in range(_TRIES):
        try:
            work()
        except SQLAlchemyError:
            if tried == _TRIES - 1:
                raise
            time.sleep(_PAUSE_SECONDS)
        else:
            return


def _make(connection: Connection, statement: str, refused: type[Exception]) -> None:
    try:
        connection.execute(text(statement))
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) == "42501":
            raise refused(f"the user may not {' '.join(statement.split()[:2])}") from error
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


def _known(url: URL) -> URL:
    return url.set(drivername="postgresql") if url.drivername == "postgres" else url


def _copy_file(source: Path, target: Path) -> None:
    """Copy a database by SQLite itself, write-ahead log included."""
    with closing(sqlite3.connect(source)) as one, closing(sqlite3.connect(target)) as other:
        one.backup(other)


def _other(name: str) -> str:
    return f"{name}_copy"
