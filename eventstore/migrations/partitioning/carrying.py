"""What is carried from a table of events to the partitioned one and to its parts: owner, rights, policies and so on."""

from dataclasses import dataclass
from typing import Final

from eventstore.migrations.partitioning.log import Log, quoted
from eventstore.migrations.sql_text import literal

_TABLE: Final = """
SELECT pg_get_userbyid(c.relowner)::text AS owner, c.relrowsecurity, c.relforcerowsecurity,
    CASE c.relreplident WHEN 'f' THEN 'FULL' WHEN 'n' THEN 'NOTHING' WHEN 'i' THEN (
        SELECT k.relname::text FROM pg_index i JOIN pg_class k ON k.oid = i.indexrelid
        WHERE i.indrelid = c.oid AND i.indisreplident
    ) END AS replica_identity
FROM pg_class c WHERE c.oid = to_regclass(:table)
"""
_COLUMNS: Final = """
SELECT format('ALTER COLUMN %I SET STATISTICS %s', attname, attstattarget) FROM pg_attribute
WHERE attrelid = to_regclass(:table) AND attnum > 0 AND NOT attisdropped AND attstattarget >= 0
UNION ALL
SELECT format('ALTER COLUMN %I SET (%s)', attname, array_to_string(attoptions, ', ')) FROM pg_attribute
WHERE attrelid = to_regclass(:table) AND attnum > 0 AND NOT attisdropped AND attoptions IS NOT NULL
"""
_COMMENTS: Final = """
SELECT format('TABLE %s', c.oid::regclass), obj_description(c.oid, 'pg_class')
FROM pg_class c WHERE c.oid = to_regclass(:table)
UNION ALL
SELECT format('INDEX %s', i.indexrelid::regclass), obj_description(i.indexrelid, 'pg_class')
FROM pg_index i WHERE i.indrelid = to_regclass(:table)
    AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = i.indexrelid AND k.conrelid = i.indrelid)
UNION ALL
SELECT format('CONSTRAINT %I ON %s', k.conname, k.conrelid::regclass), obj_description(k.oid, 'pg_constraint')
FROM pg_constraint k WHERE k.conrelid = to_regclass(:table) AND k.contype IN ('c', 'f', 'u')
UNION ALL
SELECT format('TRIGGER %I ON %s', t.tgname, t.tgrelid::regclass), obj_description(t.oid, 'pg_trigger')
FROM pg_trigger t WHERE t.tgrelid = to_regclass(:table) AND NOT t.tgisinternal
UNION ALL
SELECT format('POLICY %I ON %s', p.polname, p.polrelid::regclass), obj_description(p.oid, 'pg_policy')
FROM pg_policy p WHERE p.polrelid = to_regclass(:table)
"""
_OPTIONS: Final = """
SELECT array_to_string(c.reloptions || (
    SELECT array_agg('toast.' || option) FROM pg_class t, unnest(t.reloptions) AS option WHERE t.oid = c.reltoastrelid
), ', '), (SELECT CAST(spcname AS text) FROM pg_tablespace WHERE oid = c.reltablespace)
FROM pg_class c WHERE c.relkind = 'r' AND c.oid = to_regclass(:table) OR c.oid IN (
    SELECT inhrelid FROM pg_inherits WHERE inhparent = to_regclass(:table))
ORDER BY c.oid DESC LIMIT 1
"""
_RIGHTS: Final = """
SELECT a.privilege_type, CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END,
    a.is_grantable, acls.column_name
FROM (
    SELECT relacl AS acl, relowner, NULL AS column_name FROM pg_class WHERE oid = to_regclass(:table)
    UNION ALL
    SELECT attacl, relowner, quote_ident(attname) FROM pg_attribute JOIN pg_class c ON c.oid = attrelid
    WHERE attrelid = to_regclass(:table) AND NOT attisdropped
) AS acls CROSS JOIN aclexplode(acls.acl) AS a WHERE a.grantee <> acls.relowner ORDER BY 4 NULLS FIRST, 2, 1
"""
_POLICIES: Final = """
SELECT quote_ident(p.polname), CASE WHEN p.polpermissive THEN 'PERMISSIVE' ELSE 'RESTRICTIVE' END,
    CASE p.polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE' WHEN 'd' THEN 'DELETE'
        ELSE 'ALL' END,
    (SELECT string_agg(CASE WHEN role = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(role)) END, ', ')
     FROM unnest(p.polroles) AS role),
    pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid)
FROM pg_policy p WHERE p.polrelid = to_regclass(:table) ORDER BY p.polname
"""
_TRIGGERS: Final = """
SELECT t.tgname::text, pg_get_triggerdef(t.oid), t.tgenabled::text
FROM pg_trigger t WHERE t.tgrelid = to_regclass(:table) AND NOT t.tgisinternal ORDER BY t.tgname
"""
_VIEWS: Final = """
SELECT DISTINCT format('%I.%I', n.nspname, v.relname), array_to_string(v.reloptions, ', '), pg_get_viewdef(v.oid)
FROM pg_depend d JOIN pg_rewrite r ON d.classid = 'pg_rewrite'::regclass AND r.oid = d.objid
JOIN pg_class v ON v.oid = r.ev_class AND v.relkind = 'v' JOIN pg_namespace n ON n.oid = v.relnamespace
WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = to_regclass(:table) AND r.rulename = '_RETURN' ORDER BY 1
"""
_INDEXES: Final = """
SELECT c.relname::text, pg_get_indexdef(i.indexrelid), k.conname IS NOT NULL
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
LEFT JOIN pg_constraint k ON k.conindid = i.indexrelid AND k.conrelid = i.indrelid AND k.contype IN ('p', 'u')
WHERE i.indrelid = to_regclass(:table) ORDER BY 1
"""
_CONSTRAINTS: Final = """
SELECT conname::text, contype::text, pg_get_constraintdef(oid) FROM pg_constraint
WHERE conrelid = to_regclass(:table) AND contype IN ('c', 'f') AND conparentid = 0 ORDER BY contype, conname
"""
POSITION_KEY: Final = "es_events_position_key"
_ENABLED: Final = {"D": "DISABLE", "R": "ENABLE REPLICA", "A": "ENABLE ALWAYS"}


