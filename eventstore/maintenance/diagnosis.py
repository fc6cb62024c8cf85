"""One page about a store: is it well, and what should be changed?"""

from collections.abc import Callable, Iterable, Iterator
from importlib.metadata import version

from eventstore import migrations
from eventstore.core.schema_version import REQUIRED_BY_PROJECTIONS
from eventstore.errors import PermissionDenied, SchemaError
from eventstore.findings import Finding, Level
from eventstore.maintenance.damage import not_looked_at
from eventstore.maintenance.inspection import Inspection
from eventstore.maintenance.position_checks import check_positions
from eventstore.maintenance.projection_checks import check_checkpoints
from eventstore.projections import ProjectionAdmin, ProjectionStatus
from eventstore.store import EventStore
from eventstore.tables import SCHEMA_VERSION

LAGGING_SECONDS = 60
"""A projection that is further behind is told."""


def diagnose(store: EventStore) -> list[Finding]:
    """Look at connection, server, settings, schema and projections. It takes but a moment, and locks nothing.

    What is stored is not looked at: that is what `verify` does. What the user has no right to look at is a warning that
    names the right; the rest is looked at.

    Args:
        store: The application's store, not joined.

    Returns:
        A line for each that was looked at, good or bad.

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
        found, _ = migrations.check(store.engine, schema=schema)
    except SchemaError as error:
        yield Finding(Level.ERROR, "schema", str(error), "eventstore migrate")
        return
    except PermissionDenied:
        found = SCHEMA_VERSION  # whatever it is: what follows says what it can't read
    yield from _seen("schema", lambda: _of_schema(store, found))
    yield from _seen("positions", lambda: _of_positions(inspection))
    if found >= REQUIRED_BY_PROJECTIONS:
        yield from _seen("projections", lambda: _of_projections(store, inspection))


def _seen(subject: str, look: Callable[[], Iterable[Finding]]) -> Iterator[Finding]:
    """Yield what a look tells; if the user may not look, which right that takes."""
    try:
        yield from look()
    except PermissionDenied as denied:
        yield not_looked_at(subject, denied)


def _of_schema(store: EventStore, version: int) -> Iterator[Finding]:
    findings = migrations.verify(store.engine, schema=store.tables.metadata.schema)
    yield from findings
    if not findings:
        yield Finding(Level.OK, "schema", f"version {version}, and nothing differs from it")


def _of_positions(inspection: Inspection) -> Iterator[Finding]:
    findings = list(check_positions(inspection))
    yield from findings
    if not findings:
        yield Finding(Level.OK, "positions", "go on after the newest event")


def _of_projections(store: EventStore, inspection: Inspection) -> Iterator[Finding]:
    yield from check_checkpoints(inspection)
    statuses = ProjectionAdmin(store).status()
    if not statuses:
        yield Finding(Level.OK, "projections", "none was ever run")
    for status in statuses:
        yield from _of_projection(status)


def _of_projection(status: ProjectionStatus) -> Iterator[Finding]:
    subject = f"projection {status.name!r}"
    lag = f"{status.lag_events:,} events and {status.lag_seconds:.0f} s behind"
    if status.failure is not None:
        yield Finding(Level.ERROR, subject, f"stopped at {status.failure}; {lag}", "fix the handler, start it again")
    elif status.retrying is not None and status.is_running:
        message = f"tries again {status.retrying}; {lag}"
        yield Finding(Level.WARNING, subject, message, "look at its log; if it goes on so, fix the handler")
    elif status.lag_seconds > LAGGING_SECONDS:
        who = "a worker is running" if status.is_running else "no worker is running"
        yield Finding(Level.WARNING, subject, f"{lag}; {who}", "start a worker, or find out what it waits for")
    else:
        yield Finding(Level.OK, subject, lag)
    if status.dead_letters:
        message = f"{status.dead_letters:,} dead letters are pending"
        yield Finding(Level.WARNING, subject, message, "retry or discard them: ProjectionAdmin.dead_letters")
