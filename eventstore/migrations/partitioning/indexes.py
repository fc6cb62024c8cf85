"""Indexes of a partitioned log, built part by part: the server builds none of a partitioned table concurrently."""

from hashlib import blake2b
from typing import Final

from sqlalchemy import Connection, Engine

from eventstore.backends.postgresql.partitions import parts_of
from eventstore.migrations.partitioning.log import Log, quoted, reading
from eventstore.migrations.settings import Settings
from eventstore.parts import PartState

_ATTACHED: Final = """
SELECT CAST(t.relname AS text), CAST(c.relname AS text) FROM pg_inherits h JOIN pg_index i ON i.indexrelid = h.inhrelid
JOIN pg_class t ON t.oid = i.indrelid JOIN pg_class c ON c.oid = i.indexrelid WHERE h.inhparent = to_regclass(:index)
"""
"""The parts whose indexes belong to an index of the log, and the names of these."""

_IS_VALID: Final = "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(:index)"


def build_index(
    engine: Engine,
    name: str,
    definition: str,
    *,
    schema: str | None = None,
    lock_timeout_seconds: float = 0.2,
    wait_seconds: float = 600.0,
) -> None:
    """Build an index of a partitioned log without blocking appends, or complete one.

    The index of the log comes first, so that each part that is added meanwhile gets one; it is valid when every part
    has its own. What locks more than a build does is done under the lock timeout, and retried. Repeat it after an
    interruption.

    Args:
        engine: An engine of a PostgreSQL database, whose user owns the tables.
        name: The name of the index.
        definition: What follows the table in CREATE INDEX, such as `(event_id)`. SQL, so never from outside.
        schema: The schema of the tables. Defaults to None: that of the connection's search path.
        lock_timeout_seconds: How long one attempt to lock a table or an index may take.
        wait_seconds: How long to retry.

    Raises:
        TableLocked: The locks were not free in that time.
    """
    settings = Settings(schema, lock_timeout_seconds, wait_seconds)
    with reading(engine, settings) as log, engine.connect() as connection:
        building = connection.execution_options(isolation_level="AUTOCOMMIT")
        create = f"CREATE INDEX IF NOT EXISTS {quoted(name)} ON ONLY {log.named('es_events')} {definition}"
        log.attempt(f"creating the index {name}", ["es_events"], lambda: log.execute(create))
        attached = {part: of_part for part, of_part in log.rows(_ATTACHED, index=log.named(name))}  # noqa: C416  # rows
        for part in parts_of(log.run):
            if part.name not in attached and part.state is not PartState.DETACHING:
                _build_for_part(log, building, name, part.name, definition)
        ((is_valid,),) = log.rows(_IS_VALID, index=log.named(name))
        if attached and not is_valid:  # the last part without it was detached since
            _attach(log, name, *attached.popitem())  # again: the server looks whether all parts have it


def _build_for_part(log: Log, building: Connection, name: str, part: str, definition: str) -> None:
    of_part = f"{name[:40]}_{blake2b(f'{name} {part}'.encode(), digest_size=6).hexdigest()}"
    options = {"no_parameters": True}
    drop = f"DROP INDEX CONCURRENTLY IF EXISTS {log.named(of_part)}"  # an interrupted run has left it
    create = f"CREATE INDEX CONCURRENTLY {quoted(of_part)} ON {log.named(part)} {definition}"
    for statement in (drop, create):
        building.exec_driver_sql(statement, execution_options=options)
    _attach(log, name, part, of_part)


def _attach(log: Log, name: str, part: str, of_part: str) -> None:
    attach = f"ALTER INDEX {log.named(name)} ATTACH PARTITION {log.named(of_part)}"
    log.attempt(f"attaching the index of {part}", [part], lambda: log.execute(attach))
