"""Every exception of the package, in one tree.

```
EventStoreError
├── InvalidInput (ValueError)       what was passed can't be right; nothing was written
│   ├── InvalidStreamId
│   ├── InvalidExpectedVersion
│   ├── InvalidEvent
│   ├── InvalidMetadata
│   ├── InvalidFilter
│   └── InvalidTableMap
├── ConcurrencyConflict             the stream is not at the expected version
│   ├── BoundaryChanged             an event has come between what was read and the append
│   └── SerializationConflict       the same, in a joined transaction that is over
├── TooManyTags                     a transaction that would lock more tags than it may
├── EventIdReused                   a retry with other content than the first time
├── AppendInterrupted               it is unknown whether the append was stored
├── ReadInterrupted                 an iteration of asyncio that was cancelled
├── StreamClosed                    the stream takes no more events
│   ├── StreamDeleted
│   └── StreamArchived
├── HistoryChangeRefused            events are immutable, except inside allow_history_changes
├── EncodingError (ValueError)      data that no codec can store
├── DecodingError                   stored bytes that can't be read
│   ├── EventTooNew                 written by newer code
│   └── UpcastingFailed             an upcaster could not do its work
├── AggregateError                  an aggregate that can't be loaded as asked
│   ├── AggregateNotFound (LookupError)
│   └── VersionNotReached
├── EventTypeError                  the registry of event types
│   ├── UnregisteredEventType
│   ├── EventTypeTaken
│   ├── UpcasterTaken
│   ├── UpcasterCycle
│   └── UpcasterMissing
├── SchemaError                     the tables don't fit this code
│   ├── SchemaMissing
│   │   └── DatabaseMissing         there is no such file
│   ├── SchemaOutdated
│   └── SchemaTooNew
├── MigrationError                  a migration that can't go on; once the cause is gone, run it again
│   ├── MigrationInProgress
│   ├── MigrationLockLost
│   ├── MigrationConnectionLost
│   ├── DirectConnectionRequired
│   ├── MigrationInsideTransaction
│   ├── TableLocked
│   ├── ConstraintViolated
│   ├── EventsWouldBeLost
│   ├── LogIsPartitioned
│   ├── RowTypeInUse                a column of the application's has the row type of a table
│   ├── PartitioningRefused        the log can't be partitioned, or is not
│   ├── ProjectionsHavePartitions
│   ├── NoSchema
│   ├── ForeignMigrationHistory
│   ├── TableTaken                  another table has the name of one of the store's
│   ├── ReferredTo                  an object of the application depends on what is to be dropped
│   ├── DefinitionsProtected        SQLite does not let the definition of a table be changed
│   ├── DiskTooSmall
│   ├── TablesElsewhere             new tables would be made in another schema than the others
│   ├── UnknownRevision             the tables are at a revision of newer code
│   └── MigratedMeanwhile           another process has run the same revisions
├── ProjectionError                 a projection that can't go on, or not now
│   ├── ProjectionFailed            a handler could not deal with an event
│   ├── ProjectionRunning           a worker is at work
│   ├── ProjectionBehind (TimeoutError)
│   ├── DeadLettersPending          their outside effects would never happen
│   ├── WorkerStillRunning (TimeoutError)  a handler did not return after the worker was stopped
│   └── UnknownProjection
├── DeliveryFailed                  a target has not taken messages; they are sent again
│   ├── TargetUnavailable           not now, whatever the message
│   ├── MessageRejected             not this message, however often it is sent
│   └── TargetGone                  no messages any more
├── TransferError                   an export or an import that can't go on
│   ├── DamagedExport               a file that can't be read
│   ├── ImportConflict              what is imported does not fit what is there
│   ├── RowRefused                  a row of another program's table that can't be an event
│   ├── UnsuitableSource            a table of another program that can't be read completely and in order
│   └── FixtureConflict             a row of a Django fixture does not fit what is there
├── GlobalOrderError                the global order can't be read, or not be written
│   ├── UnsuitableTransaction       not in this transaction
│   ├── PositionCacheEnabled        not in this database: positions are not drawn in order
│   ├── PositionsBehind             not in this database: new events would come before old ones
│   ├── UnloggedEvents              not in this database: a crash would empty it
│   ├── OutOfParts                  not in this database: no part of the log takes the next positions
│   ├── SeveralServers              not by this engine: statements reach more than one server
│   ├── UnsuitableServer            not there: the locks of one server do not say which appends have ended
│   ├── PositionBeyondLog           not after this position: the log has never reached it
│   ├── EventNotReached (TimeoutError)  not yet: a standby has not replayed the event
│   └── LogWentBack                 not after this event: the log no longer has it
├── HistoryDetached                 events that a read needs are in a part that was detached
├── PartInUse                       a part that can't be detached, or not yet
├── ViewTaken                       a SQL view that can't be made: its name is taken, or it is in use
├── FieldMismatch                   a payload that does not fit the columns of its frame
├── UnsupportedDatabase
├── DriverMissing (ImportError)     a database whose driver is not installed
├── ExtraMissing (ImportError)      an optional package that is not installed
├── DatabaseMismatch                a session or connection of another database
├── UnsuitableSetting               a setting with which the store could not keep its promises
├── NotInTransaction                no transaction to join, or joined to none
├── SeveralTenants                  a transaction that appends to two tenants' stores, on Citus
├── SynchronousCall                 on an engine for asyncio, and nothing awaits it
├── TransactionBroken               code inside a transaction has aborted or ended it
├── PermissionDenied                the database user lacks a right
│   └── StreamForbidden             row level security refuses to write the stream
├── TenantNotSet                    a policy of row level security needs a setting that the connection lacks
├── ReadOnlyDatabase                a standby, or a user who may only read
└── DatabaseBusy                    SQLite's one writer did not finish in time
```

Messages name streams, versions, types and fields, never a payload. What a program needs is on attributes. Every error
pickles. Errors of the database (`sqlalchemy.exc`) for which there is no better one here reach the caller unchanged.
"""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self
from uuid import UUID


class EventStoreError(Exception):
    """The root of all errors raised by this package."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (type(self), self.args, self.__dict__)


def _restore(cls: type[EventStoreError], args: tuple[Any, ...], attributes: dict[str, Any]) -> EventStoreError:
    error = cls.__new__(cls)
    error.args = args
    error.__dict__.update(attributes)
    return error


class InvalidInput(EventStoreError, ValueError):
    """An argument that is not valid. Raised before anything is written."""


class InvalidStreamId(InvalidInput):
    """A stream id that is not a string of 1 to 255 storable characters."""


class InvalidExpectedVersion(InvalidInput):
    """An expected version that is neither an integer of 0 to 2^63-1 nor ANY, NO_STREAM or STREAM_EXISTS."""


class InvalidEvent(InvalidInput):
    """An event that can't be stored: its type, id or schema version is not valid."""


class InvalidMetadata(InvalidInput):
    """Metadata that is not a mapping of strings to JSON values.

    Attributes:
        path: Where in the metadata, such as `$.key[0].key`.
    """

    def __init__(self, path: str, problem: str) -> None:
        self.path = path
        super().__init__(f"metadata at {path} {problem}")


class InvalidFilter(InvalidInput):
    """A filter that could match nothing, or that contains an invalid name."""


class InvalidTableMap(InvalidInput):
    """A map of a table to events that is not valid, or does not fit the table."""


