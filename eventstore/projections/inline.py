"""Inline projections: handlers run inside the append's own transaction, for read models that must never lag."""

from collections.abc import Iterable, Iterator, Mapping, Sized
from typing import Any

from eventstore.errors import ConcurrencyConflict, InvalidInput
from eventstore.events import Append, AppendResult
from eventstore.projections.definition import Projection
from eventstore.projections.targets import target_of, write_out
from eventstore.store import EventStore
from eventstore.streams import ExpectedVersion


def inline(store: EventStore, *projections: Projection) -> EventStore:
    """Return a store whose appends call the handlers of projections, in the transaction of the append.

    An append and what handlers write are committed together, or not at all: a handler that fails undoes the append, and
    its error is raised as it is. In a joined transaction a savepoint is rolled back, so the rest stays usable. A
    repeated append (`duplicate=True`) calls no handler.

    It costs: each append is a transaction of several statements, and writers of different streams wait for each other
    where their handlers write to the same rows. There is no checkpoint: appends by other stores are not seen. To fill a
    new read model from old events, run the same projection with a `Worker` first.

    Args:
        store: The application's store, or a joined one.
        projections: Whose handlers to call, in this order. Their filters count, except for `after_position`.

    Example:
        ```python
        store = inline(EventStore(engine), stock)
        store.append("order-42", events, expected_version=1)  # the stock is right as soon as this returns
        ```

    Raises:
        InvalidInput: There are no projections, or what was given is none.
        UnregisteredEventType: A handler is for a class that the store does not know.
    """
    if not projections or not all(isinstance(projection, Projection) for projection in projections):
        msg = "inline takes a store and at least one Projection"
        raise InvalidInput(msg)
    for projection in projections:
        projection.check_event_types(store.event_types)
    return _ProjectingStore._of(store, projections)


class _ProjectingStore(EventStore):
    _projections: tuple[Projection, ...]

    @classmethod
    def _of(cls, store: EventStore, projections: tuple[Projection, ...]) -> "_ProjectingStore":
        made = object.__new__(cls)
        made.__dict__.update(store.__dict__)
        made._owns_engine = False
        made._projections = projections
        return made

    def append(
        self,
        stream_id: str,
        events: Iterable[Any],
        *,
        expected_version: ExpectedVersion,
        metadata: Mapping[str, Any] | None = None,
    ) -> AppendResult:
        """Append, and call the handlers; see `EventStore.append`."""
        append = Append(stream_id, events, expected_version=expected_version, metadata=metadata)
        (result,) = self.append_many([append])
        return result

    def append_many(self, appends: Iterable[Append]) -> list[AppendResult]:
        """Append, and call the handlers; see `EventStore.append_many`."""
        wanted = [_counted(append) for append in appends]
        with self.transaction() as transaction:
            results = EventStore.append_many(transaction, [append for append, _ in wanted])
            counts = [count for _, count in wanted]
            self._call_handlers(transaction, list(zip(results, counts, strict=True)))
        return results

    def append_each(self, appends: Iterable[Append]) -> list[AppendResult | ConcurrencyConflict]:
        """Append, and call the handlers; see `EventStore.append_each`."""
        wanted = [_counted(append) for append in appends]
        with self.transaction() as transaction:
            results = EventStore.append_each(transaction, [append for append, _ in wanted])
            stored = [
                (result, count)
                for result, (_, count) in zip(results, wanted, strict=True)
                if isinstance(result, AppendResult)
            ]
            self._call_handlers(transaction, stored)
        return results

    def delete_stream(
        self,
        stream_id: str,
        *,
        expected_version: ExpectedVersion,
        reason: str,
        metadata: Mapping[str, Any] | None = None,
        reusable: bool = False,
    ) -> AppendResult:
        """Delete, and call the handlers with the event that says so; see `EventStore.delete_stream`."""
        with self.transaction() as transaction:
            result = EventStore.delete_stream(
                transaction,
                stream_id,
                expected_version=expected_version,
                reason=reason,
                metadata=metadata,
                reusable=reusable,
            )
            self._call_handlers(transaction, [(result, 1)])
        return result

    def _call_handlers(self, transaction: EventStore, stored: list[tuple[AppendResult, int]]) -> None:
        """Call them in the order of the results: that of the list, in which appends of a stream follow each other."""
        for projection in self._projections:
            with target_of(projection, transaction.connection) as target:
                for result, count in stored:
                    if not result.duplicate:
                        self._call(projection, transaction, result, count, target)
                write_out(target)

    def _call(
        self, projection: Projection, transaction: EventStore, result: AppendResult, count: int, target: Any
    ) -> None:
        first, filters = result.version - count, projection.filters
        for event in transaction.read_stream(result.stream_id, after_version=first, up_to_version=result.version):
            handler = projection.handler_of(event)
            if handler is not None and (not filters or any(each.matches(event) for each in filters)):
                handler(event, target)


def _counted(append: Append) -> tuple[Append, int]:
    """Return the append, and how many events it has; of an iterator, which can be read but once, with a list."""
    events = append.events
    if isinstance(events, Iterator):
        events = list(events)
        append = Append(append.stream_id, events, expected_version=append.expected_version, metadata=append.metadata)
    return append, len(events) if isinstance(events, Sized) else 0  # what is neither will be refused
