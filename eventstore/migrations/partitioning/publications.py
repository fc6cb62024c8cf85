"""Publications of es_events (logical replication), while it becomes a partitioned table."""

from typing import Any, Final

from eventstore.errors import PartitioningRefused
from eventstore.migrations.partitioning.log import Log

_PUBLICATIONS: Final = r"""
SELECT quote_ident(p.pubname), p.pubviaroot, r.oid IS NOT NULL, pg_has_role(p.pubowner, 'USAGE'),
    coalesce(to_jsonb(r) ->> 'prqual', to_jsonb(r) ->> 'prattrs') IS NOT NULL
FROM pg_publication p
LEFT JOIN pg_publication_rel r ON r.prpubid = p.oid AND r.prrelid = to_regclass(:table)
WHERE EXISTS (
    SELECT FROM pg_publication_tables t
    WHERE t.pubname = p.pubname AND t.schemaname = :schema AND t.tablename = 'es_events')
ORDER BY 1
"""
"""The columns: name, whether the subscriber gets the log and not its parts, whether it names the log, whether it may be
changed, and whether it has only some rows or columns."""


def _publications(log: Log) -> list[Any]:
    return log.rows(_PUBLICATIONS, table=log.named("es_events"), schema=log.schema)


def refuse_publications(log: Log) -> None:
    """Refuse to partition a log if a subscriber would then miss events.

    Raises:
        PartitioningRefused: A publication would send the events under the names of the parts, has only some rows or
            columns of the log, or names it and belongs to another role.
    """
    for name, is_via_root, is_named, is_ours, is_restricted in _publications(log):
        if not is_via_root:
            raise PartitioningRefused(
                f"the publication {name} would send the events under the names of the parts, so that subscribers miss "
                "them",
                f"ALTER PUBLICATION {name} SET (publish_via_partition_root = true), which changes nothing until then",
            )
        if is_named and is_restricted:
            raise PartitioningRefused(
                f"the publication {name} has only some rows or columns of es_events", "let it have all of them"
            )
        if is_named and not is_ours:
            raise PartitioningRefused(
                f"the publication {name} names es_events, and belongs to another role",
                "run it as a member of that role",
            )


def is_published(log: Log) -> bool:
    """Return whether a publication has the log."""
    return bool(_publications(log))


def carried_publications(log: Log) -> list[str]:
    """Return the statements by which publications that name the log name the partitioned one, and not its first part.

    Changes before and after the transaction that executes them are sent under the same name, so subscribers get all of
    them, and need no refresh.
    """
    events, first = log.named("es_events"), log.named("es_events_1")
    return [
        f"ALTER PUBLICATION {name} {change}"
        for name, _, is_named, _, _ in _publications(log)
        if is_named
        for change in (f"DROP TABLE {first}", f"ADD TABLE {events}")
    ]
