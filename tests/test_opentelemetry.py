"""Spans and metrics, as an exporter of the SDK receives them."""

import time
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version

import pytest
from opentelemetry.trace import StatusCode
from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from eventstore import (
    ANY,
    NO_STREAM,
    Append,
    ConcurrencyConflict,
    EncodingError,
    EventStore,
    InvalidInput,
    NewEvent,
    ProjectionFailed,
    RecordedEvent,
    Repository,
)
from eventstore.contrib.opentelemetry import instrument
from eventstore.observer import DatabaseAddress
from eventstore.projections import OnFailure, Projection, Worker, inline
from eventstore.repository import always
from tests.fix_leaks import SECRET
from tests.telemetry import Telemetry, attributes
from tests.waiting import until

pytest_plugins = ["tests.fix_telemetry"]


def happened(count: int = 1) -> list[NewEvent]:
    return [NewEvent("happened", {"text": SECRET}) for _ in range(count)]


@pytest.fixture
def store(any_engine: Engine, telemetry: Telemetry) -> EventStore:
    store = EventStore(any_engine)
    telemetry.instrument(store)
    return store


# --- spans


def test_an_append_is_a_span_by_the_conventions_for_databases(store: EventStore, telemetry: Telemetry) -> None:
    store.append("order-1", [*happened(), NewEvent("paid")], expected_version=NO_STREAM)
    (span,) = telemetry.spans()
    assert (span.name, span.kind.name, span.status.status_code) == ("append es_events", "CLIENT", StatusCode.UNSET)
    url = store.engine.url
    server = {} if url.host is None else {"server.address": url.host, "server.port": url.port}
    assert attributes(span) == {
        **server,
        "db.system.name": store.engine.dialect.name,
        "db.namespace": url.database,
        "db.operation.name": "append",
        "db.collection.name": "es_events",
        "eventstore.stream_id": "order-1",
        "eventstore.events": 2,
    }


def test_the_scope_says_which_version_of_the_package_it_is(store: EventStore, telemetry: Telemetry) -> None:
    store.append("order-1", happened(), expected_version=NO_STREAM)
    (span,) = telemetry.spans()
    assert span.instrumentation_scope is not None
    assert span.instrumentation_scope.name == "eventstore"
    assert span.instrumentation_scope.version == version("sqlalchemy-eventstore")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql+psycopg://u:secret@db:5433/shop", DatabaseAddress("postgresql", "shop", "north", "db", 5433)),
        ("postgresql+psycopg:///shop?host=/run/pg", DatabaseAddress("postgresql", "shop", "north", "/run/pg")),
        ("postgresql+psycopg://a,b/shop?target_session_attrs=primary", DatabaseAddress("postgresql", "shop", "north")),
        ("postgresql+psycopg://", DatabaseAddress("postgresql", schema="north")),
        ("sqlite:////srv/shop.db", DatabaseAddress("sqlite", "/srv/shop.db")),
        ("sqlite://", DatabaseAddress("sqlite")),
    ],
)
def test_the_address_is_what_is_configured(url: str, expected: DatabaseAddress) -> None:
    assert EventStore(create_engine(url), schema=expected.schema).address == expected


def test_a_named_schema_is_a_part_of_the_namespace(postgres_engine: Engine, telemetry: Telemetry) -> None:
    store = EventStore(postgres_engine, schema="public")
    telemetry.instrument(store)
    store.stream_version("order-1")
    list(store.read_stream("order-1"))
    (span,) = telemetry.spans()
    assert attributes(span)["db.namespace"] == f"{postgres_engine.url.database}|public"


def test_a_joined_store_a_transaction_and_several_streams_are_observed(store: EventStore, telemetry: Telemetry) -> None:
    with Session(store.engine) as session, session.begin():
        store.join(session).append("a-1", happened(), expected_version=NO_STREAM)
    with store.transaction() as joined:
        joined.append("a-2", happened(), expected_version=NO_STREAM)
    store.append_many(
        [Append("a-3", happened(), expected_version=NO_STREAM), Append("a-1", happened(), expected_version=5)],
        atomic=False,
    )
    figures = [attributes(span)["eventstore.events"] for span in telemetry.spans()]
    assert [span.name for span in telemetry.spans()] == ["append es_events"] * 2 + ["append_many es_events"]
    assert figures == [1, 1, 1]
    ((conflicts,),) = [telemetry.points("eventstore.conflicts")]
    assert conflicts.value == 1


