"""One page about a store: whether its connection, server, schema and projections are in order, and what to change."""

from collections.abc import Iterator
from importlib.metadata import version

from eventstore import migrations
from eventstore.core.schema_version import REQUIRED_BY_PROJECTIONS
from eventstore.errors import PartitioningRefused, PermissionDenied, SchemaError
from eventstore.findings import Finding, Level
from eventstore.health.parts import describe, of_runway
from eventstore.maintenance.damage import if_permitted
from eventstore.maintenance.inspection import Inspection
from eventstore.maintenance.position_checks import check_positions
from eventstore.maintenance.projection_checks import check_checkpoints
from eventstore.projections import ProjectionAdmin, ProjectionStatus
from eventstore.store import EventStore
from eventstore.tables import SCHEMA_VERSION

LAGGING_SECONDS = 60
"""A projection with a higher lag gets a warning."""

_FIX = "fix the handler (of a relay: `publish` or the target)"


def diagnose(store: EventStore) -> list[Finding]:
    """Check connection, server, settings, schema and projections. This is quick and takes no locks.

    It does not check the stored data; `verify` does. If the database user lacks a right, that part becomes a warning
    that names the right, and the other parts are still checked.

    Args:
        store: The application's store, not joined.

    Returns:
        One finding for each check, whether it passed or not.

    Raises:
        InvalidInput: The store is joined to a transaction.
        sqlalchemy.exc.DBAPIError: The database does not answer.
    """
    inspection = Inspection.of(store)
    with inspection.execution.statement() as run:
        lines = inspection.maintenance.diagnose(store.engine, run)
    lines.append(Finding(Level.OK, "versions", _versions(store)))
    lines.extend(_of_tables(store, inspection))
    return lines


def _versions(store: EventStore) -> str:
    packages = ["sqlalchemy-eventstore", "SQLAlchemy"]
    if store.engine.dialect.driver == "psycopg":
        packages.append("psycopg")
    return ", ".join(f"{package} {version(package)}" for package in packages)


def _of_tables(store: EventStore, inspection: Inspection) -> Iterator[Finding]:
    schema = store.tables.metadata.schema
    try:
        schema_version, _ = migrations.check(store.engine, schema=schema)
    except SchemaError as error:
        yield Finding(Level.ERROR, "schema", str(error), "eventstore migrate")
        return
    except PermissionDenied:
        schema_version = SCHEMA_VERSION  # whichever it is: the checks below say what they can't read
    yield from if_permitted("schema", _of_schema(store, schema_version))
    yield from if_permitted("positions", _of_positions(inspection))
    yield from if_permitted("parts", _of_parts(inspection))
    if schema_version >= REQUIRED_BY_PROJECTIONS:
        yield from if_permitted("projections", _of_projections(store, inspection))


def _of_schema(store: EventStore, version: int) -> Iterator[Finding]:
    findings = migrations.verify(store.engine, schema=store.tables.metadata.schema)
    yield from findings
    if not findings:
        yield Finding(Level.OK, "schema", f"version {version}, and nothing differs from it")


def _of_positions(inspection: Inspection) -> Iterator[Finding]:
    findings = list(check_positions(inspection))
    yield from findings
    if not findings:
        yield Finding(Level.OK, "positions", "continue after the newest event")


def _of_parts(inspection: Inspection) -> Iterator[Finding]:
    try:
        with inspection.execution.statement() as run:
            runway = inspection.dialect.runway(run)
    except PartitioningRefused as error:
        yield Finding(Level.ERROR, "parts", error.problem, error.remedy)
        return
    findings = list(of_runway(runway))
    yield from findings
    if runway is not None and not findings:
        yield Finding(Level.OK, "parts", describe(runway))


def _of_projections(store: EventStore, inspection: Inspection) -> Iterator[Finding]:
    yield from check_checkpoints(inspection)
    statuses = ProjectionAdmin(store).status()
    if not statuses:
        yield Finding(Level.OK, "projections", "none has ever run")
    for status in statuses:
        yield from _of_projection(status)


def _of_projection(status: ProjectionStatus) -> Iterator[Finding]:
    subject = f"projection {status.name!r}"
    lag = f"{status.lag_events:,} events and {status.lag_seconds:.0f} s behind"
    if status.failure is not None:
        yield Finding(Level.ERROR, subject, f"stopped at {status.failure}; {lag}", f"{_FIX}, then restart it")
    elif status.retrying is not None and status.is_running:
        message = f"retries an event: {status.retrying}; {lag}"
        yield Finding(Level.WARNING, subject, message, f"read its worker's log; if the retries continue, {_FIX}")
    elif status.lag_seconds > LAGGING_SECONDS:
        who = "a worker is running" if status.is_running else "no worker is running"
        yield Finding(Level.WARNING, subject, f"{lag}; {who}", "start a worker, or find out what it waits for")
    else:
        yield Finding(Level.OK, subject, lag)
    if status.dead_letters:
        message = f"{status.dead_letters:,} dead letters are pending"
        yield Finding(Level.WARNING, subject, message, "retry or discard them: ProjectionAdmin.dead_letters")
