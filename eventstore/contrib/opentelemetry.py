"""OpenTelemetry spans and metrics of a store, its repositories and its projections."""

import time
import weakref
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from importlib.metadata import version
from typing import Any, Final

from opentelemetry import metrics, trace
from opentelemetry.context import Context
from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, TracerProvider
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import AttributeValue
from sqlalchemy import Engine
from sqlalchemy.pool import QueuePool

from eventstore.common.error_type import error_type
from eventstore.correlation import metadata_context
from eventstore.errors import ConcurrencyConflict, InvalidInput
from eventstore.observer import DatabaseAddress, Operation
from eventstore.store import EventStore, check_store
from eventstore.streams import category_of

_SCOPE: Final = "eventstore"
_PACKAGE: Final = "sqlalchemy-eventstore"
_SCHEMA_URL: Final = "https://opentelemetry.io/schemas/1.33.0"
"""The version of the semantic conventions in which those for databases became stable."""

_LINKS_AT_MOST: Final = 128
"""How many links a span has, which is the default limit of OpenTelemetry's SDK; it drops the rest."""

_SECONDS: Final = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0)
"""The bounds of the buckets, from the semantic conventions for db.client.operation.duration."""

_NUMBERS: Final = (1.0, 2.0, 5.0, 10.0, 50.0, 100.0, 500.0, 1000.0, 10_000.0, 100_000.0)

_TABLES: Final[Mapping[Operation, str]] = {
    "append": "es_events",
    "append_many": "es_events",
    "read": "es_events",
    "load": "es_events",
    "execute": "es_events",
    "save_snapshot": "snapshots",
    "load_snapshot": "snapshots",
    "project": "es_checkpoints",
}
_WRITES: Final = frozenset[Operation](("append", "append_many"))
_TRACE_CONTEXT: Final = TraceContextTextMapPropagator()


def instrument(
    store: EventStore, *, tracer_provider: TracerProvider | None = None, meter_provider: MeterProvider | None = None
) -> None:
    """Record spans and metrics of a store from now on.

    Call it once. Repositories, workers and joined stores that were made from the store are observed, too: in Flask,
    instrument `events.store`, in Django `get_store()`. In processes that fork, call it after the fork, as
    OpenTelemetry's exporters require.

    An append writes its trace context into the metadata of its events (`traceparent`, `tracestate`), unless they have
    one; the span of a projection's batch links to them. Spans contain no payload, metadata or text of an error. An
    append with a concurrency conflict is no error: that is one of its two answers.

    Args:
        store: The application's store.
        tracer_provider: Defaults to None: OpenTelemetry's global one.
        meter_provider: Defaults to None: OpenTelemetry's global one.

    Raises:
        InvalidInput: The store is instrumented already.

    Example:
        ```python
        store = EventStore(engine)
        instrument(store)
        ```
    """
    check_store(store, may_be_joined=True, in_asyncio="instrument its sync_store")
    if isinstance(store.observer, _OpenTelemetry):
        msg = "this store is instrumented already; remove the second call, which would count each append twice"
        raise InvalidInput(msg)
    observer = _OpenTelemetry(store.address, tracer_provider, meter_provider)
    with suppress(InvalidInput):  # a store on Django's connections has no engine, and no pool
        observer.observe_pool(store.engine, _pool_name(store.address))
    store.observe(observer)


class _Operation:
    """One operation in progress, with its span and its figures."""

    def __init__(self, span: Span) -> None:
        self._span = span
        self._links = 0
        self.figures: dict[str, int] = {}

    def note(self, **figures: int) -> None:
        self.figures.update(figures)
        if self._span.is_recording():
            self._span.set_attributes({f"eventstore.{name}": figure for name, figure in figures.items()})

    def caused_by(self, metadata: Mapping[str, Any]) -> None:
        traceparent = metadata.get("traceparent")
        if not isinstance(traceparent, str) or self._links == _LINKS_AT_MOST or not self._span.is_recording():
            return
        carrier = {key: text for key in ("traceparent", "tracestate") if isinstance(text := metadata.get(key), str)}
        context = trace.get_current_span(_TRACE_CONTEXT.extract(carrier, context=Context())).get_span_context()
        if context.is_valid:
            self._span.add_link(context)
            self._links += 1


