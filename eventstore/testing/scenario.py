"""Given/when/then specifications of aggregates, decisions and projections.

They run on a real store in memory, so events and states are stored and read back. They need no fixture.

Example:
    ```python
    def test_a_paid_order_is_shipped():
        given(orders, OrderPlaced("Ada"), OrderPaid(30)).when(Order.ship).then(OrderShipped())

    def test_an_order_that_is_not_paid_is_not_shipped():
        given(orders, OrderPlaced("Ada")).when(Order.ship).then_raises(NotPaid)

    def test_totals_follow_the_orders():
        scenario = projected(totals, metadata, event_types)
        scenario.given("order-1", ItemAdded("tea", 4)).then(select(totals_table), [("order-1", 4)])
    ```
"""

import re
import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Generic, Self, TypeVar, TypeVarTuple, overload

from sqlalchemy import MetaData, Select

from eventstore.codecs import Codec
from eventstore.decisions import Decision
from eventstore.event_types import EventTypes
from eventstore.events import NewEvent, RecordedEvent
from eventstore.projections import Projection, Worker
from eventstore.repository import LoadedAggregate, Repository
from eventstore.store import EventStore
from eventstore.streams import ANY

State = TypeVar("State")
Arguments = TypeVarTuple("Arguments")

_ID = "1"


class _Steps:
    """What scenarios of aggregates and of decisions have in common."""

    _store: EventStore
    _command: str = ""
    _error: Exception | None = None

    def _appended(self) -> Iterable[RecordedEvent]:
        """Return what the last step has appended."""
        raise NotImplementedError

    def _try(self, command: object, execute: Callable[[], object]) -> Self:
        self._command = getattr(command, "__qualname__", repr(command))
        try:
            execute()
        except Exception as error:  # noqa: BLE001  # the next step raises it, unless it expects this error
            self._error = error
        return self

    def then(self, *events: Any) -> Self:
        """Expect exactly these events to have been appended, in this order. Event types and data are compared.

        Args:
            events: Objects of registered classes, or `NewEvent`s. Without any, nothing may have been appended.
        """
        self._raise_error()
        expected = [_named(self._store.event_types, event) for event in events]
        appended = [(event.event_type, event.data) for event in self._appended()]
        if expected != appended:
            raise AssertionError(_difference("events", expected, appended))
        return self

    def then_nothing(self) -> Self:
        """Expect the command to have been accepted, without any event appended."""
        return self.then()

    def then_raises(self, error: type[Exception], match: str | None = None) -> Self:
        """Expect the command to have raised an error, in which case nothing was appended.

        Args:
            error: The type of the error.
            match: A regular expression that must match a part of its text.
        """
        raised, self._error = self._error, None
        if raised is None:
            msg = f"expected {error.__name__}, but the command was accepted"
            raise AssertionError(msg)
        if not isinstance(raised, error):
            raise raised
        if match is not None and not re.search(match, str(raised)):
            msg = f"expected {error.__name__} with a text that matches {match!r}, but it is {str(raised)!r}"
            raise AssertionError(msg) from raised
        return self

    def _raise_error(self) -> None:
        error, self._error = self._error, None
        if error is not None:
            raise error

    def __del__(self) -> None:
        error = getattr(self, "_error", None)
        if error is not None:
            msg = f"{self._command} raised {type(error).__name__}, which no `then…` has checked; add then_raises"
            warnings.warn(msg, ResourceWarning, stacklevel=2)


class Scenario(_Steps, Generic[State]):
    """A scenario of one aggregate; `given` returns it."""

    def __init__(self, repository: Repository[State], events: Sequence[Any]) -> None:
        self._store = EventStore.in_memory(event_types=repository.store.event_types, codec=repository.store.codec)
        self._repository = repository.with_store(self._store)
        self._stream_id = repository.stream_id(_ID)
        if events:
            self._store.append(self._stream_id, events, expected_version=ANY)
        self._before = self._store.stream_version(self._stream_id)

    def when(self, command: Callable[[State, *Arguments], Iterable[Any] | None], *arguments: *Arguments) -> Self:
        """Execute a command. A `then…` method checks the outcome.

        A further call executes a command on the result of the one before.
        """
        self._raise_error()
        self._before = self._store.stream_version(self._stream_id)
        return self._try(command, lambda: self._repository.execute(_ID, command, *arguments))

    def _appended(self) -> Iterable[RecordedEvent]:
        return self._store.read_stream(self._stream_id, after_version=self._before)

    def then_state(self, expected: State | Callable[[State], Any]) -> Self:
        """Expect a state, given as a value or as a function that returns whether the state is as expected."""
        state = self.loaded.state
        if callable(expected) and not isinstance(expected, type(state)):
            if not expected(state):
                msg = f"the state is not as expected: {state!r}"
                raise AssertionError(msg)
        elif state != expected:
            msg = f"expected the state {expected!r}, but it is {state!r}"
            raise AssertionError(msg)
        return self

    @property
    def loaded(self) -> LoadedAggregate[State]:
        """The present aggregate, for your own assertions."""
        self._raise_error()
        return self._repository.load(_ID, must_exist=False)


