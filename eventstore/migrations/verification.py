"""Is the schema in the database the one that the revisions make?"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from sqlalchemy import Engine

from eventstore.backends import backend_for
from eventstore.migrations import remedies_on_postgresql, remedies_on_sqlite
from eventstore.migrations.comparison import Deviation, deviations
from eventstore.migrations.definitions import INVALID, NOT_VALID, TABLES, USUAL, Definitions, Key, history
from eventstore.migrations.environment import VERSION_TABLE
from eventstore.migrations.inventory import Inventory, read_inventory
from eventstore.migrations.refusals import refusals
from eventstore.migrations.remedies import Remedy
from eventstore.migrations.revision_of_tables import judge, wrong_stamps
from eventstore.tables.immutability import PERMISSION_TABLE


class Difference(Enum):
    """In what way the schema differs."""

    PENDING = "pending"
    """Revisions are not yet applied: the tables are of an older one."""

    MISSING = "missing"
    """A table or a column is not there, or a column is another one: the rest can't be read."""

    DIFFERS = "differs"
    """Something is not what it should be, or should not be there."""

    CONSTRAINT_MISSING = "constraint missing"
    """It is not there, is another one, or was never validated."""

    INDEX_MISSING = "index missing"
    INDEX_INVALID = "index invalid"

    POSITIONS_CACHED = "positions cached"
    """The sequence hands out several positions at once."""

    VERSION_WRONG = "version wrong"
    """es_schema, or the version table, says another revision than the tables are of."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something in which the schema differs from what it should be.

    Attributes:
        table: The table.
        name: Of the column, constraint, index or trigger; None where it is the table itself.
        problem: What was found, and what was expected.
        remedy: What to do, as text: SQL for psql or the sqlite3 shell where that does it.
        kind: In what way it differs.
        statements: The SQL of the remedy, each statement outside of a transaction; `fix` executes them. Empty where it
            takes a backup or a decision.
        repairable: Whether `eventstore repair` does it, if the rows allow it: nothing is lost, and there is nothing to
            decide.
    """

    table: str
    name: str | None
    problem: str
    remedy: str
    kind: Difference = Difference.DIFFERS
    statements: tuple[str, ...] = ()
    repairable: bool = False

    def __str__(self) -> str:
        what = self.table if self.name is None else f"{self.table}, {self.name}"
        return f"{what}: {self.problem}; {self.remedy}"


def verify(engine: Engine, *, schema: str | None = None) -> list[Finding]:
    """Compare the schema in the database with what the revisions make, by what the catalog says that things *are*.

    It looks at tables, columns, defaults, generated columns, the sequence of the positions, keys, constraints, indexes,
    the triggers that protect history, rules, row level security, the owner's rights, and at what es_schema and the
    version table say. Tables that are of an older revision are compared with that one, and what is not yet applied is
    one finding.

    What you add is left alone (indexes, triggers, foreign keys to our tables, privileges, comments, tablespaces,
    publications, statistics) unless it can refuse, change or hide what the store writes: a constraint or unique index
    of your own, a rule, row level security, a BEFORE trigger for each row, a column.

    It reads the catalogs only, never the events, and locks nothing. Of a schema that is newer than this code it knows
    nothing, and returns no findings: run `verify` of the newer version.

    Args:
        engine: Of the database.
        schema: The PostgreSQL schema of the tables. Defaults to None: the one that es_schema is found in.

    Returns:
        The differences, in an order in which they can be put right; empty where there are none.

    Raises:
        UnsupportedDatabase: The engine is of another database or driver.
        InvalidInput: The schema is not a valid name.
        PermissionDenied: The user can't read es_schema or the version table (PostgreSQL).
    """
    with refusals(engine, schema):
        backend_for(engine, lock_timeout_seconds=0, schema=schema)
        inventory = read_inventory(engine, schema)
    revisions = history(engine.dialect.name)
    if _is_newer(inventory, list(revisions)):
        return []
    if not any(key.kind == "table" for key in inventory.found):
        return list(_of_no_tables(inventory, revisions[list(revisions)[-1]]))
    verdict = judge(inventory, revisions)
    expected = revisions[verdict.revision]
    findings = []
    if verdict.pending:
        begun = " (begun)" if verdict.is_begun else ""
        problem = f"not yet applied: {', '.join(verdict.pending)}{begun}"
        findings.append(Finding(VERSION_TABLE, None, problem, "run `eventstore migrate`", Difference.PENDING))
    for table, problem, remedy in wrong_stamps(inventory, verdict, revisions):
        findings.append(_finding(inventory, (table, None), problem, remedy, Difference.VERSION_WRONG))
    findings += _elsewhere(inventory)
    begun_with = revisions[verdict.pending[0]] if verdict.is_begun else expected
    for deviation in deviations(expected, inventory.found, begun_with):
        if deviation.key.kind != "table" or deviation.key.table not in inventory.elsewhere:
            findings.append(_of_deviation(deviation, inventory, expected))
    if inventory.is_permitted:
        problem = "holds a permission that was left behind: history can be changed"
        remedy = Remedy((f"DELETE FROM {PERMISSION_TABLE}",))
        findings.append(_finding(inventory, ("es_events", PERMISSION_TABLE), problem, remedy, Difference.DIFFERS))
    return findings


