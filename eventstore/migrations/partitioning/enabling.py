"""Partitioning a log online: the table of all events becomes the first part, and nothing is copied.

Each step looks whether it was done, so that a killed run is completed by the next. The first two let appends go on; the
swap is one short transaction that locks both tables, so that no append is under way, and none has drawn a position.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import Final

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from eventstore.backends.postgresql.partitions import last_drawn, parts_of, positions_per_day
from eventstore.backends.postgresql.rights import is_permission_denied
from eventstore.common.validation import check_number
from eventstore.errors import PartitioningRefused
from eventstore.migrations.partitioning.adding import DAYS, LOCKED, add_to, create_part, protect
from eventstore.migrations.partitioning.carrying import POSITION_KEY, Belongings, Carried, revoke_default_rights
from eventstore.migrations.partitioning.log import Log, changing, check_positive, quoted
from eventstore.migrations.partitioning.obstacles import RANGE, refuse_obstacles
from eventstore.migrations.partitioning.parts import rounded_up
from eventstore.migrations.partitioning.publications import carried_publications, is_published
from eventstore.migrations.settings import OnProgress, Settings
from eventstore.migrations.sql_text import literal
from eventstore.parts import Part
from eventstore.tables.after_position import default_of
from eventstore.tables.immutability import TRIGGER

_SIZE: Final = 10_000_000
_MARGIN: Final = 100_000
_MARGIN_DAYS: Final = 7
_SIZE_DAYS: Final = 30
_MAX_NAME: Final = 63
"""How many bytes a name has at most."""


def enable(
    engine: Engine,
    *,
    size: int | None = None,
    margin: int | None = None,
    days: int = DAYS,
    schema: str | None = None,
    lock_timeout_seconds: float = 0.2,
    wait_seconds: float = 600.0,
    on_progress: OnProgress | None = None,
) -> list[Part]:
    """Partition the log by position: what is there becomes the first part, and parts for the next events are added.

    It runs beside appends and reads. Nothing is copied. One scan of es_events validates a check, without blocking
    anyone. Then one transaction locks es_streams and es_events, for moments; an attempt that does not get the locks
    ends after the lock timeout, lets others pass, and is repeated. It is idempotent: if it was interrupted, run it
    again. A log can't be made one table again.

    Owner, rights, comments, triggers, policies, constraints, indexes and views of es_events are carried over. Rights to
    change the parts directly are revoked. Run `add` every day from then on. A new part, with its indexes, is in the
    tablespace of the newest one.

    Args:
        engine: An engine of a PostgreSQL database, whose user owns the tables.
        size: How many positions each further part has. Defaults to None: those of 30 days at the rate of the last
            seven, and at least ten million.
        margin: How many positions the first part takes after those drawn so far, at least as many as are appended until
            this is done. Defaults to None: those of seven days at that rate, and at least 100,000. If it is interrupted
            and not repeated, appends fail when they are used up.
        days: As for `add`, which is called at the end.
        schema: The schema of the tables. Defaults to None: that of the connection's search path.
        lock_timeout_seconds: How long one attempt to lock the tables may take, at least 0.001. Appends and reads that
            come meanwhile wait as long.
        wait_seconds: How long to retry, and how long to wait for a migration.
        on_progress: Called with a `Progress`, from any thread.

    Returns:
        All parts.

    Raises:
        PartitioningRefused: The database is SQLite; Citus has distributed es_events; it is partitioned in another way;
            a table has the name of a part; or objects depend on es_events that can't be carried over.
        InvalidInput: An argument is not valid.
        TableLocked: The locks were not free in that time.
        MigrationInProgress: A migration was not done in that time.
        PermissionDenied: The database user does not own the tables.
        SchemaOutdated: The tables are older than es_0011.
    """
    check_positive("size", size)
    check_positive("margin", margin)
    check_number("days", days, minimum=0)
    with changing(engine, Settings(schema, lock_timeout_seconds, wait_seconds, on_progress)) as log:
        if not parts_of(log.run):
            per_day = positions_per_day(log.run)
            size = size or max(_SIZE, rounded_up(per_day * _SIZE_DAYS))
            margin = margin or max(_MARGIN, rounded_up(per_day * _MARGIN_DAYS))
            refuse_obstacles(log, ["es_events_1", "es_events_2"])
            bound = _bound(log, margin)
            with _dropping_the_check_if_refused(log):
                _swap(log, bound, size)
        _count(log)
        add_to(log, days=days, size=None)
        return parts_of(log.run)


def _bound(log: Log, margin: int) -> int:
    """Add and validate the check on the positions of the first part; return the first position after it."""
    table = log.named("es_events")
    last, bound = last_drawn(log.run) or 0, _bound_of_check(log)
    if bound is not None and bound - last < margin // 2:  # from a run that was interrupted long ago
        _drop_check(log, "dropping the check of an interrupted run")
        bound = None
    if bound is None:
        bound = last + margin + 1
        add = f"ALTER TABLE {table} ADD CONSTRAINT {RANGE} CHECK (position < {bound}) NOT VALID"
        log.attempt("adding the check of the first part", ["es_events"], lambda: log.execute(add))
    with log.transaction():
        log.report("validating the check of the first part")
        log.execute(f"ALTER TABLE {table} VALIDATE CONSTRAINT {RANGE}")
    return bound


def _bound_of_check(log: Log) -> int | None:
    for (definition,) in log.rows(
        "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = to_regclass(:table) AND conname = :name",
        table=log.named("es_events"),
        name=RANGE,
    ):
        return int(re.findall(r"\d+", definition)[0])
    return None


def _drop_check(log: Log, step: str) -> None:
    drop = f"ALTER TABLE {log.named('es_events')} DROP CONSTRAINT IF EXISTS {RANGE}"
    log.attempt(step, ["es_events"], lambda: log.execute(drop))


@contextmanager
def _dropping_the_check_if_refused(log: Log) -> Iterator[None]:
    """Drop the check of the first part if the swap can't be done, or appends would fail when the margin is used up."""
    try:
        yield
    except PartitioningRefused:
        _drop_check(log, "dropping the check of the first part")
        raise
    except DBAPIError as error:
        if error.connection_invalidated:  # the next run decides
            raise
        _drop_check(log, "dropping the check of the first part")
        if is_permission_denied(error):
            raise
        what = str(error.orig).partition("\n")[0]
        raise PartitioningRefused(f"the server refuses a change of es_events: {what}") from error


