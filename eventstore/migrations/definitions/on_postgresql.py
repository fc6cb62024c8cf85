"""The definitions of our tables in PostgreSQL's catalog: the same texts on all versions and for all search paths."""

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from sqlalchemy import Connection, text

from eventstore.migrations.definitions import DISABLED, INVALID, TABLES, USUAL, Definitions, Key

_SURROUNDINGS: Final = text("""
SELECT set_config('quote_all_identifiers', 'off', true), set_config('standard_conforming_strings', 'on', true)
""")
_NAMESPACE: Final = text("""
SELECT n.oid, n.nspname::text, quote_ident(n.nspname) FROM pg_namespace n
WHERE n.nspname = coalesce(
    CAST(:schema AS name),
    (SELECT s.nspname FROM pg_class c JOIN pg_namespace s ON s.oid = c.relnamespace
     WHERE c.oid = to_regclass('es_schema')),
    current_schema())
""")
_ELSEWHERE: Final = text("""
SELECT c.relname::text, quote_ident(n.nspname) FROM unnest(CAST(:tables AS text[])) AS name
JOIN pg_class c ON c.oid = to_regclass(name) JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.oid <> :namespace
""")
_OURS: Final = "t.relnamespace = :namespace AND t.relname = ANY (CAST(:tables AS text[]))"
_IS_LOG: Final = "(t.relkind = 'p' AND t.relname = 'es_events' AND pg_get_partkeydef(t.oid) = 'RANGE (\"position\")')"
"""Whether a table is the log, partitioned by position. It is described as if it were one table; see `_PARTS`."""

