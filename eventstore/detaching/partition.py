"""The partitions of es_events, and those that were detached."""

from dataclasses import dataclass
from enum import Enum
from typing import Final

from sqlalchemy import Connection, text

from eventstore.core.schema_version import REQUIRED_BY_PARTS, SchemaGate
from eventstore.errors import InvalidInput
from eventstore.store import EventStore
from eventstore.tables.names import qualified_name

_LEAVES: Final = text(r"""
SELECT
    leaf.relname,
    CAST((regexp_match(pg_get_expr(leaf.relpartbound, leaf.oid), 'FROM .''?(\d+)'))[1] AS bigint) AS first_position,
    CAST((regexp_match(pg_get_expr(leaf.relpartbound, leaf.oid), 'TO .''?(\d+)'))[1] AS bigint) AS end_position,
    inherits.inhdetachpending
FROM pg_inherits AS inherits
JOIN pg_class AS leaf ON leaf.oid = inherits.inhrelid
WHERE inherits.inhparent = to_regclass(:events)
ORDER BY 3, 1""")
_DETACHED: Final = """
SELECT part.name, part.first_position, part.last_position, part.events, part.location, part.sha256,
    to_regclass(:schema || quote_ident(part.name)) IS NOT NULL
FROM {detached_parts} AS part
ORDER BY part.first_position"""


class PartState(Enum):
    """What has become of a part of the log."""

    ATTACHED = "attached"
    """It is a partition of es_events."""

    LISTED = "listed"
    """It is a partition, and already in the list of detached parts: a run was interrupted before its DETACH."""

    DETACHING = "detaching"
    """Its DETACH was interrupted. Statements that began since do not read it."""

    DETACHED = "detached"
    """It is no partition any more, but its table exists."""

    DROPPED = "dropped"
    """Its table is gone, too."""


@dataclass(frozen=True, slots=True)
class Detached:
    """A row of es_detached_parts.

    Attributes:
        events: How many events the part had.
        location: Where it was exported to, for people; None if nowhere.
        sha256: The SHA-256 of the manifest of the export; None if there is none.
    """

    events: int
    location: str | None
    sha256: str | None


@dataclass(frozen=True, slots=True)
class Partition:
    """A part of the log.

    Attributes:
        name: The name of its table.
        first_position: The lowest position that it can have.
        last_position: The highest position that it can have.
        state: What has become of it.
        detached: Its row in the list of detached parts; None if it is not listed.
    """

    name: str
    first_position: int
    last_position: int
    state: PartState
    detached: Detached | None = None


def list_parts(store: EventStore) -> list[Partition]:
    """Return the parts of the log in order of position, also those that were detached.

    Raises:
        InvalidInput: The store is not on PostgreSQL, or its engine is one for asyncio.
        SchemaOutdated: The tables are older than `es_0011`.
    """
    check_store(store)
    with store.core.execution.statement() as run:
        SchemaGate(REQUIRED_BY_PARTS)(run)
    with store.engine.connect() as connection, connection.begin():
        return parts_on(connection, store)


def parts_on(connection: Connection, store: EventStore) -> list[Partition]:
    """Return the parts of the log, as `list_parts`, by the statements of one connection."""
    tables = store.core.dialect.tables
    schema = qualified_name(tables.events, "x").removesuffix("x")
    detached = {
        name: (first, last, Detached(events, location, sha256), exists)
        for name, first, last, events, location, sha256, exists in connection.execute(
            text(_DETACHED.format(detached_parts=qualified_name(tables.detached_parts).replace(":", r"\:"))),
            {"schema": schema},
        )
    }
    found, attached = [], set()
    for name, first, end, is_pending in connection.execute(_LEAVES, {"events": qualified_name(tables.events)}):
        attached.add(name)
        listed = detached[name][2] if name in detached else None
        unlisted = PartState.ATTACHED if listed is None else PartState.LISTED
        state = PartState.DETACHING if is_pending else unlisted
        found.append(Partition(name, first or 1, end - 1, state, listed))
    for name, (first, last, listed, exists) in detached.items():
        if name not in attached:
            state = PartState.DETACHED if exists else PartState.DROPPED
            found.append(Partition(name, first, last, state, listed))
    return sorted(found, key=lambda part: part.first_position)


def find_part(parts: list[Partition], name: str) -> Partition:
    """Return the part with a name.

    Raises:
        InvalidInput: There is none.
    """
    for part in parts:
        if part.name == name:
            return part
    names = ", ".join(part.name for part in parts[:10]) or "none: es_events is not partitioned"
    msg = f"there is no partition {name!r} of es_events; the first ones are {names}"
    raise InvalidInput(msg)


def check_store(store: EventStore) -> None:
    """Check that a store can have partitions.

    Raises:
        InvalidInput: It is not on PostgreSQL, or its engine is one for asyncio, or it is joined to a transaction.
    """
    dialect = store.engine.dialect
    if dialect.name != "postgresql":
        msg = f"only PostgreSQL has partitions, and this store is on {dialect.name}"
        raise InvalidInput(msg)
    if dialect.is_async:
        msg = "parts are exported and detached on a synchronous engine, made by sqlalchemy.create_engine"
        raise InvalidInput(msg)
    if store.core.execution.is_joined:
        msg = "parts are exported and detached by a store that is not joined to a transaction"
        raise InvalidInput(msg)


def check_full(store: EventStore, part: Partition) -> None:
    """Check that no event can be appended to a part any more.

    Raises:
        InvalidInput: Some of its positions have not been drawn, or an append at one of them may be under way.
    """
    if part.state is not PartState.ATTACHED:
        return
    settled = store.settled_position()
    if settled < part.last_position:
        msg = (
            f"{part.name} takes events up to position {part.last_position}, and the log is settled up to {settled}, so "
            "events may still be appended to it; wait until there are events in the next partition"
        )
        raise InvalidInput(msg)
