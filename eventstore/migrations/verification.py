"""Verification that the schema in the database is the one that the revisions make."""

from collections.abc import Iterator

from sqlalchemy import Engine

from eventstore.backends import backend_for
from eventstore.findings import Finding, FindingKind, Level
from eventstore.migrations import remedies_on_postgresql, remedies_on_sqlite
from eventstore.migrations.comparison import Deviation, deviations
from eventstore.migrations.definitions import INVALID, NOT_VALID, TABLES, USUAL, Definitions, Key, history
from eventstore.migrations.environment import VERSION_TABLE
from eventstore.migrations.inventory import Inventory, read_inventory
from eventstore.migrations.refusals import refusals
from eventstore.migrations.remedies import REPAIR, Remedy
from eventstore.migrations.revision_of_tables import judge, wrong_stamps
from eventstore.tables.immutability import FUNCTION, PERMISSION_TABLE, SETTING, TRIGGER


def verify(engine: Engine, *, schema: str | None = None) -> list[Finding]:
    """Compare the schema in the database with the one that the revisions make, as the catalog describes both.

    It checks tables, columns, defaults, generated columns, the sequence of the positions, keys, constraints, indexes,
    the triggers that protect history, rules, row level security, the owner's rights, and the contents of es_schema and
    the version table. Tables of an older revision are compared with that one, and the pending revisions are one
    finding.

    Your additions (indexes, triggers, foreign keys to our tables, privileges, comments, tablespaces, publications,
    statistics) are no findings, unless they can refuse, change or hide what the store writes: a constraint or unique
    index, a rule, row level security, a BEFORE trigger for each row, a column.

    It reads only the catalogs, never the events, and takes no locks. It returns no findings for a schema that
    is newer than this code: run `verify` of the newer version.

    Args:
        engine: The engine of the database.
        schema: The PostgreSQL schema of the tables. Defaults to None: the schema that has es_schema.

    Returns:
        The differences, in an order in which they can be fixed; empty if there are none.

    Raises:
        UnsupportedDatabase: The engine has another database or driver.
        InvalidInput: The schema is not a valid name.
        PermissionDenied: The database user can't read es_schema or the version table (PostgreSQL).
    """
    with refusals(engine, schema):
        backend_for(engine, lock_timeout_seconds=0, schema=schema)
        inventory = read_inventory(engine, schema)
    revisions = history(engine.dialect.name)
    if _is_newer(inventory, list(revisions)):
        return []
    if not any(key.kind == "table" for key in inventory.definitions):
        return list(_of_no_tables(inventory, revisions[list(revisions)[-1]]))
    verdict = judge(inventory, revisions)
    expected = revisions[verdict.revision]
    findings = []
    if verdict.pending:
        begun = " (begun)" if verdict.is_begun else ""
        found = f"not yet applied: {', '.join(verdict.pending)}{begun}"
        of_code = f"{list(revisions)[-1]}, the revision of this code"
        remedy = Remedy(advice="run `eventstore migrate`")
        findings.append(
            _finding(inventory, (VERSION_TABLE, None), (found, of_code), remedy, FindingKind.SCHEMA_PENDING)
        )
    for table, found, remedy in wrong_stamps(inventory, verdict, revisions):
        stamp = (found, verdict.revision)
        findings.append(_finding(inventory, (table, None), stamp, remedy, FindingKind.SCHEMA_VERSION_WRONG))
    findings += _elsewhere(inventory)
    begun_with = revisions[verdict.pending[0]] if verdict.is_begun else expected
    for deviation in deviations(expected, inventory.definitions, begun_with):
        if inventory.history_changers is not None and _is_left_out_on_citus(deviation):
            continue
        if deviation.key.kind != "table" or deviation.key.table not in inventory.elsewhere:
            findings.append(_of_deviation(deviation, inventory, expected))
    findings += _of_rights(inventory)
    findings += _of_parts(inventory)
    if inventory.is_permitted:
        left = ("has a permission that was left behind, so history can be changed", "none outside of a transaction")
        remedy = Remedy((f"DELETE FROM {PERMISSION_TABLE}",))
        findings.append(_finding(inventory, ("es_events", PERMISSION_TABLE), left, remedy, FindingKind.SCHEMA_DIFFERS))
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
            missing = ("is missing", "a table")
            yield _finding(inventory, (table, None), missing, Remedy(advice=remedy), FindingKind.SCHEMA_INCOMPLETE)


