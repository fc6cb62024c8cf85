"""Decisions: what to read, how to fold it, and what to append, where no single stream has all that a rule is about."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVarTuple

from sqlalchemy import Connection
from sqlalchemy.orm import Session, scoped_session

from eventstore.common.validation import check_flag, check_function, check_number, check_seconds
from eventstore.errors import InvalidInput
from eventstore.events import RecordedEvent, uuid7
from eventstore.filters import EventFilter
from eventstore.repository.inputs import events_of_command, first_state
from eventstore.repository.joining import store_in
from eventstore.repository.retrying import ATTEMPTS, BACKOFF_SECONDS, retry
from eventstore.repository.states import State
from eventstore.store import EventStore, check_store
from eventstore.streams import ANY, ExpectedVersion
from eventstore.tokens import PositionToken

Arguments = TypeVarTuple("Arguments")


@dataclass(frozen=True, slots=True)
class DecisionResult:
    """The result of a decision.

    Attributes:
        stream_id: The stream that was appended to; None if there was nothing to append.
        version: The version of that stream after it; 0 likewise.
        position: The position of the last of the events in the global order; 0 likewise.
        events: The appended events; empty likewise.
        attempts: How often it was decided.
        token: The token of the last of the events, for `EventStore.wait_for`; None likewise.
    """

    stream_id: str | None
    version: int
    position: int
    events: tuple[Any, ...]
    attempts: int = 1
    token: PositionToken | None = field(default=None, kw_only=True, repr=False)


class Decision(Generic[State, *Arguments]):
    """Decides by events of any streams, found by their tags, and appends on condition that there are no more of them.

    It is to consistency boundaries what `Repository` is to streams. Its functions take the arguments of `execute`, and
    depend on no store. There are no snapshots: each attempt reads all events that its queries match.

    A decision is cheap and thread-safe.

    Args:
        store: The application's store, or a joined one.
        queries: Returns the queries: filters with tags, and with event types if you like; any other filters only with
            `lock_all_appends`.
        initial: Makes the state before the first event, a new object each time; usually a class.
        evolve: Takes a state and the next event, a `RecordedEvent`, and returns the state after it, as for
            `Repository`. Events of all queries come in one order, each once.
        decide: Takes the state, then the arguments. It returns or yields events; none, or None, if there is nothing to
            do. To refuse, it raises any error, and nothing is appended. It should have no side effects.
        stream: Returns the id of the stream to append to. Defaults to a new stream for each decision.
        expected_version: The version that the stream must have, as for `EventStore.append`. Defaults to `ANY`.
        attempts: How often `execute` decides at most if there are conflicts with other writers, from 1.
        backoff_seconds: How long it waits at most before the second attempt; see `retry_conflicts`.
        lock_all_appends: As for `EventStore.read_boundary`: whether queries may be without tags, at the price that each
            append of this decision locks out all others. Defaults to False.

    Raises:
        InvalidInput: An argument is not valid.

    Example:
        ```python
        enrol = Decision(
            store,
            queries=lambda course, student: [
                EventFilter(tags=[f"course:{course}"]),
                EventFilter(tags=[f"student:{student}"], event_types=["student-enrolled"]),
            ],
            initial=Enrolment,
            evolve=Enrolment.after,
            decide=Enrolment.enrol,
        )
        enrol.execute("c1", "s7")
        ```
    """

    def __init__(
        self,
        store: EventStore,
        *,
        queries: Callable[[*Arguments], Iterable[EventFilter]],
        initial: Callable[[], State],
        evolve: Callable[[State, RecordedEvent], State],
        decide: Callable[[State, *Arguments], Iterable[Any] | None],
        stream: Callable[[*Arguments], str] | None = None,
        expected_version: ExpectedVersion = ANY,
        attempts: int = ATTEMPTS,
        backoff_seconds: float = BACKOFF_SECONDS,
        lock_all_appends: bool = False,
    ) -> None:
        check_store(store, may_be_joined=True)
        functions = {"queries": queries, "initial": initial, "evolve": evolve, "decide": decide}
        for name, function in (functions if stream is None else {**functions, "stream": stream}).items():
            check_function(name, function)
        first_state(initial)
        self._store = store
        self._queries = queries
        self._initial = initial
        self._evolve = evolve
        self._decide = decide
        self._stream = stream
        self._expected_version = expected_version
        self._attempts = check_number("attempts", attempts, minimum=1)
        self._backoff_seconds = check_seconds("backoff_seconds", backoff_seconds)
        self._lock_all_appends = check_flag("lock_all_appends", lock_all_appends)

    @property
    def store(self) -> EventStore:
        """The store."""
        return self._store

    def execute(self, *arguments: *Arguments, metadata: Mapping[str, Any] | None = None) -> DecisionResult:
        """Read, decide, and append on condition that no event has come between.

        If one has, or the stream is at another version than expected, everything is retried. In a joined transaction
        there is only one attempt, as for `Repository.execute`.

        Args:
            arguments: For the functions of this decision.
            metadata: As for `EventStore.append`.

        Raises:
            BoundaryChanged: In every attempt, an event has come between; likewise `ConcurrencyConflict`.
            InvalidInput: A function has returned something else than expected.
            EventStoreError: As for `EventStore.read_boundary` and `EventStore.append`.
        """
        attempts = 0

        def attempt() -> DecisionResult:
            nonlocal attempts
            attempts += 1
            return self._attempt(arguments, metadata, attempts)

        with self._store.core.observer.operation("execute") as observed:
            if self._store.core.execution.is_joined:
                result = attempt()
            else:
                pause = self._store.core.driver.waiting.pause
                result = retry(attempt, pause, attempts=self._attempts, backoff_seconds=self._backoff_seconds)
            observed.note(events=len(result.events), attempts=attempts)
        return result

    def _attempt(
        self, arguments: tuple[*Arguments], metadata: Mapping[str, Any] | None, attempts: int
    ) -> DecisionResult:
        queries = _listed(self._queries(*arguments))
        boundary = self._store.read_boundary(*queries, lock_all_appends=self._lock_all_appends)
        state = first = self._initial()
        for event in boundary:
            state = self._evolve(state, event)
            if state is None and first is not None:
                msg = f"evolve has returned None for {event.event_type!r}; return the state after the event"
                raise InvalidInput(msg)
        events = events_of_command(self._store.event_types, self._decide(state, *arguments))
        if not events:
            return DecisionResult(None, 0, 0, (), attempts)
        stream_id = f"decision-{uuid7()}" if self._stream is None else self._stream(*arguments)
        result = self._store.append(
            stream_id, events, expected_version=self._expected_version, metadata=metadata, condition=boundary
        )
        return DecisionResult(result.stream_id, result.version, result.position, events, attempts, token=result.token)

    def join(self, target: EventStore | Session | scoped_session[Any] | Connection) -> "Decision[State, *Arguments]":
        """Return this decision inside a transaction, which must be at READ COMMITTED.

        Args:
            target: The store of `store.transaction()` or `store.join`, or a target that `EventStore.join` accepts.

        Raises:
            NotInTransaction: The target is a store that is not joined to a transaction.
            DatabaseMismatch: The target is on another database.
            InvalidInput: The target is none of these.
        """
        return self.with_store(store_in(target, self._store, of="decision"))

    def with_store(self, store: EventStore) -> "Decision[State, *Arguments]":
        """Return the same decision on another store, whose event types must have the same classes."""
        other: Decision[State, *Arguments] = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        other._store = store
        return other


def _listed(queries: object) -> tuple[EventFilter, ...]:
    if not isinstance(queries, Iterable) or isinstance(queries, EventFilter):
        msg = f"queries must return a list of EventFilters, not {type(queries).__name__}"
        raise InvalidInput(msg)
    return tuple(queries)
