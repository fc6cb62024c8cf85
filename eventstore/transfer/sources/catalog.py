"""What the catalog of a source's database says about a table, and who is inserting into it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from sqlalchemy import Connection

from eventstore.transfer.sources.table_map import TableMap


@dataclass(frozen=True, slots=True)
class Described:
    """What the catalog says about a table.

    Attributes:
        types: Its columns with their types.
        unique: The sets of columns that are unique.
        nullable: The columns that may be NULL.
        in_order: None if the INSERT itself draws the order column, one value after the other; otherwise why not.
    """

    types: Mapping[str, str]
    unique: Sequence[frozenset[str]]
    nullable: frozenset[str]
    in_order: str | None


class Catalog(Protocol):
    """What differs between the databases of sources."""

    def describe(self, connection: Connection, table_map: TableMap, name: str) -> Described:
        """Return what the catalog says about a table; `name` is its quoted name."""
        ...

    def writers(self, connection: Connection, name: str) -> frozenset[str]:
        """Return the transactions that have inserted into the table, or are about to, and have not ended."""
        ...
