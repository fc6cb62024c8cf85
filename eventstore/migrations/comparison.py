"""What is in the database, compared with what should be there."""

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
"""In this order remedies of a table can be done: what others need comes first."""

_RENAMED: Final = frozenset({"key", "check", "foreign key", "constraint", "index", "trigger"})


@dataclass(frozen=True, slots=True)
class Deviation:
    """Something that is not what it should be.

    Attributes:
        key: What it is.
        expected: What it should be; None for what should not be there.
        found: What it is; None for what is not there.
        renamed_from: The name that it has instead of its own.
    """

    key: Key
    expected: str | None
    found: str | None
    renamed_from: str | None = None


def deviations(expected: Definitions, found: Definitions, begun: Definitions) -> list[Deviation]:
    """Return all that deviates, in the order in which it can be put right.

    Args:
        expected: What should be there.
        found: What is there.
        begun: What is as well right: of the next revision, which may have been interrupted.
    """
    columns = renamed_columns(expected, found)
    found = _with_names_of(columns, expected, found)
    every = [
        Deviation(key, expected.get(key), found.get(key))
        for key in dict.fromkeys([*expected, *found])
        if not _is_right(key, expected, found)
        and not _is_right(key, begun, found)
        and not _follows(key, expected, found)
    ]
    every = [
        *columns,
        *(each for each in _with_renamed(every) if not _is_the_applications_own(each, expected)),
    ]
    return sorted(every, key=lambda each: (TABLES.index(each.key.table), _ORDER.index(each.key.kind)))


def count_deviations(expected: Definitions, found: Definitions, known: set[Key]) -> tuple[int, int]:
    """Return in how many things of ours the tables differ, and how many constraints are only not validated."""
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
    should, is_ = expected.get(key, usual), found.get(key, usual)
    # that old rows were found to be right does no harm
    return key.kind == "row" or should == is_ or (should is not None and should.removesuffix(NOT_VALID) == is_)


def _follows(key: Key, expected: Definitions, found: Definitions) -> bool:
    """Return whether it is wrong only because of something else that is said already."""
    if key.kind == "table":
        return False
    if expected.get(Key(key.table, "table")) != found.get(Key(key.table, "table")):  # such as a view of that name
        return True
    if key.kind == "owned sequence":  # making the identity again drops one that has its name
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
    """Return whether it is nothing of ours, and breaks no promise."""
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
    return any(columns <= set(columns_of(definition)) for columns in keys)  # refuses nothing that ours lets pass


def renamed_columns(expected: Definitions, found: Definitions) -> list[Deviation]:
    """Return the columns that have another name."""
    renamed = []
    extra = [key for key in found if key.kind == "column" and key not in expected]
    for key in expected:
        if key.kind != "column" or key in found or Key(key.table, "table") not in found:
            continue
        for other in extra:
            if other.table == key.table and _facts(other, found) == _facts(key, expected):
                renamed.append(Deviation(key, expected[key], found[other], renamed_from=other.name))
                extra.remove(other)
                break
    return renamed


def _facts(column: Key, definitions: Definitions) -> list[str | None]:
    return [definitions.get(Key(column.table, kind, column.name)) for kind in OF_COLUMNS]


def _with_names_of(columns: list[Deviation], expected: Definitions, found: Definitions) -> Definitions:
    """Return what is found as if columns had their names: what follows from another one is not said again."""
    if not columns:
        return found
    right: Definitions = {}
    for key, definition in found.items():
        for column in columns:
            old, new = str(column.renamed_from), column.key.name
            if key[:3:2] == (column.key.table, old) and key.kind in OF_COLUMNS:
                key = Key(key.table, key.kind, new)  # noqa: PLW2901  # it is known by one name from here on
            spelled = {re.sub(rf'"{re.escape(old)}"|\b{re.escape(old)}\b', to, definition) for to in (new, f'"{new}"')}
            definition = next(iter(spelled & {expected.get(key)}), definition)  # noqa: PLW2901  # as above
        right[key] = definition
    return right


def _with_renamed(every: list[Deviation]) -> Iterator[Deviation]:
    """Join what is missing with what is too much, if it is the same under another name."""
    extra = [each for each in every if each.expected is None and each.key.kind in _RENAMED]
    for each in every:
        same = [
            other
            for other in extra
            if each.found is None
            and (other.key.table, other.key.kind) == (each.key.table, each.key.kind)
            and other.found == each.expected
        ]
        if same:
            extra.remove(same[0])
            yield Deviation(each.key, each.expected, same[0].found, renamed_from=same[0].key.name)
        elif each not in extra:
            yield each
    yield from extra