def _elsewhere(inventory: Inventory) -> Iterator[Finding]:
    """Yield findings for tables that an application finds in another schema than migrations do."""
    ours = inventory.schema.removesuffix(".")
    for table, schema in inventory.elsewhere.items():
        found = f"is found in schema {schema} by the search path, but es_schema in {ours}"
        if Key(table, "table") in inventory.definitions:
            remedy = Remedy((), f"{ours} has one, too: put {ours} first in the search path, and move the rows")
        else:
            remedy = Remedy((f"ALTER TABLE {schema}.{table} SET SCHEMA {ours}",))
        apart = (found, "both in one schema")
        yield _finding(inventory, (table, None), apart, remedy, FindingKind.SCHEMA_DIFFERS)


def _is_left_out_on_citus(deviation: Deviation) -> bool:
    kind, name = deviation.key.kind, deviation.key.name
    if (kind, name) == ("default", "after_position"):
        return deviation.found == "0"
    return deviation.found is None and (kind, name) in {("trigger", TRIGGER), ("function", FUNCTION)}


def _of_rights(inventory: Inventory) -> Iterator[Finding]:
    """Yield findings for roles whose changes of history no trigger refuses, because Citus has none there."""
    for role in inventory.history_changers or ():
        found = f"may be changed by {role}, and on distributed tables Citus has no trigger that refuses it"
        revoke = f"REVOKE UPDATE, DELETE, TRUNCATE ON {inventory.schema}es_events FROM {role}"
        rights = (found, "changed by its owner only")
        yield _finding(inventory, ("es_events", None), rights, Remedy((revoke,)), FindingKind.SCHEMA_DIFFERS)


def _of_parts(inventory: Inventory) -> Iterator[Finding]:
    """Yield findings for parts of the log that are not as the store makes them."""
    function = f"{inventory.schema}{FUNCTION}()"
    if inventory.unlisted is not None:
        first, last = inventory.unlisted
        problem = (
            f"does not list what was detached at positions {first} to {last}, so reads return less and do not say so",
            "a row for each part that was detached (eventstore partitions detach)",
        )
        add = (
            f"INSERT INTO {inventory.schema}es_detached_parts (first_position, last_position, events, name) "
            f"VALUES ({first}, {last}, {last - first + 1}, 'detached by hand')"
        )
        yield _finding(inventory, ("es_detached_parts", None), problem, Remedy((add,)), FindingKind.SCHEMA_DIFFERS)
    for part in inventory.parts:
        table, number = f"{inventory.schema}{part.name}", part.name.rpartition("_")[2]
        protect = (
            f"CREATE OR REPLACE TRIGGER {TRIGGER} BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} FOR EACH STATEMENT "
            f"WHEN (current_setting('{SETTING}', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION {function}"
        )
        problems = [
            (not part.is_logged, "is UNLOGGED, so a crash empties it", "logged", f"ALTER TABLE {table} SET LOGGED"),
            (
                not part.has_owner,
                "has another owner than the log",
                f"the owner {part.owner}",
                f"ALTER TABLE {table} OWNER TO {remedies_on_postgresql.quoted(part.owner)}",
            ),
            (
                not part.has_key,
                "has no key of streams and versions",
                "a primary key",
                f"ALTER TABLE {table} ADD CONSTRAINT es_events_pkey_{number} PRIMARY KEY (stream_id, version)",
            ),
            (
                not part.is_protected,
                "has no trigger that refuses changes of history",
                f"a trigger {TRIGGER}",
                protect,
            ),
            (
                not part.has_row_security,
                "has no row level security, so whoever may read it sees the events of all",
                "row level security, as the log",
                f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY",
            ),
            *(
                (
                    True,
                    f"may be written to directly by {role}, past the lock that readers look at",
                    "through es_events only",
                    f"REVOKE INSERT, UPDATE, DELETE, TRUNCATE, TRIGGER ON {table} FROM {role}",
                )
                for role in part.writers
            ),
        ]
        for is_wrong, found, expected, statement in problems:
            if is_wrong:
                subject, remedy = (part.name, None), Remedy((statement,))
                yield _finding(inventory, subject, (found, expected), remedy, FindingKind.SCHEMA_DIFFERS)


