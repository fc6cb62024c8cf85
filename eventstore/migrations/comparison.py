"""Comparison of the definitions in a database with those that the revisions make."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from eventstore.migrations.definitions import DISABLED, INVALID, NOT_VALID, TABLES, USUAL, Definitions, Key

OF_COLUMNS: Final = (
    "column",
    "default",
    "generated",
    "identity",
    "sequence",
    "numbering",
    "persistence of the sequence",
    "rights in the sequence",
    "not null",
)
_ORDER: Final = (
    "table",
    "owner",
    "rights in the schema",
    "rights of the owner",
    "rule",
    "inheritance",
    "row level security",
    "replica identity",
    "persistence",
    "fillfactor",
    *OF_COLUMNS,
    "owned sequence",
    "key",
    "check",
    "foreign key",
    "constraint",
    "index",
    "function",
    "trigger",
)
"""The order of a table's remedies: what others depend on comes first."""

_RENAMED: Final = frozenset({"key", "check", "foreign key", "constraint", "index", "trigger"})


@dataclass(frozen=True, slots=True)
class Deviation:
    """A difference between the expected definitions and those in the database.

    Attributes:
        key: What differs.
        expected: The expected definition; None if it should not exist.
        found: The definition in the database; None if it does not exist.
        renamed_from: The name that it has in the database instead of the expected one; None if the name is right.
    """

    key: Key
    expected: str | None
    found: str | None
    renamed_from: str | None = None


def deviations(expected: Definitions, found: Definitions, begun: Definitions) -> list[Deviation]:
    """Return all deviations, in the order in which they can be fixed.

    Args:
        expected: The definitions of the revision.
        found: The definitions in the database.
        begun: The definitions of the next revision, which are right, too, because it may have been interrupted.
    """
    columns = renamed_columns(expected, found)
    found = _with_names_of(columns, expected, found)
    differences = [
        Deviation(key, expected.get(key), found.get(key))
        for key in dict.fromkeys([*expected, *found])
        if not _is_right(key, expected, found)
        and not _is_right(key, begun, found)
        and not _follows(key, expected, found)
    ]
    differences = [
        *columns,
        *(each for each in _with_renamed(differences) if not _is_the_applications_own(each, expected)),
    ]
    return sorted(differences, key=lambda each: (TABLES.index(each.key.table), _ORDER.index(each.key.kind)))


def count_deviations(expected: Definitions, found: Definitions, known: set[Key]) -> tuple[int, int]:
    """Return how many of our definitions differ, and how many constraints are only not validated."""
    ours = {key: definition for key, definition in found.items() if key in known}
    wrong = [
        key
        for key in dict.fromkeys([*expected, *ours])
        if not _is_right(key, expected, ours) and not _follows(key, expected, ours)
    ]
    not_validated = [key for key in wrong if ours.get(key) == f"{expected.get(key)}{NOT_VALID}"]
    return len(wrong) - len(not_validated), len(not_validated)


def columns_of(definition: str) -> list[str]:
    """Return the columns of a key or an index."""
    listed = re.search(r"\(([^()]*)\)", definition)
    return [] if listed is None else [name.strip().strip('"') for name in listed.group(1).split(",")]


def _is_right(key: Key, expected: Definitions, found: Definitions) -> bool:
    usual = USUAL.get(key.kind)
    wanted, actual = expected.get(key, usual), found.get(key, usual)
    # a constraint that is validated already is right, too
    return key.kind == "row" or wanted == actual or (wanted is not None and wanted.removesuffix(NOT_VALID) == actual)


def _follows(key: Key, expected: Definitions, found: Definitions) -> bool:
    """Return whether it is wrong only because of another deviation that is reported already."""
    if key.kind == "table":
        return False
    if expected.get(Key(key.table, "table")) != found.get(Key(key.table, "table")):  # such as a view with that name
        return True
    if key == Key("es_streams", "default", "after_position"):  # it names the sequence
        sequence = Key("es_events", "sequence", "position")
        return expected.get(sequence) != found.get(sequence)
    if key.kind == "owned sequence":  # recreating the identity drops a sequence with its name
        return any(each.kind == "sequence" and name == key.name for each, name in expected.items())
    return key.kind in OF_COLUMNS and key.kind != "column" and _follows_from_its_column(key, expected, found)


