"""What PostgreSQL refuses to the user of a migration, or of a look at the schema, as an error of ours."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from eventstore.backends import check_engine
from eventstore.backends.postgresql_rights import is_permission_denied, permission_denied
from eventstore.errors import ReadOnlyDatabase
from eventstore.tables import define_tables

_READ_ONLY: Final = "25006"


@contextmanager
def refusals(engine: Engine, schema: str | None) -> Iterator[None]:
    """Raise an error of ours for what the user of the engine may not do.

    Args:
        engine: Of the database.
        schema: The schema of the tables.

    Raises:
        InvalidInput: It is no engine.
        PermissionDenied: The user lacks a right.
        ReadOnlyDatabase: The user may only read, as on a standby.
    """
    check_engine(engine)
    try:
        yield
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) == _READ_ONLY:
            raise ReadOnlyDatabase from error
        if engine.dialect.name != "postgresql" or not is_permission_denied(error):
            raise
        raise permission_denied(error, define_tables(schema=schema)) from error
