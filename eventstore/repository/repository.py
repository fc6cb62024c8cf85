"""The repository, which loads aggregates from events and executes commands."""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, Generic, TypeVarTuple
from uuid import UUID

from sqlalchemy import Connection
from sqlalchemy.orm import Session, scoped_session

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
    InvalidInput,
    UnsuitableTransaction,
    VersionNotReached,
)
from eventstore.events import RecordedEvent
from eventstore.repository.inputs import events_of_command, first_state, stream_id_of
from eventstore.repository.joining import store_in
from eventstore.repository.loaded import LoadedAggregate, SaveResult
from eventstore.repository.loading import AggregateLoader
from eventstore.repository.policies import SinceSnapshot, SnapshotPolicy, never
from eventstore.repository.retrying import ATTEMPTS, BACKOFF_SECONDS, retry
from eventstore.repository.snapshotting import Counter, RefreshProgress, SnapshotCounts, SnapshotWriter
from eventstore.repository.states import State, StateCodec, state_codec
from eventstore.store import EventStore, check_store

Arguments = TypeVarTuple("Arguments")


class Repository(Generic[State]):
    """Loads aggregates of one category, and appends the events that commands return.

    An aggregate is the initial state with all its events applied: an object of any class, or a plain value. A command
    is a function that takes the state and returns new events. Neither depends on the store.

    A repository is cheap and thread-safe, so you can share it like the store. It keeps no aggregates in memory.

    Args:
        store: The application's store, or a joined one.
        category: The category of the streams of these aggregates. With `order`, the aggregate `42` is the stream
            `order-42`.
        initial: Makes the state before the first event, a new object each time; usually a class.
        evolve: Takes a state and the next event, a `RecordedEvent`, and returns the state after it: a new object, or
            the same one, changed. It should ignore events that it does not know, make no decisions, and raise no
            errors, because stored events have happened. Returning None is an error, unless the initial state is None.
        snapshots: When to save a snapshot: `never`, `always`, `every(100)`, or a function. Defaults to never.
        to_snapshot: Converts a state to plain data for a snapshot. Defaults to the fields of dataclasses, attrs
            classes, msgspec Structs and pydantic models, and to plain values unchanged.
        from_snapshot: Converts that data back to a state. Pass both or neither.
        schema_version: The version of the structure of the state, from 1. Raise it whenever the state's class, or the
            result of `evolve`, has changed; older snapshots are then ignored. A stream has one snapshot for each schema
            version.
        attempts: How often `execute` calls a command at most if there are conflicts with other writers, from 1.
            Defaults to 10.
        backoff_seconds: How long it waits at most before the second attempt; see `retry_conflicts`. Defaults to 0.01.

    Raises:
        InvalidInput: An argument is not valid, or snapshots are to be saved and the state's class needs `to_snapshot`
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
        check_store(store, may_be_joined=True, in_asyncio="make an AsyncRepository")
        for name, function in (("initial", initial), ("evolve", evolve), ("snapshots", snapshots)):
            check_function(name, function)
        self._category = check_category(category)
        if not self._category:
            raise InvalidInput(
                "category is empty; pass the part of the stream ids before the first hyphen, such as order"
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
        self._loader = AggregateLoader(
            store, self._initial, self._evolve, self._states, self._schema_version, warned=self._warned
        )
        self._writer = (
            None
            if self._states is None
            else SnapshotWriter(store, self._loader, self._states, self._schema_version, self._counter)
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
        """Return the stream id of an aggregate, such as `order-42`.

        Args:
            id: The id of the aggregate within its category.

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
        """Load an aggregate, as it is now or as it was.

        The snapshot and the events after it are read in one round trip if these are at most a page of the store.
        `as_of` needs one more round trip.

        Args:
            id: The id of the aggregate within its category.
            version: Load the state at this version.
            as_of: Load the state at this time, by the clock of the database, which is the state after the last event
                that was recorded until then. If the time is not yet past, the result may still change.
            must_exist: Whether it is an error if there are no events. Otherwise the initial state is returned, at
                version 0.

        Raises:
            AggregateNotFound: There are no events, or there were none yet at that time.
            VersionNotReached: The stream has not reached this version.
            StreamClosed: The stream was deleted or archived.
            InvalidInput: An argument is not valid, or `evolve` has returned None.
            DecodingError: An event can't be read.
        """
        stream_id = self.stream_id(id)
        if version is not None and as_of is not None:
            msg = "pass version or as_of to load, not both"
            raise InvalidInput(msg)
        up_to_version = MAX_VERSION if version is None else check_number("version", version)
        if as_of is not None:
            if not isinstance(as_of, datetime) or as_of.tzinfo is None:
                msg = "as_of must be a datetime with a time zone, such as datetime.now(UTC)"
                raise InvalidInput(msg)
            up_to_version = self._loader.version_as_of(stream_id, as_of)
        state, actual, snapshot_version = self._loader.load(stream_id, up_to_version)
        if actual == 0 and up_to_version < MAX_VERSION:
            self._loader.refuse_closed(stream_id)
        if actual == 0 and must_exist:
            raise AggregateNotFound(stream_id, as_of)
        if version is not None and actual < version:
            raise VersionNotReached(stream_id, version, actual)
        return LoadedAggregate(stream_id, actual, state, snapshot_version)

    def save(
        self, loaded: LoadedAggregate[State], events: Iterable[Any], *, metadata: Mapping[str, Any] | None = None
    ) -> SaveResult:
        """Append events that were decided from a loaded state, at its version.

        Args:
            loaded: The result of `load`.
            events: As for `EventStore.append`. If there are none, nothing is appended.
            metadata: As for `EventStore.append`.

        Raises:
            ConcurrencyConflict: Another writer has appended since the load. It is not retried, because the decision may
                be wrong by now.
            EventStoreError: As for `EventStore.append`.
        """
        if not isinstance(loaded, LoadedAggregate) or not loaded.stream_id.startswith(f"{self._category}-"):
            msg = f"save needs an aggregate that this repository, of category {self._category!r}, has loaded"
            raise InvalidInput(msg)
        return self._append(loaded, events_of_command(self._store.event_types, events), metadata, attempts=1)

    def execute(
        self,
        id: str | int | UUID,  # noqa: A002
        command: Callable[[State, *Arguments], Iterable[Any] | None],
        *arguments: *Arguments,
        metadata: Mapping[str, Any] | None = None,
        must_exist: bool = False,
    ) -> SaveResult:
        """Load an aggregate, call a command with its state, and append the events at the loaded version.

        If another writer has appended meanwhile, everything is retried with the new state. The command is called once
        for each attempt, so it should have no side effects. In a joined transaction there is only one attempt, because
        other reads in the transaction would be out of date; retry the whole transaction, see `retry_conflicts`.

        Args:
            id: The id of the aggregate within its category.
            command: Called with the state and the arguments. It returns or yields events; none, or None, if there is
                nothing to do. To refuse, it raises any error, and nothing is appended.
            arguments: More arguments for the command.
            metadata: As for `EventStore.append`.
            must_exist: Whether it is an error if there are no events yet. Otherwise the command gets the initial state.

        Raises:
            AggregateNotFound: There are no events, and `must_exist` is True.
            ConcurrencyConflict: Every attempt was in conflict with another writer.
            EventStoreError: As for `load` and `EventStore.append`.
        """
        attempts = 0

        def attempt() -> SaveResult:
            nonlocal attempts
            attempts += 1
            loaded = self.load(id, must_exist=must_exist)
            events = events_of_command(self._store.event_types, command(loaded.state, *arguments))
            return self._append(loaded, events, metadata, attempts=attempts)

        with self._store.core.observer.operation("execute", stream_id=self.stream_id(id)) as observed:
            if self._store.core.execution.is_joined:
                result = attempt()
            else:
                result = retry(
                    attempt,
                    self._store.core.driver.waiting.pause,
                    attempts=self._attempts,
                    backoff_seconds=self._backoff_seconds,
                )
            observed.note(events=len(result.events), attempts=attempts)
        return result

    def join(self, target: EventStore | Session | scoped_session[Any] | Connection) -> "Repository[State]":
        """Return this repository inside a transaction.

        Args:
            target: The store of `store.transaction()` or `store.join`, or a target that `EventStore.join` accepts.

        Raises:
            NotInTransaction: The target is a store that is not joined to a transaction.
            DatabaseMismatch: The target is on another database.
            InvalidInput: The target is none of these.

        Example:
            ```python
            with store.transaction() as transaction:
                orders.join(transaction).execute("42", Order.ship)
                stock.join(transaction).execute("tea", Stock.take, 3)
            ```
        """
        return self.with_store(store_in(target, self._store, of="repository"))

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
        """Save the missing and outdated snapshots of all aggregates of the category, as a background job.

        Run it, for example, after raising `schema_version`, before all processes use the new code. You can stop it at
        any time and run it again; it skips what is done. It holds one page of events in memory, and no open
        transaction.

        Args:
            policy: Decides which snapshots to save. Defaults to the repository's policy.
            on_progress: Called after each stream.

        Returns:
            The final progress.

        Raises:
            InvalidInput: The state's class needs `to_snapshot` and `from_snapshot`.
            UnsuitableTransaction: This repository is joined to a transaction.
        """
        if self._store.core.execution.is_joined:
            raise UnsuitableTransaction("would be open for as long as this takes")
        if self._writer is None:
            msg = "these states can't be saved as snapshots; give the repository to_snapshot and from_snapshot"
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
        return SaveResult(loaded.stream_id, result.version, result.position, events, attempts, token=result.token)

    def __repr__(self) -> str:
        return f"<Repository of category {self._category!r}>"