def _of_deviation(deviation: Deviation, inventory: Inventory, expected: Definitions) -> Finding:
    of_dialect = remedies_on_sqlite if inventory.dialect == "sqlite" else remedies_on_postgresql
    remedy = of_dialect.remedy(deviation, inventory, expected)
    key = deviation.key
    name = key.name or None
    if key.kind in {"numbering", "persistence of the sequence", "rights in the sequence"}:
        name = inventory.definitions[Key(key.table, "sequence", key.name)]
    return _finding(inventory, (key.table, name), _found_and_expected(deviation), remedy, _kind(deviation))


_NAMED_BY_SUBJECT = frozenset(
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


def _found_and_expected(deviation: Deviation) -> tuple[str, str]:
    kind = deviation.key.kind
    expected = deviation.expected or USUAL.get(kind)
    found = deviation.found or USUAL.get(kind)
    prefix = "" if kind in _NAMED_BY_SUBJECT else f"{kind} "
    if deviation.renamed_from is not None:
        return f"is called {deviation.renamed_from}", deviation.key.name
    if found is None:
        return f"{prefix}is missing", str(expected)
    if expected is None and kind in _NAMED_BY_SUBJECT:
        article = "an" if kind[0] in "aeiou" else "a"
        return f"is {article} {kind} that is not ours, which {_harm(kind)}: {found}", "none"
    if kind == "index" and found == f"{expected}{INVALID}":
        return "is an invalid index, left by a failed build", str(expected)
    if found == f"{expected}{NOT_VALID}":
        return f"{prefix}was never validated, so older rows may violate it", str(expected)
    return f"{prefix}is {found}", expected or "none"


def _harm(kind: str) -> str:
    if kind in {"rule", "trigger"}:
        return "can change or lose what is written"
    if kind == "table":
        return "is in the way of a later revision"
    if kind == "column":
        return "the store does not know"
    if kind == "owned sequence":
        return "can be taken for the sequence of the positions"
    return "can refuse what the store writes"


def _kind(deviation: Deviation) -> FindingKind:
    kind, expected, found = deviation.key.kind, deviation.expected, str(deviation.found)
    is_ours = expected is not None and deviation.renamed_from is None
    result = FindingKind.SCHEMA_DIFFERS
    if kind in {"table", "column"} and expected is not None:
        result = FindingKind.SCHEMA_INCOMPLETE
    elif kind in {"key", "index"} and found.endswith(INVALID):
        result = FindingKind.INDEX_INVALID
    elif kind in {"key", "check", "foreign key", "constraint"} and is_ours:
        result = FindingKind.CONSTRAINT_MISSING
    elif kind == "index" and deviation.found is None:
        result = FindingKind.INDEX_MISSING
    elif kind == "numbering" and "CACHE 1 " not in found:
        result = FindingKind.POSITIONS_CACHED
    return result


def _finding(
    inventory: Inventory,
    where: tuple[str, str | None],
    found_and_expected: tuple[str, str],
    remedy: Remedy,
    kind: FindingKind,
) -> Finding:
    table, name = where
    found, expected = found_and_expected
    text = remedy.text(inventory.dialect)
    if remedy.repairable and REPAIR not in text:
        text = f"{REPAIR}, or {text}"
    return Finding(
        Level.ERROR,
        table if name is None else f"{table}.{name}",
        found,
        text,
        kind=kind,
        expected=expected,
        statements=remedy.statements,
        repairable=remedy.repairable,
        table=table,
        name=name,
    )
