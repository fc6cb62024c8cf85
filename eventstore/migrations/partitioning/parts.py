"""The parts of a log, and how long they last."""

from math import ceil, log10

from sqlalchemy import Engine

from eventstore.backends.postgresql.partitions import all_parts_of, runway_of
from eventstore.migrations.partitioning.log import reading
from eventstore.migrations.settings import Settings
from eventstore.parts import Part, Runway


def parts(engine: Engine, *, schema: str | None = None) -> list[Part]:
    """Return the parts of the log, also those that were detached, in the order of their positions.

    None are returned if it is not partitioned.

    Args:
        engine: An engine of a PostgreSQL database.
        schema: The schema of the tables. Defaults to None: that of the connection's search path.

    Raises:
        PartitioningRefused: es_events is partitioned in another way, or the database is not PostgreSQL.
        SchemaMissing: There are no tables.
        SchemaOutdated: They are older than es_0011.
        PermissionDenied: The database user may not read es_detached_parts.
    """
    with reading(engine, Settings(schema)) as log:
        return all_parts_of(log.run)


def runway(engine: Engine, *, schema: str | None = None) -> Runway | None:
    """Return how long the parts of the log last; None if it is not partitioned. See `parts`."""
    with reading(engine, Settings(schema)) as log:
        return runway_of(log.run)


def rounded_up(number: float) -> int:
    """Return a number of one significant digit that is at least as large."""
    unit = 10 ** int(log10(max(1.0, number)))
    return int(ceil(number / unit) * unit)
