"""One page about a store: is it well, and what should be changed?"""

from collections.abc import Callable, Iterable, Iterator
from importlib.metadata import version

from eventstore import migrations
from eventstore.backends.maintenance import Diagnosis, Level
from eventstore.core.schema_version import REQUIRED_BY_PROJECTIONS
from eventstore.errors import PermissionDenied, SchemaError
from eventstore.maintenance.findings import Finding
from eventstore.maintenance.inspection import Inspection
from eventstore.maintenance.projection_checks import check_checkpoints
from eventstore.maintenance.schema_checks import check_positions
from eventstore.projections import ProjectionAdmin, ProjectionStatus
from eventstore.store import EventStore
from eventstore.tables import SCHEMA_VERSION

LAGGING_SECONDS = 60
"""A projection that is further behind is told."""


def diagnose(store: EventStore) -> list[Diagnosis]:
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
    lines.append(Diagnosis(Level.OK, "versions", _versions(store)))
    lines.extend(_of_tables(store, inspection))
    return lines


def _versions(store: EventStore) -> str:
    packages = ["sqlalchemy-eventstore", "SQLAlchemy"]
    if store.engine.dialect.driver == "psycopg":
        packages.append("psycopg")
    return ", ".join(f"{package} {version(package)}" for package in packages)


def _of_tables(store: EventStore, inspection: Inspection) -> Iterator[Diagnosis]:
    schema = store.tables.metadata.schema
    try:
        found, _ = migrations.check(store.engine, schema=schema)
    except SchemaError as error:
        yield Diagnosis(Level.ERROR, "schema", str(error), "eventstore migrate")
        return
    except PermissionDenied:
        found = SCHEMA_VERSION  # whatever it is: what follows says what it can't read
    yield from _seen("schema", lambda: _of_schema(store, found))
    yield from _seen("positions", lambda: _of_positions(inspection))
    if found >= REQUIRED_BY_PROJECTIONS:
        yield from _seen("projections", lambda: _of_projections(store, inspection))


def _seen(subject: str, look: Callable[[], Iterable[Diagnosis]]) -> Iterator[Diagnosis]:
    """Yield what a look tells; if the user may not look, which right that takes."""
    try:
        yield from look()
    except PermissionDenied as denied:
        yield _not_seen(subject, denied)


def _not_seen(subject: str, denied: PermissionDenied) -> Diagnosis:
    return Diagnosis(Level.WARNING, subject, f"could not be looked at: {denied.problem}", denied.remedy)


def _of_schema(store: EventStore, version: int) -> Iterator[Diagnosis]:
    differences = migrations.verify(store.engine, schema=store.tables.metadata.schema)
    for difference in differences:
        name = difference.table if difference.name is None else f"{difference.table}, {difference.name}"
        yield Diagnosis(Level.ERROR, "schema", f"{name} {difference.problem}", difference.remedy)
    if not differences:
        yield Diagnosis(Level.OK, "schema", f"version {version}, and nothing differs from it")


def _of_positions(inspection: Inspection) -> Iterator[Diagnosis]:
    damage = list(check_positions(inspection))
    yield from map(_damaged, damage)
    if not damage:
        yield Diagnosis(Level.OK, "positions", "go on after the newest event")


def _of_projections(store: EventStore, inspection: Inspection) -> Iterator[Diagnosis]:
    yield from map(_damaged, check_checkpoints(inspection))
    statuses = ProjectionAdmin(store).status()
    if not statuses:
        yield Diagnosis(Level.OK, "projections", "none was ever run")
    for status in statuses:
        yield from _of_projection(status)


def _damaged(finding: Finding) -> Diagnosis:
    message = f"{finding.where}: {finding.found}; expected: {finding.expected}"
    return Diagnosis(Level.ERROR, finding.kind.value, message, finding.remedy)


def _of_projection(status: ProjectionStatus) -> Iterator[Diagnosis]:
    subject = f"projection {status.name}"
    lag = f"{status.lag_events:,} events and {status.lag_seconds:.0f} s behind"
    if status.failure is not None:
        yield Diagnosis(Level.ERROR, subject, f"stopped at {status.failure}; {lag}", "mend the handler, start it again")
    elif status.retrying is not None and status.is_running:
        message = f"tries again {status.retrying}; {lag}"
        yield Diagnosis(Level.WARNING, subject, message, "look at its log; if it goes on so, fix the handler")
    elif status.lag_seconds > LAGGING_SECONDS:
        who = "a worker is running" if status.is_running else "no worker is running"
        yield Diagnosis(Level.WARNING, subject, f"{lag}; {who}", "start a worker, or find out what it waits for")
    else:
        yield Diagnosis(Level.OK, subject, lag)
    if status.dead_letters:
        message = f"{status.dead_letters:,} dead letters are pending"
        yield Diagnosis(Level.WARNING, subject, message, "retry or discard them: ProjectionAdmin.dead_letters")
