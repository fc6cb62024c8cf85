"""The recipes of docs/how-to/relay.md, as they stand there. Each needs its library."""

import logging
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any
from unittest.mock import create_autospec

import pytest

from eventstore import NO_STREAM, EventStore, NewEvent, RecordedEvent
from eventstore.errors import TargetUnavailable
from eventstore.projections import ProjectionAdmin
from eventstore.relay import Message, Relay, RelayProjection

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "how-to" / "relay.md").read_text(encoding="utf-8")
MESSAGE = Message(
    "order-placed", {"n": 1}, id="message-1", source="urn:shop", subject="order-1", partitionkey="order-1"
)


def recipe(heading: str) -> str:
    section = PAGE.partition(f"\n### {heading}\n")[2]
    found = re.search(r"^```text\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[1]


@pytest.fixture
def store() -> Iterator[EventStore]:
    with EventStore.in_memory() as store:
        for number in (1, 2):
            store.append(f"order-{number}", NewEvent("order-placed", {"n": number}), expected_version=NO_STREAM)
        yield store


@pytest.fixture
def logging_as_before() -> Iterator[None]:
    """Celery's worker sets up the logging of its process."""
    root = logging.getLogger()
    loggers = [root, *(each for each in root.manager.loggerDict.values() if isinstance(each, logging.Logger))]
    before = [(each, each.level, each.propagate, each.disabled, list(each.handlers)) for each in loggers]
    disabled = root.manager.disable
    yield
    root.manager.disable = disabled
    for logger, level, propagate, is_disabled, handlers in before:
        logger.setLevel(level)
        logger.propagate, logger.disabled, logger.handlers = propagate, is_disabled, handlers


def run(heading: str, store: EventStore, **replaced: str) -> dict[str, Any]:
    names = {
        "store": store, "Relay": Relay, "RelayProjection": RelayProjection, "Message": Message,
        "RecordedEvent": RecordedEvent, "TargetUnavailable": TargetUnavailable, "__name__": "recipe",
    }  # fmt: skip
    code = recipe(heading)
    for old, new in replaced.items():
        code = code.replace(old, new)
    exec(compile(code, heading, "exec"), names)  # noqa: S102  # of our own page
    return names


@pytest.mark.slow
@pytest.mark.usefixtures("logging_as_before")
@pytest.mark.filterwarnings("default")  # of Celery
def test_celery(store: EventStore, capsys: pytest.CaptureFixture[str]) -> None:
    """The tasks go through a broker in memory, and a worker in a thread runs them."""
    pytest.importorskip("celery", reason="the recipe for Celery needs Celery")
    testing = import_module("celery.contrib.testing.worker")
    names = run("Celery", store)
    app = names["app"]
    app.conf.update(
        broker_url="memory://",
        broker_transport_options={"polling_interval": 0.01},  # instead of a second
        result_backend="cache+memory://",
        worker_hijack_root_logger=False,
    )
    names["relay"].run_until_caught_up()
    assert ProjectionAdmin(store).position("orders-to-celery") == 2
    assert capsys.readouterr().out == "", "they wait at the broker"
    ids = [str(event.event_id) for event in store.read_all()]
    with testing.start_worker(app, perform_ping_check=False, pool="solo"):
        for task_id in ids:
            app.AsyncResult(task_id).get(timeout=30, interval=0.01)
        printed = capsys.readouterr().out
        state: Any = import_module("celery.worker.state")
        state.should_terminate = 0
        names["on_event"].delay(1)  # so that the worker looks at that: without a message, it waits for two seconds
    assert printed.splitlines()[-2:] == ["task for order-1 order-placed", "task for order-2 order-placed"]


def test_celery_without_a_broker(store: EventStore) -> None:
    pytest.importorskip("celery", reason="the recipe for Celery needs Celery")
    operational = import_module("kombu.exceptions").OperationalError
    names = run("Celery", store)
    attempts = {"max_retries": 1, "interval_start": 0}  # of a connection; by default they take four seconds
    names["app"].conf.update(broker_url="amqp://127.0.0.1:1//", broker_transport_options=attempts)
    with pytest.raises(operational):
        names["to_celery"]([Message("order-placed", {"position": 1}, id="1")])


DJANGO = """
import django
from django.conf import settings
from eventstore import NO_STREAM, EventStore, NewEvent, RecordedEvent
from eventstore.projections import Worker
from eventstore.relay import Message, RelayProjection
settings.configure()
django.setup()
store = EventStore.in_memory()
for number in (1, 2):
    store.append(f"order-{number}", NewEvent("order-placed", {"n": number}), expected_version=NO_STREAM)
"""


def test_djangos_tasks() -> None:
    """They run at once, by Django's immediate backend. Settings of Django are global, so it is another process."""
    pytest.importorskip("django.tasks", reason="the recipe for Django's tasks needs Django 6")
    # A task is a function of a module.
    lines = [DJANGO, recipe("Django's tasks"), "Worker(store, projection).run_until_caught_up()"]
    with TemporaryDirectory() as folder:
        (Path(folder) / "recipe.py").write_text("\n".join(lines), encoding="utf-8")
        done = subprocess.run(
            [sys.executable, "-c", "import recipe"],
            cwd=folder, capture_output=True, text=True, check=False, timeout=120,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )  # fmt: skip
    assert done.stdout == "task for order-1 order-placed\ntask for order-2 order-placed\n", done.stderr


class TestKafka:
    """With the client's own classes, but without a broker."""

    def test_messages_are_sent_and_waited_for(self, store: EventStore, monkeypatch: pytest.MonkeyPatch) -> None:
        kafka = pytest.importorskip("kafka", reason="the recipe for Kafka needs kafka-python")
        waited: list[float] = []
        future = SimpleNamespace(get=lambda *, timeout: waited.append(timeout))
        producer = create_autospec(kafka.KafkaProducer, instance=True)
        producer.send.return_value = future
        make = create_autospec(kafka.KafkaProducer, return_value=producer)
        monkeypatch.setattr(kafka, "KafkaProducer", make)
        names = run("Kafka", store)
        known = import_module("kafka").producer.KafkaProducer.DEFAULT_CONFIG
        assert set(make.call_args.kwargs) <= set(known)
        names["to_kafka"]([MESSAGE])
        sent = producer.send.call_args
        assert (sent.args, sent.kwargs["key"], sent.kwargs["value"]) == (("orders",), b"order-1", b'{"n":1}')
        assert ("ce_id", b"message-1") in sent.kwargs["headers"]
        assert waited == [30]

    def test_an_error_of_the_broker_is_waited_out(self, store: EventStore, monkeypatch: pytest.MonkeyPatch) -> None:
        kafka = pytest.importorskip("kafka", reason="the recipe for Kafka needs kafka-python")
        errors = import_module("kafka.errors")
        producer = create_autospec(kafka.KafkaProducer, instance=True)
        producer.send.side_effect = errors.KafkaTimeoutError
        monkeypatch.setattr(kafka, "KafkaProducer", create_autospec(kafka.KafkaProducer, return_value=producer))
        names = run("Kafka", store)
        with pytest.raises(TargetUnavailable):
            names["to_kafka"]([MESSAGE])


class TestRabbitMQ:
    """With the client's own classes, but without a broker."""

    def test_messages_are_published_with_confirms(self, store: EventStore, monkeypatch: pytest.MonkeyPatch) -> None:
        pika = pytest.importorskip("pika", reason="the recipe for RabbitMQ needs pika")
        blocking = import_module("pika.adapters.blocking_connection")
        channel = create_autospec(blocking.BlockingChannel, instance=True)
        connection = create_autospec(pika.BlockingConnection, instance=True)
        connection.channel.return_value = channel
        opened = create_autospec(pika.BlockingConnection, return_value=connection)
        monkeypatch.setattr(pika, "BlockingConnection", opened)
        names = run("RabbitMQ", store, **{"amqp://…": "amqp://127.0.0.1:1"})
        to = names["ToRabbitMQ"]("amqp://127.0.0.1:1", "orders")
        to([MESSAGE])
        channel.confirm_delivery.assert_called_once_with()
        (exchange, key, body, properties), options = channel.basic_publish.call_args
        assert (exchange, key, body) == ("orders", "order-placed", MESSAGE.to_json())
        assert (properties.message_id, properties.delivery_mode, options) == ("message-1", 2, {"mandatory": True})
        channel.basic_publish.side_effect = import_module("pika.exceptions").UnroutableError([])
        with pytest.raises(TargetUnavailable):
            to([MESSAGE])
        channel.basic_publish.side_effect = None
        to([MESSAGE])
        assert opened.call_count == 2, "after an error it connects again"

    def test_no_broker(self, store: EventStore) -> None:
        pytest.importorskip("pika", reason="the recipe for RabbitMQ needs pika")
        names = run("RabbitMQ", store, **{"amqp://…": "amqp://127.0.0.1:1"})
        with pytest.raises(TargetUnavailable):
            names["ToRabbitMQ"]("amqp://127.0.0.1:1/?connection_attempts=1", "orders")([MESSAGE])