_TABLES: Final = text(f"""
SELECT t.relname::text, kind, '', definition FROM pg_class t CROSS JOIN LATERAL (VALUES
    ('table', CASE WHEN t.relkind = 'r' OR {_IS_LOG} THEN 'TABLE' WHEN t.relkind = 'p' THEN 'PARTITIONED TABLE'
              WHEN t.relkind = 'f' THEN 'FOREIGN TABLE' ELSE 'VIEW' END),
    ('persistence', CASE t.relpersistence WHEN 'u' THEN 'UNLOGGED' ELSE 'LOGGED' END),
    ('fillfactor', coalesce(
        (SELECT option_value FROM pg_options_to_table(t.reloptions) WHERE option_name = 'fillfactor'), '100')),
    ('row level security', CASE WHEN t.relrowsecurity THEN 'ENABLED' ELSE 'DISABLED' END
        || CASE WHEN t.relforcerowsecurity THEN ', FORCED' ELSE '' END),
    ('replica identity', CASE t.relreplident WHEN 'n' THEN 'NOTHING' ELSE 'SET' END),
    ('owner', CASE WHEN t.relowner = (SELECT mode() WITHIN GROUP (ORDER BY t.relowner) FROM pg_class t WHERE {_OURS})
        THEN 'THAT OF THE OTHER TABLES' ELSE pg_get_userbyid(t.relowner)::text END),
    ('rights of the owner', coalesce((SELECT 'WITHOUT ' || string_agg(privilege, ', ' ORDER BY privilege)
        FROM unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER']) AS privilege
        WHERE NOT has_table_privilege(t.relowner, t.oid, privilege)), 'ALL')),
    ('rights in the schema', CASE WHEN has_schema_privilege(t.relowner, t.relnamespace, 'USAGE') THEN 'USAGE'
        ELSE 'NONE' END),
    ('inheritance', coalesce((SELECT string_agg(related, ', ' ORDER BY related) FROM (
        SELECT 'PARENT OF ' || inhrelid::regclass::text FROM pg_inherits WHERE inhparent = t.oid AND NOT {_IS_LOG}
        UNION ALL SELECT 'CHILD OF ' || inhparent::regclass::text FROM pg_inherits WHERE inhrelid = t.oid)
        AS relatives (related)), 'NONE'))
) AS facts (kind, definition) WHERE {_OURS} AND t.relkind IN ('r', 'p', 'f', 'v', 'm')
""")
_COLUMNS: Final = text(f"""
SELECT t.relname::text, kind, a.attname::text, definition
FROM pg_class t JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped
JOIN pg_type y ON y.oid = a.atttypid
LEFT JOIN pg_collation l ON l.oid = a.attcollation AND l.oid <> y.typcollation
LEFT JOIN pg_attrdef d ON d.adrelid = t.oid AND d.adnum = a.attnum
LEFT JOIN pg_constraint n ON n.conrelid = t.oid AND n.contype = 'n' AND n.conkey = ARRAY[a.attnum]
CROSS JOIN LATERAL (VALUES
    (1, 'column', format_type(a.atttypid, a.atttypmod) || coalesce(' COLLATE ' || l.oid::regcollation::text, '')),
    (2, 'not null', CASE WHEN a.attnotnull AND n.convalidated IS NOT FALSE THEN 'NOT NULL'
                      WHEN a.attnotnull THEN 'NOT NULL NOT VALID' ELSE 'NULL' END),
    (3, 'default', CASE WHEN a.attgenerated = '' THEN pg_get_expr(d.adbin, d.adrelid) END),
    (4, 'generated', CASE a.attgenerated WHEN 's' THEN pg_get_expr(d.adbin, d.adrelid) || ' STORED'
                       WHEN 'v' THEN pg_get_expr(d.adbin, d.adrelid) || ' VIRTUAL' END),
    (5, 'identity', CASE a.attidentity WHEN 'a' THEN 'ALWAYS' WHEN 'd' THEN 'BY DEFAULT' END)
) AS facts (place, kind, definition) WHERE {_OURS} AND definition IS NOT NULL ORDER BY t.relname, a.attnum, place
""")
_SEQUENCES: Final = text(f"""
SELECT t.relname::text, kind, a.attname::text, definition
FROM pg_class t JOIN pg_attribute a ON a.attrelid = t.oid AND a.attidentity <> ''
JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = t.oid AND d.refobjsubid = a.attnum
    AND d.classid = 'pg_class'::regclass AND d.deptype = 'i'
JOIN pg_sequence s ON s.seqrelid = d.objid JOIN pg_class c ON c.oid = s.seqrelid
CROSS JOIN LATERAL (VALUES
    ('sequence', c.relname::text),
    ('numbering', format('AS %s INCREMENT BY %s MINVALUE %s MAXVALUE %s START WITH %s CACHE %s %sCYCLE',
        s.seqtypid::regtype, s.seqincrement, s.seqmin, s.seqmax, s.seqstart, s.seqcache,
        CASE WHEN s.seqcycle THEN '' ELSE 'NO ' END)),
    ('persistence of the sequence', CASE c.relpersistence WHEN 'u' THEN 'UNLOGGED' ELSE 'LOGGED' END),
    ('rights in the sequence', coalesce((SELECT 'WITHOUT ' || string_agg(privilege, ', ' ORDER BY privilege)
        FROM unnest(ARRAY['SELECT', 'UPDATE', 'USAGE']) AS privilege
        WHERE NOT has_sequence_privilege(c.relowner, c.oid, privilege)), 'ALL'))
) AS facts (kind, definition) WHERE {_OURS}
""")
_OWNED_SEQUENCES: Final = text(f"""
SELECT t.relname::text, 'owned sequence', c.relname::text, format('OWNED BY %I', a.attname)
FROM pg_class t JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = t.oid AND d.refobjsubid > 0
    AND d.classid = 'pg_class'::regclass AND d.deptype = 'a'
JOIN pg_class c ON c.oid = d.objid AND c.relkind = 'S'
JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = d.refobjsubid
WHERE {_OURS} ORDER BY 1, 3
""")
_CONSTRAINTS: Final = text(f"""
SELECT t.relname::text, CASE c.contype WHEN 'f' THEN 'foreign key' WHEN 'c' THEN 'check' ELSE 'constraint' END,
    c.conname::text, pg_get_constraintdef(c.oid) || CASE WHEN EXISTS (
        SELECT FROM pg_trigger g WHERE g.tgconstraint = c.oid AND g.tgenabled NOT IN ('O', 'A'))
        THEN '{DISABLED}' ELSE '' END
FROM pg_class t JOIN pg_constraint c ON c.conrelid = t.oid AND c.contype IN ('f', 'c', 'x') WHERE {_OURS}
ORDER BY 1, 2, 3
""")
_INDEXES: Final = text(f"""
SELECT t.relname::text, CASE WHEN k.oid IS NULL THEN 'index' ELSE 'key' END, c.relname::text,
    CASE WHEN k.contype = 'p' THEN 'PRIMARY KEY ' WHEN i.indisunique THEN 'UNIQUE ' ELSE '' END
    || 'USING ' || substr(d.definition, strpos(d.definition, head) + length(head)),
    CASE WHEN k.condeferrable THEN ' DEFERRABLE' ELSE '' END
    || CASE WHEN k.condeferred THEN ' INITIALLY DEFERRED' ELSE '' END
    || CASE WHEN i.indisvalid OR EXISTS (SELECT FROM pg_stat_progress_create_index p
        WHERE p.relid = i.indrelid AND p.datname = current_database()) THEN '' ELSE '{INVALID}' END
FROM pg_class t JOIN pg_index i ON i.indrelid = t.oid JOIN pg_class c ON c.oid = i.indexrelid
LEFT JOIN pg_constraint k ON k.conindid = c.oid AND k.conrelid = t.oid AND k.contype IN ('p', 'u', 'x')
CROSS JOIN LATERAL (SELECT pg_get_indexdef(c.oid), format('%I.%I USING ', CAST(:schema AS text), t.relname))
    AS d (definition, head)
WHERE {_OURS} AND k.contype IS DISTINCT FROM 'x'
UNION ALL SELECT t.relname::text, 'key', 'es_events_pkey', 'PRIMARY KEY USING btree (stream_id, version)', ''
FROM pg_class t WHERE {_OURS} AND {_IS_LOG} ORDER BY 1, 2 DESC, 3
""")
_TRIGGERS: Final = text(f"""
SELECT t.relname::text, 'trigger', g.tgname::text, substr(d.definition, strpos(d.definition, head) + length(head))
    || CASE WHEN g.tgenabled IN ('O', 'A') THEN '' ELSE '{DISABLED}' END
FROM pg_class t JOIN pg_trigger g ON g.tgrelid = t.oid AND NOT g.tgisinternal
CROSS JOIN LATERAL (SELECT pg_get_triggerdef(g.oid), 'TRIGGER ' || quote_ident(g.tgname) || ' ') AS d (definition, head)
WHERE {_OURS} ORDER BY 1, 3
""")
_FUNCTIONS: Final = text(r"""
SELECT 'es_events', 'function', p.proname::text, CASE WHEN l.lanname = 'plpgsql' THEN '' ELSE l.lanname || ': ' END
    || trim(regexp_replace(p.prosrc, '\s+', ' ', 'g'))
FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
WHERE p.pronamespace = :namespace AND p.proname = 'es_refuse_history_change' AND p.pronargs = 0
    AND 'es_events' = ANY (CAST(:tables AS text[]))
""")
_RULES: Final = text(rf"""
SELECT t.relname::text, 'rule', r.rulename::text, rtrim(regexp_replace(pg_get_ruledef(r.oid), '\s+', ' ', 'g'), ';')
FROM pg_class t JOIN pg_rewrite r ON r.ev_class = t.oid AND r.rulename <> '_RETURN' AND r.ev_enabled <> 'D'
WHERE {_OURS} ORDER BY 1, 3
""")
_PARTS: Final = text(f"""
SELECT p.relname::text, p.relpersistence = 'p', p.relowner = t.relowner, pg_get_userbyid(t.relowner)::text,
    EXISTS (SELECT FROM pg_index i WHERE i.indrelid = p.oid AND i.indisprimary AND i.indisvalid
        AND pg_get_indexdef(i.indexrelid) LIKE '%(stream_id, version)'),
    EXISTS (SELECT FROM pg_trigger g WHERE g.tgrelid = p.oid AND g.tgname = 'es_events_immutable'
        AND g.tgenabled IN ('O', 'A')),
    p.relrowsecurity OR NOT t.relrowsecurity,
    ARRAY(SELECT DISTINCT CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END
        FROM (SELECT p.relacl AS acl UNION ALL SELECT attacl FROM pg_attribute WHERE attrelid = p.oid) AS acls
        CROSS JOIN aclexplode(acls.acl) AS a WHERE a.grantee <> p.relowner
        AND a.privilege_type IN ('INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'TRIGGER') ORDER BY 1)
FROM pg_class t JOIN pg_inherits h ON h.inhparent = t.oid JOIN pg_class p ON p.oid = h.inhrelid
WHERE t.relnamespace = :namespace AND {_IS_LOG} ORDER BY p.oid
""")


