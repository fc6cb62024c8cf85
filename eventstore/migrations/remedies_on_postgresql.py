"""Remedies of deviations on PostgreSQL."""

import re
from collections.abc import Callable, Iterator
from typing import Final

from sqlalchemy.dialects import postgresql

from eventstore.migrations.comparison import Deviation, columns_of
from eventstore.migrations.definitions import DISABLED, INVALID, NOT_VALID, TABLES, USUAL, Definitions, Key
from eventstore.migrations.inventory import Inventory
from eventstore.migrations.remedies import IF_THE_SAME, RENAME, RESTORE, REWRITES, UNLESS_MEANT, Remedy
from eventstore.migrations.sql_text import block, literal
from eventstore.tables.immutability import FUNCTION

_OPTION: Final = re.compile(r"(?:AS|INCREMENT BY|MINVALUE|MAXVALUE|START WITH|CACHE) \S+|(?:NO )?CYCLE")
_PREPARER: Final = postgresql.dialect().identifier_preparer  # type: ignore[no-untyped-call]  # SQLAlchemy's
_NOT_NULL_CHECK: Final = "es_column_not_null"
_CAN_BE_EMPTY: Final = frozenset({"snapshots", "es_schema"})


def remedy(deviation: Deviation, inventory: Inventory, expected: Definitions) -> Remedy:
    """Return the remedy of a deviation."""
    return _Remedies(deviation, inventory, expected).remedy()


