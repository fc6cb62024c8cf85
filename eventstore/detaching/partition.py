"""What `detach_part` and `export_part` ask of a store and of a part."""

from eventstore.backends.postgresql.partitions import all_parts_of
from eventstore.core.schema_version import REQUIRED_BY_PARTS, SchemaGate
from eventstore.errors import InvalidInput
from eventstore.parts import Part, PartState
from eventstore.store import EventStore, check_store


def parts_of_store(store: EventStore) -> list[Part]:
    """Return the parts of the log of a store, as `eventstore.migrations.partitioning.parts`.

    Raises:
        InvalidInput: The store is not on PostgreSQL, or its engine is one for asyncio, or it is joined.
        SchemaOutdated: The tables are older than `es_0011`.
        PartitioningRefused: es_events is partitioned in another way.
    """
    check_has_parts(store)
    with store.core.execution.statement() as run:
        SchemaGate(REQUIRED_BY_PARTS)(run)
        return all_parts_of(run)


def find_part(parts: list[Part], name: str) -> Part:
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


def check_has_parts(store: EventStore) -> None:
    """Check that a store can have partitions.

    Raises:
        InvalidInput: It is not on PostgreSQL, or its engine is one for asyncio, or it is joined to a transaction.
    """
    check_store(store)
    dialect = store.engine.dialect
    if dialect.name != "postgresql":
        msg = f"only PostgreSQL has partitions, and this store is on {dialect.name}"
        raise InvalidInput(msg)
    if dialect.is_async:
        msg = "parts are exported and detached on a synchronous engine, made by sqlalchemy.create_engine"
        raise InvalidInput(msg)


def check_full(store: EventStore, part: Part) -> None:
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
