"""Translation of PostgreSQL's refusals during a migration or a check of the schema into our errors."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from eventstore.backends import check_engine
from eventstore.backends.postgresql.rights import is_permission_denied, permission_denied
from eventstore.errors import InvalidInput, ReadOnlyDatabase, UnsuitableSetting
from eventstore.tables import define_tables

_READ_ONLY: Final = "25006"


def refuse_encoding(connection: Connection) -> None:
    """Refuse a database that can't store every text (PostgreSQL).

    Raises:
        UnsuitableSetting: Its encoding is not UTF8, so no store would work with it.
    """
    encoding = connection.execute(text("SELECT current_setting('server_encoding')")).scalar_one()
    connection.rollback()
    if encoding != "UTF8":
        raise _unsuitable(encoding)


def _unsuitable(encoding: str) -> UnsuitableSetting:
    problem = f"is {encoding}, which can't represent every text"
    return UnsuitableSetting("server_encoding", problem, "create the database with ENCODING 'UTF8'")


@contextmanager
def refusals(engine: Engine, schema: str | None) -> Iterator[None]:
    """Raise our errors for what the database user may not do.

    Args:
        engine: The engine of the database.
        schema: The schema of the tables.

    Raises:
        InvalidInput: `engine` is not an engine, or one for asyncio.
        PermissionDenied: The user lacks a right.
        ReadOnlyDatabase: The database is read-only, such as a standby.
        UnsuitableSetting: The encoding of the database is SQL_ASCII.
    """
    check_engine(engine)
    if engine.dialect.is_async:
        msg = (
            "migrations take a synchronous engine, but this one is for asyncio; make one by sqlalchemy.create_engine, "
            "or run `eventstore migrate`"
        )
        raise InvalidInput(msg)
    try:
        yield
    except TypeError as error:
        if engine.dialect.name != "postgresql" or engine.dialect.server_version_info is not None:
            raise
        # SQLAlchemy could not parse the server's version, its first query: the driver returned bytes
        raise _unsuitable("SQL_ASCII") from error
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) == _READ_ONLY:
            raise ReadOnlyDatabase from error
        if engine.dialect.name != "postgresql" or not is_permission_denied(error):
            raise
        raise permission_denied(error, define_tables(schema=schema)) from error