class DecisionScenario(_Steps, Generic[State, *Arguments]):
    """A scenario of one decision; `given` returns it."""

    def __init__(self, decision: Decision[State, *Arguments], events: Sequence[Any]) -> None:
        self._store = EventStore.in_memory(event_types=decision.store.event_types, codec=decision.store.codec)
        self._decision = decision.with_store(self._store)
        if events:
            self._store.append("given-1", events, expected_version=ANY)
        self._before = self._store.settled_position()

    def when(self, *arguments: *Arguments) -> Self:
        """Execute the decision with these arguments. A `then…` method checks the outcome.

        A further call executes it on the result of the one before.
        """
        self._raise_error()
        self._before = self._store.settled_position()
        return self._try(self._decision, lambda: self._decision.execute(*arguments))

    def _appended(self) -> Iterable[RecordedEvent]:
        return self._store.read_all(after_position=self._before)


class ProjectionScenario:
    """A scenario of one projection; `projected` returns it."""

    def __init__(self, projection: Projection, store: EventStore) -> None:
        self._projection = projection
        self._store = store

    def given(self, stream_id: str, *events: Any) -> Self:
        """Append events to a stream, and let the projection handle them.

        Args:
            stream_id: The stream.
            events: Objects of registered classes, or `NewEvent`s.

        Raises:
            ProjectionFailed: A handler failed; its error is the cause.
        """
        self._store.append(stream_id, events, expected_version=ANY)
        with Worker(self._store, self._projection) as worker:
            worker.run_until_caught_up()
        return self

    def when(self, stream_id: str, *events: Any) -> Self:
        """Do the same as `given`."""
        return self.given(stream_id, *events)

    def then(self, query: Select[Any], rows: Iterable[Sequence[Any]]) -> Self:
        """Expect a query to return exactly these rows, in any order."""
        with self._store.engine.connect() as connection:
            actual = [tuple(row) for row in connection.execute(query)]
        expected, left = [tuple(row) for row in rows], list(actual)
        for row in expected:
            if row in left:
                left.remove(row)
        if left or len(expected) != len(actual):
            raise AssertionError(_difference("rows", expected, actual))
        return self


@overload
def given(subject: Repository[State], *events: Any) -> Scenario[State]: ...


@overload
def given(subject: Decision[State, *Arguments], *events: Any) -> DecisionScenario[State, *Arguments]: ...


def given(subject: Any, *events: Any) -> Any:
    """Return a scenario of one aggregate, or of a decision, to which these events have happened.

    Args:
        subject: The repository of the aggregate, or the decision. Only its functions, event types and codec are used,
            not its store.
        events: Objects of registered classes, or `NewEvent`s; for a decision, with their tags. Without any, nothing has
            happened yet.
    """
    return DecisionScenario(subject, events) if isinstance(subject, Decision) else Scenario(subject, events)


def projected(
    projection: Projection, metadata: MetaData, event_types: EventTypes | None = None, *, codec: Codec | None = None
) -> ProjectionScenario:
    """Return a scenario of a projection that has handled no events yet.

    Args:
        projection: The projection.
        metadata: The metadata of the tables that it writes to, which are created in memory.
        event_types: As for the application's store.
        codec: As for the application's store.
    """
    store = EventStore.in_memory(event_types=event_types, codec=codec)
    metadata.create_all(store.engine)
    return ProjectionScenario(projection, store)


def _named(event_types: EventTypes, event: Any) -> tuple[str, Any]:
    new = event if isinstance(event, NewEvent) else event_types.new_event(event)
    return new.event_type, new.data


def _difference(what: str, expected: Sequence[object], actual: Sequence[object]) -> str:
    def listed(values: Sequence[object]) -> str:
        return "\n".join(f"    {value!r}" for value in values) or "    none"

    return f"other {what} than expected\nexpected:\n{listed(expected)}\nbut got:\n{listed(actual)}"
