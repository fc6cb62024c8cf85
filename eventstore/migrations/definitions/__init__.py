"""The definitions of our tables in a database's catalog: at each revision, and in a given database.

`postgresql.txt` and `sqlite.txt` have what each revision adds (`+`), changes (`+` again) and drops (`-`), as the
catalog describes it after the migration. `python -m tests.schema_definitions` writes them; a test compares them.

The texts are stored in files, because computing them in the user's database would need objects there: temporary tables
need a right, a transaction id and a primary. PostgreSQL 14 to 18 give the same texts, they are independent of
SQLAlchemy, and definitions that depend on the search path are read with an empty one.
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
    "es_event_tags",
    "es_detached_parts",
)
"""The order in which the tables can be created: those that others refer to come first."""

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
"""The defaults of a new table of PostgreSQL, by kind; the files leave them out."""

NOT_VALID: Final = " NOT VALID"
INVALID: Final = " INVALID"
DISABLED: Final = " DISABLED"


class Key(NamedTuple):
    """The subject of a definition.

    Attributes:
        table: The table that it belongs to.
        kind: Its kind: table, column, default, check, ...
        name: The name of the column, constraint, index or trigger; empty for a definition of the table itself.
    """

    table: str
    kind: str
    name: str = ""

    def __str__(self) -> str:
        return f"{self.kind} {self.table}.{self.name}" if self.name else f"{self.kind} {self.table}"


Definitions = dict[Key, str]
"""The definitions of everything that belongs to our tables."""


@cache
def history(dialect: str) -> Mapping[str, Definitions]:
    """Return the definitions at each revision, the oldest first."""
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
    """Return the text of the file that `history` reads."""
    return "".join(f"{line}\n" for line in _lines(revisions))


def _lines(revisions: Mapping[str, Definitions]) -> Iterator[str]:
    yield "# Made by `python -m tests.schema_definitions`: what each revision makes of the catalog."
    before: Definitions = {}
    for revision, definitions in revisions.items():
        yield f"\n[{revision}]"
        yield from (f"- {key}" for key in sorted(before.keys() - definitions.keys()))
        for key, definition in definitions.items():
            if before.get(key) != definition:
                yield f"+ {key} = {definition}"
        before = definitions


def _parse(text: str) -> Key:
    words, _, last = text.rpartition(" ")
    table, _, name = last.partition(".")
    return Key(table, words, name)