class _OpenTelemetry:
    """The observer of one store."""

    def __init__(
        self, address: DatabaseAddress, tracer_provider: TracerProvider | None, meter_provider: MeterProvider | None
    ) -> None:
        self._tracer = trace.get_tracer(_SCOPE, version(_PACKAGE), tracer_provider, _SCHEMA_URL)
        self._meter = meter = metrics.get_meter(_SCOPE, version(_PACKAGE), meter_provider, _SCHEMA_URL)
        self._database = _attributes_of(address)
        self._duration = meter.create_histogram(
            "db.client.operation.duration",
            "s",
            "Duration of each operation of the store.",
            explicit_bucket_boundaries_advisory=_SECONDS,
        )
        self._events = meter.create_histogram(
            "eventstore.batch.size",
            "{event}",
            "Events appended, read or handled by one operation.",
            explicit_bucket_boundaries_advisory=_NUMBERS,
        )
        self._waits = meter.create_histogram(
            "eventstore.settled.wait",
            "s",
            "How long readers of the global order have waited for appends in progress.",
            explicit_bucket_boundaries_advisory=_SECONDS,
        )
        self._conflicts = meter.create_counter(
            "eventstore.conflicts", "{conflict}", "Appends with a concurrency conflict."
        )
        self._dead_letters = meter.create_counter("eventstore.projection.dead_letters", "{event}", "New dead letters.")
        self._lag = meter.create_gauge(
            "eventstore.projection.lag",
            "{position}",
            "Lag of a projection behind the settled position, after a batch.",
        )

    def observe_pool(self, engine: Engine, name: str) -> None:
        """Observe the connections of an engine's pool, as long as there is the engine."""
        reference, attributes = weakref.ref(engine), {"db.client.connection.pool.name": name}

        def count(_options: CallbackOptions) -> Iterator[Observation]:
            pool = None if (engine := reference()) is None else engine.pool
            if isinstance(pool, QueuePool):
                yield Observation(pool.checkedout(), {**attributes, "db.client.connection.state": "used"})
                yield Observation(pool.checkedin(), {**attributes, "db.client.connection.state": "idle"})

        self._meter.create_observable_up_down_counter(
            "db.client.connection.count", [count], "{connection}", "Connections of the pool, by state."
        )

    @contextmanager
    def operation(
        self, name: Operation, *, stream_id: str | None = None, projection: str | None = None
    ) -> Iterator[_Operation]:
        table = _TABLES[name]
        attributes = {**self._database, "db.operation.name": name, "db.collection.name": table}
        of_span, of_metrics = dict(attributes), dict(attributes)
        if isinstance(stream_id, str):
            of_span["eventstore.stream_id"] = stream_id
            of_metrics["eventstore.category"] = category_of(stream_id)
        if projection is not None:
            of_span["eventstore.projection"] = of_metrics["eventstore.projection"] = projection
        begun = time.perf_counter()
        with self._tracer.start_as_current_span(
            f"{name} {table}",
            kind=SpanKind.CLIENT,
            attributes=of_span,
            record_exception=False,  # the text of an application's error may contain payload
            set_status_on_exception=False,
        ) as span:
            operation, failure = _Operation(span), dict[str, AttributeValue]()
            try:
                with _trace_context() if name in _WRITES else nullcontext():
                    yield operation
            except BaseException as error:
                if isinstance(error, ConcurrencyConflict) and name in _WRITES:
                    operation.note(conflicts=1)
                else:
                    failure = _failure_of(error)
                    span.set_attributes(failure)
                    span.set_status(Status(StatusCode.ERROR))
                raise
            finally:
                self._duration.record(time.perf_counter() - begun, {**of_metrics, **failure})
                if not failure:
                    self._measure(operation.figures, of_metrics)

    def waited(self, seconds: float) -> None:
        self._waits.record(seconds, self._database)

    def _measure(self, figures: Mapping[str, int], attributes: Mapping[str, AttributeValue]) -> None:
        if "events" in figures:
            self._events.record(figures["events"], attributes)
        if figures.get("conflicts"):
            self._conflicts.add(figures["conflicts"], attributes)
        if figures.get("dead_letters"):
            self._dead_letters.add(figures["dead_letters"], attributes)
        if "lag" in figures:
            self._lag.set(figures["lag"], attributes)


def _attributes_of(address: DatabaseAddress) -> dict[str, AttributeValue]:
    """Return the attributes that spans and metrics of one store have in common."""
    attributes: dict[str, AttributeValue | None] = {
        "db.system.name": address.system,
        "db.namespace": "|".join(filter(None, (address.database, address.schema))) or None,
        "server.address": address.host,
        "server.port": None if address.host is None else address.port,
    }
    return {name: value for name, value in attributes.items() if value is not None}


def _pool_name(address: DatabaseAddress) -> str:
    """Return the name that the conventions give a pool that has none; without the schema, as schemas share a pool."""
    server = address.host if address.port is None else f"{address.host or ''}:{address.port}"
    return "/".join(filter(None, (server, address.database))) or address.system


def _failure_of(error: BaseException) -> dict[str, AttributeValue]:
    """Return the attributes of an operation that has failed: the database's code if it has given one, or the class."""
    is_djangos = type(error).__module__ == "django.db.utils"  # it has the driver's error as its cause
    code = getattr(error.__cause__ if is_djangos else getattr(error, "orig", None), "sqlstate", None)
    if isinstance(code, str):
        return {"db.response.status_code": code, "error.type": code}
    return {"error.type": error_type(error)}


def _trace_context() -> AbstractContextManager[object]:
    """Write the current trace context into the metadata of the events that are appended inside the block."""
    carrier: dict[str, Any] = {}
    _TRACE_CONTEXT.inject(carrier)
    return metadata_context(carrier) if carrier else nullcontext()
