"""The parts of a log, as the catalog describes them."""

import re
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Engine

from eventstore.errors import PartitioningRefused
from eventstore.migrations.partitioning.log import Log, reading
from eventstore.migrations.settings import Settings

_KEY: Final = 'RANGE ("position")'
_PARTS: Final = """
SELECT c.relname::text, pg_get_expr(c.relpartbound, c.oid), greatest(c.reltuples, -1)::bigint,
    pg_total_relation_size(c.oid)
FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
WHERE i.inhparent = to_regclass(:table) AND NOT c.relispartition IS FALSE
"""
_BOUND: Final = re.compile(r"FOR VALUES FROM \((?:MINVALUE|'?(\d+)'?)\) TO \('?(\d+)'?\)")
_NUMBERED: Final = re.compile(r"es_events_(\d+)")


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the log: a table with the events in a range of positions.

    Attributes:
        name: The name of the table, without its schema.
        first_position: The lowest position that it can have.
        last_position: The highest position that it can have.
        events: How many events it has, as the server estimates; None if it has not counted them yet.
        size_bytes: The size of the table and its indexes.
    """

    name: str
    first_position: int
    last_position: int
    events: int | None
    size_bytes: int

    @property
    def number(self) -> int:
        """The number in its name; 0 if it has another name."""
        found = _NUMBERED.fullmatch(self.name)
        return 0 if found is None else int(found.group(1))


def parts(engine: Engine, *, schema: str | None = None) -> list[Part]:
    """Return the parts of the log, in the order of their positions; none if it is not partitioned.

    Args:
        engine: An engine of a PostgreSQL database.
        schema: The schema of the tables. Defaults to None: that of the connection's search path.

    Raises:
        PartitioningRefused: es_events is partitioned in another way, or the database is not PostgreSQL.
        SchemaMissing: There are no tables.
        SchemaOutdated: They are older than es_0011.
    """
    with reading(engine, Settings(schema)) as log:
        return parts_of(log)


def parts_of(log: Log) -> list[Part]:
    """Return the parts of a log, in the order of their positions; none if it is not partitioned.

    Raises:
        PartitioningRefused: es_events is partitioned in another way.
    """
    table = log.named("es_events")
    ((key,),) = log.rows(
        "SELECT CASE WHEN relkind = 'p' THEN pg_get_partkeydef(oid) END FROM pg_class WHERE oid = to_regclass(:table)",
        table=table,
    )
    if key is None:
        return []
    if key != _KEY:
        raise PartitioningRefused(f"es_events is partitioned already, by {key}", "the store needs RANGE (position)")
    found = []
    for name, bound, events, size in log.rows(_PARTS, table=table):
        range_ = _BOUND.fullmatch(bound)
        if range_ is None:
            raise PartitioningRefused(
                f"{name} is a part of es_events that the store has not made ({bound})",
                f"detach it: ALTER TABLE {table} DETACH PARTITION {log.named(name)}",
            )
        first = 1 if range_.group(1) is None else int(range_.group(1))
        found.append(Part(name, first, int(range_.group(2)) - 1, None if events < 0 else events, size))
    return sorted(found, key=lambda part: part.first_position)