def test_a_page_is_a_span_and_looking_for_news_is_none(store: EventStore, telemetry: Telemetry) -> None:
    store.append("order-1", happened(3), expected_version=NO_STREAM)
    telemetry.exporter.clear()
    assert len(list(store.read_stream("order-1"))) == len(list(store.read_all())) == 3
    assert [attributes(span)["eventstore.events"] for span in telemetry.spans("read es_events")] == [3, 3]
    with store.subscribe(after_position=3, idle_timeout_seconds=0.02) as subscription:
        list(subscription)
    assert len(telemetry.spans()) == 2


def test_a_command_is_a_span_around_its_load_its_appends_and_its_snapshot(
    store: EventStore, telemetry: Telemetry
) -> None:
    counters = Repository(
        store, category="counter", initial=int, evolve=lambda state, _event: state + 1, snapshots=always
    )
    counters.execute("1", lambda _state: happened())
    telemetry.exporter.clear()
    counters.execute("1", lambda _state: happened())
    spans = {span.name: span for span in telemetry.spans()}
    command = spans["execute es_events"]
    assert attributes(command)["eventstore.attempts"] == 1
    assert command.context is not None
    for name in ("load es_events", "append es_events", "save_snapshot snapshots"):
        parent = spans[name].parent
        assert parent is not None, name
        assert parent.trace_id == command.context.trace_id, name
    first_load = telemetry.spans("load es_events")[0]
    assert attributes(first_load)["eventstore.snapshot_version"] == 1
    assert attributes(first_load)["eventstore.events"] == 0


def test_a_conflict_is_an_answer_and_counted_by_category(store: EventStore, telemetry: Telemetry) -> None:
    for _ in range(2):
        with pytest.raises(ConcurrencyConflict):
            store.append("order-1", happened(), expected_version=7)
    span = telemetry.spans()[0]
    assert span.status.status_code is StatusCode.UNSET
    assert attributes(span)["eventstore.conflicts"] == 1
    assert "error.type" not in attributes(span)
    (conflicts,) = telemetry.points("eventstore.conflicts")
    assert conflicts.value == 2
    assert conflicts.attributes["eventstore.category"] == "order"
    (duration,) = telemetry.points("db.client.operation.duration")
    assert duration.count == 2
    assert "error.type" not in duration.attributes


def test_a_command_that_gives_up_has_failed(store: EventStore, telemetry: Telemetry) -> None:
    counters = Repository(store, category="counter", initial=int, evolve=lambda state, _event: state + 1, attempts=2)

    def decide(_state: int) -> list[NewEvent]:
        store.append("counter-1", happened(), expected_version=ANY)  # another writer is quicker, each time
        return happened()

    with pytest.raises(ConcurrencyConflict):
        counters.execute("1", decide)
    (command,) = telemetry.spans("execute es_events")
    assert (command.status.status_code, attributes(command)["error.type"]) == (StatusCode.ERROR, "ConcurrencyConflict")
    assert {span.status.status_code for span in telemetry.spans("append")} == {StatusCode.UNSET}


def test_an_error_of_the_database_is_named_by_its_code(postgres_engine: Engine, telemetry: Telemetry) -> None:
    store = EventStore(postgres_engine)
    telemetry.instrument(store)
    with postgres_engine.connect() as connection, connection.begin() as transaction:
        connection.exec_driver_sql("SET LOCAL statement_timeout = 1")
        with pytest.raises(DBAPIError):
            connection.exec_driver_sql("SELECT pg_sleep(1)")
        with pytest.raises(DBAPIError):
            store.join(connection).append("order-1", happened(), expected_version=NO_STREAM)
        transaction.rollback()
    (span,) = telemetry.spans()
    expected = {"db.response.status_code": "25P02", "error.type": "25P02"}
    assert attributes(span).items() >= expected.items()
    (duration,) = telemetry.points("db.client.operation.duration")
    assert duration.attributes.items() >= expected.items()


