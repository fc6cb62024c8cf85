"""History is not changed: the triggers on es_events that refuse UPDATE, DELETE and TRUNCATE, and how they are told.

They cost an append nothing: an INSERT does not fire them. They guard against mistakes, of people and of programs. Who
means it switches them off for the rest of a transaction: see `EventStore.allow_history_changes`. Against those who are
not to have a choice there are grants. (docs/explanation/immutability.md)

What is here is what tables made at once get; revisions have their own copy, and a test compares the two.
"""

from typing import Final

from sqlalchemy import DDL, Table, event
from sqlalchemy.dialects import postgresql

SETTING: Final = "eventstore.allow_history_changes"
"""PostgreSQL: `on` in a transaction that may change history."""

PERMISSION_TABLE: Final = "es_history_permission"
"""SQLite: has a row while a transaction may change history. Nobody else can see it, for there is one writer."""

TRIGGER: Final = "es_events_immutable"
"""PostgreSQL: the trigger's name, and what its error calls the constraint."""

FUNCTION: Final = "es_refuse_history_change"
REFUSAL: Final = "events are never changed:"
"""How the message begins that SQLite's triggers raise."""

FUNCTION_BODY: Final = """
BEGIN
    RAISE restrict_violation USING
        MESSAGE = 'events are never changed: ' || TG_OP || ' of ' || TG_TABLE_NAME || ' was refused',
        HINT = 'If you mean it, first SET LOCAL eventstore.allow_history_changes = ''on'', in the same transaction.',
        CONSTRAINT = 'es_events_immutable', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
END
"""


def function_sql(table: Table) -> str:
    """Return what creates the trigger's function, in the schema of the table (PostgreSQL)."""
    name = qualified_name(table, FUNCTION)
    return f"CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $${FUNCTION_BODY}$$"


def trigger_sql(table: Table) -> str:
    """Return what creates the trigger (PostgreSQL)."""
    return (
        f"CREATE OR REPLACE TRIGGER {TRIGGER} BEFORE UPDATE OR DELETE OR TRUNCATE ON {qualified_name(table)} "
        f"FOR EACH STATEMENT WHEN (current_setting('{SETTING}', true) IS DISTINCT FROM 'on') "
        f"EXECUTE FUNCTION {qualified_name(table, FUNCTION)}()"
    )


def sqlite_triggers() -> dict[str, str]:
    """Return the SQL of the triggers, by name (SQLite, whose triggers are for each row, and for one event each)."""
    return {
        f"{TRIGGER}_{change.lower()}": (
            f"CREATE TRIGGER {TRIGGER}_{change.lower()} BEFORE {change} ON es_events "
            f"WHEN NOT EXISTS (SELECT 1 FROM {PERMISSION_TABLE}) "
            f"BEGIN SELECT RAISE(ABORT, '{REFUSAL} {change} of es_events was refused'); END"
        )
        for change in ("UPDATE", "DELETE")
    }


def protect(table: Table) -> None:
    """Have the triggers created with the table."""
    for dialect, statements in (
        ("postgresql", [function_sql(table), trigger_sql(table)]),
        ("sqlite", list(sqlite_triggers().values())),
    ):
        for sql in statements:
            ddl = DDL(sql.replace("%", "%%"))  # type: ignore[no-untyped-call]  # SQLAlchemy's
            event.listen(table, "after_create", ddl.execute_if(dialect=dialect))


def qualified_name(table: Table, name: str | None = None) -> str:
    """Return the name of a table as it is written in PostgreSQL's SQL: with its schema, quoted if need be.

    It is for SQL text without parameters, and for functions on names. In a statement with parameters, drivers want each
    percent sign twice; SQLAlchemy writes it so, also where it must not be.

    Args:
        table: The table.
        name: Of something else in its schema, instead.
    """
    preparer = postgresql.dialect().identifier_preparer  # type: ignore[no-untyped-call]  # SQLAlchemy's
    of = "" if table.schema is None else f"{preparer.quote_schema(table.schema)}."
    return f"{of}{preparer.quote(table.name if name is None else name)}".replace("%%", "%")