def _swap(log: Log, bound: int, size: int) -> None:
    log.attempt("making es_events the first part", LOCKED, lambda: _make_first_part(log, bound, size))


def _make_first_part(log: Log, bound: int, size: int) -> None:
    """Put a partitioned table in the place of es_events, and attach that, in the transaction that is open."""
    events, streams, first = log.named("es_events"), log.named("es_streams"), log.named("es_events_1")
    sequence = log.named("es_events_position_seq")
    log.execute(f"LOCK TABLE {streams}, {events} IN ACCESS EXCLUSIVE MODE")
    log.execute("SET LOCAL search_path = pg_catalog")  # so that the catalog qualifies names
    ((last, is_called),) = log.rows(f"SELECT last_value, is_called FROM {sequence}".replace(":", r"\:"))
    if last >= bound:
        raise PartitioningRefused("more was appended than the margin", "run it again with a larger margin")
    log.report("both tables are locked")
    publications = carried_publications(log)
    if is_published(log):  # a partitioned log has no primary key, by which subscribers find deleted rows
        log.execute(f"ALTER TABLE {events} REPLICA IDENTITY USING INDEX {POSITION_KEY}")
    carried, belongings = Carried.of(log), Belongings.of(log, without_check=RANGE)
    set_default = f"ALTER TABLE {streams} ALTER COLUMN after_position SET DEFAULT "
    log.execute(f"{set_default}0")
    for trigger in belongings.triggers:
        if trigger != TRIGGER:
            log.execute(f"DROP TRIGGER {quoted(trigger)} ON {events}")
    _rename_indexes(log, [index.name for index in belongings.indexes])
    log.execute(f"ALTER TABLE {events} ALTER COLUMN position DROP IDENTITY")
    log.execute(f"ALTER TABLE {events} RENAME TO {quoted('es_events_1')}")
    log.execute(
        f"CREATE TABLE {events} (LIKE {first} INCLUDING ALL EXCLUDING CONSTRAINTS EXCLUDING INDEXES) "
        "PARTITION BY RANGE (position)"
    )
    log.execute(f"ALTER TABLE {events} ALTER COLUMN position ADD GENERATED ALWAYS AS IDENTITY (CACHE 1)")
    log.execute(f"SELECT setval({literal(sequence)}, {last}, {str(is_called).lower()})")
    revoke_default_rights(log, "es_events", "TABLE")
    revoke_default_rights(log, "es_events_position_seq", "SEQUENCE")
    for statement in belongings.before:
        log.execute(statement)
    carried.set_columns(log, "es_events")
    carried.set_replica_identity(log, "es_events")
    log.execute(f"ALTER TABLE {events} ATTACH PARTITION {first} FOR VALUES FROM (MINVALUE) TO ({bound})")
    log.execute(f"ALTER TABLE {first} DROP CONSTRAINT {RANGE}")
    for statement in [*belongings.after, *publications]:
        log.execute(statement)
    log.execute(set_default + default_of(sequence))
    protect(log, "es_events_1")
    carried.leave_reading_only(log, "es_events_1")
    create_part(log, Part("es_events_2", bound, bound + size - 1, None, 0), carried)


def _rename_indexes(log: Log, names: list[str]) -> None:
    """Let the indexes of the first part have other names, so that those of the log can have theirs."""
    query = "SELECT relname\\:\\:text FROM pg_class WHERE relnamespace = CAST(CAST(:schema AS text) AS regnamespace)"
    taken = {name for (name,) in log.rows(query, schema=quoted(log.schema))}
    for name in names:
        for number in count(1):
            suffix = f"_{number}"
            new = name.encode()[: _MAX_NAME - len(suffix)].decode(errors="ignore") + suffix
            if new not in taken:
                break
        taken.add(new)
        log.execute(f"ALTER INDEX {log.named(name)} RENAME TO {quoted(new)}")


def _is_not_counted(log: Log) -> bool:
    ((is_counted,),) = log.rows(
        "SELECT reltuples >= 0 FROM pg_class WHERE oid = to_regclass(:table)", table=log.named("es_events")
    )
    return not is_counted


def _count(log: Log) -> None:
    """Give the planner statistics of the whole log, which autovacuum does not."""
    if _is_not_counted(log):
        with log.transaction():
            log.report("counting the events")
            log.execute(f"ANALYZE {log.named('es_events')}")
