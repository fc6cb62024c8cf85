"""The check that the schema in the database fits this code."""

from collections.abc import Callable
from typing import Final

from sqlalchemy import Engine

from eventstore.backends.protocol import Run
from eventstore.errors import SchemaMissing, SchemaOutdated, SchemaTooNew, TablesPlace
from eventstore.statements.schema import schema_version
from eventstore.tables import (
    BREAKING_VERSION,
    EVENTS_HAVE_TAGS,
    PARTS_CAN_BE_DETACHED,
    SCHEMA_VERSION,
    STREAMS_CAN_END,
    Layout,
    Tables,
)

REQUIRED_VERSION: Final = 1
"""The oldest schema that this code works with."""


REQUIRED_BY_PROJECTIONS: Final = 12
"""The oldest schema that projections work with."""

REQUIRED_BY_HISTORY_CHANGES: Final = STREAMS_CAN_END
"""The oldest schema in which history is protected, and streams can be deleted and archived."""

REQUIRED_BY_TAGS: Final = EVENTS_HAVE_TAGS
"""The oldest schema that has a table of the tags of events."""

REQUIRED_BY_PARTS: Final = PARTS_CAN_BE_DETACHED
"""The oldest schema in which parts of the log can be detached."""


def check_version(
    version: int, breaking_version: int, required: int = REQUIRED_VERSION, place: TablesPlace | None = None
) -> None:
    """Check a row of es_schema.

    Args:
        version: The version of the schema in the database.
        breaking_version: The newest schema version that is incompatible with older code.
        required: The oldest version that this code works with.
        place: Where the tables are, for the error.

    Raises:
        SchemaOutdated: The schema lacks what this code needs.
        SchemaTooNew: The schema has changed in a way that this code does not understand.
    """
    if version < required:
        raise SchemaOutdated(version, required, place)
    if breaking_version > SCHEMA_VERSION:
        raise SchemaTooNew(version, breaking_version, SCHEMA_VERSION, place)


class SchemaGate:
    """Checks the schema once, with one SELECT at the first use, and remembers that it fits.

    Args:
        required: The oldest version that this code works with.
        suit: Called once with what the tables are like and the oid of es_events, and not again when they are migrated.
        check_server: Called if the tables may be distributed over several servers; see `Dialect.check_server`.

    Attributes:
        fits: Whether the schema is known to fit.
    """

    def __init__(
        self,
        required: int = REQUIRED_VERSION,
        *,
        suit: Callable[[Layout, int], None] | None = None,
        check_server: Callable[[Run], None] | None = None,
    ) -> None:
        self._required = required
        self._suit = suit
        self._check_server = check_server
        self.fits = False

    def __call__(self, run: Run) -> None:
        """Check the schema, unless that was done.

        Raises:
            SchemaMissing: There are no tables.
            SchemaError: The tables don't fit this code.
            UnsuitableServer: They are distributed over several servers, so that events could be missed.
        """
        if self.fits:
            return
        rows = run(schema_version)
        if not rows:
            raise SchemaMissing(run.place)
        version, breaking_version, may_be_distributed, table, is_partitioned = rows[0]
        check_version(version, breaking_version, self._required, run.place)
        if may_be_distributed and self._check_server is not None:
            self._check_server(run)
        if self._suit is not None:
            self._suit(Layout.of(version, is_partitioned=bool(is_partitioned)), table)
        self.fits = True


def create_schema(engine: Engine, tables: Tables) -> None:
    """Create the tables without migrations, for a database in memory."""
    with engine.begin() as connection:
        tables.metadata.create_all(connection)
        row = {"id": 1, "version": SCHEMA_VERSION, "breaking_version": BREAKING_VERSION}
        connection.execute(tables.schema.insert(), row)
