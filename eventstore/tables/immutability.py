"""The triggers on es_events that refuse UPDATE, DELETE and TRUNCATE, and the permission that switches them off.

They cost an append nothing, because an INSERT does not fire them. They guard against mistakes of people and programs.
`EventStore.allow_history_changes` switches them off for a transaction. To leave a role no such choice, use grants.
(docs/explanation/immutability.md)

This module serves tables that are created directly. Revisions have their own copy, and a test compares the two.
"""

from typing import Final

from sqlalchemy import DDL, Table, event

from eventstore.tables.names import qualified_name

SETTING: Final = "eventstore.allow_history_changes"
"""PostgreSQL: the setting that is `on` in a transaction that may change history."""

PERMISSION_TABLE: Final = "es_history_permission"
"""SQLite: the table that has a row while a transaction may change history. Other transactions do not see the row."""

TRIGGER: Final = "es_events_immutable"
"""PostgreSQL: the name of the trigger, which its error gives as the constraint."""

FUNCTION: Final = "es_refuse_history_change"
REFUSAL: Final = "events are never changed:"
"""The beginning of the message of SQLite's triggers."""

FUNCTION_BODY: Final = """
BEGIN
    RAISE restrict_violation USING
        MESSAGE = 'events are never changed: ' || TG_OP || ' of ' || TG_TABLE_NAME || ' was refused',
        HINT = 'If you mean it, first SET LOCAL eventstore.allow_history_changes = ''on'', in the same transaction.',
        CONSTRAINT = 'es_events_immutable', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
END
"""


def function_sql(table: Table) -> str:
    """Return the SQL that creates the trigger's function, in the schema of the table (PostgreSQL)."""
    name = qualified_name(table, FUNCTION)
    return f"CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $${FUNCTION_BODY}$$"


def trigger_sql(table: Table) -> str:
    """Return the SQL that creates the trigger (PostgreSQL)."""
    return (
        f"CREATE OR REPLACE TRIGGER {TRIGGER} BEFORE UPDATE OR DELETE OR TRUNCATE ON {qualified_name(table)} "
        f"FOR EACH STATEMENT WHEN (current_setting('{SETTING}', true) IS DISTINCT FROM 'on') "
        f"EXECUTE FUNCTION {qualified_name(table, FUNCTION)}()"
    )


def sqlite_triggers() -> dict[str, str]:
    """Return the SQL of the triggers, by name (SQLite, where a trigger fires for each row of one kind of change)."""
    return {
        f"{TRIGGER}_{change.lower()}": (
            f"CREATE TRIGGER {TRIGGER}_{change.lower()} BEFORE {change} ON es_events "
            f"WHEN NOT EXISTS (SELECT 1 FROM {PERMISSION_TABLE}) "
            f"BEGIN SELECT RAISE(ABORT, '{REFUSAL} {change} of es_events was refused'); END"
        )
        for change in ("UPDATE", "DELETE")
    }


def protect(table: Table) -> None:
    """Create the triggers together with the table."""
    for dialect, statements in (
        ("postgresql", [function_sql(table), trigger_sql(table)]),
        ("sqlite", list(sqlite_triggers().values())),
    ):
        for sql in statements:
            ddl = DDL(sql.replace("%", "%%"))  # type: ignore[no-untyped-call]  # SQLAlchemy's
            event.listen(table, "after_create", ddl.execute_if(dialect=dialect))
