"""Which rights a statement needs, for the error if PostgreSQL refuses it."""

import re
from collections.abc import Iterator
from typing import Final

from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import DBAPIError

from eventstore.errors import PermissionDenied, StreamForbidden
from eventstore.tables import Tables

_INSUFFICIENT_PRIVILEGE: Final = "42501"
_VERSION_TABLE: Final = "es_alembic_version"
_OF_GRANTS: Final = "aclcheck_error"
"""The function of the server that reports a missing right; row security policies and others have the same SQLSTATE."""

_OF_POLICIES: Final = "ExecWithCheckOptions"
"""The function of the server that compares a new row with the row security policies."""

_GRANTABLE: Final = re.compile("SELECT|WITH|INSERT|UPDATE|DELETE|COPY|LOCK")
"""Other statements, such as CREATE and ALTER, need the owner."""
_TABLE: Final = r'((?:"(?:[^"]|"")*"|[^\s"])+)'
"""A table's name, quoted or not, with its schema or without."""
_INSERT: Final = re.compile(rf"(?:INSERT INTO|COPY) {_TABLE} \(([^()]*)\)")
_DELETE: Final = re.compile(rf"DELETE\s+FROM {_TABLE}")
_SET: Final = re.compile(rf"(?:UPDATE {_TABLE}|DO UPDATE) SET ")
_LOCKED: Final = {"es_streams": "version", "es_checkpoints": "position"}
"""Locking rows needs UPDATE on any one column; this is the one that the guide grants."""
_NEVER_GRANTED: Final = frozenset({"position", "recorded_at"})
"""Columns of es_events that only its owner may write, because choosing them can hide events from readers."""
_LOCK: Final = re.compile(rf"LOCK TABLE {_TABLE}")
_PREPARER: Final = postgresql.dialect().identifier_preparer  # type: ignore[no-untyped-call]  # SQLAlchemy's


def is_permission_denied(error: DBAPIError) -> bool:
    """Return whether PostgreSQL has refused a statement for lack of a right; psycopg2 calls the code `pgcode`."""
    return _INSUFFICIENT_PRIVILEGE in {getattr(error.orig, name, None) for name in ("sqlstate", "pgcode")}


def permission_denied(error: DBAPIError, tables: Tables) -> PermissionDenied:
    """Return the error, with the rights that the statement needs if they are known."""
    diagnostics = getattr(error.orig, "diag", None)
    problem = str(getattr(diagnostics, "message_primary", None) or error.orig)
    if getattr(diagnostics, "source_function", None) == _OF_POLICIES:
        return StreamForbidden(problem)
    if getattr(diagnostics, "source_function", None) != _OF_GRANTS:
        return PermissionDenied(problem)
    schema = tables.metadata.schema
    quoted = None if schema is None else _PREPARER.quote_schema(schema).replace("%%", "%")
    for table in (*(each.name for each in tables.metadata.tables.values()), _VERSION_TABLE):
        name = table if quoted is None else f"{quoted}.{table}"
        if f"{table}_position_seq" in problem:
            return PermissionDenied(problem, f"SEQUENCE {name}_position_seq", ("SELECT",))
        if re.search(rf"\b{re.escape(table)}\b", problem):
            return PermissionDenied(problem, name, rights_on(table, error.statement or ""))
    if schema is not None and re.search(rf"(?<!\w){re.escape(schema)}(?!\w)", problem):
        return PermissionDenied(problem, f"SCHEMA {quoted}", ("USAGE",))
    return PermissionDenied(problem)


def rights_on(table: str, sql: str) -> tuple[str, ...]:
    """Return the rights that a statement needs on a table, as GRANT names them, with only the columns that it writes.

    Empty if only the owner may run it: locking es_events, and choosing positions and times.

    Args:
        table: The name of the table.
        sql: One of the package's own statements, as compiled.
    """
    sql = " ".join(sql.split())
    if not _GRANTABLE.match(sql) or not re.search(rf"\b{re.escape(table)}\b", sql):
        return ()
    inserted = {name for target, names in _INSERT.findall(sql) if _is(target, table) for name in names.split(", ")}
    updated = {name for target, names in _updates(sql) if _is(target, table) for name in names}
    if re.search("FOR (?:NO KEY )?UPDATE", sql) and not updated and table in _LOCKED:
        updated = {_LOCKED[table]}
    is_locked = any(_is(target, table) for target in _LOCK.findall(sql))
    if table == "es_events" and (is_locked or inserted & _NEVER_GRANTED):
        return ()
    rights = [] if is_locked else ["SELECT"]
    if inserted:
        rights.append(f"INSERT ({', '.join(sorted(inserted))})")
    if updated:
        rights.append(f"UPDATE ({', '.join(sorted(updated))})")
    if is_locked or any(_is(target, table) for target in _DELETE.findall(sql)):
        rights.append("DELETE")
    return tuple(rights)


def _is(target: str, table: str) -> bool:
    return target.rpartition(".")[2].strip('"') == table


def _updates(sql: str) -> Iterator[tuple[str, list[str]]]:
    for match in _SET.finditer(sql):
        table = match[1] or _INSERT.findall(sql[: match.start()])[-1][0]
        yield table, [assigned.partition("=")[0].strip() for assigned in _assignments(sql[match.end() :])]


def _assignments(text: str) -> Iterator[str]:
    """Yield the parts between commas, up to the next clause or the end of the query in parentheses."""
    depth, start = 0, 0
    for match in re.finditer(r"[(),]| (?:FROM|WHERE|RETURNING) ", text):
        depth += {"(": 1, ")": -1}.get(match[0], 0)
        if depth > 0 or (match[0] == ")" and depth == 0):
            continue
        yield text[start : match.start()]
        start = match.end()
        if match[0] != ",":
            return
    yield text[start:]