class _Remedies:
    def __init__(self, deviation: Deviation, inventory: Inventory, expected: Definitions) -> None:
        self._key, self._expected, self._found = deviation.key, deviation.expected, deviation.found
        self._renamed_from = deviation.renamed_from
        self._inventory = inventory
        self._definitions = expected
        self._schema = inventory.schema
        self._table = f"{inventory.schema}{self._key.table}"
        self._name = quoted(self._key.name) if self._key.name else ""  # SQLAlchemy 2.0 can't quote an empty one

    def remedy(self) -> Remedy:
        return _BY_KIND[self._key.kind](self)

    def _alter(self, *changes: str, advice: str = "", repairable: bool = True) -> Remedy:
        statement = f"ALTER TABLE {self._table} {', '.join(changes)}"
        return Remedy((statement,), advice, repairable=repairable and not advice)

    # Of tables

    def of_table(self) -> Remedy:
        if self._expected is None:
            return Remedy((), RENAME)
        if self._found is not None or self._key.table not in _CAN_BE_EMPTY:
            return Remedy((), RESTORE)
        ours = [(key, text) for key, text in self._definitions.items() if key.table == self._key.table]
        parts = [self._column_sql(key.name) for key, _ in ours if key.kind == "column"]
        for key, text in ours:
            if key.kind in {"key", "check", "foreign key"}:
                definition = re.sub(r" USING \w+| NOT VALID", "", text)
                definition = definition.replace("REFERENCES ", f"REFERENCES {self._schema}", 1)
                parts.append(f"CONSTRAINT {quoted(key.name)} {definition}")
        statements = [f"CREATE TABLE {self._table} ({', '.join(parts)})"]
        if self._key.table == "es_schema":
            row = re.findall(r"\d+", self._definitions[Key("es_schema", "row")])
            statements.append(f"INSERT INTO {self._table} (id, version, breaking_version) VALUES (1, {', '.join(row)})")
        return Remedy(tuple(statements), "restore its rows from a backup; if there is none:  ", repairable=False)

    def owner(self) -> Remedy:
        ours = [owner for table, owner in self._inventory.owners.items() if table in TABLES]
        return self._alter(f"OWNER TO {max(ours, key=ours.count)}", repairable=False)

    def rights_of_the_owner(self) -> Remedy:
        rights = str(self._found).removeprefix("WITHOUT ")
        return Remedy(
            (f"GRANT {rights} ON {self._table} TO {self._inventory.owners[self._key.table]}",), repairable=True
        )

    def rights_in_the_schema(self) -> Remedy:
        schema = self._schema.removesuffix(".")
        return Remedy(
            (f"GRANT USAGE ON SCHEMA {schema} TO {self._inventory.owners[self._key.table]}",), repairable=False
        )

    def rule(self) -> Remedy:
        return Remedy((f"DROP RULE IF EXISTS {self._name} ON {self._table}",), UNLESS_MEANT)

    def inheritance(self) -> Remedy:
        statements = []
        for related in str(self._found).split(", "):
            if related.startswith("PARENT OF "):
                statements.append(f"ALTER TABLE {related.removeprefix('PARENT OF ')} NO INHERIT {self._table}")
            else:
                statements.append(f"ALTER TABLE {self._table} NO INHERIT {related.removeprefix('CHILD OF ')}")
        return Remedy(tuple(statements), UNLESS_MEANT)

    def row_level_security(self) -> Remedy:
        return self._alter("NO FORCE ROW LEVEL SECURITY", "DISABLE ROW LEVEL SECURITY", advice=UNLESS_MEANT)

    def replica_identity(self) -> Remedy:
        return self._alter("REPLICA IDENTITY DEFAULT")

    def persistence(self) -> Remedy:
        return self._alter("SET LOGGED", advice=REWRITES)

    def fillfactor(self) -> Remedy:
        fillfactor = self._expected or USUAL["fillfactor"]
        return self._alter("RESET (fillfactor)" if self._expected is None else f"SET (fillfactor = {fillfactor})")

    # Of columns

    def column(self) -> Remedy:
        if self._renamed_from is not None:
            return self._alter(f"RENAME COLUMN {quoted(self._renamed_from)} TO {self._name}", advice=IF_THE_SAME)
        if self._expected is None:
            return self._alter(
                f"DROP COLUMN IF EXISTS {self._name}", advice="move its data to one of your own tables, then: "
            )
        if self._found is None:
            return self._missing_column()
        using = "" if self._fact("generated") else f" USING {self._name}::{self._expected.partition(' COLLATE ')[0]}"
        return self._alter(f"ALTER COLUMN {self._name} TYPE {self._expected}{using}", advice=REWRITES)

    def _missing_column(self) -> Remedy:
        if self._fact("generated"):
            added = self._alter(f"ADD COLUMN IF NOT EXISTS {self._column_sql()}", advice=REWRITES)
        elif self._fact("not null") is None:
            what = f"ADD COLUMN IF NOT EXISTS {self._column_sql()}"
            added = self._alter(what, advice="then restore its values from a backup, if it had any: ")
        else:
            return Remedy((), RESTORE)
        return added

    def _column_sql(self, name: str | None = None) -> str:
        name = name or self._key.name
        words = [quoted(name), str(self._fact("column", name))]
        if self._fact("default", name):
            words.append(f"DEFAULT {self._fact('default', name)}")
        if self._fact("generated", name):
            words.append(f"GENERATED ALWAYS AS ({str(self._fact('generated', name)).removesuffix(' STORED')}) STORED")
        if self._fact("not null", name):
            words.append("NOT NULL")
        return " ".join(words)

    def _fact(self, kind: str, name: str | None = None) -> str | None:
        return self._definitions.get(Key(self._key.table, kind, name or self._key.name))

    def default(self) -> Remedy:
        change = "DROP DEFAULT" if self._expected is None else f"SET DEFAULT {self._with_schema(self._expected)}"
        return self._alter(f"ALTER COLUMN {self._name} {change}")

    def _with_schema(self, default: str) -> str:
        """Return a default with the schema of the sequence that it may name."""
        return default.replace("'es_", "'" + self._schema.replace("'", "''") + "es_")

    def generated(self) -> Remedy:
        if self._expected is None:
            return self._alter(f"ALTER COLUMN {self._name} DROP EXPRESSION", repairable=False)
        again = self._alter(f"DROP COLUMN {self._name}", f"ADD COLUMN {self._column_sql()}", advice=REWRITES)
        indexes = [
            f"CREATE INDEX CONCURRENTLY {quoted(key.name)} ON {self._table} {definition}"
            for key, definition in self._definitions.items()
            if (key.table, key.kind) == (self._key.table, "index") and self._key.name in columns_of(definition)
            if key in self._inventory.definitions  # one that is not there has its own finding
        ]
        return Remedy((*again.statements, *indexes), again.advice)

    def identity(self) -> Remedy:
        if self._expected is None:
            return self._alter(f"ALTER COLUMN {self._name} DROP IDENTITY", repairable=False)
        if self._found is not None:
            return self._alter(f"ALTER COLUMN {self._name} SET GENERATED {self._expected}")
        sequence = self._sequence_name()
        # the default of another column may depend on the sequence
        after_position = Key("es_streams", "default", "after_position")
        set_default = f"ALTER TABLE {self._schema}es_streams ALTER COLUMN after_position SET DEFAULT "
        forget, remember = "", ""
        if after_position in self._definitions:
            forget = f"{set_default}0; "
            remember = f"; {set_default}{self._with_schema(self._definitions[after_position])}"
        # in one block that locks out appends: readers would miss an event stored at a position before the newest
        statement = block(
            f"{forget}ALTER TABLE {self._table} ALTER COLUMN {self._name} DROP DEFAULT; "
            f"DROP SEQUENCE IF EXISTS {sequence}; "
            f"ALTER TABLE {self._table} ALTER COLUMN {self._name} ADD GENERATED {self._expected} AS IDENTITY "
            f"(SEQUENCE NAME {sequence}); {self._advance_beyond_newest()}{remember}"
        )
        return Remedy((statement,))

    def _advance_beyond_newest(self) -> str:
        sequence, events = self._sequence_name(), f"(SELECT max(position) FROM {self._table}) AS events (newest)"
        return (
            f"PERFORM setval({literal(sequence)}, newest) FROM {events} "
            f"WHERE newest >= (SELECT last_value FROM {sequence})"
        )

    def owned_sequence(self) -> Remedy:
        return Remedy((f"ALTER SEQUENCE {self._schema}{self._name} OWNED BY NONE",), UNLESS_MEANT)

    def sequence(self) -> Remedy:
        new = quoted(str(self._expected))
        return Remedy((f"ALTER SEQUENCE {self._schema}{quoted(str(self._found))} RENAME TO {new}",), repairable=True)

    def _sequence_name(self) -> str:
        return f"{self._schema}{quoted(str(self._fact('sequence')))}"

    def numbering(self) -> Remedy:
        is_ = {option.group() for option in _OPTION.finditer(str(self._found))}
        changes = [option.group() for option in _OPTION.finditer(str(self._expected)) if option.group() not in is_]
        alter = f"ALTER SEQUENCE {self._sequence_name()} {' '.join(changes)}"
        if all(change.startswith(("CACHE", "START")) for change in changes):
            return Remedy((alter,), repairable=True)
        # it may have gone back, and would then assign positions again
        lock = f"LOCK TABLE {self._table} IN SHARE ROW EXCLUSIVE MODE"
        return Remedy((block(f"{lock}; {alter}; {self._advance_beyond_newest()}"),), repairable=True)

    def persistence_of_the_sequence(self) -> Remedy:
        return Remedy((f"ALTER SEQUENCE {self._sequence_name()} SET LOGGED",), repairable=True)

    def rights_in_the_sequence(self) -> Remedy:
        rights, owner = str(self._found).removeprefix("WITHOUT "), self._inventory.owners[self._key.table]
        return Remedy((f"GRANT {rights} ON SEQUENCE {self._sequence_name()} TO {owner}",), repairable=True)

    def not_null(self) -> Remedy:
        if self._expected is None:
            return self._alter(f"ALTER COLUMN {self._name} DROP NOT NULL")
        # with a check that was validated without blocking writers, SET NOT NULL needs no scan under its lock
        check = f"CONSTRAINT {_NOT_NULL_CHECK}"
        add = f"ADD {check} CHECK ({self._name} IS NOT NULL) NOT VALID"
        return Remedy((
            f"ALTER TABLE {self._table} DROP CONSTRAINT IF EXISTS {_NOT_NULL_CHECK}, {add}",
            f"ALTER TABLE {self._table} VALIDATE {check}",
            f"ALTER TABLE {self._table} ALTER COLUMN {self._name} SET NOT NULL",
            f"ALTER TABLE {self._table} DROP {check}",
        ), repairable=True)  # fmt: skip

    # Of constraints and indexes

    def _rename(self, what: str) -> Remedy | None:
        if self._renamed_from is None:
            return None
        return self._alter(f"RENAME {what} {quoted(self._renamed_from)} TO {self._name}")

    def _drop_constraint(self) -> Remedy:
        return self._alter(f"DROP CONSTRAINT IF EXISTS {self._name}", advice=UNLESS_MEANT)

    def constraint(self) -> Remedy:
        return self._drop_constraint()

    def unique_key(self) -> Remedy:
        renamed = self._rename("CONSTRAINT")
        if renamed is not None:
            return renamed
        if self._expected is None:
            return self._drop_constraint()
        if self._found == self._expected + INVALID:
            return self._reindex()
        kind, _, index = self._expected.partition(" USING ")
        stray = self._inventory.definitions.get(Key(self._key.table, "index", self._key.name))
        if stray == f"UNIQUE USING {index}":
            changes = [*self._keys_in_the_way(), f"ADD CONSTRAINT {self._name} {kind} USING INDEX {self._name}"]
            return self._alter(*changes)
        built = self._new_index(f"CREATE UNIQUE INDEX CONCURRENTLY {{}} ON {self._table} USING {index}")
        add = f"ADD CONSTRAINT {self._name} {kind} USING INDEX {self._new_name()}"
        return Remedy((
            *built,
            *([f"DROP INDEX CONCURRENTLY IF EXISTS {self._schema}{self._name}"] if stray else []),
            f"ALTER TABLE {self._table} {', '.join([*self._keys_in_the_way(), add])}",
        ), repairable=True)  # fmt: skip

    def _keys_in_the_way(self) -> Iterator[str]:
        is_primary = str(self._expected).startswith("PRIMARY KEY")
        for key, definition in self._inventory.definitions.items():
            if (key.table, key.kind) != (self._key.table, "key"):
                continue
            if key == self._key or (is_primary and definition.startswith("PRIMARY KEY")):
                yield f"DROP CONSTRAINT {quoted(key.name)}"

    def _new_name(self) -> str:
        return quoted(f"{self._key.name}_new")

    def _new_index(self, create: str) -> tuple[str, str]:
        new = self._new_name()
        return f"DROP INDEX CONCURRENTLY IF EXISTS {self._schema}{new}", create.format(new)

    def _reindex(self) -> Remedy:
        return Remedy((f"REINDEX INDEX CONCURRENTLY {self._schema}{self._name}",), repairable=True)

    def check(self) -> Remedy:
        renamed = self._rename("CONSTRAINT")
        if renamed is not None:
            return renamed
        if self._expected is None:
            return self._drop_constraint()
        validate = f"ALTER TABLE {self._table} VALIDATE CONSTRAINT {self._name}"
        if self._found == self._expected + NOT_VALID:
            return Remedy((validate,), repairable=True)
        definition = self._expected.removesuffix(NOT_VALID).replace("REFERENCES ", f"REFERENCES {self._schema}", 1)
        drop = f"DROP CONSTRAINT IF EXISTS {self._name}, " if self._found is not None else ""
        add = f"ALTER TABLE {self._table} {drop}ADD CONSTRAINT {self._name} {definition} NOT VALID"
        return Remedy((add,) if self._expected.endswith(NOT_VALID) else (add, validate), repairable=True)

    def index(self) -> Remedy:
        if self._renamed_from is not None:
            old = f"{self._schema}{quoted(self._renamed_from)}"
            return Remedy((f"ALTER INDEX {old} RENAME TO {self._name}",), repairable=True)
        index = f"{self._schema}{self._name}"
        if self._expected is None:
            return Remedy((f"DROP INDEX CONCURRENTLY IF EXISTS {index}",), UNLESS_MEANT)
        if self._found == self._expected + INVALID:
            return self._reindex()
        create = f"CREATE INDEX CONCURRENTLY {{}} ON {self._table} {self._expected}"
        if self._found is None:
            return Remedy((create.format(self._name),), repairable=True)
        return Remedy((
            *self._new_index(create),
            f"DROP INDEX CONCURRENTLY {index}",
            f"ALTER INDEX {self._schema}{self._new_name()} RENAME TO {self._name}",
        ), repairable=True)  # fmt: skip

    # Of triggers

    def function(self) -> Remedy:
        if self._expected is None:
            return Remedy((f"DROP FUNCTION {self._schema}{self._name}()",), UNLESS_MEANT)
        body = f"CREATE OR REPLACE FUNCTION {self._schema}{self._name}() RETURNS trigger LANGUAGE plpgsql"
        return Remedy((f"{body} AS $$ {self._expected} $$",), repairable=True)

    def trigger(self) -> Remedy:
        if self._renamed_from is not None:
            rename = f"ALTER TRIGGER {quoted(self._renamed_from)} ON {self._table} RENAME TO {self._name}"
            return Remedy((rename,), repairable=True)
        if self._expected is None:
            return Remedy((f"DROP TRIGGER IF EXISTS {self._name} ON {self._table}",), UNLESS_MEANT)
        if self._found == self._expected + DISABLED:
            return self._alter(f"ENABLE TRIGGER {self._name}")
        definition = self._expected.replace(f" ON {self._key.table} ", f" ON {self._table} ", 1)
        definition = definition.replace(f"EXECUTE FUNCTION {FUNCTION}", f"EXECUTE FUNCTION {self._schema}{FUNCTION}")
        return Remedy((f"CREATE OR REPLACE TRIGGER {self._name} {definition}",), repairable=True)


