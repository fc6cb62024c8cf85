"""The application's objects that a downgrade would drop, or that would stop it half way (PostgreSQL)."""

from collections.abc import Iterable
from typing import Final

from sqlalchemy import Connection, text

from eventstore.errors import ReferredTo
from eventstore.migrations.definitions import history

_NAMED: Final = frozenset({"key", "check", "foreign key", "index", "trigger"})
_DESCRIPTION: Final = """
SELECT DISTINCT CASE WHEN r.rulename = '_RETURN' THEN pg_describe_object('pg_class'::regclass, r.ev_class, 0)
    ELSE pg_describe_object(d.classid, d.objid, d.objsubid) END
"""
_OF: Final = """
LEFT JOIN pg_rewrite r ON d.classid = 'pg_rewrite'::regclass AND r.oid = d.objid
LEFT JOIN pg_constraint k ON d.classid = 'pg_constraint'::regclass AND k.oid = d.objid
LEFT JOIN pg_trigger g ON d.classid = 'pg_trigger'::regclass AND g.oid = d.objid
LEFT JOIN pg_class c ON d.classid = 'pg_class'::regclass AND c.oid = d.objid
LEFT JOIN pg_attrdef f ON d.classid = 'pg_attrdef'::regclass AND f.oid = d.objid
WHERE d.deptype IN ('n', 'a') AND NOT coalesce(g.tgisinternal, false) AND k.contype IS DISTINCT FROM 'n'
    AND coalesce(k.conname, g.tgname, c.relname, '') <> ALL (CAST(:ours AS text[]))
"""
_OF_TABLE: Final = text(f"""
{_DESCRIPTION} FROM pg_class t CROSS JOIN LATERAL (
    SELECT 'pg_class'::regclass AS kind, t.oid AS object
    UNION ALL SELECT 'pg_type'::regclass, y.oid FROM pg_type y WHERE y.oid = t.reltype OR y.typelem = t.reltype
) o JOIN pg_depend d ON d.refclassid = o.kind AND d.refobjid = o.object
{_OF} AND t.oid = to_regclass(:table) AND f.adrelid IS DISTINCT FROM t.oid AND c.oid IS DISTINCT FROM t.oid ORDER BY 1
""")
_OF_COLUMN: Final = text(f"""
{_DESCRIPTION} FROM pg_attribute a
JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = a.attrelid AND d.refobjsubid = a.attnum
{_OF} AND a.attrelid = to_regclass(:table) AND a.attname = :column
    AND (f.adrelid, f.adnum) IS DISTINCT FROM (a.attrelid, a.attnum) ORDER BY 1
""")
_OF_FUNCTION: Final = text(f"""
{_DESCRIPTION} FROM pg_depend d {_OF}
    AND d.refclassid = 'pg_proc'::regclass AND d.refobjid = to_regprocedure(:call) ORDER BY 1
""")


def refuse_dependents(
    connection: Connection, *, tables: Iterable[str], columns: Iterable[tuple[str, str]], functions: Iterable[str]
) -> None:
    """Refuse to drop objects that something of the application's depends on.

    The server refuses to drop what a view or a foreign key needs, but only when it comes to that step, after others
    were committed. It drops indexes and triggers of a table, and indexes of a column, without an error.

    Args:
        connection: A connection in the transaction of the revision.
        tables: The names of the tables to drop, as they stand in SQL.
        columns: The columns to drop, each by the name of its table, as it stands in SQL, and its own name.
        functions: The names of the functions to drop, as they stand in SQL; they take no arguments.

    Raises:
        ReferredTo: Something depends on one of them.
    """
    # also what a later revision has dropped, and a downgrade has made again
    every = {key for definitions in history("postgresql").values() for key in definitions}
    ours = sorted({key.name for key in every if key.kind in _NAMED})
    for table in tables:
        _refuse(table, connection.execute(_OF_TABLE, {"table": table, "ours": ours}).scalars().all())
    for table, column in columns:
        parameters = {"table": table, "column": column, "ours": ours}
        _refuse(f"column {column} of {table}", connection.execute(_OF_COLUMN, parameters).scalars().all())
    for function in functions:
        parameters = {"call": f"{function}()", "ours": ours}
        _refuse(f"function {function}", connection.execute(_OF_FUNCTION, parameters).scalars().all())


def _refuse(dropped: str, dependents: Iterable[str]) -> None:
    if dependents:
        raise ReferredTo(dropped, list(dependents))
