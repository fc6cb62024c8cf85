"""Queries of PostgreSQL's catalogs and statistics."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, text

_INDEX: Final = text("""
SELECT i.indisvalid, m.amname::text,
       ARRAY(SELECT a.attname::text FROM unnest(i.indkey) WITH ORDINALITY AS k (number, place)
             JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.number ORDER BY k.place)
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am m ON m.oid = c.relam
WHERE i.indrelid = to_regclass(:table) AND c.relname = :name
""")
_BUILDERS: Final = text("""
SELECT l.pid FROM pg_locks l JOIN pg_stat_progress_create_index p ON p.pid = l.pid
WHERE l.locktype = 'relation' AND l.relation = to_regclass(:table) AND l.granted
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND l.mode = 'ShareUpdateExclusiveLock' AND l.pid <> pg_backend_pid()
""")
_PROGRESS: Final = text("""
SELECT coalesce(nullif(index_relid, 0)::regclass::text, ''), phase, greatest(blocks_done, tuples_done),
       greatest(blocks_total, tuples_total)
FROM pg_stat_progress_create_index WHERE pid = :pid
""")
_CONSTRAINT: Final = text("""
SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = to_regclass(:table) AND conname = :name
""")
_TRIGGER: Final = text("""
SELECT t.tgenabled IN ('O', 'A'), t.tgtype, pg_get_triggerdef(t.oid), p.proname::text, p.prosrc
FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
WHERE t.tgrelid = to_regclass(:table) AND t.tgname = :name AND NOT t.tgisinternal
""")
_HAS_CITUS: Final = text("SELECT to_regclass('pg_catalog.pg_dist_partition') IS NOT NULL")
_IS_DISTRIBUTED: Final = text("SELECT 1 FROM pg_catalog.pg_dist_partition WHERE logicalrelid = to_regclass(:table)")
_LOCKERS: Final = text("""
SELECT DISTINCT coalesce(pid, 0) FROM pg_locks
WHERE locktype = 'relation' AND granted AND pid IS DISTINCT FROM pg_backend_pid()
  AND relation IN (SELECT to_regclass(name) FROM unnest(CAST(:tables AS text[])) AS name)
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
""")
_ADVISORY_LOCKERS: Final = text("""
SELECT pid FROM pg_locks
WHERE locktype = 'advisory' AND granted AND objsubid = 1
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND (classid::bigint << 32) | objid::bigint = :key
""")
_SESSIONS: Final = text("""
SELECT a.pid, a.usename::text, a.application_name, host(a.client_addr), a.state,
       extract(epoch FROM clock_timestamp() - a.xact_start)::bigint,
       -- without pg_read_all_stats the type is NULL; but every other process with a database has a user
       coalesce(a.backend_type = 'autovacuum worker', a.usesysid IS NULL AND a.datid IS NOT NULL),
       coalesce(nullif(a.query, '<insufficient privilege>') LIKE '%(to prevent wraparound)', (
           SELECT bool_or(age(c.relfrozenxid) > current_setting('autovacuum_freeze_max_age')::integer
                       OR mxid_age(c.relminmxid) > current_setting('autovacuum_multixact_freeze_max_age')::integer)
           FROM pg_locks l JOIN pg_class c ON c.oid = l.relation
           WHERE l.pid = a.pid AND l.mode = 'ShareUpdateExclusiveLock' AND c.relkind = 'r'
             AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
       ))
