"""An event store on SQLAlchemy Core: PostgreSQL in production, SQLite embedded, inside your own transactions."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from eventstore.codecs import Codec, JSONCodec, MessagePackCodec
from eventstore.correlation import caused_by, current_metadata, metadata_context
from eventstore.errors import (
    AggregateError,
    AggregateNotFound,
    CachedPositions,
    ConcurrencyConflict,
    ConstraintViolated,
    DatabaseBusy,
    DatabaseMismatch,
    DecodingError,
    DirectConnectionRequired,
    DriverMissing,
    EmptyAppend,
    EncodingError,
    EventIdReused,
    EventStoreError,
    EventsWouldBeLost,
    EventTooNew,
    EventTypeError,
    EventTypeTaken,
    ExtraMissing,
    FieldMismatch,
    GlobalOrderError,
    InvalidEvent,
    InvalidExpectedVersion,
    InvalidFilter,
    InvalidInput,
    InvalidMetadata,
    InvalidStreamId,
    MigrationError,
    MigrationInProgress,
    NotInTransaction,
    OtherHistory,
    ProjectionBehind,
    ProjectionError,
    ProjectionFailed,
    ProjectionRunning,
    RepeatedEventId,
    SchemaError,
    SchemaMissing,
    SchemaOutdated,
    SchemaTooNew,
    TableLocked,
    TransactionOpen,
    UnknownProjection,
    UnregisteredEventType,
    UnsuitableTransaction,
    UnsupportedDatabase,
    UpcasterCycle,
    UpcasterMissing,
    UpcasterTaken,
    UpcastingFailed,
    VersionNotReached,
)
from eventstore.event_type_check import EventTypeFinding
from eventstore.event_types import EventTypes
from eventstore.events import Append, AppendResult, NewEvent, RecordedEvent
from eventstore.filters import EventFilter
from eventstore.repository import Loaded, Repository, Saved
from eventstore.snapshots import Snapshot, SnapshotStore
from eventstore.store import EventStore
from eventstore.streams import ANY, NO_STREAM, STREAM_EXISTS, Expected, ExpectedVersion
from eventstore.subscriptions import Subscription
from eventstore.tables import Tables

if TYPE_CHECKING:
    from eventstore import migrations, projections

__all__ = [
    "ANY",
    "NO_STREAM",
    "STREAM_EXISTS",
    "AggregateError",
    "AggregateNotFound",
    "Append",
    "AppendResult",
    "CachedPositions",
    "Codec",
    "ConcurrencyConflict",
    "ConstraintViolated",
    "DatabaseBusy",
    "DatabaseMismatch",
    "DecodingError",
    "DirectConnectionRequired",
    "DriverMissing",
    "EmptyAppend",
    "EncodingError",
    "EventFilter",
    "EventIdReused",
    "EventStore",
    "EventStoreError",
    "EventTooNew",
    "EventTypeError",
    "EventTypeFinding",
    "EventTypeTaken",
    "EventTypes",
    "EventsWouldBeLost",
    "Expected",
    "ExpectedVersion",
    "ExtraMissing",
    "FieldMismatch",
    "GlobalOrderError",
    "InvalidEvent",
    "InvalidExpectedVersion",
    "InvalidFilter",
    "InvalidInput",
    "InvalidMetadata",
    "InvalidStreamId",
    "JSONCodec",
    "Loaded",
    "MessagePackCodec",
    "MigrationError",
    "MigrationInProgress",
    "NewEvent",
    "NotInTransaction",
    "OtherHistory",
    "ProjectionBehind",
    "ProjectionError",
    "ProjectionFailed",
    "ProjectionRunning",
    "RecordedEvent",
    "RepeatedEventId",
    "Repository",
    "Saved",
    "SchemaError",
    "SchemaMissing",
    "SchemaOutdated",
    "SchemaTooNew",
    "Snapshot",
    "SnapshotStore",
    "Subscription",
    "TableLocked",
    "Tables",
    "TransactionOpen",
    "UnknownProjection",
    "UnregisteredEventType",
    "UnsuitableTransaction",
    "UnsupportedDatabase",
    "UpcasterCycle",
    "UpcasterMissing",
    "UpcasterTaken",
    "UpcastingFailed",
    "VersionNotReached",
    "caused_by",
    "current_metadata",
    "metadata_context",
    "migrations",
    "projections",
]


def __getattr__(name: str) -> Any:
    """Import these when they are first asked for: `migrations` needs Alembic, which running applications don't."""
    if name in {"migrations", "projections"}:
        return import_module(f"eventstore.{name}")
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)