def _escaped(query: str) -> str:
    """Escape casts, which SQLAlchemy would take for parameters."""
    return query.replace("::", r"\:\:")


@dataclass(frozen=True, slots=True)
class Carried:
    """What every part has from the log.

    Attributes:
        owner: The owner.
        options: The storage parameters of the newest part; empty if there are none.
        tablespace: The tablespace of the newest part; empty for that of the database.
        has_row_security: Whether row level security is enabled.
        replica_identity: Its replica identity: FULL, NOTHING or the name of an index; None if it is the primary key.
        columns: Changes of columns that the server does not copy, such as ALTER COLUMN data SET STATISTICS 0.
    """

    owner: str
    options: str
    tablespace: str
    has_row_security: bool
    replica_identity: str | None
    columns: tuple[str, ...]

    @classmethod
    def of(cls, log: Log, table: str = "es_events") -> "Carried":
        """Read it from the catalog."""
        name = log.named(table)
        ((owner, has_row_security, _, replica_identity),) = log.rows(_escaped(_TABLE), table=name)
        ((options, tablespace),) = log.rows(_OPTIONS, table=name)
        columns = tuple(change for (change,) in log.rows(_COLUMNS, table=name))
        return cls(owner, options or "", tablespace or "", has_row_security, replica_identity, columns)

    def set_columns(self, log: Log, table: str) -> None:
        """Set what a new table does not have from the one that it is like."""
        if self.columns:
            log.execute(f"ALTER TABLE {log.named(table)} {', '.join(self.columns)}")

    def set_replica_identity(self, log: Log, table: str, *, suffix: str = "") -> None:
        """Let logical replication identify the rows of a table as it does those of the log.

        Args:
            log: The log.
            table: The name of a table whose keys exist.
            suffix: What the names of its keys end in.
        """
        if self.replica_identity == POSITION_KEY:
            index = quoted(f"{POSITION_KEY}{suffix}")
            log.execute(f"ALTER TABLE {log.named(table)} REPLICA IDENTITY USING INDEX {index}")
        elif self.replica_identity in {"FULL", "NOTHING"}:
            log.execute(f"ALTER TABLE {log.named(table)} REPLICA IDENTITY {self.replica_identity}")

    def leave_reading_only(self, log: Log, part: str) -> None:
        """Let other roles than the owner read a part, if they may read the log, and no more.

        An append to a part itself would lock the log after its position was drawn, so that readers miss it. Who may
        read needs no right on the part but for tools that name it, such as pg_dump.
        """
        table = log.named(part)
        for _, grantee, _, column in log.rows(_escaped(_RIGHTS), table=table):
            which = "ALL" if column is None else f"ALL ({column})"
            log.execute(f"REVOKE {which} ON {table} FROM {grantee}")
        for right, grantee, _, column in log.rows(_escaped(_RIGHTS), table=log.named("es_events")):
            if right == "SELECT" and column is None:
                log.execute(f"GRANT SELECT ON {table} TO {grantee}")


