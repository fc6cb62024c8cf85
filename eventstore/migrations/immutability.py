"""Is history protected, as it should be?"""

from collections.abc import Iterator
from typing import Final

from sqlalchemy import Connection, text

from eventstore.immutability import (
    FUNCTION,
    FUNCTION_BODY,
    PERMISSION_TABLE,
    SETTING,
    TRIGGER,
    function_sql,
    qualified_name,
    sqlite_triggers,
    trigger_sql,
)
from eventstore.migrations import catalog
from eventstore.tables import Tables

Difference = tuple[str, str, str]
"""The name of a trigger, function or table; the problem; the remedy."""

_BEFORE_DELETE_UPDATE_TRUNCATE: Final = 2 + 8 + 16 + 32


def differences_on_postgresql(connection: Connection, tables: Tables) -> Iterator[Difference]:
    """Yield what is wrong with the trigger on es_events and its function."""
    table = qualified_name(tables.events)
    found = catalog.find_trigger(connection, table, TRIGGER)
    if found is None:
        missing = f"{function_sql(tables.events)}; {trigger_sql(tables.events)}"
        yield TRIGGER, "is not there: history can be changed", missing
        return
    if not found.enabled:
        remedy = f"ALTER TABLE {table} ENABLE TRIGGER {TRIGGER}"
        yield TRIGGER, "is disabled: history can be changed", remedy
    is_ours = SETTING in found.definition and (found.type, found.function) == (_BEFORE_DELETE_UPDATE_TRUNCATE, FUNCTION)
    if not is_ours:
        yield TRIGGER, f"is another one: {found.definition}", trigger_sql(tables.events)
    elif found.body != FUNCTION_BODY:
        yield FUNCTION, "does something else than to refuse changes of history", function_sql(tables.events)


def differences_on_sqlite(connection: Connection) -> Iterator[Difference]:
    """Yield what is wrong with the triggers on es_events, and with the permission that they look for."""
    query = text("SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'es_events'")
    found = {row.name: row.sql for row in connection.execute(query)}
    for name, sql in sqlite_triggers().items():
        if name not in found:
            yield name, "is not there: history can be changed", sql
        elif found[name] != sql:
            yield name, f"is another one: {found[name]}", f"DROP TRIGGER {name}; {sql}"
    permission = text("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = :name")
    if connection.execute(permission, {"name": PERMISSION_TABLE}).first() is None:
        return
    if connection.execute(text(f"SELECT id FROM {PERMISSION_TABLE}")).first() is not None:
        problem = "holds a permission that somebody has forgotten to take away: history can be changed"
        yield PERMISSION_TABLE, problem, f"DELETE FROM {PERMISSION_TABLE}"