FROM pg_stat_activity a WHERE a.pid = ANY (:pids) ORDER BY a.xact_start, a.pid
""")
_AUTOVACUUM_THAT_STAYS: Final = (
    "autovacuum to prevent wraparound, which the server does not cancel: let it end, or VACUUM (FREEZE) the table first"
)


@dataclass(frozen=True, slots=True)
class Index:
    """An index in the catalog.

    Attributes:
        valid: False while it is being built, and after a failed build.
        using: The access method, such as btree.
        columns: The names of its columns, including the INCLUDEd ones.
    """

    valid: bool
    using: str
    columns: tuple[str, ...]

    def is_like(self, other: "Index") -> bool:
        """Return whether both have the same access method and columns, valid or not."""
        return (self.using, self.columns) == (other.using, other.columns)

    def __str__(self) -> str:
        return f"USING {self.using} ({', '.join(self.columns)})"


@dataclass(frozen=True, slots=True)
class Trigger:
    """A trigger in the catalog.

    Attributes:
        enabled: Whether it fires in an ordinary session.
        type: PostgreSQL's bits: 1 for each row, 2 before, 4 INSERT, 8 DELETE, 16 UPDATE, 32 TRUNCATE.
        definition: Its definition as PostgreSQL prints it.
        function: The name of its function.
        body: The body of the function.
    """

    enabled: bool
    type: int
    definition: str
    function: str
    body: str


def find_index(connection: Connection, table: str, name: str) -> Index | None:
    """Return an index of a table; None if there is none. In this module, `table` is quoted if it needs to be."""
    row = connection.execute(_INDEX, {"table": table, "name": name}).one_or_none()
    return None if row is None else Index(valid=row[0], using=row[1], columns=tuple(row[2]))


def builders(connection: Connection, table: str) -> list[int]:
    """Return the process ids of other sessions that are building an index of a table concurrently."""
    return list(connection.execute(_BUILDERS, {"table": table}).scalars())


def build_progress(connection: Connection, pid: int) -> tuple[str, str, int, int] | None:
    """Return (index, phase, done, total) of the index that a session is building; None if it builds none."""
    row = connection.execute(_PROGRESS, {"pid": pid}).one_or_none()
    return None if row is None else (row[0], row[1], row[2] or 0, row[3] or 0)


def find_constraint(connection: Connection, table: str, name: str) -> str | None:
    """Return the definition of a constraint of a table; None if there is none."""
    definition: str | None = connection.execute(_CONSTRAINT, {"table": table, "name": name}).scalar()
    return definition


def find_trigger(connection: Connection, table: str, name: str) -> Trigger | None:
    """Return a trigger of a table; None if there is none."""
    row = connection.execute(_TRIGGER, {"table": table, "name": name}).one_or_none()
    return None if row is None else Trigger(*row)


def is_distributed(connection: Connection, table: str) -> bool:
    """Return whether Citus has the rows of a table on its workers."""
    if not connection.execute(_HAS_CITUS).scalar():
        return False
    return connection.execute(_IS_DISTRIBUTED, {"table": table}).first() is not None


def lockers(connection: Connection, tables: list[str]) -> tuple[str, ...]:
    """Return descriptions of the other sessions that hold a lock on one of the tables."""
    return describe(connection, connection.execute(_LOCKERS, {"tables": tables}).scalars().all())


def advisory_lockers(connection: Connection, key: int) -> tuple[str, ...]:
    """Return descriptions of the sessions that hold an advisory lock."""
    return describe(connection, connection.execute(_ADVISORY_LOCKERS, {"key": key}).scalars().all())


def blockers(connection: Connection, pid: int) -> tuple[str, ...]:
    """Return descriptions of the sessions that a session waits for."""
    pids = connection.execute(text("SELECT pg_blocking_pids(:pid)"), {"pid": pid}).scalar()
    return describe(connection, pids or ())


def describe(connection: Connection, pids: Collection[int]) -> tuple[str, ...]:
    """Return descriptions of sessions: pid, application, user, client, state and age, but never their statements."""
    if not pids:
        return ()
    texts = []
    rows = connection.execute(_SESSIONS, {"pids": list(pids)})
    for pid, user, application, host, state, seconds, is_autovacuum, prevents_wraparound in rows:
        facts = [application, f"user {user}" if user else None, f"from {host}" if host else None, state]
        if is_autovacuum:
            facts = [_AUTOVACUUM_THAT_STAYS if prevents_wraparound else "autovacuum, which the server cancels"]
        facts.append(None if seconds is None else f"its transaction {seconds} s old")
        texts.append(f"pid {pid} ({', '.join(fact for fact in facts if fact)})")
    if 0 in pids:  # how pg_blocking_pids names a prepared transaction
        texts.append("a prepared transaction (see pg_prepared_xacts)")
    return tuple(texts)