# --- from an append to its projection


def test_the_span_of_a_projection_links_to_the_append(store: EventStore, telemetry: Telemetry) -> None:
    tracer = telemetry.tracer_provider.get_tracer("test")
    for number in (1, 2):
        with tracer.start_as_current_span(f"request {number}"):
            store.append(f"order-{number}", happened(), expected_version=NO_STREAM)
    appended = {(span.context.trace_id, span.context.span_id) for span in telemetry.spans("append") if span.context}
    assert store_metadata_keys(store) == {"traceparent"}
    projection = Projection("totals")

    @projection.on("happened")
    def count(event: RecordedEvent, connection: Connection) -> None:
        with tracer.start_as_current_span("handler"):
            pass

    Worker(store, projection).run_until_caught_up()
    (batch,) = telemetry.spans("project es_checkpoints")
    assert {(link.context.trace_id, link.context.span_id) for link in batch.links} == appended
    assert attributes(batch)["eventstore.projection"] == "totals"
    assert attributes(batch)["eventstore.events"] == 2
    handler = telemetry.spans("handler")[0]
    assert handler.parent is not None
    assert batch.context is not None
    assert handler.parent.span_id == batch.context.span_id
    (lag,) = telemetry.points("eventstore.projection.lag")
    assert lag.value == 0


def store_metadata_keys(store: EventStore) -> set[str]:
    return {key for event in store.read_all() for key in event.metadata}


def test_a_trace_context_that_an_event_has_already_stays(store: EventStore) -> None:
    given = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    store.append("order-1", happened(), expected_version=NO_STREAM, metadata={"traceparent": given})
    assert next(store.read_stream("order-1")).metadata == {"traceparent": given}


def test_what_is_no_trace_context_is_no_link(store: EventStore, telemetry: Telemetry) -> None:
    for number, wrong in enumerate(["nonsense", 7, None]):
        store.append(f"order-{number}", happened(), expected_version=NO_STREAM, metadata={"traceparent": wrong})
    projection = Projection("totals")
    projection.on("happened")(lambda _event, _connection: None)
    Worker(store, projection).run_until_caught_up()
    (batch,) = telemetry.spans("project")
    assert (attributes(batch)["eventstore.events"], list(batch.links)) == (3, [])


def test_dead_letters_are_counted(store: EventStore, telemetry: Telemetry) -> None:
    store.append("order-1", happened(2), expected_version=NO_STREAM)
    projection = Projection("fails", on_failure=OnFailure.DEAD_LETTER)

    @projection.on("happened")
    def fail(event: RecordedEvent, connection: Connection) -> None:
        raise ValueError(event.data)

    Worker(store, projection).run_until_caught_up()
    (dead_letters,) = telemetry.points("eventstore.projection.dead_letters")
    assert (dead_letters.value, dead_letters.attributes["eventstore.projection"]) == (2, "fails")


# --- metrics


def test_every_operation_is_timed_and_its_events_are_counted(store: EventStore, telemetry: Telemetry) -> None:
    store.append("order-1", happened(3), expected_version=NO_STREAM)
    list(store.read_stream("order-1"))
    durations = {
        point.attributes["db.operation.name"]: point for point in telemetry.points("db.client.operation.duration")
    }
    sizes = {point.attributes["db.operation.name"]: point.sum for point in telemetry.points("eventstore.batch.size")}
    assert {name: point.count for name, point in durations.items()} == {"append": 1, "read": 1}
    assert sizes == {"append": 3, "read": 3}
    assert not any("eventstore.stream_id" in point.attributes for point in durations.values())  # one series a stream


def test_a_wait_for_an_append_under_way_is_measured(postgres_engine: Engine, telemetry: Telemetry) -> None:
    store = EventStore(postgres_engine)
    telemetry.instrument(store)
    with store.transaction() as open_append:
        open_append.append("slow-1", happened(), expected_version=NO_STREAM)
        store.append("quick-1", happened(), expected_version=NO_STREAM)
        assert list(store.read_all(wait_seconds=0.02)) == []
    (wait,) = telemetry.points("eventstore.settled.wait")
    assert wait.count == 1
    assert wait.sum >= 0.02