class ConcurrencyConflict(EventStoreError):
    """The stream is not at the version that the writer expected; nothing was written (optimistic concurrency).

    A transaction that the append had joined stays usable. Load the stream again, decide again, append again.

    Attributes:
        stream_id: The stream.
        expected: What was expected: a version, `NO_STREAM` or `STREAM_EXISTS`.
        actual: The version that the stream has, 0 if it does not exist; None for the subclasses.

    The unique key on (stream_id, version) is a second guard behind the heads in es_streams. It refuses an append only
    if es_streams was set behind es_events manually. Then `actual` is the version that is already stored, and PostgreSQL
    has aborted a joined transaction, as after every database error.
    """

    actual: int | None

    def __init__(self, stream_id: str, expected: Any, actual: int) -> None:
        self.stream_id = stream_id
        self.expected = expected
        self.actual = actual
        super().__init__(
            f"stream {stream_id!r} is at version {actual}, but {expected} was expected; "
            "load it again, decide again, append again"
        )


class SerializationConflict(ConcurrencyConflict):
    """Another writer has changed a stream since the joined transaction, at REPEATABLE READ or SERIALIZABLE, began.

    PostgreSQL has aborted the transaction (SQLSTATE 40001), and its snapshot can't see what the other writer has
    written. Roll it back, and repeat all of it in a new one.

    Attributes:
        stream_ids: The streams that were to be written; if there are several, PostgreSQL does not say which one it was.
        stream_id: The first of them.
        expected: None.
        actual: None, because the aborted transaction can't read the version.
    """

    def __init__(self, stream_ids: Sequence[str]) -> None:
        self.stream_ids = tuple(stream_ids)
        self.stream_id = self.stream_ids[0]
        self.expected = None
        self.actual = None
        changed = f"stream {self.stream_id!r}"
        if len(self.stream_ids) > 1:
            changed = f"one of {len(self.stream_ids)} streams, of which the first is {self.stream_id!r},"
        EventStoreError.__init__(
            self,
            f"another writer has changed {changed} since the joined transaction began, and "
            "PostgreSQL has aborted the transaction, which is at REPEATABLE READ or SERIALIZABLE; roll it back and "
            "repeat all of it in a new one, or join a transaction at READ COMMITTED",
        )


class BoundaryChanged(ConcurrencyConflict):
    """An event has come between what a decision has read and its append, which wrote nothing.

    A transaction that the append had joined stays usable. Read the boundary again, decide again, append again. Tags are
    not shown, because they may be personal data.

    Attributes:
        stream_id: The stream that was to be appended to.
        position: The position of the first event that has come between. None if the boundary is not of this log as it
            is now: an event that it knows is gone, because it was rolled back, its stream was deleted, or the log went
            back; or tags were added to old events.
        event_type: The type of that event, as it is stored; None if there is none, or it is gone by now.
        event_stream_id: Its stream; None likewise.
        expected: None.
        actual: None.
    """

    def __init__(
        self, stream_id: str, *, position: int | None, event_type: str | None, event_stream_id: str | None
    ) -> None:
        self.stream_id = stream_id
        self.position = position
        self.event_type = event_type
        self.event_stream_id = event_stream_id
        self.expected = None
        self.actual = None
        if position is None:
            problem = "the log no longer has what the boundary was read from, or tags were added to old events"
        else:
            named = "" if event_type is None else f" {event_type!r} of stream {event_stream_id!r}"
            problem = f"the event{named} at position {position} has come between"
        EventStoreError.__init__(
            self,
            f"the append to stream {stream_id!r} was refused, because {problem}; "
            "read the boundary again, decide again, append again",
        )


class TooManyTags(EventStoreError):
    """A transaction would lock more tags than it may; nothing was written, and it stays usable.

    A server has room for a limited number of locks, for all of its databases together. So an append with many tags
    locks all tags by one lock, which must come before the transaction has locked others, or it could deadlock.

    Attributes:
        most_of_append: How many tags an append locks one by one.
        most_of_transaction: How many tags a transaction locks one by one.
    """

    def __init__(self, most_of_append: int, most_of_transaction: int) -> None:
        self.most_of_append = most_of_append
        self.most_of_transaction = most_of_transaction
        super().__init__(
            f"the transaction would lock more than {most_of_transaction} tags; or this append has more than "
            f"{most_of_append}, for which it locks all tags, after others were locked; make the append with the most "
            "tags the first of its transaction, or use several transactions"
        )


class EventIdReused(EventStoreError):
    """A repeated append whose event ids are already stored, with another type, schema version or data.

    Attributes:
        stream_id: The stream.
        event_id: The id that is already used.
        version: The version at which it is stored.
    """

    def __init__(self, stream_id: str, event_id: UUID, version: int) -> None:
        self.stream_id = stream_id
        self.event_id = event_id
        self.version = version
        super().__init__(
            f"event id {event_id} is already stored at version {version} of stream {stream_id!r} with other content; "
            "a retry must repeat exactly the same events, a new event needs a new id"
        )


class AppendInterrupted(EventStoreError):
    """The append was being stored together with others by another thread, which was interrupted, as by Ctrl-C.

    It is unknown whether it was stored.

    Attributes:
        stream_id: The stream.
    """

    def __init__(self, stream_id: str) -> None:
        self.stream_id = stream_id
        super().__init__(
            f"another thread, which was storing this append to stream {stream_id!r} together with its own, was "
            "interrupted, so it is unknown whether it was stored; repeat it with the same events and expected version, "
            "or read the stream"
        )


class ReadInterrupted(EventStoreError):
    """An iteration of asyncio that was cancelled while it read a page, and goes on being used.

    It does not end as if there were no more events, so that none is missed.
    """

    def __init__(self) -> None:
        super().__init__("the iteration was cancelled while it read a page; begin another one after the last event")


class StreamClosed(EventStoreError):
    """The stream takes no more events; nothing was written.

    Its last event, the tombstone, says when and why it was closed, and its metadata by whom.

    A joined transaction stays usable, as after a `ConcurrencyConflict`.

    Attributes:
        stream_id: The stream.
    """

    _was = "closed"

    def __init__(self, stream_id: str) -> None:
        self.stream_id = stream_id
        super().__init__(
            f"stream {stream_id!r} was {self._was} and takes no more events; its last event says when and why; "
            "append to a stream with another id"
        )


class StreamDeleted(StreamClosed):
    """A stream that `EventStore.delete_stream` has deleted."""

    _was = "deleted"


class StreamArchived(StreamClosed):
    """A stream whose events were moved into an archive."""

    _was = "archived"


class HistoryChangeRefused(EventStoreError):
    """A statement that would have changed or deleted events; nothing was written.

    On PostgreSQL the transaction is aborted, as after every database error.
    """

    def __init__(self) -> None:
        super().__init__(
            "stored events can't be changed or deleted; to delete a stream, call EventStore.delete_stream; to change "
            "history on purpose, run the statement inside EventStore.allow_history_changes"
        )


class EncodingError(EventStoreError, ValueError):
    """Data that can't be stored exactly, or would be read back changed; nothing was written.

    Attributes:
        index: The index of the event in the append, from 0; None for a snapshot's state.
        event_type: The event's type; None for a snapshot's state.
        path: Where in the data, such as `$.lines[3].price`.
        value_type: The name of the type of the value found there.
    """

    def __init__(
        self, *, path: str, value_type: str, problem: str, index: int | None = None, event_type: str | None = None
    ) -> None:
        self.index = index
        self.event_type = event_type
        self.path = path
        self.value_type = value_type
        self.problem = problem
        where = "state" if index is None else f"data of event {index} ({event_type!r})"
        super().__init__(f"{where} can't be encoded at {path}: {value_type}, {problem}")


class DecodingError(EventStoreError):
    """Stored bytes that can't be read: the codec is missing, the row is damaged, or the class no longer fits.

    Attributes:
        stream_id: The stream; None if it is not known.
        version: The version in the stream; None if it is not known.
        event_type: The event's type; None for a snapshot.
        path: Where in the data, such as `$.lines[3].price`; None if it is not known.
    """

    def __init__(
        self,
        problem: str,
        *,
        stream_id: str | None = None,
        version: int | None = None,
        event_type: str | None = None,
        path: str | None = None,
    ) -> None:
        self.problem = problem
        self.path = path
        self.stream_id = stream_id
        self.version = version
        self.event_type = event_type
        where = "" if stream_id is None else f"version {version} of stream {stream_id!r} ({event_type!r}): "
        super().__init__(f"{where}{problem}")

    def at(self, stream_id: str, version: int, event_type: str) -> Self:
        """Add to this error where the event is stored, and return it."""
        DecodingError.__init__(
            self, self.problem, stream_id=stream_id, version=version, event_type=event_type, path=self.path
        )
        return self


