"""Adding parts for the events to come."""

from dataclasses import dataclass
from typing import Final

from sqlalchemy import Engine

from eventstore.backends.postgresql.partitions import parts_of, runway_of
from eventstore.common.validation import check_number
from eventstore.errors import PartitioningRefused, PermissionDenied
from eventstore.migrations.partitioning.carrying import POSITION_KEY, Carried
from eventstore.migrations.partitioning.log import Log, changing, check_positive, quoted
from eventstore.migrations.partitioning.parts import rounded_up
from eventstore.migrations.settings import OnProgress, Settings
from eventstore.migrations.sql_text import literal
from eventstore.parts import Part, Runway
from eventstore.tables.immutability import FUNCTION, SETTING, TRIGGER

DAYS: Final = 90
"""For how many days there are parts after `add`."""

_AT_ONCE: Final = 10
"""Into how many parts these days are divided at most, unless a size is given."""

LOCKED: Final = ["es_streams", "es_events"]
"""The tables that are locked to add a part, in the order in which appends lock them."""


@dataclass(frozen=True, slots=True)
class Added:
    """What `add` has done.

    Attributes:
        parts: The new parts.
        runway: How long all parts will last.
    """

    parts: list[Part]
    runway: Runway


def add(
    engine: Engine,
    *,
    days: int = DAYS,
    size: int | None = None,
    schema: str | None = None,
    lock_timeout_seconds: float = 0.2,
    wait_seconds: float = 600.0,
    on_progress: OnProgress | None = None,
) -> Added:
    """Add parts until they last for some days at the rate of the last seven, and at least one is unused.

    Run it every day, from cron or a worker: if there is no part for a position, appends fail. Each part is added in a
    short transaction of its own, which blocks appends for at most the lock timeout at a time. It is idempotent.

    Args:
        engine: An engine of a PostgreSQL database, whose user owns the tables.
        days: For how many days there shall be parts, at least 0.
        size: How many positions a new part has. Defaults to None: as many as the last one, or more if the log grows
            faster, so that at most ten parts are added.
        schema: The schema of the tables. Defaults to None: that of the connection's search path.
        lock_timeout_seconds: How long one attempt to lock the tables may take, at least 0.001.
        wait_seconds: How long to retry, and how long to wait for a migration.
        on_progress: Called with a `Progress`, from any thread.

    Raises:
        PartitioningRefused: The log is not partitioned.
        InvalidInput: An argument is not valid.
        TableLocked: The locks were not free in that time. The parts before were added.
        MigrationInProgress: A migration was not done in that time.
        PermissionDenied: The database user does not own the tables.
        SchemaOutdated: The tables are older than es_0011.
    """
    check_number("days", days, minimum=0)
    check_positive("size", size)
    with changing(engine, Settings(schema, lock_timeout_seconds, wait_seconds, on_progress)) as log:
        if not parts_of(log.run):
            raise PartitioningRefused("es_events is not partitioned", "run `eventstore partitions enable` first")
        return add_to(log, days=days, size=size)


def add_to(log: Log, *, days: int, size: int | None) -> Added:
    """Add parts to a log; see `add`."""
    there, before = parts_of(log.run), _runway(log)
    last = there[-1]
    if size is None:
        size = max(last.last_position - last.first_position + 1, rounded_up(before.per_day * days / _AT_ONCE))
    number, end = max(Part(name, 1, 1, None, 0).number for name in _taken(log)), last.last_position
    ahead, new = before.parts_ahead, []
    while ahead < 1 or end - before.drawn < before.per_day * days:
        number, first, end = number + 1, end + 1, end + size
        new.append(_add_part(log, number, first, end))
        ahead += first > before.drawn + 1
    names = {part.name for part in new}
    return Added([part for part in parts_of(log.run) if part.name in names], _runway(log))


def _runway(log: Log) -> Runway:
    found = runway_of(log.run)
    if found is None:
        raise PermissionDenied("the position that was drawn last can't be read", log.named("es_events"))
    return found


def _add_part(log: Log, number: int, first: int, last: int) -> Part:
    part = Part(f"es_events_{number}", first, last, None, 0)

    def work() -> None:
        carried = Carried.of(log)
        create_part(log, part, carried)

    log.attempt(f"adding part {part.name}, from position {first} to {last}", LOCKED, work)
    return part


def create_part(log: Log, part: Part, carried: Carried) -> None:
    """Create the table of a part and attach it, in the transaction that is open."""
    events, table, number = log.named("es_events"), log.named(part.name), part.number
    options = f" WITH ({carried.options})" if carried.options else ""
    log.execute(f"SET LOCAL default_tablespace = {literal(carried.tablespace)}")  # of the indexes, too
    log.execute(f"CREATE TABLE {table} (LIKE {events} INCLUDING ALL EXCLUDING IDENTITY EXCLUDING INDEXES){options}")
    log.execute(f"ALTER TABLE {table} OWNER TO {quoted(carried.owner)}")
    keys = {"es_events_pkey": "PRIMARY KEY (stream_id, version)", POSITION_KEY: "UNIQUE (position)"}
    for name, key in keys.items():
        log.execute(f"ALTER TABLE {table} ADD CONSTRAINT {quoted(f'{name}_{number}')} {key}")
    carried.set_columns(log, part.name)
    carried.set_replica_identity(log, part.name, suffix=f"_{number}")
    protect(log, part.name)
    if carried.has_row_security:
        log.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
    log.execute(
        f"ALTER TABLE {events} ATTACH PARTITION {table} FOR VALUES FROM ({part.first_position}) "
        f"TO ({part.last_position + 1})"
    )
    carried.leave_reading_only(log, part.name)


def protect(log: Log, table: str) -> None:
    """Create the trigger that refuses changes of history, for statements that name the part itself."""
    log.execute(
        f"CREATE OR REPLACE TRIGGER {TRIGGER} BEFORE UPDATE OR DELETE OR TRUNCATE ON {log.named(table)} "
        f"FOR EACH STATEMENT WHEN (current_setting('{SETTING}', true) IS DISTINCT FROM 'on') "
        f"EXECUTE FUNCTION {log.named(FUNCTION)}()"
    )


def _taken(log: Log) -> list[str]:
    """Return the names of all relations, and of the parts that were detached: names that no new part can have."""
    query = (
        "SELECT relname FROM pg_class WHERE relnamespace = CAST(CAST(:schema AS text) AS regnamespace) "
        "UNION ALL SELECT name FROM " + log.named("es_detached_parts").replace(":", r"\:")
    )
    return [name for (name,) in log.rows(query, schema=quoted(log.schema))]
