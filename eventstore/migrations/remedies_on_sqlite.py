"""What to do about a deviation on SQLite, where most takes making the table again, as its documentation prescribes."""

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
    """Return what to do."""
    key = deviation.key
    if key.kind in {"index", "trigger"}:
        return _of_index_or_trigger(deviation)
    if key.kind == "table" and (deviation.expected is None or deviation.found in {None, "VIEW"}):
        return _of_table(deviation, expected)
    in_place = _of_column(deviation) if key.kind == "column" else None
    if in_place is not None:
        return in_place
    if any(column.key.table == key.table for column in renamed_columns(expected, inventory.found)):
        return Remedy((), "give the column its name again first, then run `eventstore check` again")
    if key.kind == "constraint" and deviation.expected is None:
        return Remedy(tuple(_make_again(key.table, inventory, expected, without=key.name)), UNLESS_MEANT)
    advice = f"{REPAIR} makes the table again, with all its rows; appends wait meanwhile"
    return Remedy(tuple(_make_again(key.table, inventory, expected)), advice, repairable=True, is_script=True)


def _of_column(deviation: Deviation) -> Remedy | None:
    """Return what can be done without making the table again; None if that has to be."""
    table, name = deviation.key.table, quoted(deviation.key.name)
    if deviation.renamed_from is not None:
        rename = f"ALTER TABLE {table} RENAME COLUMN {quoted(deviation.renamed_from)} TO {name}"
        return Remedy((rename,), IF_THE_SAME)
    if deviation.expected is None:
        return Remedy((f"ALTER TABLE {table} DROP COLUMN {name}",), "keep your data in tables of your own, then: ")
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
    lines = ", \n\t".join(parts)  # as revisions expect it, that add to it and take from it
    return f"CREATE TABLE {name} (\n\t{lines}\n)"


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
    return Remedy(tuple(statements), "what it held can be restored from a backup; without it: ")


def _make_again(
    table: str, inventory: Inventory, expected: Definitions, *, without: str | None = None
) -> Iterator[str]:
    """Yield what makes a table again from its rows, with the application's columns, constraints, indexes, triggers."""
    found = inventory.found
    extra = {
        key: definition
        for key, definition in found.items()
        if key.table == table and key not in expected and key.kind in {"column", "constraint"}
        if key.name != without and (key.kind == "column" or definition not in expected.values())
    }
    columns = [
        quoted(key.name)
        for key, definition in {**expected, **extra}.items()
        if (key.table, key.kind) == (table, "column") and key in found and "GENERATED" not in definition
    ]
    listed = ", ".join(columns)
    yield "PRAGMA foreign_keys = OFF"
    yield "PRAGMA legacy_alter_table = ON"  # what refers to the table keeps to its name
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
    yield from inventory.kept.get(table, ())
    yield f"PRAGMA foreign_key_check({table})"
    yield "COMMIT"
    yield "PRAGMA legacy_alter_table = OFF"
    yield "PRAGMA foreign_keys = ON"