@dataclass(frozen=True, slots=True)
class Index:
    """An index of the log.

    Attributes:
        name: Its name.
        definition: The statement that creates it.
        is_key: Whether it belongs to a key.
    """

    name: str
    definition: str
    is_key: bool


@dataclass(frozen=True, slots=True)
class Belongings:
    """What belongs to es_events when it is partitioned, as statements that recreate it for the new table.

    They are in the order in which they are executed.

    Attributes:
        before: Statements for the new table before the old one is attached.
        after: Statements for afterwards: views, triggers, rights.
        indexes: The indexes of the old table.
        triggers: The names of its triggers.
    """

    before: tuple[str, ...]
    after: tuple[str, ...]
    indexes: tuple[Index, ...]
    triggers: tuple[str, ...]

    @classmethod
    def of(cls, log: Log, *, without_check: str) -> "Belongings":
        """Read them from the catalog. The search path must have no schema but pg_catalog, so that names are qualified.

        Args:
            log: The log, in a transaction that has locked es_events.
            without_check: The name of a check that the new table does not get.
        """
        table, sequence = log.named("es_events"), log.named("es_events_position_seq")
        ((owner, has_security, is_forced, _),) = log.rows(_escaped(_TABLE), table=table)
        constraints = [
            f"ALTER TABLE {table} ADD CONSTRAINT {quoted(name)} {definition}"
            for name, _, definition in log.rows(_CONSTRAINTS, table=table)
            if name != without_check
        ]
        indexes = tuple(Index(*row) for row in log.rows(_INDEXES, table=table))
        before = [
            *constraints,
            f"ALTER TABLE {table} ADD CONSTRAINT {POSITION_KEY} UNIQUE (position)",
            *(index.definition for index in indexes if not index.is_key),
        ]
        triggers = log.rows(_TRIGGERS, table=table)
        after = []
        for name, definition, enabled in triggers:
            after.append(definition)
            if enabled in _ENABLED:
                after.append(f"ALTER TABLE {table} {_ENABLED[enabled]} TRIGGER {quoted(name)}")
        for name, kind, command, roles, using, check in log.rows(_POLICIES, table=table):
            condition = "" if using is None else f" USING ({using})"
            condition += "" if check is None else f" WITH CHECK ({check})"
            after.append(f"CREATE POLICY {name} ON {table} AS {kind} FOR {command} TO {roles}{condition}")
        after += [f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY"] if has_security else []
        after += [f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY"] if is_forced else []
        for name, options, definition in log.rows(_VIEWS, table=table):
            having = f" WITH ({options})" if options else ""
            after.append(f"CREATE OR REPLACE VIEW {name}{having} AS {definition}")
        after += [
            f"COMMENT ON {what} IS {literal(comment)}"
            for what, comment in log.rows(_escaped(_COMMENTS), table=table)
            if comment is not None
        ]
        after += [*_grants(log, table, "TABLE"), *_grants(log, sequence, "SEQUENCE")]
        # each read of a partitioned log looks at the list of detached parts
        after += [
            f"GRANT SELECT ON {log.named('es_detached_parts')} TO {grantee}"
            for right, grantee, _, _ in log.rows(_escaped(_RIGHTS), table=table)
            if right == "SELECT"
        ]
        after.append(f"ALTER TABLE {table} OWNER TO {quoted(owner)}")
        return cls(tuple(before), tuple(after), indexes, tuple(name for name, *_ in triggers))


def _grants(log: Log, name: str, kind: str) -> list[str]:
    grants = []
    for right, grantee, is_grantable, column in log.rows(_escaped(_RIGHTS), table=name):
        what = right if column is None else f"{right} ({column})"
        option = " WITH GRANT OPTION" if is_grantable else ""
        grants.append(f"GRANT {what} ON {kind} {name} TO {grantee}{option}")
    return grants


def revoke_default_rights(log: Log, name: str, kind: str) -> None:
    """Revoke what ALTER DEFAULT PRIVILEGES has granted on a new table or sequence."""
    for _, grantee, _, _ in log.rows(_escaped(_RIGHTS), table=log.named(name)):
        log.execute(f"REVOKE ALL ON {kind} {log.named(name)} FROM {grantee}")