class EventTooNew(DecodingError):
    """An event that newer code has written, with a schema version or a type that this code does not know.

    Attributes:
        found_type: The event type that is stored.
        found: The schema version that is stored.
        known: The newest schema version that this code knows; None if it does not know the event type at all.
    """

    def __init__(self, found_type: str, found: int, known: int | None) -> None:
        self.found_type = found_type
        self.found = found
        self.known = known
        super().__init__(
            f"{found_type!r} is stored with schema version {found}, but this code "
            + ("does not know the event type" if known is None else f"knows versions up to {known} only")
            + "; deploy the newer code here, or read the event as plain data: "
            + ('EventTypes(unregistered="plain")' if known is None else 'EventTypes(newer="plain")')
            + ", read_stream(…, upcast=False)"
        )


class UpcastingFailed(DecodingError):
    """An upcaster has raised an error, or has returned something that is not an event's data.

    Attributes:
        step: The event type and schema version that the upcaster starts from.
    """

    def __init__(self, step: tuple[str, int], problem: str) -> None:
        self.step = step
        super().__init__(f"the upcaster from schema version {step[1]} of {step[0]!r} {problem}")


class AggregateError(EventStoreError):
    """An aggregate that can't be loaded as requested."""


class AggregateNotFound(AggregateError, LookupError):
    """An aggregate that has no events, or none up to the requested time.

    Attributes:
        stream_id: Its stream.
        as_of: The requested time; None if there was none.
    """

    def __init__(self, stream_id: str, as_of: datetime | None = None) -> None:
        self.stream_id = stream_id
        self.as_of = as_of
        until = "" if as_of is None else f" until {as_of.isoformat()}"
        super().__init__(
            f"stream {stream_id!r} has no events{until}; pass must_exist=False to get the initial state instead"
        )


class VersionNotReached(AggregateError):
    """An aggregate was requested at a version that its stream has not reached. A standby may reach it later.

    Attributes:
        stream_id: Its stream.
        wanted: The requested version.
        actual: The version of the stream.
    """

    def __init__(self, stream_id: str, wanted: int, actual: int) -> None:
        self.stream_id = stream_id
        self.wanted = wanted
        self.actual = actual
        super().__init__(
            f"stream {stream_id!r} is at version {actual}, so there is no state at version {wanted}; load version "
            f"{actual} or an older one, or try again once the stream has reached version {wanted}"
        )


class EventTypeError(EventStoreError):
    """A mistake in the registry of event types."""


class UnregisteredEventType(EventTypeError):
    """An object whose class is not registered.

    Attributes:
        class_name: The name of its class.
    """

    def __init__(self, class_name: str) -> None:
        self.class_name = class_name
        super().__init__(
            f"{class_name} is not a registered event class; register it with EventTypes.register, "
            "or pass NewEvent(event_type, data)"
        )


class EventTypeTaken(EventTypeError):
    """A class that is registered under two names, or a name that is registered for two classes."""


class UpcasterTaken(EventTypeError):
    """A second upcaster from one schema version, or an upcaster from the current schema version of a class.

    Attributes:
        event_type: The event type.
        schema_version: The schema version that the refused upcaster starts from.
    """

    def __init__(self, event_type: str, schema_version: int, holder: str) -> None:
        self.event_type = event_type
        self.schema_version = schema_version
        super().__init__(
            f"schema version {schema_version} of {event_type!r} belongs to {holder}; a schema version has either one "
            "class, which reads it, or one upcaster, which turns it into a newer one"
        )


class UpcasterCycle(EventTypeError):
    """An upcaster that would close a cycle of upcasters.

    Attributes:
        path: The event types and schema versions of the cycle; the first and the last are the same.
    """

    def __init__(self, path: Sequence[tuple[str, int]]) -> None:
        self.path = tuple(path)
        way = " -> ".join(f"{event_type!r} {schema_version}" for event_type, schema_version in path)
        super().__init__(f"these upcasters form a cycle: {way}; an upcaster must lead to a newer schema version")


class UpcasterMissing(EventTypeError):
    """A schema version from which no upcasters lead to the newest.

    Attributes:
        event_type: The event type.
        schema_version: The schema version that can't be read.
        newest: The newest schema version: that of the class, or the largest that an upcaster names.
    """

    def __init__(self, event_type: str, schema_version: int, newest: int) -> None:
        self.event_type = event_type
        self.schema_version = schema_version
        self.newest = newest
        super().__init__(
            f"no upcaster leads from schema version {schema_version} of {event_type!r} to {newest}, the newest; "
            f"register one with EventTypes.upcaster({event_type!r}, from_version={schema_version}, …), or, if no such "
            "event was ever stored, register the class with oldest_version"
            if schema_version < newest
            else f"an upcaster leads to schema version {schema_version} of {event_type!r}, but its class is registered "
            f"with {newest}; register the class with schema_version={schema_version}, or another upcaster from there"
        )


@dataclass(frozen=True, slots=True)
class TablesPlace:
    """Where the store expects its tables.

    Attributes:
        database: The URL without its password, or another description of the database.
        schema: The PostgreSQL schema; None if the search path decides, and on SQLite.
        remedy: What to do if the tables are missing or outdated.
    """

    database: str
    schema: str | None = None
    remedy: str = "run `eventstore migrate` on it, or `alembic upgrade head`, as a step of your deployment"

    def __str__(self) -> str:
        return self.database if self.schema is None else f"schema {self.schema!r} of {self.database}"


class SchemaError(EventStoreError):
    """The tables in the database don't fit this version of the package.

    Attributes:
        place: Where the store expected them; None if that is not known.
    """

    place: TablesPlace | None = None


def _remedy(place: TablesPlace | None) -> str:
    return (place or TablesPlace("this database")).remedy


class SchemaMissing(SchemaError):
    """The event store's tables do not exist."""

    def __init__(self, place: TablesPlace | None = None) -> None:
        self.place = place
        where = "this database" if place is None else str(place)
        unseen = ""
        if place is not None and place.database.startswith("postgresql"):
            unseen = "; if they exist, GRANT USAGE ON SCHEMA to the connected user" + (
                "" if place.schema else ", and name the schema that they are in if it is not in the search_path"
            )
        super().__init__(f"the event store's tables are not in {where}; {_remedy(place)}{unseen}")


class DatabaseMissing(SchemaMissing):
    """The file of a SQLite database does not exist. It was not created.

    Raised by the command line. In Python, SQLite's driver creates a missing file.

    Attributes:
        path: The file, as an absolute path.
    """

    def __init__(self, path: str, url: str) -> None:
        self.path = path
        EventStoreError.__init__(
            self, f"there is no file {path!r}; check the URL, or create the file: `eventstore migrate --url {url}`"
        )


class SchemaOutdated(SchemaError):
    """The tables are older than this code needs.

    Attributes:
        found: The version of the schema in the database.
        required: The oldest version that this code works with.
    """

    def __init__(self, found: int, required: int, place: TablesPlace | None = None) -> None:
        self.found = found
        self.required = required
        self.place = place
        where = "" if place is None else f" in {place}"
        super().__init__(
            f"the event store's schema{where} is at version {found}, this code needs {required}; {_remedy(place)}"
        )