_FIRST_POSITION: Final = text(rf"""
SELECT min(CAST(coalesce((regexp_match(pg_get_expr(p.relpartbound, p.oid), 'FROM .''?(\d+)'))[1], '1') AS bigint))
FROM pg_class t JOIN pg_inherits h ON h.inhparent = t.oid JOIN pg_class p ON p.oid = h.inhrelid
WHERE t.relnamespace = :namespace AND {_IS_LOG}
""")


class PartFacts(NamedTuple):
    """What the catalog says of one part of the log.

    Attributes:
        name: The name of the table.
        is_logged: Whether a crash leaves its rows.
        has_owner: Whether it has the owner of the log.
        owner: The owner of the log.
        has_key: Whether it has a key of streams and versions.
        is_protected: Whether it has the trigger that refuses changes of history.
        has_row_security: Whether it has row level security if the log has it.
        writers: The roles, quoted, that may write to it directly, besides the owner.
    """

    name: str
    is_logged: bool
    has_owner: bool
    owner: str
    has_key: bool
    is_protected: bool
    has_row_security: bool
    writers: Sequence[str]


def read_first_position(connection: Connection, namespace: int) -> int | None:
    """Return the lowest position that a part of the log can have; None if it is not partitioned."""
    first: int | None = connection.execute(_FIRST_POSITION, {"namespace": namespace}).scalar()
    return first