def _is_newer(inventory: Inventory, revisions: list[str]) -> bool:
    numbers = [int(row.split(", ")[0].removeprefix("version ")) for row in inventory.versions or ()]
    newest = int(revisions[-1].removeprefix("es_"))
    stamps = [stamp for stamp in inventory.revisions or () if stamp not in revisions]
    return len(numbers) == 1 and numbers[0] > newest and (inventory.revisions is None or bool(stamps))


def _of_no_tables(inventory: Inventory, newest: Definitions) -> Iterator[Finding]:
    remedy = "run `eventstore migrate`"
    if inventory.revisions:
        delete = f"DELETE FROM {inventory.schema}{VERSION_TABLE}"
        remedy = f"restore them from a backup; for an empty store: {delete}, then {remedy}"
    for table in TABLES:
        if Key(table, "table") in newest:
            yield Finding(table, None, "is not there", remedy, Difference.MISSING)


def _elsewhere(inventory: Inventory) -> Iterator[Finding]:
    """Yield the tables that an application finds in another schema than the one that migrations look after."""
    ours = inventory.schema.removesuffix(".")
    for table, schema in inventory.elsewhere.items():
        problem = f"is found in the schema {schema} by the search path, and es_schema in {ours}"
        if Key(table, "table") in inventory.found:
            remedy = Remedy((), f"there is one in {ours}, too: put {ours} first in the search path, and move the rows")
        else:
            remedy = Remedy((f"ALTER TABLE {schema}.{table} SET SCHEMA {ours}",))
        yield _finding(inventory, (table, None), problem, remedy, Difference.DIFFERS)


def _of_deviation(deviation: Deviation, inventory: Inventory, expected: Definitions) -> Finding:
    of_dialect = remedies_on_sqlite if inventory.dialect == "sqlite" else remedies_on_postgresql
    remedy = of_dialect.remedy(deviation, inventory, expected)
    key = deviation.key
    name = key.name or None
    if key.kind in {"numbering", "persistence of the sequence", "rights in the sequence"}:
        name = inventory.found[Key(key.table, "sequence", key.name)]
    return _finding(inventory, (key.table, name), _problem(deviation), remedy, _difference(deviation))


_SAID_OF_ITSELF = frozenset(
    {
        "table",
        "column",
        "key",
        "check",
        "foreign key",
        "constraint",
        "index",
        "trigger",
        "function",
        "rule",
        "owned sequence",
    }
)


def _problem(deviation: Deviation) -> str:
    kind = deviation.key.kind
    expected = deviation.expected or USUAL.get(kind)
    found = deviation.found or USUAL.get(kind)
    said = "" if kind in _SAID_OF_ITSELF else f"{kind} "
    if deviation.renamed_from is not None:
        return f"is called {deviation.renamed_from}"
    if found is None:
        return f"{said}is not there, expected was {expected}"
    if expected is None and kind in _SAID_OF_ITSELF:
        article = "an" if kind[0] in "aeiou" else "a"
        return f"is {article} {kind} that is not ours, {_harm(kind)}: {found}"
    if kind == "index" and found == f"{expected}{INVALID}":
        return "is an invalid index, left behind by a failed build"
    if found == f"{expected}{NOT_VALID}":
        return f"{said}was never validated: older rows may not satisfy it"
    return f"{said}is {found}, expected was {expected or 'none'}"


def _harm(kind: str) -> str:
    if kind in {"rule", "trigger"}:
        return "and can change or lose what is written"
    if kind == "table":
        return "and in the way of a later revision"
    if kind == "column":
        return "of which the store knows nothing"
    if kind == "owned sequence":
        return "and is taken for the one of the positions"
    return "and can refuse what the store writes"


def _difference(deviation: Deviation) -> Difference:
    kind, expected, found = deviation.key.kind, deviation.expected, str(deviation.found)
    is_ours = expected is not None and deviation.renamed_from is None
    difference = Difference.DIFFERS
    if kind in {"table", "column"} and expected is not None:
        difference = Difference.MISSING
    elif kind in {"key", "index"} and found.endswith(INVALID):
        difference = Difference.INDEX_INVALID
    elif kind in {"key", "check", "foreign key", "constraint"} and is_ours:
        difference = Difference.CONSTRAINT_MISSING
    elif kind == "index" and deviation.found is None:
        difference = Difference.INDEX_MISSING
    elif kind == "numbering" and "CACHE 1 " not in found:
        difference = Difference.POSITIONS_CACHED
    return difference


def _finding(
    inventory: Inventory, where: tuple[str, str | None], problem: str, remedy: Remedy, kind: Difference
) -> Finding:
    return Finding(*where, problem, remedy.text(inventory.dialect), kind, remedy.statements, remedy.repairable)