class SchemaTooNew(SchemaError):
    """The tables have changed in a way that this code does not understand.

    Attributes:
        found: The version of the schema in the database.
        breaking: The newest schema version that is incompatible with older code.
        known: The newest version that this code knows.
    """

    def __init__(self, found: int, breaking: int, known: int, place: TablesPlace | None = None) -> None:
        self.found = found
        self.breaking = breaking
        self.known = known
        self.place = place
        where = "" if place is None else f" in {place}"
        super().__init__(
            f"the event store's schema{where} is at version {found} and needs code that knows version {breaking}, "
            f"this code knows {known}; upgrade the package sqlalchemy-eventstore"
        )


class MigrationError(EventStoreError):
    """A migration that can't continue. The steps that it has completed stay; remove the cause, and run it again."""


class MigrationInProgress(MigrationError):
    """Another process is migrating the same tables, and did not finish in time.

    Attributes:
        waited_seconds: How long this one has waited for it.
        holders: Descriptions of its sessions; empty if the database did not name them.
    """

    def __init__(self, waited_seconds: float, holders: Sequence[str] = ()) -> None:
        self.waited_seconds = waited_seconds
        self.holders = tuple(holders)
        super().__init__(
            f"another process has been migrating these tables for {waited_seconds:g} seconds"
            f"{_by(self.holders)}; wait for it, or end it, and run the migration again"
        )


class MigrationLockLost(MigrationError):
    """This migration has lost the migration lock, another one has taken it, and this one has stopped.

    Attributes:
        cause: Why the connection that held the lock was lost, in the words of the server or the driver.
        holders: Descriptions of the sessions that hold it now; empty if the database did not name them.
    """

    def __init__(self, cause: str, holders: Sequence[str] = ()) -> None:
        self.cause = cause
        self.holders = tuple(holders)
        super().__init__(
            f"the connection that held the migration lock was lost ({cause}), and another migration has the lock "
            f"now{_by(self.holders)}; this one has stopped; run it again after the other has finished"
        )


class MigrationConnectionLost(MigrationError):
    """The connection was lost in the middle of a step.

    Attributes:
        step: The step that was interrupted.
        cause: Why, in the words of the server or the driver.
    """

    def __init__(self, step: str, cause: str) -> None:
        self.step = step
        self.cause = cause
        super().__init__(
            f"{step}: the connection was lost ({cause}); completed steps stay; run the migration again, and it "
            "continues from there"
        )


class DirectConnectionRequired(MigrationError):
    """The URL leads to a connection pooler that shares server connections between transactions."""

    def __init__(self) -> None:
        super().__init__(
            "this URL leads to a connection pooler in transaction mode, such as PgBouncer, through which a migration "
            "can keep neither its lock nor its settings; use a URL that leads directly to PostgreSQL"
        )


class MigrationInsideTransaction(MigrationError):
    """A step that PostgreSQL can't run inside a transaction, on a connection that the caller has given in one.

    Attributes:
        step: The step that was refused.
    """

    def __init__(self, step: str) -> None:
        self.step = step
        super().__init__(
            f"{step} can't run inside a transaction, and the connection was in one before the migration began; "
            "in env.py, give context.configure() a connection that is not in a transaction"
        )


class TableLocked(MigrationError):
    """The migration did not get the lock of a table in time; nothing of the step was done.

    Attributes:
        step: The step that needs the lock.
        table: The table.
        waited_seconds: How long the migration has waited for it.
        holders: Descriptions of the sessions that have locked the table; empty if they had ended before they were
            looked up.
    """

    def __init__(self, step: str, table: str, waited_seconds: float, holders: Sequence[str] = ()) -> None:
        self.step = step
        self.table = table
        self.waited_seconds = waited_seconds
        self.holders = tuple(holders)
        super().__init__(
            f"{step}: the lock of {table} was not available for {waited_seconds:g} seconds{_by(self.holders)}; "
            "end that transaction or wait for it, and run the migration again"
        )


class ConstraintViolated(MigrationError):
    """Rows that were stored before a constraint was added violate it. The constraint already applies to new rows.

    Attributes:
        table: The table.
        constraint: The name of the constraint.
        definition: The condition, as SQL; None if the database did not return it.
    """

    def __init__(self, table: str, constraint: str, definition: str | None = None) -> None:
        self.table = table
        self.constraint = constraint
        self.definition = definition
        demand = "" if definition is None else f", which requires {definition}"
        super().__init__(
            f"{table} has rows that violate {constraint}{demand}; fix those rows, and run the migration again"
        )


class EventsWouldBeLost(MigrationError):
    """A downgrade that would drop es_events while it holds events."""

    def __init__(self) -> None:
        super().__init__(
            "undoing es_0001 drops es_events, and the events in it would be lost; it was not undone; if you mean to "
            "lose them, drop the tables yourself"
        )


class LogIsPartitioned(MigrationError):
    """A downgrade to tables that know no partitions, while es_events has some."""

    def __init__(self) -> None:
        super().__init__(
            "es_events is partitioned, or parts of it were detached, which tables before es_0011 know nothing of; "
            "nothing was undone; older code works with the newer tables, so leave them as they are"
        )


class PartitioningRefused(MigrationError):
    """The log can't be partitioned, or a part can't be added; nothing was done.

    Attributes:
        problem: What is in the way.
        remedy: What to do; empty if nothing helps.
    """

    def __init__(self, problem: str, remedy: str = "") -> None:
        self.problem = problem
        self.remedy = remedy
        super().__init__(f"{problem}; nothing was done" + (f"; {remedy}" if remedy else ""))


class ProjectionsHavePartitions(MigrationError):
    """A downgrade to tables that know no partitions of projections, while a projection has some."""

    def __init__(self) -> None:
        super().__init__(
            "a projection has partitions, which tables before es_0012 know nothing of; nothing was undone; give all "
            "projections one partition first (ProjectionAdmin.set_partitions, eventstore projections partitions)"
        )


class NoSchema(MigrationError):
    """PostgreSQL has no schema to create the tables in: no schema of the search_path exists. Nothing was created.

    Attributes:
        search_path: The setting.
    """

    def __init__(self, search_path: str) -> None:
        self.search_path = search_path
        super().__init__(
            f"there is no schema to create the tables in: search_path is {search_path!r}, and no schema in it exists; "
            "create one of them, or name a schema (schema=…, --schema)"
        )


class ForeignMigrationHistory(MigrationError):
    """The tables exist, but another migration history has created them.

    Attributes:
        revision: The revision of the tables, if the application's own Alembic was refused; otherwise None.
    """

    def __init__(self, revision: str | None = None) -> None:
        self.revision = revision
        if revision is None:
            super().__init__(
                "the tables exist, but es_alembic_version does not: another Alembic history manages them, or they were "
                "created manually; upgrade them the way they were created (`alembic upgrade heads` of that application)"
            )
        else:
            super().__init__(
                f"the tables exist, at {revision}, but this Alembic history would create them: another one manages "
                "them (es_alembic_version); either continue with `eventstore migrate`, or record in this history what "
                f"was done (`alembic stamp {revision}`) and drop es_alembic_version"
            )


class TableTaken(MigrationError):
    """The database has another table with the name of one of the event store's; nothing was done.

    Attributes:
        tables: The names.
        schema: The PostgreSQL schema that they are in; None on SQLite.
    """

    def __init__(self, tables: Sequence[str], schema: str | None = None) -> None:
        self.tables = tuple(tables)
        self.schema = schema
        where = "this file" if schema is None else f"schema {schema!r}"
        apart = (
            "give the event store another file"
            if schema is None
            else "give the event store another schema (`eventstore migrate --schema events`, "
            'EventStore(engine, schema="events"))'
        )
        names = " and ".join(map(repr, tables))
        taken, those = (
            (f"a table {names} that is not", "that table")
            if len(tables) == 1
            else (f"tables {names} that are not", "those tables")
        )
        super().__init__(
            f"{where} already has {taken} the event store's; nothing was done; {apart}, or rename {those} "
            f"(ALTER TABLE {tables[0]} RENAME TO …)"
        )


