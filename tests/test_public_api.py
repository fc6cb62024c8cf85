import subprocess
import sys

import eventstore

PUBLIC = """
AggregateError AggregateNotFound ANY Append AppendResult caused_by Codec ConcurrencyConflict ConstraintViolated
current_metadata DamagedExport DatabaseBusy DatabaseMismatch DatabaseMissing DecodingError DefinitionsProtected
DirectConnectionRequired DiskTooSmall DriverMissing EncodingError EventFilter EventIdReused EventStore EventStoreError
EventsWouldBeLost EventTooNew EventTypeError EventTypeFinding EventTypes EventTypeTaken Expected ExpectedVersion
ExtraMissing FieldMismatch ForeignMigrationHistory GlobalOrderError Health HistoryChangeRefused ImportConflict
InvalidEvent InvalidExpectedVersion InvalidFilter InvalidInput InvalidMetadata InvalidStreamId JSONCodec
LoadedAggregate LogWentBack maintenance MessagePackCodec metadata_context MigrationError MigrationInProgress
MigrationInsideTransaction migrations NewEvent NO_STREAM NotInTransaction PermissionDenied PositionBeyondLog
PositionCacheEnabled PositionsBehind PositionToken ProjectionBehind ProjectionError ProjectionFailed ProjectionRunning
projections RecordedEvent ReferredTo Repository SaveResult SchemaError SchemaMissing SchemaOutdated SchemaTooNew
SeveralServers Snapshot SnapshotCoverage SnapshotInfo SnapshotStore STREAM_ARCHIVED_EVENT STREAM_DELETED_EVENT
STREAM_EXISTS StreamArchived StreamClosed StreamDeleted StreamInfo StreamOrder Subscription TableLocked Tables
TableTaken TransactionBroken transfer TransferError UnknownProjection UnloggedEvents UnregisteredEventType
UnsuitableTransaction UnsupportedDatabase UpcasterCycle UpcasterMissing UpcasterTaken UpcastingFailed
VersionNotReached
"""


def test_the_public_names_are_these() -> None:
    assert sorted(eventstore.__all__) == sorted(PUBLIC.split())
    assert all(hasattr(eventstore, name) for name in eventstore.__all__)


def modules_after(code: str) -> set[str]:
    script = f"{code}\nimport sys\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    return {name.partition(".")[0] for name in done.stdout.split()}


def test_importing_imports_neither_alembic_nor_a_driver() -> None:
    unwanted = {"alembic", "psycopg", "sqlite3", "zstandard", "pytest", "rich", "click", "pydantic", "attrs", "flask"}
    unwanted |= {"django", "pyarrow", "pandas", "polars", "matplotlib", "numpy"}
    assert modules_after("import eventstore") & unwanted == set()


def test_running_on_sqlite_imports_neither_alembic_nor_psycopg() -> None:
    assert modules_after("import eventstore; eventstore.EventStore.in_memory()") & {"alembic", "psycopg"} == set()


def test_migrations_are_imported_when_asked_for() -> None:
    assert "alembic" in modules_after("from eventstore import migrations")
