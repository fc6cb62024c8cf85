"""Remedies of deviations on SQLite. Most recreate the table, as SQLite's documentation prescribes."""

from collections.abc import Iterator
from typing import Final

from sqlalchemy.dialects import sqlite

from eventstore.migrations.comparison import Deviation, renamed_columns
from eventstore.migrations.definitions import Definitions, Key
from eventstore.migrations.inventory import Inventory
from eventstore.migrations.remedies import IF_THE_SAME, RENAME, REPAIR, RESTORE, UNLESS_MEANT, Remedy

_PREPARER: Final = sqlite.dialect().identifier_preparer
_NEW: Final = "es_made_again"
_CAN_BE_EMPTY: Final = frozenset({"snapshots", "es_schema", "es_history_permission"})


def remedy(deviation: Deviation, inventory: Inventory, expected: Definitions) -> Remedy:
    """Return the remedy of a deviation."""
    key = deviation.key
    if key.kind in {"index", "trigger"}:
        return _of_index_or_trigger(deviation)
    if key.kind == "table" and (deviation.expected is None or deviation.found in {None, "VIEW"}):
        return _of_table(deviation, expected)
    in_place = _of_column(deviation) if key.kind == "column" else None
    if in_place is not None:
        return in_place
    if any(column.key.table == key.table for column in renamed_columns(expected, inventory.definitions)):
        return Remedy((), "rename the column back first, then run `eventstore check` again")
    if key.kind == "constraint" and deviation.expected is None:
        return Remedy(tuple(_recreate(key.table, inventory, expected, without=key.name)), UNLESS_MEANT)
    advice = f"{REPAIR} recreates the table with all its rows; appends wait meanwhile"
    return Remedy(tuple(_recreate(key.table, inventory, expected)), advice, repairable=True, is_script=True)


def _of_column(deviation: Deviation) -> Remedy | None:
    """Return a remedy that does not recreate the table; None if there is none."""
    table, name = deviation.key.table, quoted(deviation.key.name)
    if deviation.renamed_from is not None:
        rename = f"ALTER TABLE {table} RENAME COLUMN {quoted(deviation.renamed_from)} TO {name}"
        return Remedy((rename,), IF_THE_SAME)
    if deviation.expected is None:
        return Remedy((f"ALTER TABLE {table} DROP COLUMN {name}",), "move its data to a table of yours, then: ")
    if deviation.found is None and _needs_values(deviation.expected):
        return Remedy((), RESTORE)
    return None


def quoted(name: str) -> str:
    """Return a name as it stands in SQL."""
    return str(_PREPARER.quote(name))


def _of_index_or_trigger(deviation: Deviation) -> Remedy:
    kind, name = deviation.key.kind.upper(), deviation.key.name
    drop = f"DROP {kind} {quoted(deviation.renamed_from or name)}"
    if deviation.expected is None:
        return Remedy((drop,), UNLESS_MEANT)
    create = _create(deviation.key, deviation.expected)
    return Remedy((create,) if deviation.found is None else (drop, create), repairable=True)


def _create(key: Key, definition: str) -> str:
    if key.kind == "trigger":
        return f"CREATE TRIGGER {quoted(key.name)} {definition}"
    unique = "UNIQUE " if definition.startswith("UNIQUE ") else ""
    return f"CREATE {unique}INDEX {quoted(key.name)} ON {key.table} {definition.removeprefix(unique)}"


def _needs_values(definition: str) -> bool:
    return "NOT NULL" in definition and "DEFAULT" not in definition and "GENERATED" not in definition


def _create_table(name: str, table: str, definitions: Definitions, extra: Definitions) -> str:
    parts = []
    for kind in ("column", "constraint"):
        for key, definition in {**definitions, **extra}.items():
            if (key.table, key.kind) == (table, kind):
                is_named = kind == "column" or key.name != definition
                words = [quoted(key.name)] if is_named else []
                parts.append(" ".join(["CONSTRAINT"] * (is_named and kind == "constraint") + [*words, definition]))
    lines = ", \n\t".join(parts)  # the form that revisions expect, which add lines and remove them
    options = definitions.get(Key(table, "table"), "TABLE").removeprefix("TABLE")  # WITHOUT ROWID
    return f"CREATE TABLE {name} (\n\t{lines}\n){options}"


def _of_table(deviation: Deviation, expected: Definitions) -> Remedy:
    table = deviation.key.table
    if deviation.expected is None:
        return Remedy((), RENAME)
    if deviation.found is not None or table not in _CAN_BE_EMPTY:
        return Remedy((), RESTORE)
    statements = [_create_table(table, table, expected, {}).replace("\n\t", "").replace("\n", "")]
    statements += [_create(key, text) for key, text in expected.items() if key[:2] == (table, "index")]
    if table == "es_schema":
        row = expected[Key("es_schema", "row")].replace("version ", "").replace("breaking_", "")
        statements.append(f"INSERT INTO es_schema (id, version, breaking_version) VALUES (1, {row})")
    return Remedy(tuple(statements), "restore its rows from a backup; if there is none:  ")


def _recreate(table: str, inventory: Inventory, expected: Definitions, *, without: str | None = None) -> Iterator[str]:
    """Yield the statements that recreate a table with its rows and the application's columns, constraints and so on."""
    actual = inventory.definitions
    extra = {
        key: definition
        for key, definition in actual.items()
        if key.table == table and key not in expected and key.kind in {"column", "constraint"}
        if key.name != without and (key.kind == "column" or definition not in expected.values())
    }
    columns = [
        quoted(key.name)
        for key, definition in {**expected, **extra}.items()
        if (key.table, key.kind) == (table, "column") and key in actual and "GENERATED" not in definition
    ]
    listed = ", ".join(columns)
    yield "PRAGMA foreign_keys = OFF"
    yield "PRAGMA legacy_alter_table = ON"  # what refers to the table keeps its name
    yield "BEGIN IMMEDIATE"
    yield _create_table(_NEW, table, expected, extra)
    yield f"INSERT INTO {_NEW} ({listed}) SELECT {listed} FROM {table}"
    if "AUTOINCREMENT" in str(
        expected.get(Key(table, "column", "position"))
    ):  # a number once given is never given again
        yield f"DELETE FROM sqlite_sequence WHERE name = '{_NEW}'"
        yield (
            f"INSERT INTO sqlite_sequence (name, seq) SELECT '{_NEW}', max("
            f"coalesce((SELECT seq FROM sqlite_sequence WHERE name = '{table}'), 0), "
            f"coalesce((SELECT max(position) FROM {_NEW}), 0))"
        )
    yield f"DROP TABLE {table}"
    yield f"ALTER TABLE {_NEW} RENAME TO {table}"
    yield from inventory.table_statements.get(table, ())
    yield f"PRAGMA foreign_key_check({table})"
    yield "COMMIT"
    yield "PRAGMA legacy_alter_table = OFF"
    yield "PRAGMA foreign_keys = ON"
