"""Mend a difference that takes one statement."""

from sqlalchemy import Engine

from eventstore.errors import InvalidInput
from eventstore.migrations.verification import Finding


def mend(engine: Engine, finding: Finding) -> None:
    """Execute the statement of a finding of `verify`, outside of a transaction; an index is built while others write.

    Args:
        engine: Of the database.
        finding: One that has `sql`.

    Raises:
        InvalidInput: It has none: see its remedy.
        sqlalchemy.exc.DBAPIError: The database refuses it.
    """
    if finding.sql is None:
        raise InvalidInput(f"{finding.table}, {finding.name} is not mended by one statement: {finding.remedy}")
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql(finding.sql)