def read_parts(connection: Connection, namespace: int) -> tuple[PartFacts, ...]:
    """Return the parts of the log; none if it is not partitioned."""
    return tuple(PartFacts(*row) for row in connection.execute(_PARTS, {"namespace": namespace}))


_OPTIONS: Final = re.compile(r" WITH \(([^()]*)\)")


def place(connection: Connection, schema: str | None) -> tuple[int, str, str] | None:
    """Return the oid, the name and the quoted name of the schema that es_schema is in; None if there is none."""
    connection.execute(_SURROUNDINGS)
    row = connection.execute(_NAMESPACE, {"schema": schema}).one_or_none()
    return None if row is None else (row[0], row[1], row[2])


def read_elsewhere(connection: Connection, namespace: int) -> dict[str, str]:
    """Return the tables with our names that an unqualified name finds in another schema, with that schema (quoted)."""
    parameters = {"tables": list(TABLES), "namespace": namespace}
    return {row[0]: row[1] for row in connection.execute(_ELSEWHERE, parameters)}


def read(connection: Connection, namespace: int, schema: str, quoted_schema: str) -> Definitions:
    """Return the definitions of our tables. Sets the search path for the rest of the transaction."""
    connection.execute(text("SELECT set_config('search_path', 'pg_catalog', true)"))
    parameters = {"namespace": namespace, "schema": schema, "tables": list(TABLES)}
    rows: list[tuple[str, ...]] = []
    for query in (_TABLES, _COLUMNS, _SEQUENCES, _OWNED_SEQUENCES):
        rows += (tuple(row) for row in connection.execute(query, parameters))
    for table, kind, name, definition, state in connection.execute(_INDEXES, parameters):
        rows.append((table, kind, name, _without_options(definition) + state))
    for query in (_CONSTRAINTS, _TRIGGERS):
        for table, kind, name, definition in connection.execute(query, parameters):
            rows.append((table, kind, name, _without_schema(definition, quoted_schema)))
    for query in (_FUNCTIONS, _RULES):
        rows += (tuple(row) for row in connection.execute(query, parameters))
    rows.sort(key=lambda row: TABLES.index(row[0]))
    found = {
        Key(table, kind, name): definition for table, kind, name, definition in rows if USUAL.get(kind) != definition
    }
    in_literal = "'" + quoted_schema.replace("'", "''")
    for key in [key for key in found if key.kind == "default"]:
        found[key] = found[key].replace(f"{in_literal}.", "'")
    return found


def _without_options(definition: str) -> str:
    """Leave out options that only tune, but keep the one that indexes new pages at once."""
    options = _OPTIONS.search(definition)
    is_on = options is not None and re.search(r"autosummarize='?(on|true|yes|1)\b", options.group(1))
    option = " WITH (autosummarize='on')" if is_on else ""
    return _OPTIONS.sub(option, definition)


def _without_schema(definition: str, quoted_schema: str) -> str:
    for before in ("REFERENCES ", " ON ", "EXECUTE FUNCTION "):
        definition = definition.replace(f"{before}{quoted_schema}.", before)
    return definition
