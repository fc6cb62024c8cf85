"""The asynchronous repository: the synchronous one, whose calls are awaited."""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, Generic, Self, TypeVarTuple
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession, async_scoped_session

from eventstore.backends.tasks import spawn
from eventstore.contrib.asyncio.store import AsyncEventStore, sync_target
from eventstore.errors import InvalidInput
from eventstore.events import RecordedEvent
from eventstore.repository import (
    LoadedAggregate,
    RefreshProgress,
    Repository,
    SaveResult,
    SnapshotCounts,
    SnapshotPolicy,
    never,
)
from eventstore.repository.retrying import ATTEMPTS, BACKOFF_SECONDS
from eventstore.repository.states import State

Arguments = TypeVarTuple("Arguments")


class AsyncRepository(Generic[State]):
    """A `Repository` whose calls are awaited.

    Commands and `evolve` are the same as there: plain functions that wait for nothing.

    Args:
        store: The application's store, or a joined one.
        category: As for `Repository`, like all that follows.
        initial: Likewise.
        evolve: Likewise.
        snapshots: Likewise.
        to_snapshot: Likewise.
        from_snapshot: Likewise.
        schema_version: Likewise.
        attempts: Likewise.
        backoff_seconds: Likewise. Other tasks run while it waits.

    Raises:
        InvalidInput: As for `Repository`.

    Example:
        ```python
        orders = AsyncRepository(store, category="order", initial=Order, evolve=Order.after)
        await orders.execute("42", Order.add_item, "tea", Decimal("4.20"))
        print((await orders.load("42")).state)
        ```
    """

    def __init__(
        self,
        store: AsyncEventStore,
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
        if not isinstance(store, AsyncEventStore):
            msg = f"store must be an AsyncEventStore, not {type(store).__name__}"
            raise InvalidInput(msg)
        self._store = store
        self._repository = Repository(
            store.sync_store,
            category=category,
            initial=initial,
            evolve=evolve,
            snapshots=snapshots,
            to_snapshot=to_snapshot,
            from_snapshot=from_snapshot,
            schema_version=schema_version,
            attempts=attempts,
            backoff_seconds=backoff_seconds,
        )

    @property
    def store(self) -> AsyncEventStore:
        """The store."""
        return self._store

    @property
    def category(self) -> str:
        """The category of the streams."""
        return self._repository.category

    @property
    def snapshot_counts(self) -> SnapshotCounts:
        """How many snapshots were saved, declined, or could not be saved."""
        return self._repository.snapshot_counts

    def stream_id(self, id: str | int | UUID) -> str:  # noqa: A002  # the field's word
        """Return the stream id of an aggregate; see `Repository.stream_id`."""
        return self._repository.stream_id(id)

    async def load(
        self,
        id: str | int | UUID,  # noqa: A002
        *,
        version: int | None = None,
        as_of: datetime | None = None,
        must_exist: bool = True,
    ) -> LoadedAggregate[State]:
        """Load an aggregate, as it is now or as it was; see `Repository.load`."""
        return await spawn(self._repository.load, id, version=version, as_of=as_of, must_exist=must_exist)

    async def save(
        self, loaded: LoadedAggregate[State], events: Iterable[Any], *, metadata: Mapping[str, Any] | None = None
    ) -> SaveResult:
        """Append events that were decided from a loaded state, at its version; see `Repository.save`."""
        return await spawn(self._repository.save, loaded, events, metadata=metadata)

    async def execute(
        self,
        id: str | int | UUID,  # noqa: A002
        command: Callable[[State, *Arguments], Iterable[Any] | None],
        *arguments: *Arguments,
        metadata: Mapping[str, Any] | None = None,
        must_exist: bool = False,
    ) -> SaveResult:
        """Load an aggregate, call a command with its state, and append the events; see `Repository.execute`.

        The command can't await anything, because it may be called several times: read what it needs before.
        """

        def execute() -> SaveResult:
            return self._repository.execute(id, command, *arguments, metadata=metadata, must_exist=must_exist)

        return await spawn(execute)

    async def refresh_snapshots(
        self,
        *,
        policy: SnapshotPolicy | None = None,
        on_progress: Callable[[RefreshProgress], object] | None = None,
    ) -> RefreshProgress:
        """Save the missing and outdated snapshots of all aggregates; see `Repository.refresh_snapshots`."""
        return await spawn(self._repository.refresh_snapshots, policy=policy, on_progress=on_progress)

    def join(self, target: AsyncEventStore | AsyncSession | async_scoped_session[Any] | AsyncConnection) -> Self:
        """Return this repository inside a transaction; see `Repository.join`.

        Args:
            target: The store of `AsyncEventStore.transaction` or `join`, or a target that `AsyncEventStore.join`
                accepts.

        Raises:
            NotInTransaction: The target is a store that is not joined to a transaction.
            DatabaseMismatch: The target is on another database.
            InvalidInput: The target is none of these.
        """
        inner = target.sync_store if isinstance(target, AsyncEventStore) else sync_target(target)
        other = object.__new__(type(self))
        other._repository = self._repository.join(inner)
        other._store = AsyncEventStore.of(other._repository.store)
        return other

    def __repr__(self) -> str:
        return f"<AsyncRepository of category {self.category!r}>"
