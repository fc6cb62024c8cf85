"""Several aggregates in one transaction, which is retried as a whole."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, TypeVar, TypeVarTuple

from eventstore.backends.contention import is_conflict
from eventstore.backends.protocol import Driver
from eventstore.common.validation import check_function, check_runs_when_called
from eventstore.errors import InvalidInput
from eventstore.repository.joining import store_in
from eventstore.repository.retrying import ATTEMPTS, BACKOFF_SECONDS, pauses_between, retry
from eventstore.store import EventStore

Members = TypeVarTuple("Members")
Result = TypeVar("Result")


def transact(
    function: Callable[[*Members], Result],
    *members: *Members,
    attempts: int = ATTEMPTS,
    backoff_seconds: float = BACKOFF_SECONDS,
) -> Result:
    """Decide about several aggregates in one transaction, and save all of them or none; retry after conflicts.

    The function is called with the members joined to a new transaction, which is committed when it returns. An error
    that leaves it rolls back everything. After a conflict with another writer, a deadlock or a serialization failure of
    PostgreSQL, or if SQLite is busy, everything is rolled back and retried as by `retry_conflicts`, with the pauses of
    that.

    The first attempt locks a stream when it appends to it, and gives up if it would have to wait for a lock for more
    than 0.05 seconds on PostgreSQL, because two that use their aggregates in opposite orders wait for each other. A
    further attempt first waits for the streams of all aggregates that those before have loaded, in sorted order, and
    locks them; it gives up in the same way only if it may come to others. So the order in which functions use their
    aggregates does not matter.

    Members that are joined to a transaction already are used in that, in a savepoint, and there is only one attempt, as
    for `Repository.execute`. Never call it for other members inside a transaction on the same streams: it would wait
    for the locks of that.

    Args:
        function: Takes the members, joined, in the same order. It loads, decides and saves with them. It is called once
            for each attempt, so it should have no side effects outside of the transaction.
        members: Repositories and decisions of one database, and stores, for appends and `EventStore.connection`. At
            least one. Snapshots of the repositories are saved in the transaction, too.
        attempts: How often to call the function at most, from 1.
        backoff_seconds: As for `retry_conflicts`.

    Returns:
        The result of the function. Positions and versions in it are those that were committed.

    Raises:
        ConcurrencyConflict: The last attempt was in conflict, too; likewise the other errors that are retried.
        DatabaseMismatch: A member is on another database than the first.
        InvalidInput: An argument is not valid, or members are joined to different transactions.

    Example:
        ```python
        def fulfil(orders: Repository[Order], stock: Repository[Stock]) -> None:
            orders.execute("42", Order.ship)
            stock.execute("tea", Stock.take, 3)

        transact(fulfil, orders, stock)
        ```
    """
    check_function("function", function)
    check_runs_when_called("function", function)
    pauses_between(attempts, backoff_seconds)
    first = first_store(members)
    streams = Streams()

    def attempt() -> Result:
        with first.transaction() as transaction:
            noting = streams.begin(transaction)
            within: Any = [_joined(member, noting) for member in members]
            return function(*within)

    if first.core.execution.is_joined:
        with first.transaction() as transaction:
            return function(*[_joined(member, transaction) for member in members])
    return retry(
        attempt,
        first.core.driver.waiting.pause,
        attempts=attempts,
        backoff_seconds=backoff_seconds,
        is_retried=lambda error: streams.is_retried(error, first.core.driver),
    )


def first_store(members: Iterable[object]) -> EventStore:
    """Return the store whose transaction the members take part in.

    Raises:
        InvalidInput: There is no member, one can't take part, or they are joined to different transactions.
    """
    stores = [_store_of(member) for member in members]
    if not stores:
        msg = "transact needs the repositories that the function works with: transact(function, orders, stock)"
        raise InvalidInput(msg)
    first = stores[0]
    is_joined = first.core.execution.is_joined
    if any(store.core.execution.is_joined is not is_joined for store in stores) or (
        is_joined and any(store.connection is not first.connection for store in stores)
    ):
        msg = "some members are joined to a transaction and others are not, or to another one; pass them as they are"
        raise InvalidInput(msg)
    return first


class Streams:
    """The streams of the aggregates that the attempts so far have loaded, which the next one locks first.

    As long as an attempt may come to other streams, it must not wait for these with those locked.
    """

    def __init__(self) -> None:
        self._known: set[str] = set()
        self._loaded: set[str] = set()
        self._is_limited = True

    def begin(self, transaction: EventStore) -> EventStore:
        """Begin an attempt; return the store of its transaction, from which `store_in` makes others that note, too."""
        core = transaction.core
        if self._known or self._loaded:
            self._is_limited = not self._loaded <= self._known
            self._known |= self._loaded
        with core.execution.statement() as run:
            if self._known:
                core.dialect.lock_heads(run, sorted(self._known), create=())
            if self._is_limited:
                core.dialect.limit_lock_waits(run)
        self._loaded.clear()
        return transaction.with_core(replace(core, loaded_streams=self._loaded))

    def is_retried(self, error: Exception, driver: Driver) -> bool:
        """Return whether other transactions were in the way, or the limit was reached."""
        return is_conflict(error) or (self._is_limited and driver.is_contention(error))


def _joined(member: Any, transaction: EventStore) -> Any:
    store = _store_of(member)
    if store.core.execution.is_joined:  # to the same by the caller; or it is Django's, which finds it itself
        store = store.with_core(replace(store.core, loaded_streams=transaction.core.loaded_streams))
    else:
        store = store_in(transaction, store, of=type(member).__name__.lower())
    return store if isinstance(member, EventStore) else member.with_store(store)


def _store_of(member: Any) -> EventStore:
    store = member if isinstance(member, EventStore) else getattr(member, "store", None)
    if not isinstance(store, EventStore) or not (store is member or hasattr(member, "with_store")):
        msg = f"a member must be a Repository, a Decision or an EventStore, not {type(member).__name__}"
        raise InvalidInput(msg)
    return store