def _follows_from_its_column(key: Key, expected: Definitions, found: Definitions) -> bool:
    if any(Key(key.table, "column", key.name) not in definitions for definitions in (expected, found)):
        return True
    generated, identity = (Key(key.table, kind, key.name) for kind in ("generated", "identity"))
    if key.kind == "default":
        return any(each in expected and each not in found for each in (generated, identity))
    is_of_sequence = key.kind in {"sequence", "numbering"} or key.kind.endswith("the sequence")
    return is_of_sequence and (identity in found) != (identity in expected)


def _is_the_applications_own(deviation: Deviation, expected: Definitions) -> bool:
    """Return whether it was added by the application and can't break the store."""
    key, definition = deviation.key, deviation.found
    if deviation.expected is not None or definition is None:
        return False
    if key.kind == "trigger":
        on_postgresql = " EXECUTE FUNCTION " in definition
        changes_rows = definition.startswith("BEFORE ") and " FOR EACH ROW" in definition
        loses_rows = "RAISE (IGNORE" in definition
        return definition.endswith(DISABLED) or not (changes_rows if on_postgresql else loses_rows)
    if key.kind not in {"index", "key"} or definition.endswith(INVALID):
        return False
    if not definition.startswith(("UNIQUE", "PRIMARY KEY")):
        return True
    keys = [
        {each.name} if each.kind == "column" else set(columns_of(ours))
        for each, ours in expected.items()
        if each.table == key.table
        and (ours.startswith(("UNIQUE", "PRIMARY KEY")) or (each.kind == "column" and " PRIMARY KEY" in ours))
    ]
    return any(columns <= set(columns_of(definition)) for columns in keys)  # refuses no row that our keys allow


def renamed_columns(expected: Definitions, found: Definitions) -> list[Deviation]:
    """Return deviations for the columns that have another name."""
    renamed = []
    unexpected = [key for key in found if key.kind == "column" and key not in expected]
    for key in expected:
        if key.kind != "column" or key in found or Key(key.table, "table") not in found:
            continue
        for other in unexpected:
            if other.table == key.table and _facts(other, found) == _facts(key, expected):
                renamed.append(Deviation(key, expected[key], found[other], renamed_from=other.name))
                unexpected.remove(other)
                break
    return renamed


def _facts(column: Key, definitions: Definitions) -> list[str | None]:
    return [definitions.get(Key(column.table, kind, column.name)) for kind in OF_COLUMNS]


def _with_names_of(columns: list[Deviation], expected: Definitions, found: Definitions) -> Definitions:
    """Return the definitions found, with the expected column names, so that a renamed column is reported once."""
    if not columns:
        return found
    right: Definitions = {}
    for key, definition in found.items():
        for column in columns:
            old, new = str(column.renamed_from), column.key.name
            if key[:3:2] == (column.key.table, old) and key.kind in OF_COLUMNS:
                key = Key(key.table, key.kind, new)  # noqa: PLW2901  # from here on it has the expected name
            spellings = {
                re.sub(rf'"{re.escape(old)}"|\b{re.escape(old)}\b', to, definition) for to in (new, f'"{new}"')
            }
            definition = next(iter(spellings & {expected.get(key)}), definition)  # noqa: PLW2901  # as above
        right[key] = definition
    return right


def _with_renamed(differences: list[Deviation]) -> Iterator[Deviation]:
    """Merge what is missing and what is unexpected into one deviation, if they differ only in their names."""
    unexpected = [each for each in differences if each.expected is None and each.key.kind in _RENAMED]
    for each in differences:
        same = [
            other
            for other in unexpected
            if each.found is None
            and (other.key.table, other.key.kind) == (each.key.table, each.key.kind)
            and other.found == each.expected
        ]
        if same:
            unexpected.remove(same[0])
            yield Deviation(each.key, each.expected, same[0].found, renamed_from=same[0].key.name)
        elif each not in unexpected:
            yield each
    yield from unexpected