class ViewTaken(EventStoreError):
    """A view of an event type can't be made or replaced; nothing was done.

    Attributes:
        name: The name of the view.
        problem: What stands in the way.
    """

    def __init__(self, name: str, problem: str) -> None:
        self.name = name
        self.problem = problem
        super().__init__(
            f"the view {name} can't be made: {problem}; drop or rename that object, or give these views a prefix"
        )


class ReferredTo(MigrationError):
    """A downgrade would drop a table or column that an object of the application depends on. It was not undone.

    This includes what the database would drop along with it without an error, such as an index or a trigger of the
    application's on that table.

    Attributes:
        dropped: What would be dropped, such as "es_checkpoints" or "column deleted_version of es_streams".
        dependents: What depends on it, in the words of the database, such as "table jobs" and "trigger jobs_done".
    """

    def __init__(self, dropped: str, dependents: Sequence[str]) -> None:
        self.dropped = dropped
        self.dependents = tuple(dependents)
        super().__init__(
            f"{dropped} can't be dropped: objects that are not the event store's depend on it "
            f"({', '.join(dependents)}); this revision was not undone; drop those objects first, or keep the revision"
        )


class RowTypeInUse(MigrationError):
    """A revision adds a column to a table whose row type is that of another table's column, which PostgreSQL refuses.

    This revision was not applied.

    Attributes:
        table: The table that was to get a column.
        problem: What the server says, with the name of the other column.
    """

    def __init__(self, table: str, problem: str) -> None:
        self.table = table
        self.problem = problem
        super().__init__(
            f"{table} can't get another column ({problem}); this revision was not applied; give the column of the "
            "application's another type, such as jsonb, and migrate again"
        )


class DefinitionsProtected(MigrationError):
    """SQLite on this connection refuses changes to the definition of a table; nothing was done.

    Attributes:
        table: The table whose definition was to be changed.
    """

    def __init__(self, table: str) -> None:
        self.table = table
        super().__init__(
            f"the definition of {table} can't be changed: SQLITE_DBCONFIG_DEFENSIVE is on in this SQLite, such as "
            "Apple's; nothing was done; migrate with Python 3.12 or newer, which can switch it off, or with a Python "
            "that brings its own SQLite"
        )


class DiskTooSmall(MigrationError):
    """A step of the migration needs more disk space than is free; nothing was done (SQLite).

    Attributes:
        step: The step.
        folder: Where space is missing: the folder of the database file, or the one of SQLite's temporary files.
        needed_bytes: How much the step needs there.
        free_bytes: How much is free.
    """

    def __init__(self, step: str, folder: str, needed_bytes: int, free_bytes: int) -> None:
        self.step = step
        self.folder = folder
        self.needed_bytes = needed_bytes
        self.free_bytes = free_bytes
        super().__init__(
            f"{step} needs about {needed_bytes / 1e6:.1f} MB in {folder}, where {free_bytes / 1e6:.1f} MB are free; "
            "nothing was done; free disk space, and run the migration again (SQLITE_TMPDIR names another folder for "
            "SQLite's temporary files)"
        )


class TablesElsewhere(MigrationError):
    """The tables are in one schema of the search path, and new ones would be created in another. Nothing was done.

    Attributes:
        schema: The schema that the tables are in.
        first: The schema that new tables would be created in, the first existing one of the search path.
        search_path: The setting.
    """

    def __init__(self, schema: str, first: str, search_path: str) -> None:
        self.schema = schema
        self.first = first
        self.search_path = search_path
        super().__init__(
            f"the event store's tables are in schema {schema!r}, and new ones would be created in {first!r}, the first "
            f"of search_path {search_path!r}; nothing was done. Name the schema (`--schema {shlex.quote(schema)}`, "
            f"schema={schema!r}, or `eventstore_schema = {schema}` in your alembic.ini), or put it first in the "
            "search_path of the user who migrates (ALTER ROLE … SET search_path = …). For a second event store, name "
            "its schema in the same way"
        )


class UnknownRevision(MigrationError):
    """The tables are at a revision that this code does not have, so it can neither upgrade nor downgrade them.

    Attributes:
        revision: The revision in the version table.
        newest: The newest revision that this code has.
    """

    def __init__(self, revision: str, newest: str) -> None:
        self.revision = revision
        self.newest = newest
        super().__init__(
            f"the tables are at revision {revision}, which this code does not have (its newest is {newest}); run the "
            "version of sqlalchemy-eventstore that has it"
        )


class MigratedMeanwhile(MigrationError):
    """Another process has run revisions on the same tables at the same time, without the migration lock.

    Attributes:
        expected: The revision that this process had reached; empty if there was none.
        found: The revision of the tables now; empty if there is none.
    """

    def __init__(self, expected: str, found: str) -> None:
        self.expected = expected
        self.found = found
        super().__init__(
            f"another process has migrated these tables at the same time: they were at {expected or 'no revision'}, "
            f"and are at {found or 'no revision'} now; run the migration again, and it completes what is missing"
        )


def _by(holders: Sequence[str]) -> str:
    return f" ({'; '.join(holders)})" if holders else ""


class GlobalOrderError(EventStoreError):
    """The global order can't be read without the risk of missing events, or can't be written in order."""


class UnsuitableTransaction(GlobalOrderError):
    """A transaction in which the store can't determine which events are settled, or whether a condition holds.

    Attributes:
        reason: Why it is unsuitable.
    """

    def __init__(
        self, reason: str, remedy: str = "read with the store itself, outside the transaction", *, joined: bool = True
    ) -> None:
        self.reason = reason
        super().__init__(f"the {'joined ' * joined}transaction {reason}; {remedy}")


class PositionCacheEnabled(GlobalOrderError):
    """The sequence of positions hands out several at a time to each session, so that they are not used in order.

    Attributes:
        cache: How many at a time: the CACHE of the sequence.
    """

    def __init__(self, cache: int) -> None:
        self.cache = cache
        super().__init__(
            f"the sequence of es_events.position has CACHE {cache}, so positions are not drawn in order; "
            "set it back (ALTER TABLE es_events ALTER COLUMN position SET CACHE 1), and end the sessions that appended"
        )


class PositionsBehind(GlobalOrderError):
    """The sequence of positions is behind the newest event, so new events would come before events that were read.

    This happens on a subscriber of logical replication, and after data was loaded without the sequence.

    Attributes:
        newest: The position of the newest event; None if an append has drawn a position at which there is an event.
        drawn: The last position that was drawn from the sequence; 0 if none was.
    """

    def __init__(self, newest: int | None, drawn: int) -> None:
        self.newest = newest
        self.drawn = drawn
        which = "" if newest is None else f", which has position {newest}"
        super().__init__(
            f"the sequence of es_events.position is at {drawn}, behind the newest event{which}, so new events would "
            "come before events that were read; run `eventstore repair`, which sets the sequence to the newest event; "
            "on a subscriber of logical replication, run it after the switch-over, and read the global order only then"
        )


class OutOfParts(GlobalOrderError):
    """No part of a partitioned log takes the position of a new event. Nothing was stored.

    Attributes:
        position: The position that was drawn, which no event will have; None if the database did not say it.
    """

    def __init__(self, position: int | None = None) -> None:
        self.position = position
        which = "the next positions" if position is None else f"position {position}"
        super().__init__(
            f"no part of es_events takes {which}, so nothing can be appended; run `eventstore partitions add`, and run "
            "it every day from now on (if `eventstore partitions enable` was interrupted, run that again)"
        )


class UnloggedEvents(GlobalOrderError):
    """es_events is UNLOGGED or temporary. A crash of the server empties it, and the sequence starts again."""

    def __init__(self) -> None:
        super().__init__(
            "es_events is UNLOGGED or temporary, so a crash of the server would empty it; change it back: "
            "ALTER TABLE es_events SET LOGGED"
        )


