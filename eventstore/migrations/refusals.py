"""What PostgreSQL refuses to the user of a migration, or of a look at the schema, as an error of ours."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from eventstore.backends import check_engine
from eventstore.backends.postgresql_rights import is_permission_denied, permission_denied
from eventstore.tables import define_tables


@contextmanager
def refusals(engine: Engine, schema: str | None) -> Iterator[None]:
    """Raise `PermissionDenied` for what the user of the engine lacks a right to.

    Args:
        engine: Of the database.
        schema: The schema of the tables.

    Raises:
        InvalidInput: It is no engine.
    """
    check_engine(engine)
    try:
        yield
    except DBAPIError as error:
        if engine.dialect.name != "postgresql" or not is_permission_denied(error):
            raise
        raise permission_denied(error, define_tables(schema=schema)) from error
