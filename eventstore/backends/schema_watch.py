"""Watching the logs of many schemas of one PostgreSQL database, by one statement for all."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Final, NamedTuple

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from eventstore.backends import backend_for
from eventstore.backends.protocol import Run
from eventstore.errors import InvalidInput
from eventstore.statements.postgresql.schemas import drawn_in_schemas, tables_with_appends

_INTERNAL_ERROR: Final = "XX000"
"""Of PostgreSQL, for "could not open relation with OID"."""

_DROPPED_MEANWHILE: Final = 10
"""How many schemas may be dropped, one after the other, while one look is repeated."""


class Drawn(NamedTuple):
    """How far positions were drawn in one schema.

    Attributes:
        table: The oid of es_events.
        position: The last position that was drawn, 0 if none was; None if the role can't read the sequence.
        started_at: When the server was started.
    """

    table: int
    position: int | None
    started_at: datetime


class SchemaWatch:
    """Looks at the logs of many schemas.

    Args:
        engine: The engine of their database.

    Raises:
        InvalidInput: It is not for PostgreSQL.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._connections = backend_for(engine, lock_timeout_seconds=0).connections
        if engine.dialect.name != "postgresql" or engine.dialect.is_async:
            raise InvalidInput("schemas need an engine for PostgreSQL, which is not for asyncio")

    @contextmanager
    def looking(self) -> Iterator["SchemaLook"]:
        """Look, on one connection."""
        with self._connections.autocommit(self._engine) as run:
            yield SchemaLook(run)

    def is_transient(self, error: Exception) -> bool:
        """Return whether a retry may succeed; see `Driver.is_transient`."""
        return self._connections.is_transient(error)


class SchemaLook:
    """One look. Ask what was drawn first, and then where appends are under way.

    An append holds its lock before it draws a position, until its events are visible or it has rolled back. So if no
    append to a table is under way, whatever was drawn there before is visible to all later statements, or never will
    be.
    """

    def __init__(self, run: Run) -> None:
        self._run = run

    def drawn(self, schemas: Sequence[str]) -> dict[str, Drawn]:
        """Return how far positions were drawn, by schema; without the schemas that have no log.

        A schema that is dropped meanwhile is an error of the server, which has read its name and then does not find its
        sequence. The next statement does not read the name.
        """
        for _ in range(_DROPPED_MEANWHILE):
            try:
                return self._drawn(schemas)
            except DBAPIError as error:
                if getattr(error.orig, "sqlstate", None) != _INTERNAL_ERROR:
                    raise
        return self._drawn(schemas)

    def _drawn(self, schemas: Sequence[str]) -> dict[str, Drawn]:
        return {row[0]: Drawn(*row[1:]) for row in self._run(drawn_in_schemas, schemas=list(schemas))}

    def appended_to(self, tables: Iterable[int]) -> frozenset[int]:
        """Return the oids of those tables that have appends under way."""
        return frozenset(row[0] for row in self._run(tables_with_appends, tables=list(tables)))
