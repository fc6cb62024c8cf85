"""What stands in the way of partitioning es_events: objects that would stay with the first part, or could not."""

from typing import Final

from eventstore.errors import PartitioningRefused
from eventstore.findings import Level
from eventstore.migrations.partitioning.log import Log, quoted
from eventstore.migrations.partitioning.publications import refuse_publications
from eventstore.migrations.verification import verify

RANGE: Final = "es_events_1_range"
"""The check that lets the server attach the first part without reading it."""

_DEPENDENTS: Final = r"""
SELECT DISTINCT pg_describe_object(d.classid, d.objid, 0)
FROM pg_depend d
LEFT JOIN pg_rewrite r ON d.classid = 'pg_rewrite'\:\:regclass AND r.oid = d.objid
LEFT JOIN pg_class v ON v.oid = r.ev_class
LEFT JOIN pg_class c ON d.classid = 'pg_class'\:\:regclass AND c.oid = d.objid
LEFT JOIN pg_constraint k ON d.classid = 'pg_constraint'\:\:regclass AND k.oid = d.objid
LEFT JOIN pg_trigger g ON d.classid = 'pg_trigger'\:\:regclass AND g.oid = d.objid
LEFT JOIN pg_attrdef f ON d.classid = 'pg_attrdef'\:\:regclass AND f.oid = d.objid
LEFT JOIN pg_policy p ON d.classid = 'pg_policy'\:\:regclass AND p.oid = d.objid
LEFT JOIN pg_type t ON d.classid = 'pg_type'\:\:regclass AND t.oid = d.objid
WHERE (d.refclassid = 'pg_class'\:\:regclass AND d.refobjid = to_regclass(:table)
    OR d.refclassid = 'pg_class'\:\:regclass AND d.refobjid = to_regclass(:sequence)
    OR d.refclassid = 'pg_type'\:\:regclass AND d.refobjid IN (
        SELECT oid FROM pg_type WHERE oid = (SELECT reltype FROM pg_class WHERE oid = to_regclass(:table))
            OR typelem = (SELECT reltype FROM pg_class WHERE oid = to_regclass(:table))))
    AND d.deptype IN ('n', 'a')
    AND NOT (v.relkind IS NOT DISTINCT FROM 'v' AND r.rulename = '_RETURN')
    AND c.relkind IS DISTINCT FROM 'i' AND c.oid IS DISTINCT FROM to_regclass(:table)
    AND NOT coalesce(k.conrelid = to_regclass(:table), false)
    AND g.oid IS NULL
    AND NOT coalesce(f.adrelid IN (to_regclass(:table), to_regclass(:streams)), false)
    AND NOT coalesce(p.polrelid = to_regclass(:table), false)
    AND t.oid IS NULL
    AND d.classid NOT IN ('pg_statistic_ext'\:\:regclass, 'pg_publication_rel'\:\:regclass)
ORDER BY 1
"""
_VIEWS_OF_OTHERS: Final = r"""
SELECT DISTINCT pg_describe_object('pg_class'\:\:regclass, v.oid, 0) || ', which is not yours'
FROM pg_depend d JOIN pg_rewrite r ON d.classid = 'pg_rewrite'\:\:regclass AND r.oid = d.objid
JOIN pg_class v ON v.oid = r.ev_class AND v.relkind = 'v'
WHERE d.refclassid = 'pg_class'\:\:regclass AND d.refobjid = to_regclass(:table)
    AND NOT pg_has_role(v.relowner, 'USAGE') ORDER BY 1
"""
_OTHERS: Final = r"""
SELECT 'unique index ' || quote_ident(c.relname)
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
WHERE i.indrelid = to_regclass(:table) AND i.indisunique
    AND c.relname NOT IN ('es_events_pkey', 'es_events_position_key')
UNION ALL
SELECT DISTINCT pg_describe_object('pg_class'\:\:regclass, v.oid, 0) || ', which is grouped by a key of es_events'
FROM pg_depend d JOIN pg_rewrite r ON d.classid = 'pg_rewrite'\:\:regclass AND r.oid = d.objid
JOIN pg_class v ON v.oid = r.ev_class
JOIN pg_constraint k ON d.refclassid = 'pg_constraint'\:\:regclass AND k.oid = d.refobjid
WHERE k.conrelid = to_regclass(:table)
UNION ALL
SELECT pg_describe_object('pg_trigger'\:\:regclass, t.oid, 0) || ', which reads transition tables for each row'
FROM pg_trigger t WHERE t.tgrelid = to_regclass(:table) AND t.tgtype & 1 = 1
    AND (t.tgnewtable IS NOT NULL OR t.tgoldtable IS NOT NULL)
UNION ALL
SELECT 'identity column ' || quote_ident(attname)
FROM pg_attribute WHERE attrelid = to_regclass(:table) AND attidentity <> '' AND attname <> 'position'
UNION ALL
SELECT 'subscription ' || quote_ident(s.subname)
FROM pg_subscription_rel r JOIN pg_subscription s ON s.oid = r.srsubid WHERE r.srrelid = to_regclass(:table)
ORDER BY 1
"""
"""Other objects: what a partitioned table can't have."""

_OF_THE_APPLICATION: Final = (
    "row level security is ",
    "is a column that is not ours",
    "is a trigger that is not ours",
)
"""Differences that are carried over."""


def refuse_obstacles(log: Log, names: list[str]) -> None:
    """Refuse to partition a log if that would break something.

    Args:
        log: The log, in no transaction.
        names: The names that the parts will have.

    Raises:
        PartitioningRefused: The tables differ from what the migrations create; a table has the name of a part; or
            something depends on es_events that can't be carried over.
    """
    _refuse_differences(log)
    table = log.named("es_events")
    taken = log.rows(
        "SELECT relname FROM pg_class WHERE relnamespace = CAST(CAST(:schema AS text) AS regnamespace) "
        "AND relname = ANY (:names)",
        schema=quoted(log.schema),
        names=names,
    )
    if taken:
        name = log.named(taken[0][0])
        raise PartitioningRefused(f"there is a relation {name} already", f"rename it: ALTER TABLE {name} RENAME TO …")
    refuse_publications(log)
    parameters = {
        "table": table, "sequence": log.named("es_events_position_seq"), "streams": log.named("es_streams")
    }  # fmt: skip
    found = [name for (name,) in log.rows(_DEPENDENTS, **parameters)]
    found += [name for query in (_VIEWS_OF_OTHERS, _OTHERS) for (name,) in log.rows(query, table=table)]
    if found:
        raise PartitioningRefused(
            f"objects depend on es_events that can't be carried over: {', '.join(found)}",
            "drop them, and create them again afterwards",
        )


def _refuse_differences(log: Log) -> None:
    tables = {"es_events", "es_streams"}
    differences = [
        finding
        for finding in verify(log.connection.engine, schema=log.settings.schema)
        if finding.table in tables
        and finding.level is Level.ERROR
        and finding.name != RANGE
        and not finding.found.startswith(_OF_THE_APPLICATION)
    ]
    if differences:
        raise PartitioningRefused(f"the tables differ from what the migrations create: {differences[0]}")
