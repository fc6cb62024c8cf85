"""An event store on SQLAlchemy Core: PostgreSQL in production, SQLite embedded, inside your own transactions."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from eventstore.codecs import Codec, JSONCodec, MessagePackCodec
from eventstore.correlation import caused_by, current_metadata, metadata_context
from eventstore.errors import (
    ConcurrencyConflict,
    DatabaseBusy,
    DatabaseMismatch,
    DecodingError,
    DriverMissing,
    EmptyAppend,
    EncodingError,
    EventIdReused,
    EventStoreError,
    EventTooNew,
    EventTypeError,
    EventTypeTaken,
    InvalidEvent,
    InvalidExpectedVersion,
    InvalidInput,
    InvalidMetadata,
    InvalidStreamId,
    NotInTransaction,
    RepeatedEventId,
    SchemaError,
    SchemaMissing,
    SchemaOutdated,
    SchemaTooNew,
    UnregisteredEventType,
    UnsupportedDatabase,
    UpcasterCycle,
    UpcasterMissing,
    UpcasterTaken,
    UpcastingFailed,
)
from eventstore.event_type_check import EventTypeFinding
from eventstore.event_types import EventTypes
from eventstore.events import Append, AppendResult, NewEvent, RecordedEvent
from eventstore.snapshots import Snapshot, SnapshotStore
from eventstore.store import EventStore
from eventstore.streams import ANY, NO_STREAM, STREAM_EXISTS, Expected, ExpectedVersion
from eventstore.tables import Tables

if TYPE_CHECKING:
    from eventstore import migrations

__all__ = [
    "ANY",
    "NO_STREAM",
    "STREAM_EXISTS",
    "Append",
    "AppendResult",
    "Codec",
    "ConcurrencyConflict",
    "DatabaseBusy",
    "DatabaseMismatch",
    "DecodingError",
    "DriverMissing",
    "EmptyAppend",
    "EncodingError",
    "EventIdReused",
    "EventStore",
    "EventStoreError",
    "EventTooNew",
    "EventTypeError",
    "EventTypeFinding",
    "EventTypeTaken",
    "EventTypes",
    "Expected",
    "ExpectedVersion",
    "InvalidEvent",
    "InvalidExpectedVersion",
    "InvalidInput",
    "InvalidMetadata",
    "InvalidStreamId",
    "JSONCodec",
    "MessagePackCodec",
    "NewEvent",
    "NotInTransaction",
    "RecordedEvent",
    "RepeatedEventId",
    "SchemaError",
    "SchemaMissing",
    "SchemaOutdated",
    "SchemaTooNew",
    "Snapshot",
    "SnapshotStore",
    "Tables",
    "UnregisteredEventType",
    "UnsupportedDatabase",
    "UpcasterCycle",
    "UpcasterMissing",
    "UpcasterTaken",
    "UpcastingFailed",
    "caused_by",
    "current_metadata",
    "metadata_context",
    "migrations",
]


def __getattr__(name: str) -> Any:
    """Import `migrations` when it is first asked for: it needs Alembic, which running applications don't."""
    if name == "migrations":
        return import_module("eventstore.migrations")
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)