def test_a_wait_of_a_subscription_is_measured_when_it_is_over(postgres_engine: Engine, telemetry: Telemetry) -> None:
    store = EventStore(postgres_engine)
    telemetry.instrument(store)
    with store.transaction() as open_append, store.subscribe(after_position=0, idle_timeout_seconds=10) as subscription:
        open_append.append("slow-1", happened(), expected_version=NO_STREAM)
        store.append("quick-1", happened(), expected_version=NO_STREAM)
        with ThreadPoolExecutor(1) as threads:
            reading = threads.submit(next, subscription)
            until(lambda: subscription._waiting_since is not None, reading)
            waits_since = time.monotonic()
            open_append.connection.commit()
            waited_seconds = time.monotonic() - waits_since
            assert reading.result(timeout=30).stream_id == "slow-1"
    (wait,) = telemetry.points("eventstore.settled.wait")
    assert wait.count == 1
    assert wait.sum >= waited_seconds


def test_the_pool_is_observed_and_not_kept_alive(store: EventStore, telemetry: Telemetry) -> None:
    store.append("order-1", happened(), expected_version=NO_STREAM)
    with store.engine.connect():
        points = telemetry.points("db.client.connection.count")
    url = store.engine.url
    name = url.database if url.host is None else f"{url.host}:{url.port}/{url.database}"
    assert {"db.client.connection.state": "used", "db.client.connection.pool.name": name} in [
        dict(point.attributes) for point in points if point.value == 1
    ]


# --- nothing leaks, nothing is paid twice


def test_no_payload_is_in_any_span_or_metric(store: EventStore, telemetry: Telemetry) -> None:
    store.append("order-1", happened(), expected_version=NO_STREAM, metadata={"note": SECRET})
    list(store.read_all())
    with pytest.raises(ConcurrencyConflict):
        store.append("order-1", happened(), expected_version=NO_STREAM)
    with pytest.raises(EncodingError):
        store.append("order-1", [NewEvent("happened", {"text": SECRET, "wrong": object()})], expected_version=ANY)
    projection = Projection("fails")

    @projection.on("happened")
    def fail(event: RecordedEvent, connection: Connection) -> None:
        raise ValueError(event.data)

    with pytest.raises(ProjectionFailed):
        Worker(store, projection).run_until_caught_up()
    exported = telemetry.text()
    assert "EncodingError" in exported
    assert SECRET not in exported


def test_a_store_is_instrumented_once(store: EventStore) -> None:
    with pytest.raises(InvalidInput, match="already"):
        instrument(store)
    with pytest.raises(InvalidInput, match="EventStore"):
        instrument(store.engine)  # type: ignore[arg-type]  # that is what is tested


def test_what_was_made_from_the_store_before_is_observed_too(any_engine: Engine, telemetry: Telemetry) -> None:
    store = EventStore(any_engine)
    counters = Repository(store, category="counter", initial=int, evolve=lambda state, _event: state + 1)
    totals = Projection("totals")
    totals.on("happened")(lambda _event, _connection: None)
    counting = inline(store, totals)
    worker = Worker(store, Projection("others"))
    with Session(any_engine) as session:
        joined = store.join(session)
        telemetry.instrument(store)
        joined.append("a-1", happened(), expected_version=NO_STREAM)
        session.commit()
    counting.append("a-2", happened(), expected_version=NO_STREAM)
    counters.execute("1", lambda _state: happened())
    worker.run_until_caught_up()
    operations = [attributes(span)["db.operation.name"] for span in telemetry.spans()]
    assert operations.count("append") == 3
    assert {"execute", "load", "project"} <= set(operations)


def test_without_a_sdk_nothing_is_written_into_metadata(any_engine: Engine) -> None:
    store = EventStore(any_engine)
    instrument(store)  # the API alone: its spans are not recorded, and have no context
    store.append("order-1", happened(), expected_version=NO_STREAM)
    assert next(store.read_stream("order-1")).metadata == {}
