"""What the catalog of a database says of our tables: at each revision, and in the database at hand.

`postgresql.txt` and `sqlite.txt` hold what each revision adds (`+`), changes (`+` again) and drops (`-`), as the
catalog gives it after the migration. They are made by `python -m tests.schema_definitions`; a test compares them.

Texts are stored, rather than made by the server at hand from our own DDL, because that would need objects in the user's
database: temporary tables need a right, a transaction id and a primary. PostgreSQL 14 to 18 give the same texts,
SQLAlchemy has no part in them, and what depends on the search path is read with an empty one.
"""

from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import Final, NamedTuple

TABLES: Final = (
    "es_schema",
    "es_history_permission",
    "es_streams",
    "es_events",
    "snapshots",
    "es_checkpoints",
    "es_dead_letters",
)
"""In this order each can be made: those that others refer to come first."""

USUAL: Final = {
    "persistence": "LOGGED",
    "fillfactor": "100",
    "row level security": "DISABLED",
    "replica identity": "SET",
    "owner": "THAT OF THE OTHER TABLES",
    "rights of the owner": "ALL",
    "rights in the schema": "USAGE",
    "inheritance": "NONE",
    "not null": "NULL",
    "persistence of the sequence": "LOGGED",
    "rights in the sequence": "ALL",
}
"""What is not written down, by kind: what a new table of PostgreSQL has."""

NOT_VALID: Final = " NOT VALID"
INVALID: Final = " INVALID"
DISABLED: Final = " DISABLED"


class Key(NamedTuple):
    """What a definition is of.

    Attributes:
        table: The table that it belongs to.
        kind: What it is: a table, column, default, check, ...
        name: Of the column, constraint, index or trigger; empty for what is of the table itself.
    """

    table: str
    kind: str
    name: str = ""

    def __str__(self) -> str:
        return f"{self.kind} {self.table}.{self.name}" if self.name else f"{self.kind} {self.table}"


Definitions = dict[Key, str]
"""All that belongs to our tables, and what it is."""


@cache
def history(dialect: str) -> Mapping[str, Definitions]:
    """Return what the catalog says at each revision, the oldest first."""
    revisions: dict[str, Definitions] = {}
    current: Definitions = {}
    for line in files(__package__).joinpath(f"{dialect}.txt").read_text("utf-8").splitlines():
        if line.startswith("["):
            current = dict(current)
            revisions[line.strip("[]")] = current
        elif line.startswith("+ "):
            key, _, definition = line[2:].partition(" = ")
            current[_parse(key)] = definition
        elif line.startswith("- "):
            del current[_parse(line[2:])]
    return revisions


def to_text(revisions: Mapping[str, Definitions]) -> str:
    """Return the file that `history` reads."""
    return "".join(f"{line}\n" for line in _lines(revisions))


def _lines(revisions: Mapping[str, Definitions]) -> Iterator[str]:
    yield "# Made by `python -m tests.schema_definitions`: what each revision makes of the catalog."
    before: Definitions = {}
    for revision, definitions in revisions.items():
        yield f"\n[{revision}]"
        yield from (f"- {key}" for key in before if key not in definitions)
        for key, definition in definitions.items():
            if before.get(key) != definition:
                yield f"+ {key} = {definition}"
        before = definitions


def _parse(text: str) -> Key:
    words, _, last = text.rpartition(" ")
    table, _, name = last.partition(".")
    return Key(table, words, name)
