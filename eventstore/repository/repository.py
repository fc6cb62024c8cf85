"""The repository: aggregates out of events."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Generic, TypeVarTuple
from uuid import UUID

from sqlalchemy import Connection
from sqlalchemy.orm import Session, scoped_session

from eventstore.backends import same_database
from eventstore.common.validation import (
    MAX_VERSION,
    check_category,
    check_function,
    check_number,
    check_schema_version,
    check_seconds,
)
from eventstore.errors import (
    AggregateNotFound,
    DatabaseMismatch,
    InvalidInput,
    UnsuitableTransaction,
    VersionNotReached,
)
from eventstore.events import RecordedEvent
from eventstore.repository.folding import Folder
from eventstore.repository.inputs import decided_events, first_state, stream_id_of
from eventstore.repository.loaded import LoadedAggregate, SaveResult
from eventstore.repository.policies import SinceSnapshot, SnapshotPolicy, never
from eventstore.repository.retrying import ATTEMPTS, BACKOFF_SECONDS, retry_conflicts
from eventstore.repository.snapshotting import Counter, RefreshProgress, SnapshotCounts, SnapshotWriter
from eventstore.repository.states import State, StateCodec, state_codec
from eventstore.store import EventStore

Arguments = TypeVarTuple("Arguments")


class Repository(Generic[State]):
    """Loads aggregates of one category, and appends what commands decide.

    An aggregate is what its events make of the initial state: an object of any class, or a plain value. A command is a
    function that takes the state, and returns the events that follow from it. Neither knows of the store.

    It is cheap, thread-safe and meant to be shared, like the store. It keeps no aggregates in memory.

    Args:
        store: The application's store, or a joined one.
        category: What the streams of these aggregates are called before the first `-`: with `order`, the aggregate `42`
            is the stream `order-42`.
        initial: Makes the state before the first event, a new one each time; usually a class.
        evolve: Takes a state and the next event, a `RecordedEvent`, and returns the state after it: a new object, or
            the same one, changed. It passes over events that it does not know. It makes no decisions, and raises
            nothing: what is stored has happened. None is refused, unless the initial state is None: a `return` is
            missing.
        snapshots: When to save a snapshot: `never`, `always`, `every(100)`, or a function. Defaults to never.
        to_snapshot: Makes plain data of a state, for a snapshot. Defaults to the fields of dataclasses, attrs classes,
            msgspec Structs and pydantic models, and to plain values as they are.
        from_snapshot: Makes a state of that data again. The two are given together.
        schema_version: The version of the shape of the state, from 1. Raise it whenever the state's class, or what
            `evolve` makes of events, has changed: older snapshots are then passed over. Each schema version of a stream
            has a snapshot of its own.
        attempts: How often `execute` calls a command at most when other writers are quicker, from 1. Defaults to 10.
        backoff_seconds: How long it waits at most before the second attempt; see `retry_conflicts`. Defaults to 0.01.

    Raises:
        InvalidInput: An argument is not valid; or there are to be snapshots, and the state's class needs `to_snapshot`
            and `from_snapshot`.

    Example:
        ```python
        orders = Repository(store, category="order", initial=Order, evolve=Order.after)
        orders.execute("42", Order.add_item, "tea", Decimal("4.20"))
        print(orders.load("42").state)
        ```
    """

    def __init__(
        self,
        store: EventStore,
        *,
        category: str,
        initial: Callable[[], State],
        evolve: Callable[[State, RecordedEvent], State],
        snapshots: SnapshotPolicy = never,
        to_snapshot: Callable[[State], Any] | None = None,
        from_snapshot: Callable[[Any], State] | None = None,
        schema_version: int = 1,
        attempts: int = ATTEMPTS,
        backoff_seconds: float = BACKOFF_SECONDS,
    ) -> None:
        if not isinstance(store, EventStore):
            msg = f"store is an EventStore, not {type(store).__name__}"
            raise InvalidInput(msg)
        for name, function in (("initial", initial), ("evolve", evolve), ("snapshots", snapshots)):
            check_function(name, function)
        self._category = check_category(category)
        if not self._category:
            raise InvalidInput(
                "category is empty; name what stands before the first hyphen of the stream ids, such as order"
            )
        self._schema_version = check_schema_version(schema_version)
        self._attempts = check_number("attempts", attempts, minimum=1)
        self._backoff_seconds = check_seconds("backoff_seconds", backoff_seconds)
        self._initial = initial
        self._evolve = evolve
        self._policy = snapshots
        first = first_state(initial)
        self._states: StateCodec[State] | None = None
        try:
            self._states = state_codec(store.core.mapper.codec, first, to_snapshot, from_snapshot)
        except InvalidInput:
            if snapshots is not never or to_snapshot is not None or from_snapshot is not None:
                raise
        self._counter = Counter()
        self._warned: set[str] = set()
        self._use(store)

    def _use(self, store: EventStore) -> None:
        self._store = store
        self._folder = Folder(
            store, self._initial, self._evolve, self._states, self._schema_version, warned=self._warned
        )
        self._writer = (
            None
            if self._states is None
            else SnapshotWriter(store, self._folder, self._states, self._schema_version, self._counter)
        )

    @property
    def store(self) -> EventStore:
        """The store."""
        return self._store

    @property
    def category(self) -> str:
        """The category of the streams."""
        return self._category

    @property
    def snapshot_counts(self) -> SnapshotCounts:
        """How many snapshots were saved, declined, or could not be saved."""
        return self._counter.counts()

    def stream_id(self, id: str | int | UUID) -> str:  # noqa: A002  # the field's word
        """Return the stream of an aggregate: `order-42`.

        Args:
            id: What identifies it within its category. A stream that has the name of the category only has none.

        Raises:
            InvalidStreamId: The id is empty, too long, of another type, or begins with the category.
        """
        return stream_id_of(self._category, id)

    def load(
        self,
        id: str | int | UUID,  # noqa: A002
        *,
        version: int | None = None,
        as_of: datetime | None = None,
        must_exist: bool = True,
    ) -> LoadedAggregate[State]:
        """Load an aggregate: as it is, or as it was.

        The snapshot and the events after it come in one round trip, as long as these are no more than a page of the
        store; `as_of` needs one more.

        Args:
            id: What identifies it within its category.
            version: As it was at this version.
            as_of: As it was at this time, by the clock of the database: after the last event that was recorded until
                then. Of a time that is not yet past, the answer may still change.
            must_exist: Whether it is an error if there are no events. Otherwise the initial state is returned, at
                version 0.

        Raises:
            AggregateNotFound: There are no events, or there were none yet at that time.
            VersionNotReached: The stream has not come to this version.
            StreamClosed: The stream was deleted or archived.
            InvalidInput: An argument is not valid, or `evolve` has returned None.
            DecodingError: An event can't be read.
        """
        stream_id = self.stream_id(id)
        if version is not None and as_of is not None:
            msg = "load takes a version or a time, not both"
            raise InvalidInput(msg)
        wanted = MAX_VERSION if version is None else check_number("version", version)
        if as_of is not None:
            if not isinstance(as_of, datetime) or as_of.tzinfo is None:
                msg = "as_of is a datetime with a time zone, as datetime.now(UTC)"
                raise InvalidInput(msg)
            wanted = self._folder.version_as_of(stream_id, as_of)
        state, found, snapshot_version = self._folder.fold(stream_id, wanted)
        if found == 0 and wanted < MAX_VERSION:
            self._folder.refuse_ended(stream_id)
        if found == 0 and must_exist:
            raise AggregateNotFound(stream_id, as_of)
        if version is not None and found < version:
            raise VersionNotReached(stream_id, version, found)
        return LoadedAggregate(stream_id, found, state, snapshot_version)

    def save(
        self, loaded: LoadedAggregate[State], events: Iterable[Any], *, metadata: Mapping[str, Any] | None = None
    ) -> SaveResult:
        """Append events that were decided on a loaded state, at its version.

        Args:
            loaded: What `load` has returned.
            events: As for `EventStore.append`; none is fine, then nothing is appended.
            metadata: As for `EventStore.append`.

        Raises:
            ConcurrencyConflict: Others have appended since it was loaded. It is never tried again: what was decided may
                be wrong by now.
            EventStoreError: As for `EventStore.append`.
        """
        if not isinstance(loaded, LoadedAggregate) or not loaded.stream_id.startswith(f"{self._category}-"):
            msg = f"save takes what load of this repository, of category {self._category!r}, has returned"
            raise InvalidInput(msg)
        return self._append(loaded, decided_events(self._store.event_types, events), metadata, attempts=1)

    def execute(
        self,
        id: str | int | UUID,  # noqa: A002
        command: Callable[[State, *Arguments], Iterable[Any] | None],
        *arguments: *Arguments,
        metadata: Mapping[str, Any] | None = None,
        must_exist: bool = False,
    ) -> SaveResult:
        """Load an aggregate, let a command decide, and append its events at the loaded version.

        If another writer was quicker, all of it is done again, on the state as it is then: the command is called
        once for each attempt, so it should do nothing but decide. In a joined transaction there is one attempt only:
        whatever else was read in it would be out of date. Repeat the whole transaction instead, see `retry_conflicts`.

        Args:
            id: What identifies it within its category.
            command: Called with the state and the arguments. It returns events, or yields them; none, or None, where
                there is nothing to do. It refuses by raising an error of its own: nothing is appended.
            arguments: For the command.
            metadata: As for `EventStore.append`.
            must_exist: Whether it is an error if there are no events yet. Otherwise the command decides on the initial
                state.

        Raises:
            AggregateNotFound: There are no events, and there must be.
            ConcurrencyConflict: Other writers were quicker in every attempt.
            EventStoreError: As for `load` and `EventStore.append`.
        """
        attempts = 0

        def attempt() -> SaveResult:
            nonlocal attempts
            attempts += 1
            loaded = self.load(id, must_exist=must_exist)
            events = decided_events(self._store.event_types, command(loaded.state, *arguments))
            return self._append(loaded, events, metadata, attempts=attempts)

        with self._store.core.observer.operation("execute", stream_id=self.stream_id(id)) as observed:
            if self._store.core.execution.is_joined:
                saved = attempt()
            else:
                saved = retry_conflicts(attempt, attempts=self._attempts, backoff_seconds=self._backoff_seconds)
            observed.note(events=len(saved.events), attempts=attempts)
        return saved

    def join(self, target: EventStore | Session | scoped_session[Any] | Connection) -> "Repository[State]":
        """Return this repository inside a transaction.

        Args:
            target: What `store.transaction()` or `store.join` has given, or what `EventStore.join` takes.

        Raises:
            NotInTransaction: A store that is not joined to a transaction.
            DatabaseMismatch: The target is of another database.
            InvalidInput: The target is none of these.

        Example:
            ```python
            with store.transaction() as transaction:
                orders.join(transaction).execute("42", Order.ship)
                stock.join(transaction).execute("tea", Stock.take, 3)
            ```
        """
        return self.with_store(self._store_in(target) if isinstance(target, EventStore) else self._store.join(target))

    def _store_in(self, target: EventStore) -> EventStore:
        """Return the repository's own store, with its own event types and codec, in the transaction of another."""
        target.connection  # noqa: B018  # there must be one
        if not same_database(target.engine, self._store.engine):
            msg = (
                f"the repository is on {self._store.engine.url!r}, the transaction on {target.engine.url!r}; "
                "join one of its database"
            )
            raise DatabaseMismatch(msg)
        core = self._store.core
        return self._store.with_core(replace(core, execution=core.execution.joined(lambda: target.connection)))

    def with_store(self, store: EventStore) -> "Repository[State]":
        """Return the same repository on another store, whose event types must have the same classes."""
        other: Repository[State] = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        other._use(store)
        return other

    def refresh_snapshots(
        self,
        *,
        policy: SnapshotPolicy | None = None,
        on_progress: Callable[[RefreshProgress], object] | None = None,
    ) -> RefreshProgress:
        """Save the snapshots that are missing or too old, of all aggregates of the category: in the background.

        After a change of `schema_version`, say, before the new code is used by everybody. It can be stopped at any
        moment, and repeated: what is done already is passed over. It holds one page of events in memory, and no
        transaction open.

        Args:
            policy: Which to save. Defaults to the repository's own policy.
            on_progress: Called after each stream.

        Returns:
            How far it has come.

        Raises:
            InvalidInput: The state's class needs `to_snapshot` and `from_snapshot`.
            UnsuitableTransaction: This repository is joined to a transaction.
        """
        if self._store.core.execution.is_joined:
            raise UnsuitableTransaction("would be open for as long as this takes")
        if self._writer is None:
            msg = "there can be no snapshots of these states: give the repository to_snapshot and from_snapshot"
            raise InvalidInput(msg)
        return self._writer.refresh(self._category, policy or self._policy, on_progress)

    def _append(
        self,
        loaded: LoadedAggregate[State],
        events: tuple[Any, ...],
        metadata: Mapping[str, Any] | None,
        *,
        attempts: int,
    ) -> SaveResult:
        if not events:
            return SaveResult(loaded.stream_id, loaded.version, 0, (), attempts)
        result = self._store.append(loaded.stream_id, events, expected_version=loaded.version, metadata=metadata)
        since = SinceSnapshot(loaded.stream_id, result.version, loaded.snapshot_version)
        if self._writer is not None:
            self._writer.after_append(since, self._policy)
        return SaveResult(loaded.stream_id, result.version, result.position, events, attempts)

    def __repr__(self) -> str:
        return f"<Repository of category {self._category!r}>"
