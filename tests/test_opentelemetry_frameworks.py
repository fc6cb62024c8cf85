"""A request is one tree of spans: the framework's, the store's, and those of SQLAlchemy and psycopg."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from django.apps import apps
from django.db import connections, transaction
from django.http import HttpRequest, HttpResponse
from django.test import Client, override_settings
from django.urls import path
from flask import Flask
from opentelemetry.sdk.trace import ReadableSpan
from sqlalchemy import URL, Engine

from eventstore import NO_STREAM, ConcurrencyConflict, EventStore, NewEvent, Repository
from eventstore.contrib.django import get_store
from eventstore.contrib.flask import FlaskEventStore, current_session, current_store
from tests.fix_leaks import SECRET
from tests.flask_applications import Invoice, with_flask_sqlalchemy, with_kept_session, with_own_session
from tests.readers import opened
from tests.telemetry import Telemetry, attributes

WHY = "the packages of OpenTelemetry's instrumentation are not installed: pip install '.[test]'"
DjangoInstrumentor = pytest.importorskip("opentelemetry.instrumentation.django", reason=WHY).DjangoInstrumentor
FlaskInstrumentor = pytest.importorskip("opentelemetry.instrumentation.flask", reason=WHY).FlaskInstrumentor
PsycopgInstrumentor = pytest.importorskip("opentelemetry.instrumentation.psycopg", reason=WHY).PsycopgInstrumentor
SQLAlchemyInstrumentor = pytest.importorskip(
    "opentelemetry.instrumentation.sqlalchemy", reason=WHY
).SQLAlchemyInstrumentor

pytest_plugins = ["tests.fix_flask", "tests.fix_telemetry"]


@contextmanager
def instrumented(instrumentor: Any, telemetry: Telemetry) -> Iterator[None]:
    """Instrument a library in this process; a dependency that it has not been tested with is no reason not to."""
    owners: tuple[Any, ...] = (psycopg, psycopg.Connection, psycopg.AsyncConnection)
    kept = [(owner, vars(owner)["connect"]) for owner in owners]
    instrumentor.instrument(tracer_provider=telemetry.tracer_provider, skip_dep_check=True)
    try:
        yield
    finally:
        instrumentor.uninstrument()
        for owner, connect in kept:  # psycopg's would leave a method that subclasses can't use
            owner.connect = connect


def check_request(telemetry: Telemetry, url: str | URL, *, statements_in: set[str]) -> None:
    """Check the spans of one request that has appended, met a conflict, executed a command and read.

    Args:
        telemetry: What was exported.
        url: Its database.
        statements_in: The spans of the store that must have spans of statements in them.
    """
    roots = [span for span in telemetry.spans() if span.parent is None]
    assert [root.kind.name for root in roots] == ["SERVER"], [span.name for span in telemetry.spans()]
    (request,) = roots
    trace_ids = {f"{span.context.trace_id:032x}" for span in telemetry.spans() if span.context}
    with opened(url) as engine:
        (event,) = EventStore(engine).read_stream("order-1")
    assert trace_ids == {event.metadata["traceparent"].split("-")[1]}
    for span in telemetry.spans():
        assert span is request or any(span in telemetry.children(other) for other in telemetry.spans())
    of_store = [span for span in telemetry.spans() if is_of_store(span)]
    assert sorted(attributes(span)["db.operation.name"] for span in of_store) == sorted(
        ["append", "append", "execute", "load", "append", "read"]
    )
    for name in statements_in:
        (first, *_) = telemetry.spans(name)
        assert any(not is_of_store(span) for span in telemetry.children(first)), name
    assert SECRET not in telemetry.text()


def is_of_store(span: ReadableSpan) -> bool:
    return span.instrumentation_scope is not None and span.instrumentation_scope.name == "eventstore"


def use(store: EventStore) -> None:
    """Append, meet a conflict, execute a command, read."""
    event = NewEvent("order-placed", {"card": SECRET}, metadata={"note": SECRET})
    store.append("order-1", event, expected_version=NO_STREAM)
    with pytest.raises(ConcurrencyConflict):
        store.append("order-1", NewEvent("order-placed", {"card": SECRET}), expected_version=NO_STREAM)
    counters = Repository(store, category="counter", initial=int, evolve=lambda state, _event: state + 1)
    counters.execute("1", lambda _state: [NewEvent("counted", {"card": SECRET})])
    assert [recorded.data for recorded in store.read_stream("order-1")] == [{"card": SECRET}]


# --- Flask


WAYS = [with_flask_sqlalchemy, with_own_session, with_kept_session]


def request_of_flask(
    telemetry: Telemetry, url: str, make: Callable[..., tuple[Flask, Engine]], *, instruments_engine: bool
) -> None:
    """Send a request to an application whose store is instrumented last."""
    events = FlaskEventStore()
    app, engine = make(url, events)
    if instruments_engine:
        SQLAlchemyInstrumentor().instrument(
            engine=engine, tracer_provider=telemetry.tracer_provider, skip_dep_check=True
        )
    try:
        with app.app_context():
            (installation,) = app.extensions["eventstore"].values()
            telemetry.instrument(installation.database.store)
        FlaskInstrumentor().instrument_app(app, tracer_provider=telemetry.tracer_provider)

        @app.post("/orders")
        def place() -> str:
            current_session.add(Invoice(order_id="order-1"))
            current_session.flush()
            use(current_store)
            current_session.commit()
            return ""

        assert app.test_client().post("/orders").status_code == 200
    finally:
        if instruments_engine:
            SQLAlchemyInstrumentor().uninstrument()
    engine.dispose()


@pytest.mark.parametrize("make", WAYS)
@pytest.mark.parametrize("instruments_engine", [False, True], ids=["alone", "with SQLAlchemy's"])
def test_a_request_to_flask_is_one_tree(
    telemetry: Telemetry, flask_url: str, make: Callable[..., tuple[Flask, Engine]], *, instruments_engine: bool
) -> None:
    request_of_flask(telemetry, flask_url, make, instruments_engine=instruments_engine)
    statements_in = {"append", "load", "read"} if instruments_engine else set[str]()
    check_request(telemetry, flask_url, statements_in=statements_in)


@pytest.mark.slow
@pytest.mark.parametrize("flask_url", ["postgresql"], indirect=True)
@pytest.mark.parametrize("instruments_engine", [False, True], ids=["alone", "with SQLAlchemy's"])
@pytest.mark.postgresql
def test_a_request_to_flask_on_a_watched_driver_is_one_tree(
    telemetry: Telemetry, flask_url: str, *, instruments_engine: bool
) -> None:
    with instrumented(PsycopgInstrumentor(), telemetry):
        request_of_flask(telemetry, flask_url, with_flask_sqlalchemy, instruments_engine=instruments_engine)
    check_request(telemetry, flask_url, statements_in={"append", "load", "read"})


# --- Django


def place_in_django(_request: HttpRequest) -> HttpResponse:
    with transaction.atomic():
        apps.get_model("django_project", "Invoice").objects.create(number=1)
        use(get_store())
    return HttpResponse("placed")


urlpatterns = [path("orders/", place_in_django)]


def request_of_django(telemetry: Telemetry) -> None:
    """Send a request to a project whose store is instrumented."""
    with override_settings(ROOT_URLCONF=__name__), instrumented(DjangoInstrumentor(), telemetry):
        telemetry.instrument(get_store())
        assert Client().post("/orders/").status_code == 200


@pytest.mark.slow
def test_a_request_to_django_is_one_tree(django_database: dict[str, Any], telemetry: Telemetry) -> None:
    request_of_django(telemetry)
    check_request(telemetry, url_of(django_database), statements_in=set())


@pytest.mark.slow
def test_a_request_to_django_on_a_watched_driver_is_one_tree(
    django_postgresql: dict[str, Any], telemetry: Telemetry
) -> None:
    connections["default"].close()
    with instrumented(PsycopgInstrumentor(), telemetry):
        request_of_django(telemetry)
        connections["default"].close()
    assert telemetry.spans("INSERT"), "the model's"
    check_request(telemetry, url_of(django_postgresql), statements_in=set())


def url_of(settings: dict[str, Any]) -> str | URL:
    if not settings["HOST"]:
        return f"sqlite:///{settings['NAME']}"
    host, port, user, name = (settings[key] for key in ("HOST", "PORT", "USER", "NAME"))
    return URL.create("postgresql+psycopg", username=user, host=host, port=int(port), database=name)
