"""Damages of the schema, made out of what the catalog should say: things dropped, renamed, weakened, strengthened."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from eventstore.migrations.comparison import columns_of
from eventstore.migrations.definitions import Key, history
from eventstore.migrations.environment import VERSION_TABLE

POSTGRESQL = list(history("postgresql").values())[-1]
SQLITE = list(history("sqlite").values())[-1]
NOBODY = "pg_read_all_data"
"""A role that every server has."""
_FREE_SEQUENCE = "ALTER TABLE es_streams ALTER after_position SET DEFAULT 0"
"""Otherwise the server does not let the sequence of positions be dropped."""


@dataclass(frozen=True)
class Damage:
    """SQL that does it, and what `verify` has to name.

    On SQLite a statement that begins with a table's name and a colon is `table: old -> new`: the table is made again
    with its text changed.
    """

    what: str
    statements: tuple[str, ...]
    table: str
    name: str | None
    needs_backup: bool = False


def _quoted(name: str) -> str:
    return f'"{name}"'


def on_postgresql() -> Iterator[Damage]:
    """Every damage; a few are refused by one version of PostgreSQL or another."""
    makers = {
        "table": _of_table,
        "column": _of_column,
        "key": _of_key,
        "check": _of_check,
        "foreign key": _of_foreign_key,
        "index": _of_index,
        "trigger": _of_trigger,
        "function": _of_function,
        "sequence": _of_sequence,
    }
    for key, definition in POSTGRESQL.items():
        for what, statements, *rest in makers.get(key.kind, lambda *_: [])(key, definition):
            name = rest[0] if rest else key.name or None
            yield Damage(f"{key}: {what}", tuple(statements.split(";;")), key.table, name, needs_backup=len(rest) > 1)
    for what, statements, table in (
        ("another version", "UPDATE es_schema SET version = 2", "es_schema"),
        ("a version before", "UPDATE es_schema SET version = version - 1", "es_schema"),
        ("no version", "DELETE FROM es_schema", "es_schema"),
        ("a version that breaks", "UPDATE es_schema SET breaking_version = 9", "es_schema"),
        ("another stamp", f"UPDATE {VERSION_TABLE} SET version_num = 'es_0003'", VERSION_TABLE),
        ("no stamp", f"DELETE FROM {VERSION_TABLE}", VERSION_TABLE),
    ):
        yield Damage(what, (statements,), table, None)


Made = Iterator[tuple[str, ...]]


def _of_table(key: Key, _: str) -> Made:
    table = key.table
    yield "row level security", f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY"
    yield "forced row level security", f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY"
    yield "row level security that is only forced", f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY"
    yield "less room", f"ALTER TABLE {table} SET (fillfactor = 97)"
    yield "no replica identity", f"ALTER TABLE {table} REPLICA IDENTITY NOTHING"
    yield "a rule", f"CREATE RULE lost AS ON INSERT TO {table} WHERE false DO INSTEAD NOTHING", "lost"
    yield "another owner", f"ALTER TABLE {table} OWNER TO {NOBODY}"
    yield "unlogged", f"ALTER TABLE {table} SET UNLOGGED"
    yield "a child", f"CREATE TABLE child () INHERITS ({table})"
    yield (
        "a privilege that the owner lost",
        (
            ";;".join(f"ALTER TABLE {each.table} OWNER TO {NOBODY}" for each in POSTGRESQL if each.kind == "table")
            + f";;GRANT USAGE ON SCHEMA public TO {NOBODY};;REVOKE INSERT, SELECT ON {table} FROM {NOBODY}"
        ),
    )
    yield "a constraint of another's", f"ALTER TABLE {table} ADD CONSTRAINT mine CHECK (1 > 0)", "mine"
    yield (
        "a trigger that changes rows",
        (
            "CREATE FUNCTION mine() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RETURN NEW; END$$;;"
            f"CREATE TRIGGER mine BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION mine()"
        ),
        "mine",
    )
    yield "a column of another's", f"ALTER TABLE {table} ADD mine text", "mine"


_OTHER_TYPES = {
    "bigint": "numeric",
    "integer": "bigint",
    "smallint": "integer",
    'text COLLATE "C"': 'text COLLATE "POSIX"',
    "text": "varchar(400)",
    "uuid": "text",
    "timestamp with time zone": "timestamp",
    "jsonb": "json",
    "bytea": "text",
}


def _of_column(key: Key, type_: str) -> Made:
    table, column = key.table, _quoted(key.name)
    facts = {
        kind: POSTGRESQL.get(Key(table, kind, key.name)) for kind in ("not null", "default", "generated", "identity")
    }
    drop = f"ALTER TABLE {table} DROP COLUMN {column} CASCADE"
    if facts["not null"] and not facts["generated"]:
        yield "dropped", drop, key.name, "backup"
    else:
        yield "dropped", drop
    yield "renamed", f"ALTER TABLE {table} RENAME COLUMN {column} TO another_name"
    using = "" if facts["generated"] else f" USING {column}::text::{_OTHER_TYPES[type_].partition(' COLLATE')[0]}"
    if type_ == "bytea":
        using = f" USING encode({column}, 'hex')"
    else:
        yield "another type", f"ALTER TABLE {table} ALTER {column} TYPE {_OTHER_TYPES[type_]}{using}"
    if type_.startswith("text"):
        yield "a shorter type", f"ALTER TABLE {table} ALTER {column} TYPE varchar(99)"
    if facts["not null"]:
        yield "NULL", f"ALTER TABLE {table} ALTER {column} DROP NOT NULL"
    else:
        yield "NOT NULL", f"ALTER TABLE {table} ALTER {column} SET NOT NULL"
    if facts["default"]:
        yield "no default", f"ALTER TABLE {table} ALTER {column} DROP DEFAULT"
        other = "7" if type_ in {"bigint", "integer", "smallint"} else "now()"
        yield "another default", f"ALTER TABLE {table} ALTER {column} SET DEFAULT {other}"
    elif not facts["generated"] and not facts["identity"] and type_ in {"bigint", "integer", "smallint"}:
        yield "a default", f"ALTER TABLE {table} ALTER {column} SET DEFAULT 1"
    if facts["generated"]:
        yield "not generated", f"ALTER TABLE {table} ALTER {column} DROP EXPRESSION"
        yield (
            "generated otherwise",
            (
                f"ALTER TABLE {table} DROP COLUMN {column} CASCADE, ADD COLUMN {column} {type_}"
                " GENERATED ALWAYS AS (split_part(stream_id, '_', 1)) STORED NOT NULL"
            ),
        )
    if facts["identity"]:
        yield "by default", f"ALTER TABLE {table} ALTER {column} SET GENERATED BY DEFAULT"
        yield "no identity", f"{_FREE_SEQUENCE};;ALTER TABLE {table} ALTER {column} DROP IDENTITY"
        yield (
            "a serial",
            (
                f"{_FREE_SEQUENCE};;ALTER TABLE {table} ALTER {column} DROP IDENTITY;;"
                f"CREATE SEQUENCE mine OWNED BY {table}.{column};;"
                f"SELECT setval('mine', 100);;ALTER TABLE {table} ALTER {column} SET DEFAULT nextval('mine')"
            ),
        )


def _of_key(key: Key, definition: str) -> Made:
    table, name = key.table, key.name
    kind = definition.partition(" USING ")[0]
    columns = ", ".join(map(_quoted, columns_of(definition)))
    other = next(
        _quoted(each.name)
        for each in POSTGRESQL
        if (each.table, each.kind) == (table, "column") and each.name not in columns_of(definition)
        and Key(table, "not null", each.name) in POSTGRESQL
    )  # fmt: skip
    drop = f"ALTER TABLE {table} DROP CONSTRAINT {name} CASCADE"
    yield "dropped", drop
    yield "renamed", f"ALTER TABLE {table} RENAME CONSTRAINT {name} TO another_name"
    yield "weakened", f"{drop};;ALTER TABLE {table} ADD CONSTRAINT {name} {kind} ({columns}, {other})"
    yield "deferrable", f"{drop};;ALTER TABLE {table} ADD CONSTRAINT {name} {kind} ({columns}) DEFERRABLE"
    if " INCLUDE " in definition:
        yield "without what it includes", f"{drop};;ALTER TABLE {table} ADD CONSTRAINT {name} {kind} ({columns})"
    yield "only an index", f"{drop};;CREATE UNIQUE INDEX {name} ON {table} ({columns})"
    yield "in another place", f"{drop};;ALTER TABLE {table} ADD CONSTRAINT mine {kind} ({columns}, {other})"
    yield "invalid", f"UPDATE pg_index SET indisvalid = false WHERE indexrelid = '{name}'::regclass"
    first = _quoted(columns_of(definition)[0])
    if "," in columns:
        keep_one = f"DELETE FROM {table} WHERE ctid <> (SELECT min(ctid) FROM {table})"
        yield "strengthened", f"{keep_one};;{drop};;ALTER TABLE {table} ADD CONSTRAINT {name} {kind} ({first})"
        reverse = ", ".join(map(_quoted, reversed(columns_of(definition))))
        yield "the other way round", f"{drop};;ALTER TABLE {table} ADD CONSTRAINT {name} {kind} ({reverse})"


def _of_check(key: Key, definition: str) -> Made:
    table, name = key.table, key.name
    drop = f"ALTER TABLE {table} DROP CONSTRAINT {name}"
    yield "dropped", drop
    yield "renamed", f"ALTER TABLE {table} RENAME CONSTRAINT {name} TO another_name"
    yield "true", f"{drop}, ADD CONSTRAINT {name} CHECK (true)"
    expression = definition.removeprefix("CHECK ")
    yield "weakened", f"{drop}, ADD CONSTRAINT {name} CHECK ({expression} OR now() > '1999-01-01')"
    yield "strengthened", f"{drop}, ADD CONSTRAINT {name} CHECK ({expression} AND now() > '1999-01-01')"
    yield "not valid", f"{drop}, ADD CONSTRAINT {name} {definition} NOT VALID"
    yield "not enforced", f"{drop}, ADD CONSTRAINT {name} {definition} NOT ENFORCED"


def _of_foreign_key(key: Key, definition: str) -> Made:
    table, name = key.table, key.name
    drop = f"ALTER TABLE {table} DROP CONSTRAINT {name}"
    bare = re.sub(r" ON (UPDATE|DELETE) \w+", "", definition)
    yield "dropped", drop
    yield "renamed", f"ALTER TABLE {table} RENAME CONSTRAINT {name} TO another_name"
    for what, changed in (
        ("not valid", f"{definition} NOT VALID"),
        ("deferred", f"{definition} DEFERRABLE INITIALLY DEFERRED"),
        ("cascading", f"{bare} ON DELETE CASCADE ON UPDATE RESTRICT"),
        ("setting null", f"{bare} ON DELETE SET NULL"),
        ("not enforced", f"{definition} NOT ENFORCED"),
    ):
        yield what, f"{drop}, ADD CONSTRAINT {name} {changed}"
    yield "its triggers off", f"ALTER TABLE {table} DISABLE TRIGGER ALL"


def _of_index(key: Key, definition: str) -> Made:
    table, name = key.table, key.name
    drop, create = f"DROP INDEX {name}", f"CREATE INDEX {name} ON {table} "
    yield "dropped", drop
    yield "renamed", f"ALTER INDEX {name} RENAME TO another_name"
    columns = list(map(_quoted, columns_of(definition)))
    yield "partial", f"{drop};;{create}{definition.partition(' WHERE ')[0]} WHERE false"
    yield "of another column", f"{drop};;{create}({columns[0]}, version)"
    yield "descending", f"{drop};;{create}({', '.join([*columns[:-1], columns[-1] + ' DESC'])})"
    yield "of an expression", f"{drop};;{create}(({columns[0]} IS NULL), {columns[-1]})"
    yield "invalid", f"UPDATE pg_index SET indisvalid = false WHERE indexrelid = '{name}'::regclass"
    yield "hash", f"{drop};;{create}USING hash ({columns[0]})"
    if "brin" not in definition:
        yield "unique", f"{drop};;{create.replace('CREATE', 'CREATE UNIQUE')}{definition}"
    else:
        yield "summarized late", f"ALTER INDEX {name} RESET (autosummarize)"


def _of_trigger(key: Key, definition: str) -> Made:
    table, name = key.table, key.name
    yield "dropped", f"DROP TRIGGER {name} ON {table}"
    yield "renamed", f"ALTER TRIGGER {name} ON {table} RENAME TO another_name"
    yield "disabled", f"ALTER TABLE {table} DISABLE TRIGGER {name}"
    yield "for replicas", f"ALTER TABLE {table} ENABLE REPLICA TRIGGER {name}"
    create = f"CREATE OR REPLACE TRIGGER {name} "
    yield "for less", create + definition.replace("DELETE OR UPDATE OR TRUNCATE", "DELETE OR TRUNCATE")
    yield "for a column", create + definition.replace("UPDATE OR", "UPDATE OF data OR")
    yield "never", create + re.sub(r"WHEN \(.*\) EXECUTE", "WHEN (false) EXECUTE", definition)
    yield "always", create + re.sub(r"WHEN \(.*\) EXECUTE", "EXECUTE", definition)
    yield "too late", create + definition.replace("BEFORE", "AFTER")


def _of_function(key: Key, _: str) -> Made:
    create = f"CREATE OR REPLACE FUNCTION {key.name}() RETURNS trigger LANGUAGE plpgsql AS"
    yield "refusing nothing", f"{create} $$BEGIN RETURN NULL; END$$"
    yield "renamed", f"ALTER FUNCTION {key.name}() RENAME TO another_name"
    yield "dropped", f"DROP FUNCTION {key.name}() CASCADE"


def _of_sequence(_: Key, name: str) -> Made:
    yield "renamed", f"ALTER SEQUENCE {name} RENAME TO another_name", "position"
    for change in (
        "CACHE 20", "INCREMENT 2", "CYCLE", "MAXVALUE 1000000", "START 5", "MINVALUE -7", "AS integer", "SET UNLOGGED",
        "INCREMENT -1",
    ):  # fmt: skip
        yield change, f"ALTER SEQUENCE {name} {change}", name


def on_sqlite() -> Iterator[Damage]:
    """Every damage."""
    for key, definition in SQLITE.items():
        for what, statement, *rest in _of_sqlite(key, definition):
            backup = len(rest) > 1
            name = rest[0] if rest else key.name or None
            yield Damage(f"{key}: {what}", tuple(statement.split(";;")), key.table, name, needs_backup=backup)
    yield Damage("another version", ("UPDATE es_schema SET version = 2",), "es_schema", None)
    yield Damage("no version", ("DELETE FROM es_schema",), "es_schema", None)
    yield Damage("another stamp", (f"UPDATE {VERSION_TABLE} SET version_num = 'es_0003'",), VERSION_TABLE, None)


def _of_sqlite(key: Key, definition: str) -> Made:
    table, name = key.table, key.name
    if key.kind == "table":
        yield "strict", rf"{table}: \)(\s*WITHOUT ROWID)?\s*$ -> ) STRICT"
        yield (
            "a constraint of another's",
            f"{table}: \\n\\)(?=(?:\\s*WITHOUT ROWID)?\\s*$) -> , CONSTRAINT mine CHECK (1))",
            "mine",
        )
        yield "a column of another's", f"ALTER TABLE {table} ADD mine text", "mine"
        yield "a unique index of another's", f"DELETE FROM {table};;CREATE UNIQUE INDEX mine ON {table} (2)", "mine"
        yield (
            "a trigger that loses rows",
            f"CREATE TRIGGER mine BEFORE INSERT ON {table} WHEN 0 BEGIN SELECT RAISE(IGNORE); END",
            "mine",
        )
    elif key.kind == "index":
        create = f"DROP INDEX {name};;CREATE INDEX {name} ON {table} "
        columns = ", ".join(columns_of(definition))
        yield "dropped", f"DROP INDEX {name}"
        yield "renamed", f"DROP INDEX {name};;CREATE INDEX another_name ON {table} {definition}"
        yield "partial", f"{create}({columns}) WHERE 0"
        yield "of another column", f"{create}(version, {columns})"
        yield "descending", f"{create}({columns} DESC)"
        yield "unique", f"{create}{definition}".replace("CREATE INDEX", "CREATE UNIQUE INDEX")
    elif key.kind == "trigger":
        create = f"DROP TRIGGER {name};;CREATE TRIGGER {name} "
        yield "dropped", f"DROP TRIGGER {name}"
        yield "renamed", f"DROP TRIGGER {name};;CREATE TRIGGER another_name {definition}"
        yield "never", create + definition.replace("NOT EXISTS", "EXISTS")
        yield "too late", create + definition.replace("BEFORE", "AFTER")
        yield "lenient", create + re.sub(r"RAISE.*\)", "1", definition)
    elif key.kind == "column":
        yield from _of_sqlite_column(key, definition)
    elif key.kind == "constraint":
        yield "dropped", f"{table}: ,\\s*CONSTRAINT {name} [^\\n]*?(?=,? *\\n) -> "
        yield "renamed", f"{table}: {name} -> another_name"
        if definition.startswith("CHECK"):
            yield "true", f"{table}: {name} CHECK \\( -> {name} CHECK (1 OR "
            yield "strengthened", f"{table}: {name} CHECK \\( -> {name} CHECK (1 = 1 AND "
        elif definition.startswith("FOREIGN KEY"):
            yield "deferred", f"{table}: (CONSTRAINT {name} [^\\n]*?)(?=,? *\\n) -> \\1 DEFERRABLE INITIALLY DEFERRED"
        else:
            yield "replacing", f"{table}: (CONSTRAINT {name} [^\\n]*?)(?=,? *\\n) -> \\1 ON CONFLICT REPLACE"
            yield "ignoring", f"{table}: (CONSTRAINT {name} [^\\n]*?)(?=,? *\\n) -> \\1 ON CONFLICT IGNORE"


def _of_sqlite_column(key: Key, definition: str) -> Made:
    table, name = key.table, key.name
    start = f"{table}: ([\\n,]\\s*){name} (\\w+)"
    yield "renamed", f"ALTER TABLE {table} RENAME COLUMN {name} TO another_name"
    if "AUTOINCREMENT" in definition:
        yield "numbers given again", f"{table}: AUTOINCREMENT -> "
    else:
        yield "another type", f"{start} -> \\1{name} VARCHAR(9)"
    yield "another collation", f"{start} -> \\1{name} \\2 COLLATE NOCASE"
    if "NOT NULL" in definition:
        yield "NULL", f"{table}: ([\\n,]\\s*{name} [^\\n]*?) NOT NULL -> \\1"
    else:
        yield "a default", f"{start} -> \\1{name} \\2 DEFAULT 1"
    if "'now'" in definition:
        yield "another default", f"{table}: (\\n\\t{name} [^\\n]*?)'now' -> \\1'2001-01-01'"
    elif "DEFAULT" in definition:
        yield "another default", f"{table}: ([\\n,]\\s*{name} \\w+ DEFAULT )\\d+ -> \\g<1>7"
    if "GENERATED" in definition:
        yield "generated otherwise", f"{table}: (\\n\\t{name} [^\\n]*?)'-' -> \\1'_'"
        yield "not stored", f"{table}: (\\n\\t{name} [^\\n]*?) STORED -> \\1 VIRTUAL"