class SeveralServers(GlobalOrderError):
    """Different servers answered statements that belong together, at every attempt."""

    def __init__(self, attempts: int) -> None:
        self.attempts = attempts
        super().__init__(
            f"{attempts} times in a row, a page of events came from another server or table than the statement that "
            "found how far the log is settled. Either a load balancer leads the engine to several servers, or its "
            "search_path changes; give the store an engine that leads to one server, and name its schema: "
            "EventStore(…, schema=…)"
        )


class UnsuitableServer(GlobalOrderError):
    """The server's locks do not say which appends have ended, so readers of the global order could miss events.

    Attributes:
        problem: What is wrong with the server, or with how the engine finds it.
        remedy: What to do.
    """

    def __init__(self, problem: str, remedy: str) -> None:
        self.problem = problem
        self.remedy = remedy
        super().__init__(f"{problem}, so readers could miss events; {remedy}")


class PositionBeyondLog(GlobalOrderError):
    """A position after which nothing can be read, because the log has never reached it.

    Later events up to this position would be skipped.

    Attributes:
        position: The requested position.
        newest: The last position that was drawn, or, if it is not known, the position of the newest event.
    """

    def __init__(self, position: int, newest: int) -> None:
        self.position = position
        self.newest = newest
        super().__init__(
            f"position {position} is beyond the log, which has reached {newest}: the position belongs to another "
            "database, or the log went back (a failover, or a restore from a backup); rebuild what was computed from "
            "its events, from position 0"
        )


class EventNotReached(GlobalOrderError, TimeoutError):
    """A server did not show an event before the timeout. Usually a standby has not replayed it yet.

    Attributes:
        position: The position of the event.
        stream_id: Its stream.
        version: Its version in the stream.
        newest: The newest position that the server shows; 0 if it has no events.
        settled: The position up to which the global order is settled there.
        is_visible: Whether the event itself is there, and only the global order before it is not settled.
        waited_seconds: How long the caller has waited.
    """

    def __init__(
        self,
        position: int,
        stream_id: str,
        version: int,
        *,
        newest: int,
        settled: int,
        is_visible: bool,
        waited_seconds: float,
    ) -> None:
        self.position = position
        self.stream_id = stream_id
        self.version = version
        self.newest = newest
        self.settled = settled
        self.is_visible = is_visible
        self.waited_seconds = waited_seconds
        event = f"event {version} of stream {stream_id!r}, at position {position},"
        super().__init__(
            f"{event} is there, but after {waited_seconds} s the order is settled up to position {settled} only: "
            "appends under way hold it back, on a standby all transactions that write; wait longer, or read from the "
            "primary"
            if is_visible
            else f"{event} was not replayed within {waited_seconds} s, and the newest event of this standby is at "
            f"position {newest}; wait longer, or read from the primary. If the transaction of the append was not "
            "committed, the event never comes"
        )


class LogWentBack(GlobalOrderError):
    """The log no longer has an event that was read. It went back, by a failover or a restore from a backup.

    New events have got positions that were already read, so reading on after the position would skip them. What was
    computed from the lost events is wrong, too.

    Attributes:
        position: If the event was.
        expected_id: Its id; None if only the position is known.
        found_id: The id of the event that is there now; None if there is none.
        projection: The projection whose checkpoint names the event; None if it is not a checkpoint.
    """

    def __init__(
        self, position: int, expected_id: UUID | None, found_id: UUID | None, projection: str | None = None
    ) -> None:
        self.position = position
        self.expected_id = expected_id
        self.found_id = found_id
        self.projection = projection
        whose = "" if projection is None else f" which projection {projection!r} has reached,"
        there = "there is none now" if found_id is None else f"event {found_id} is there now"
        super().__init__(
            f"the log went back: event {expected_id or '(id not kept)'} was at position {position},{whose} and {there}"
            ". The cause is a failover, a restore from a backup, or a manual change of history; rebuild what was "
            "computed from its events, from position 0"
            + ("" if projection is None else f" (eventstore projections reset {projection})")
            + ". If the event is of another log, or was never committed, there is nothing to rebuild"
        )


class HistoryDetached(EventStoreError):
    """A read needs events that are not in the log any more: their part of it was detached.

    Attributes:
        first_position: The lowest position of the part.
        last_position: The highest position of the part. A read after it goes on.
        part: The name of the partition.
        location: Where it was exported to, as the person who detached it has written it; None if nowhere. It is a text
            for people: never open it without looking at it.
        sha256: The SHA-256 of the manifest of the export; None if there is none.
        stream_id: The stream that was read; None if it was the global order.
    """

    def __init__(
        self,
        part: str,
        first_position: int,
        last_position: int,
        *,
        location: str | None = None,
        sha256: str | None = None,
        stream_id: str | None = None,
    ) -> None:
        self.first_position = first_position
        self.last_position = last_position
        self.part = part
        self.location = location
        self.sha256 = sha256
        self.stream_id = stream_id
        what = "events that this read needs" if stream_id is None else f"earlier events of stream {stream_id!r}"
        where = (
            "it was not exported. Attach its table"
            if location is None
            else f"it was exported to {location!r}. Read them there (eventstore.detaching.read_part), attach its table"
        )
        go_on = (
            f"read the log after position {last_position}"
            if stream_id is None
            else "read the stream from the version of its first event that is left, or from a newer snapshot"
        )
        super().__init__(
            f"{what} were detached with the part {part} of the log, positions {first_position} to {last_position}; "
            f"{where}, or {go_on}"
        )


class PartInUse(EventStoreError):
    """A part that can't be detached, or not yet. Nothing was changed.

    Attributes:
        part: The name of the partition.
        problems: Why, each a sentence.
    """

    def __init__(self, part: str, problems: Sequence[str]) -> None:
        self.part = part
        self.problems = tuple(problems)
        super().__init__(f"{part} can't be detached: " + "; ".join(problems))


class TransferError(EventStoreError):
    """An export or an import that can't continue."""


class DamagedExport(TransferError):
    """A file that is not an export, or is incomplete or damaged. What precedes the damage was imported.

    Attributes:
        place: Where in the file, such as `line 7`.
        file: Its path; None if it was given as an open file.
    """

    def __init__(self, place: str, problem: str, *, file: str | None = None) -> None:
        self.place = place
        self.problem = problem
        self.file = file
        named = "the export" if file is None else f"the export {file!r}"
        super().__init__(f"{place} of {named} {problem}")

    def of(self, file: str | None) -> Self:
        """Add the name of the file to this error, and return it."""
        DamagedExport.__init__(self, self.place, self.problem, file=file)
        return self


class ImportConflict(TransferError):
    """An event that contradicts what is already stored. Nothing of its batch was stored; earlier batches were.

    Attributes:
        stream_id: The stream.
        version: The version of the event.
    """

    def __init__(self, stream_id: str, version: int, problem: str) -> None:
        self.stream_id = stream_id
        self.version = version
        super().__init__(
            f"version {version} of stream {stream_id!r} can't be imported: {problem}; find out where the two histories "
            "differ, or import into a database without other events"
        )


class RowRefused(TransferError):
    """A row of another program's table, or a record for `load`, that can't be an event. Its batch was not stored.

    Attributes:
        place: Which one, such as `row id=17`.
        column: The column; None if it is not about one.
        problem: What is wrong with it, and what to do.
    """

    def __init__(self, place: str, problem: str, *, column: str | None = None) -> None:
        self.place = place
        self.column = column
        self.problem = problem
        where = place if column is None else f"{place}, column {column!r},"
        super().__init__(f"{where} can't be imported: {problem}")