_BY_KIND: Final[dict[str, Callable[[_Remedies], Remedy]]] = {
    "table": _Remedies.of_table,
    "owner": _Remedies.owner,
    "rights in the schema": _Remedies.rights_in_the_schema,
    "rights of the owner": _Remedies.rights_of_the_owner,
    "rule": _Remedies.rule,
    "inheritance": _Remedies.inheritance,
    "row level security": _Remedies.row_level_security,
    "replica identity": _Remedies.replica_identity,
    "persistence": _Remedies.persistence,
    "fillfactor": _Remedies.fillfactor,
    "column": _Remedies.column,
    "default": _Remedies.default,
    "generated": _Remedies.generated,
    "identity": _Remedies.identity,
    "owned sequence": _Remedies.owned_sequence,
    "sequence": _Remedies.sequence,
    "numbering": _Remedies.numbering,
    "persistence of the sequence": _Remedies.persistence_of_the_sequence,
    "rights in the sequence": _Remedies.rights_in_the_sequence,
    "not null": _Remedies.not_null,
    "key": _Remedies.unique_key,
    "check": _Remedies.check,
    "foreign key": _Remedies.check,
    "constraint": _Remedies.constraint,
    "index": _Remedies.index,
    "function": _Remedies.function,
    "trigger": _Remedies.trigger,
}


def quoted(name: str) -> str:
    """Return a name as it stands in SQL."""
    return _PREPARER.quote(name).replace("%%", "%")
