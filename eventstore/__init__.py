"""An event store on SQLAlchemy Core: PostgreSQL in production, SQLite embedded, inside your own transactions.

This module has what most applications use. Everything else is in its own module, such as all errors in
`eventstore.errors` and codecs in `eventstore.codecs`; `docs/reference/index.md` lists it by task.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from eventstore.correlation import caused_by, metadata_context
from eventstore.errors import (
    AggregateNotFound,
    ConcurrencyConflict,
    DatabaseBusy,
    DecodingError,
    EncodingError,
    EventIdReused,
    EventStoreError,
    InvalidInput,
    LogWentBack,
    ProjectionBehind,
    ProjectionFailed,
    StreamClosed,
)
from eventstore.event_types import EventTypes
from eventstore.events import Append, AppendResult, NewEvent, RecordedEvent
from eventstore.filters import EventFilter
from eventstore.repository import Repository
from eventstore.store import EventStore
from eventstore.streams import ANY, NO_STREAM, STREAM_EXISTS, ExpectedVersion
from eventstore.subscriptions import Subscription
from eventstore.tokens import PositionToken

if TYPE_CHECKING:
    from eventstore import maintenance, migrations, projections, transfer
    from eventstore.projections import Projection, Worker

__all__ = [
    "ANY",
    "NO_STREAM",
    "STREAM_EXISTS",
    "AggregateNotFound",
    "Append",
    "AppendResult",
    "ConcurrencyConflict",
    "DatabaseBusy",
    "DecodingError",
    "EncodingError",
    "EventFilter",
    "EventIdReused",
    "EventStore",
    "EventStoreError",
    "EventTypes",
    "ExpectedVersion",
    "InvalidInput",
    "LogWentBack",
    "NewEvent",
    "PositionToken",
    "Projection",
    "ProjectionBehind",
    "ProjectionFailed",
    "RecordedEvent",
    "Repository",
    "StreamClosed",
    "Subscription",
    "Worker",
    "caused_by",
    "maintenance",
    "metadata_context",
    "migrations",
    "projections",
    "transfer",
]

_LAZY_MODULES: Final = frozenset({"maintenance", "migrations", "projections", "transfer"})


if not TYPE_CHECKING:  # type checkers see the imports above, and find misspelt names

    def __getattr__(name: str) -> Any:
        """Import these at their first use: a process that only appends and reads needs neither them nor Alembic."""
        if name in _LAZY_MODULES:
            return import_module(f"eventstore.{name}")
        if name in {"Projection", "Worker"}:
            return getattr(import_module("eventstore.projections"), name)
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