class UnsuitableSource(TransferError):
    """A table of another program from which an import could miss rows, or read them out of order. Nothing was read.

    Attributes:
        table: The name of the table.
        problem: What is wrong with it, and what to do.
    """

    def __init__(self, table: str, problem: str) -> None:
        self.table = table
        self.problem = problem
        super().__init__(f"table {table!r} can't be imported like this: {problem}")


class FixtureConflict(TransferError):
    """A row of a Django fixture that contradicts what is stored. Nothing of the fixture was stored.

    Attributes:
        row: What it is a row of, such as `checkpoint`.
        key: Its key, as text.
    """

    def __init__(self, row: str, key: str, problem: str) -> None:
        self.row = row
        self.key = key
        self.problem = problem
        super().__init__(
            f"the fixture's {row} {key} can't be loaded: {problem}; load it into an empty database (manage.py flush), "
            "or leave it out"
        )


class ProjectionError(EventStoreError):
    """A projection that can't continue, or can't be managed now."""


class ProjectionFailed(ProjectionError):
    """A handler has failed on an event, and the projection has stopped before it. The cause is chained.

    Attributes:
        projection: The projection.
        position: The position of the event.
        stream_id: Its stream.
        version: Its version in the stream.
        event_type: Its type.
        event_id: Its id.
        error_type: The name of the type of the error.
        attempts: How often the handler was called with it.
    """

    def __init__(
        self,
        projection: str,
        *,
        position: int,
        stream_id: str,
        version: int,
        event_type: str,
        event_id: UUID,
        error_type: str,
        attempts: int,
    ) -> None:
        self.projection = projection
        self.position = position
        self.stream_id = stream_id
        self.version = version
        self.event_type = event_type
        self.event_id = event_id
        self.error_type = error_type
        self.attempts = attempts
        times = "once" if attempts == 1 else f"{attempts} times"
        super().__init__(
            f"projection {projection!r} has stopped before position {position}: {event_type!r}, version {version} of "
            f"stream {stream_id!r}, event id {event_id}, has failed {times} with {error_type}; fix the handler "
            "(of a relay: `publish` or the target) and start the worker again, or let such events become dead letters"
        )


class ProjectionRunning(ProjectionError):
    """A worker is running the projection, so it can't be reset, swapped or removed.

    Attributes:
        projection: The projection.
        worker: The worker that was last seen; None if it is in its first batch.
    """

    def __init__(self, projection: str, worker: str | None) -> None:
        self.projection = projection
        self.worker = worker
        by = "a worker" if worker is None else f"worker {worker}"
        super().__init__(f"projection {projection!r} is being run by {by}; stop all of its workers, then try again")


class ProjectionBehind(ProjectionError, TimeoutError):
    """A projection has not reached a position in time.

    Attributes:
        projection: The projection.
        position: The position of its checkpoint.
        wanted: The position that it was to reach.
        waited_seconds: How long the caller has waited.
        failure: The event at which the projection has stopped; None if it is not known to have stopped.
        retrying: The event that its worker retries; None if there is none.
    """

    def __init__(
        self,
        projection: str,
        position: int,
        wanted: int,
        *,
        waited_seconds: float = 0.0,
        failure: str | None = None,
        retrying: str | None = None,
    ) -> None:
        self.projection = projection
        self.position = position
        self.wanted = wanted
        self.waited_seconds = waited_seconds
        self.failure = failure
        self.retrying = retrying
        advice = "make sure that a worker runs it"
        if failure is not None:
            advice = f"it has stopped: {failure}"
        elif retrying is not None:
            advice = f"its worker retries an event: {retrying}"
        super().__init__(
            f"projection {projection!r} is at position {position}, and has not reached {wanted} in "
            f"{waited_seconds:g} seconds; {advice}"
        )


class DeadLettersPending(ProjectionError):
    """A projection has pending dead letters whose outside effects would never happen after a swap or a reset.

    Attributes:
        projection: The projection.
        pending: How many there are.
    """

    def __init__(self, projection: str, pending: int) -> None:
        self.projection = projection
        self.pending = pending
        letters = "dead letter" if pending == 1 else "dead letters"
        super().__init__(
            f"projection {projection!r} has {pending} pending {letters}, for which its handlers with outside effects "
            "would never be called; nothing was changed; retry or discard them first (ProjectionAdmin.dead_letters, "
            "eventstore projections dead-letters)"
        )


class WorkerStillRunning(ProjectionError, TimeoutError):
    """A worker in the background has not stopped in time, because a handler did not return.

    Attributes:
        described: The worker, with its projection.
        waited_seconds: How long the caller has waited.
    """

    def __init__(self, described: str, waited_seconds: float) -> None:
        self.described = described
        self.waited_seconds = waited_seconds
        super().__init__(
            f"{described} has not stopped in {waited_seconds:g} seconds: a handler has not returned; its thread ends "
            "with the program, and its batch is rolled back then; give what the handler calls a timeout"
        )


class UnknownProjection(ProjectionError):
    """There is no projection with that name, because no worker has run one.

    Attributes:
        projection: The name.
    """

    def __init__(self, projection: str) -> None:
        self.projection = projection
        super().__init__(
            f"there is no projection {projection!r}; a projection is known by its exact name once a worker has started "
            "it; `eventstore projections status` lists those that exist"
        )


class DeliveryFailed(EventStoreError):
    """The target of a relay has not taken messages. They are sent again, as often as the relay's `attempts` allow.

    Targets raise it. Any other error of theirs has the same effect.

    Attributes:
        target: The target, without secrets: of a webhook, the scheme and the host.
        problem: What has happened. Keep payloads and secrets out of it.
        status: The status of the HTTP response; None if there was none.
    """

    def __init__(self, target: str, problem: str, *, status: int | None = None) -> None:
        self.target = target
        self.problem = problem
        self.status = status
        super().__init__(f"{target} has not taken the message: {problem}")


class TargetUnavailable(DeliveryFailed):
    """A target takes no messages now: it can't be reached, does not answer in time, or has asked to wait.

    That is no event's fault. So it counts as no attempt, and the worker waits until the target is back. The handlers of
    a projection may raise it, too.

    Attributes:
        retry_after_seconds: How long the target has asked to wait; None if it has not.
    """

    def __init__(
        self, target: str, problem: str, *, status: int | None = None, retry_after_seconds: float | None = None
    ) -> None:
        super().__init__(target, problem, status=status)
        self.retry_after_seconds = retry_after_seconds


class MessageRejected(DeliveryFailed):
    """A target refuses a message, and would refuse it again. So the event has failed without further attempts.

    The relay stops before it, or makes it a dead letter: `on_failure` decides.
    """


class TargetGone(DeliveryFailed):
    """A target wants no more messages (410 Gone). The relay stops before the event, whatever `on_failure` says."""


class UnsupportedDatabase(EventStoreError):
    """A database or driver that the store does not work with.

    Attributes:
        found: The dialect and driver, such as `mysql+pymysql`.
    """

    def __init__(self, found: str) -> None:
        self.found = found
        super().__init__(
            f"{found} is not supported; use postgresql+psycopg (PostgreSQL 14 or newer) or sqlite (3.35 or newer)"
        )


class DriverMissing(EventStoreError, ImportError):
    """The driver of the database is not installed."""

    def __init__(self) -> None:
        super().__init__("PostgreSQL needs the driver psycopg 3; install sqlalchemy-eventstore[postgresql]")


class ExtraMissing(EventStoreError, ImportError):
    """An optional package that is needed here is not installed.

    Attributes:
        package: Its name.
        extra: The extra of sqlalchemy-eventstore that installs it.
    """

    def __init__(self, package: str, extra: str) -> None:
        self.package = package
        self.extra = extra
        super().__init__(f"{package} is not installed; install sqlalchemy-eventstore[{extra}]")


class FieldMismatch(EventStoreError):
    """A payload that does not fit the columns of its frame.

    Attributes:
        field: The field; None if the payload has no fields at all.
        found: The type of the value; None if the field itself was not expected.
        expected: The Arrow type of the column; None if there is none.
        position: The position of the event.
        event_type: The type of the event.
    """

    def __init__(
        self, field: str | None, found: str | None, expected: str | None, position: int, event_type: str
    ) -> None:
        self.field = field
        self.found = found
        self.expected = expected
        self.position = position
        self.event_type = event_type
        if field is None:
            problem = f"has a payload without fields ({found}); pass as_json=True, and no fields"
        elif found is None:
            problem = f"has a field {field!r} that no event before it had; pass sample_size=None, or name the fields"
        else:
            problem = (
                f"has {found} in the field {field!r}, which {expected} does not hold exactly; "
                "pass sample_size=None, or another type in fields, or as_json=True"
            )
        super().__init__(f"the {event_type!r} at position {position} {problem}")


class DatabaseMismatch(EventStoreError):
    """A session or connection that does not lead to the store's own database."""


class UnsuitableSetting(EventStoreError):
    """A setting of the engine, the connection or the server with which the store could not keep its promises.

    Raised by the first call that depends on it, before anything is written. The page "Settings of the environment"
    lists them.

    Attributes:
        setting: Its name, such as `schema_translate_map`.
    """

    def __init__(self, setting: str, problem: str, remedy: str) -> None:
        self.setting = setting
        super().__init__(f"{setting} {problem}; {remedy}")


class NotInTransaction(EventStoreError):
    """There is no transaction: a joined connection is in AUTOCOMMIT, or the store is not joined to any."""

    def __init__(
        self,
        problem: str = "the joined connection is in AUTOCOMMIT, so there is no transaction to join; "
        "use the store itself, or a connection with another isolation level",
    ) -> None:
        super().__init__(problem)


class SeveralTenants(EventStoreError):
    """An append in a transaction that has appended to another tenant's store, on Citus.

    Citus may have the two on different servers. Raised before anything of this append is written.

    Attributes:
        tables: The other tenant's es_events, with its schema.
    """

    def __init__(self, tables: str) -> None:
        self.tables = tables
        super().__init__(
            f"this transaction has already appended to {tables}, and Citus may have that on another server; append to "
            "one tenant's store in a transaction"
        )


class SynchronousCall(EventStoreError):
    """A synchronous call of a store on an engine for asyncio, which can't wait for the database.

    Raised before a connection is taken.
    """

    def __init__(self) -> None:
        super().__init__(
            "the store is on an engine for asyncio, so its calls have to be awaited; await the method of the same name "
            "of eventstore.contrib.asyncio.AsyncEventStore, or call this one within its run_sync"
        )


class TransactionBroken(EventStoreError):
    """Code that ran in a transaction, such as a projection's handler, has left it so that it can't be committed.

    Attributes:
        reason: `aborted`: the code continued after a database error. `ended`: it has committed or rolled back. `lost`:
            the connection was lost meanwhile. `moved`: the checkpoint was changed meanwhile. `astray`: it has changed
            the search path, so that statements find the tables of another store, such as another tenant's.
    """

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(_BROKEN[reason])


_BROKEN = {
    "aborted": "a database error has aborted the transaction, but the code inside it continued, so nothing of it can "
    "be committed; let the error pass, or do what may fail inside `with connection.begin_nested()`",
    "ended": "a handler has ended the transaction of its batch; a handler must neither commit nor roll back, nor send "
    "such SQL: the worker commits, together with the checkpoint",
    "lost": "the connection of the batch was lost while the handler ran; make the handler faster, or raise the "
    "server's idle_in_transaction_session_timeout for this role",
    "moved": "the checkpoint of the projection was changed during its batch, although it was locked; only workers "
    "write to es_checkpoints, and they lock it first",
    "astray": "a handler has changed the search path of the batch's connection, so that the checkpoint would be set in "
    "another schema; a handler that needs another search_path must set it back before it returns",
}


_SHOWN_STREAMS = 5


class PermissionDenied(EventStoreError):
    """PostgreSQL has refused a statement, because the connected user lacks a right. The statement did nothing.

    PostgreSQL has aborted a joined transaction, as after every database error.

    Attributes:
        problem: The server's message.
        on: The object that the right is on, as GRANT names it, such as `es_events` or `SEQUENCE
            es_events_position_seq`; None if it is not known.
        rights: The rights that the statement needs there, as GRANT names them; some of them may be granted already.
    """

    def __init__(self, problem: str, on: str | None = None, rights: Sequence[str] = ()) -> None:
        self.problem = problem
        self.on = on
        self.rights = tuple(rights)
        super().__init__(
            f"the connected user lacks a right: {problem}; {self.remedy} (the guide to setting up the database lists "
            "which user needs which rights)"
        )

    @property
    def grant(self) -> str | None:
        """The GRANT statement, with `<user>` in place of the user's name; None if the rights are not known."""
        return f"GRANT {', '.join(self.rights)} ON {self.on} TO <user>" if self.on and self.rights else None

    @property
    def remedy(self) -> str:
        """What to do about it."""
        if self.grant is None:
            return "use a user who has it, such as the owner of the tables"
        return f"as the owner of the tables, run {self.grant}, or use a user who has the right"


class StreamForbidden(PermissionDenied):
    """Row level security has refused to write a stream, because it belongs to another tenant. Nothing was stored.

    PostgreSQL has aborted a joined transaction, as after every database error. Whether the stream exists makes no
    difference.

    Attributes:
        problem: The server's message.
        stream_ids: The streams of the append, of which one was refused; empty if something else was written.
    """

    def __init__(self, problem: str, stream_ids: Sequence[str] = ()) -> None:
        self.problem = problem
        self.on = None
        self.rights = ()
        self.stream_ids = tuple(stream_ids)
        streams = ", ".join(map(repr, self.stream_ids[:_SHOWN_STREAMS]))
        more = ", …" if len(self.stream_ids) > _SHOWN_STREAMS else ""
        what = f" of an append to {streams}{more}" if streams else ""
        EventStoreError.__init__(
            self,
            f"row level security has refused a row{what}: {problem}; write only to streams of the tenant that the "
            "connection is set to, or set it to another one",
        )


class TenantNotSet(EventStoreError):
    """A policy of row level security reads a setting, such as the tenant, that was not made on this connection.

    PostgreSQL has aborted a joined transaction, as after every database error.

    Attributes:
        problem: The server's message, which names the setting.
    """

    def __init__(self, problem: str) -> None:
        self.problem = problem
        super().__init__(
            f"a policy of row level security reads a setting that was not made: {problem}; set it when a connection is "
            "taken from the pool, or in the transaction before the store is used"
        )


class ReadOnlyDatabase(EventStoreError):
    """The server takes no writes: it is a standby, or transactions are read-only. Nothing was written.

    A joined transaction is aborted. After a failover the server may take writes again, so workers wait for that.
    """

    def __init__(self) -> None:
        super().__init__(
            "the database is read-only for this user, and nothing was written; use the URL of the primary server, or, "
            "if this is the primary, and default_transaction_read_only is on, switch it off for the user who writes "
            "(ALTER ROLE … SET default_transaction_read_only = off)"
        )


class DatabaseBusy(EventStoreError):
    """SQLite's write lock was not available; nothing was written.

    Attributes:
        waited_seconds: How long the store has waited; None if the driver has waited, or if it failed without waiting.
    """

    def __init__(self, waited_seconds: float | None = None) -> None:
        self.waited_seconds = waited_seconds
        super().__init__(
            "another connection has SQLite's write lock, or has written since this transaction began to read; "
            "keep transactions short, and begin those that will write with BEGIN IMMEDIATE"
            if waited_seconds is None
            else f"another connection has held SQLite's write lock for {waited_seconds:g} seconds; "
            "keep transactions short, or raise lock_timeout_seconds"
        )
