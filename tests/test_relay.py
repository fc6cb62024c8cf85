"""Relays: what is sent, in which order, and what happens if the target fails."""

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine

from eventstore import (
    ANY,
    NO_STREAM,
    EventFilter,
    EventStore,
    EventTypes,
    NewEvent,
    ProjectionBehind,
    ProjectionFailed,
    RecordedEvent,
)
from eventstore.errors import (
    EncodingError,
    InvalidInput,
    MessageRejected,
    ProjectionRunning,
    TargetGone,
    TargetUnavailable,
)
from eventstore.projections import (
    OnFailure,
    Outcome,
    Projection,
    ProjectionAdmin,
    Start,
    Worker,
    Workers,
)
from eventstore.relay import Message, Relay, RelayProjection

PAYLOAD = "4242-4242"


@pytest.fixture
def store(any_engine: Engine) -> EventStore:
    return EventStore(any_engine)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Make the pauses short; return what they would have been."""
    pauses: list[float] = []
    monkeypatch.setattr(Worker, "_back_off", lambda _, seconds: pauses.append(seconds))
    return pauses


class Receiver:
    """A target that keeps what it takes, and fails when it is asked to."""

    def __init__(self) -> None:
        self.batches: list[list[Message]] = []
        self.fails: list[Exception] = []
        self.refuses: Callable[[Message], Exception | None] = lambda _: None

    def __call__(self, messages: list[Message]) -> None:
        if self.fails:
            raise self.fails.pop(0)
        for message in messages:
            if (error := self.refuses(message)) is not None:
                raise error
        self.batches.append(messages)

    @property
    def messages(self) -> list[Message]:
        return [message for batch in self.batches for message in batch]

    def of(self, stream_id: str) -> list[int]:
        return [message.data["number"] for message in self.messages if message.subject == stream_id]


def append(store: EventStore, stream_id: str = "order-1", number: int = 1, event_type: str = "counted") -> int:
    return store.append(stream_id, [NewEvent(event_type, {"number": number})], expected_version=ANY).position


def fill(store: EventStore, count: int = 6, streams: int = 3) -> int:
    position = 0
    for number in range(count):
        position = append(store, f"order-{number % streams + 1}", number)
    return position


# --- what is sent


def test_an_event_becomes_a_cloud_event(store: EventStore) -> None:
    receiver, event_id = Receiver(), UUID(int=7)
    store.append("order-1", [NewEvent("placed", {"total": 3}, event_id=event_id)], expected_version=NO_STREAM)
    Relay(store, "out", to=receiver, source="https://shop.example").run_until_caught_up()
    (event,) = store.read_all()
    (message,) = receiver.messages
    assert message.to_dict() == {
        "specversion": "1.0",
        "id": str(event_id),
        "source": "https://shop.example",
        "type": "placed",
        "subject": "order-1",
        "time": event.recorded_at.isoformat().replace("+00:00", "Z"),
        "datacontenttype": "application/json",
        "partitionkey": "order-1",
        "data": {"total": 3},
    }
    assert json.loads(message.to_json()) == message.to_dict()
    assert message.attributes() == {name: value for name, value in message.to_dict().items() if name != "data"}
    assert message.data_bytes() == b'{"total":3}'


def test_filters_choose_what_is_sent(store: EventStore) -> None:
    receiver = Receiver()
    append(store, "order-1", 1)
    append(store, "invoice-1", 2)
    append(store, "order-1", 3, "cancelled")
    filters = EventFilter(categories=["invoice"]), EventFilter(event_types=["cancelled"])
    Relay(store, "out", *filters, to=receiver).run_until_caught_up()
    assert [message.data["number"] for message in receiver.messages] == [2, 3]


def test_publish_makes_public_messages_one_or_several_or_none(store: EventStore) -> None:
    receiver = Receiver()

    def publish(event: RecordedEvent) -> list[Message] | Message | None:
        if event.event_type == "private":
            return None
        first = Message("com.example.counted", {"n": event.data["number"]}, dataschema="https://shop.example/counted")
        return [first, Message("com.example.more", id="mine")] if event.event_type == "two" else first

    append(store, "order-1", 1)
    append(store, "order-1", 2, "private")
    append(store, "order-2", 3, "two")
    relay = Relay(store, "out", to=receiver, publish=publish)
    assert relay.run_until_caught_up() == 2
    first, last = [event for event in store.read_all() if event.event_type != "private"]
    assert [(each.type, each.id, each.subject, each.data) for each in receiver.messages] == [
        ("com.example.counted", str(first.event_id), "order-1", {"n": 1}),
        ("com.example.counted", str(last.event_id), "order-2", {"n": 3}),
        ("com.example.more", "mine", "order-2", None),
    ]
    assert receiver.messages[0].to_dict()["dataschema"] == "https://shop.example/counted"
    assert ProjectionAdmin(store).position("out") == last.position


def test_further_messages_about_an_event_have_ids_of_their_own(store: EventStore) -> None:
    receiver = Receiver()
    append(store)
    Relay(store, "out", to=receiver, publish=lambda _: (Message("a"), Message("b"))).run_until_caught_up()
    (event,) = store.read_all()
    assert [message.id for message in receiver.messages] == [f"{event.event_id}", f"{event.event_id}-2"]


def test_many_events_that_are_not_sent_are_passed_at_once(store: EventStore) -> None:
    receiver = Receiver()
    fill(store, 60)
    publish = lambda event: Message("last") if event.data["number"] >= 58 else None  # noqa: E731  # short
    relay = Relay(store, "out", to=receiver, publish=publish, events_at_once=1)
    assert [relay.run_once().position for _ in range(3)] == [50, 59, 60]
    assert len(receiver.batches) == 2


class Size(Enum):
    BIG = "big"


@dataclass(frozen=True)
class Placed:
    total: Decimal
    at: date
    size: Size
    lines: tuple[UUID, ...]
    image: bytes


def test_typed_events_become_plain_json(any_engine: Engine) -> None:
    types = EventTypes()
    types.register("placed")(Placed)
    store, receiver = EventStore(any_engine, event_types=types), Receiver()
    placed = Placed(Decimal("3.50"), date(2026, 1, 2), Size.BIG, (UUID(int=1),), b"\0\1")
    store.append("order-1", placed, expected_version=NO_STREAM)
    dataschema = "https://shop.example/{event_type}/{schema_version}"
    Relay(store, "out", to=receiver, dataschema=dataschema).run_until_caught_up()
    (message,) = receiver.messages
    assert message.data == {
        "total": "3.50", "at": "2026-01-02", "size": "big", "lines": [str(UUID(int=1))], "image": "AAE=",
    }  # fmt: skip
    assert message.dataschema == "https://shop.example/placed/1"


# --- messages


def test_a_message_of_another_content_type_has_bytes() -> None:
    message = Message(
        "a", b"\xff", id="1", source="s", datacontenttype="application/avro", extensions={"n": 1, "b": True}
    )
    assert message.to_dict() == {
        "specversion": "1.0", "id": "1", "source": "s", "type": "a", "datacontenttype": "application/avro", "n": 1,
        "b": True, "data_base64": "/w==",
    }  # fmt: skip
    assert message.attributes()["n"] == "1"
    assert message.attributes()["b"] == "true"
    assert message.data_bytes() == b"\xff"


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"type": ""}, "an event type"),
        ({"id": 7}, "the id of a message must be a string"),
        ({"source": None}, "the source of a message must be a string"),
        ({"subject": ""}, "the subject of a message must have 1 to"),
        ({"partitionkey": "a" * 2001}, "the partitionkey of a message must have 1 to 2000"),
        ({"dataschema": 1}, "the dataschema of a message must be a string"),
        ({"datacontenttype": ""}, "the datacontenttype of a message must have"),
        ({"time": datetime(2026, 1, 1)}, "datetime with a time zone"),  # noqa: DTZ001  # that is the point
        ({"datacontenttype": "text/plain", "data": "text"}, "must be bytes, not str"),
        ({"extensions": [1]}, "must be a mapping, not list"),
        ({"extensions": {"Upper": "x"}}, "'Upper' can't be an extension"),
        ({"extensions": {"id": "x"}}, "'id' can't be an extension"),
        ({"extensions": {"x": 1.5}}, "the extension 'x' must be a string"),
    ],
)
def test_a_message_that_is_none(arguments: dict[str, Any], problem: str) -> None:
    with pytest.raises(InvalidInput, match=problem):
        Message(**{"type": "a", **arguments})


@pytest.mark.parametrize("data", [float("nan"), {"a": object()}, "\ud800", {1j: 1}])
def test_data_that_is_no_json_fails_the_event(store: EventStore, data: object) -> None:
    append(store)
    relay = Relay(store, "out", to=Receiver(), publish=lambda _: Message("a", data), attempts=1)
    with pytest.raises(ProjectionFailed) as failed:
        relay.run_until_caught_up()
    assert isinstance(failed.value.__cause__, EncodingError)
    assert failed.value.position == 1


# --- at least once


def test_the_checkpoint_moves_only_after_the_target_has_returned(store: EventStore) -> None:
    position, seen = fill(store, 3), list[int]()

    def to(_: list[Message]) -> None:
        seen.append(ProjectionAdmin(store).position("out"))

    Relay(store, "out", to=to, events_at_once=2).run_until_caught_up()
    assert seen == [0, 2]
    assert ProjectionAdmin(store).position("out") == position


def test_the_target_is_called_while_appends_go_on(store: EventStore) -> None:
    """On SQLite too, where a transaction would keep them out."""
    receiver = Receiver()
    append(store)

    def to(messages: list[Message]) -> None:
        if not receiver.batches:
            with ThreadPoolExecutor(1) as threads:
                threads.submit(append, store, "order-2", 2).result(timeout=10)
        receiver(messages)

    Relay(store, "out", to=to).run_until_caught_up()
    Relay(store, "out", to=to).run_until_caught_up()
    assert [message.subject for message in receiver.messages] == ["order-1", "order-2"]


# --- failures


def test_a_target_that_is_not_available_is_waited_for_and_blames_no_event(
    store: EventStore, quick: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    fill(store, 3)
    receiver = Receiver()
    receiver.fails = [TargetUnavailable("shop", "is down") for _ in range(20)]
    relay = Relay(store, "out", to=receiver, attempts=1, on_failure=OnFailure.DEAD_LETTER)
    assert relay.run_until_caught_up() == 3
    assert [message.data["number"] for message in receiver.messages] == [0, 1, 2]
    longest = [min(0.5 * 2**times, 60.0) for times in range(20)]
    assert len(quick) == 20
    assert all(most / 2 <= pause <= most for pause, most in zip(quick, longest, strict=True))
    assert len(set(quick)) > 15, "they are not random"
    assert "TargetUnavailable" in caplog.text


@pytest.mark.parametrize(
    ("asked", "shortest", "longest"), [(120.0, 120.0, 132.0), (1e9, 3600.0, 3960.0), (0.0, 0.25, 0.5)]
)
def test_a_target_can_ask_to_wait(
    store: EventStore, quick: list[float], asked: float, shortest: float, longest: float
) -> None:
    append(store)
    receiver = Receiver()
    receiver.fails = [TargetUnavailable("shop", "is busy", retry_after_seconds=asked)]
    Relay(store, "out", to=receiver).run_until_caught_up()
    assert len(quick) == 1
    assert shortest <= quick[0] <= longest


def test_the_status_shows_what_is_retried(store: EventStore, monkeypatch: pytest.MonkeyPatch) -> None:
    append(store)
    receiver, admin, shown = Receiver(), ProjectionAdmin(store), list[str | None]()
    receiver.fails = [TargetUnavailable("shop", "is down"), OSError(PAYLOAD)]
    monkeypatch.setattr(Worker, "_back_off", lambda *_: shown.append(admin.status("out")[0].retrying))
    Relay(store, "out", to=receiver).run_until_caught_up()
    assert shown == [
        "TargetUnavailable at position 1: 'counted', version 1 of stream 'order-1', tried once",
        "OSError at position 1: 'counted', version 1 of stream 'order-1', tried 2 times",
    ]
    assert admin.status("out")[0].state == "stopped"


def test_any_other_error_is_one_of_the_event_and_the_others_are_sent_one_by_one(
    store: EventStore, quick: list[float]
) -> None:
    fill(store, 5)
    receiver = Receiver()
    receiver.refuses = lambda message: ValueError(PAYLOAD) if message.data["number"] == 2 else None
    relay = Relay(store, "out", to=receiver, attempts=3)
    with pytest.raises(ProjectionFailed) as failed:
        relay.run_until_caught_up()
    assert (failed.value.position, failed.value.attempts, failed.value.error_type) == (3, 3, "ValueError")
    assert PAYLOAD not in str(failed.value)
    assert len(quick) == 2
    assert [[message.data["number"] for message in batch] for batch in receiver.batches] == [[0], [1]]
    assert ProjectionAdmin(store).status("out")[0].failure is not None
    receiver.refuses = lambda _: None
    relay = Relay(store, "out", to=receiver)
    relay.run_until_caught_up()
    assert [message.data["number"] for message in receiver.messages] == [0, 1, 2, 3, 4]


def test_without_a_limit_an_event_is_sent_until_it_is_taken(store: EventStore, quick: list[float]) -> None:
    append(store)
    receiver = Receiver()
    receiver.fails = [ValueError(PAYLOAD) for _ in range(50)]
    assert Relay(store, "out", to=receiver).run_until_caught_up() == 1
    assert len(quick) == 50


def test_dead_letters_block_their_stream_only(store: EventStore, quick: list[float]) -> None:
    fill(store, 9)
    receiver, admin = Receiver(), ProjectionAdmin(store)
    receiver.refuses = lambda message: ValueError(PAYLOAD) if message.data["number"] == 1 else None
    relay = Relay(store, "out", to=receiver, attempts=2, on_failure=OnFailure.DEAD_LETTER)
    assert relay.run_until_caught_up() == 6
    assert (receiver.of("order-1"), receiver.of("order-2"), receiver.of("order-3")) == ([0, 3, 6], [], [2, 5, 8])
    letters = [(letter.position, letter.attempts, letter.error) for letter in admin.dead_letters.list("out")]
    assert letters == [(2, 2, "ValueError"), (5, 0, None), (8, 0, None)]
    receiver.refuses = lambda _: None
    assert admin.dead_letters.retry(relay.projection, "order-2") == 3
    append(store, "order-2", 10)
    Relay(store, "out", to=receiver).run_until_caught_up()
    assert receiver.of("order-2") == [1, 4, 7, 10]


def test_dead_letters_follow_only_if_there_is_something_to_send(store: EventStore) -> None:
    receiver, admin = Receiver(), ProjectionAdmin(store)
    receiver.refuses = lambda _: MessageRejected("shop", "does not like it")
    append(store, "order-1", 1)
    append(store, "order-1", 2, "private")
    append(store, "order-1", 3)
    relay = Relay(
        store, "out", to=receiver, on_failure=OnFailure.DEAD_LETTER,
        publish=lambda event: None if event.event_type == "private" else Message("a"),
    )  # fmt: skip
    relay.run_until_caught_up()
    assert [letter.position for letter in admin.dead_letters.list("out")] == [1, 3]


def test_a_message_that_is_rejected_is_not_sent_again(store: EventStore, quick: list[float]) -> None:
    fill(store, 3)
    receiver = Receiver()
    receiver.refuses = lambda message: MessageRejected("shop", "no") if message.data["number"] == 0 else None
    Relay(store, "out", to=receiver, on_failure=OnFailure.DEAD_LETTER).run_until_caught_up()
    assert quick == []
    assert [letter.attempts for letter in ProjectionAdmin(store).dead_letters.list("out")] == [1]
    assert len(receiver.messages) == 2


def test_a_target_that_is_gone_stops_the_relay_and_makes_no_dead_letter(store: EventStore) -> None:
    fill(store, 3)
    receiver = Receiver()
    receiver.refuses = lambda _: TargetGone("shop", "has moved")
    with pytest.raises(ProjectionFailed) as failed:
        Relay(store, "out", to=receiver, on_failure=OnFailure.DEAD_LETTER).run_until_caught_up()
    assert (failed.value.position, failed.value.error_type) == (1, "TargetGone")
    assert ProjectionAdmin(store).status("out")[0].dead_letters == 0


def test_handlers_of_projections_may_say_that_a_service_is_not_available(store: EventStore, quick: list[float]) -> None:
    append(store)
    calls: list[int] = []
    projection = Projection("mails", attempts=1)

    @projection.on("counted", outside=True)
    def mail(event: RecordedEvent, _: object) -> None:
        calls.append(event.position)
        if len(calls) < 3:
            raise TargetUnavailable("mail", "is down", retry_after_seconds=7)

    Worker(store, projection).run_until_caught_up()
    assert calls == [1, 1, 1]
    assert all(7 <= pause <= 7.7 for pause in quick)


def test_attempts_that_do_not_count_do_not_use_up_the_others(store: EventStore, quick: list[float]) -> None:
    append(store)
    receiver = Receiver()
    receiver.fails = [
        TargetUnavailable("shop", "is down"),
        ValueError(),
        TargetUnavailable("shop", "is down"),
        ValueError(),
        ValueError(),
    ]
    Relay(store, "out", to=receiver, attempts=4).run_until_caught_up()
    assert len(receiver.messages) == 1


# --- as a projection


def test_start_now_and_replay_from_a_position(store: EventStore) -> None:
    receiver, admin = Receiver(), ProjectionAdmin(store)
    fill(store, 4)
    relay = Relay(store, "out", to=receiver, start=Start.NOW)
    relay.begin()
    append(store, "order-1", 4)
    relay.run_until_caught_up()
    assert [message.data["number"] for message in receiver.messages] == [4]
    sent = receiver.messages
    admin.reset("out", after_position=2)
    assert (admin.position("out"), admin.status("out")[0].started_after) == (2, 4)
    Relay(store, "out", to=receiver, start=Start.NOW).run_until_caught_up()
    assert [message.data["number"] for message in receiver.messages] == [4, 2, 3, 4]
    assert receiver.messages[-1] == sent[0], "a repeated message is the same, with its id"
    admin.reset("out")
    assert admin.position("out") == 4


def test_a_replay_never_goes_forward(store: EventStore) -> None:
    admin = ProjectionAdmin(store)
    fill(store, 4)
    Relay(store, "out", to=Receiver(), events_at_once=2).run_once()
    Relay(store, "out", to=Receiver()).__exit__(None, None, None)
    with Relay(store, "out", to=Receiver(), events_at_once=1) as relay:
        relay.run_once()
    admin.reset("out", after_position=4)
    assert admin.position("out") == 3


def test_a_replay_takes_back_the_dead_letters_after_its_position(store: EventStore) -> None:
    receiver, admin = Receiver(), ProjectionAdmin(store)
    fill(store, 6)
    receiver.refuses = lambda message: MessageRejected("shop", "no") if message.data["number"] in (0, 4) else None
    relay = Relay(store, "out", to=receiver, on_failure=OnFailure.DEAD_LETTER)
    relay.run_until_caught_up()
    assert [letter.position for letter in admin.dead_letters.list("out")] == [1, 4, 5]
    receiver.refuses = lambda _: None
    admin.reset("out", after_position=3)
    assert [letter.position for letter in admin.dead_letters.list("out")] == [1]
    Relay(store, "out", to=receiver, on_failure=OnFailure.DEAD_LETTER).run_until_caught_up()
    assert [letter.position for letter in admin.dead_letters.list("out")] == [1, 4]
    assert receiver.of("order-2") == [1, 4]


@pytest.mark.parametrize("position", [-1, "1", 1.0, True])
def test_a_replay_from_no_position(store: EventStore, position: Any) -> None:
    with pytest.raises(InvalidInput, match="after_position"):
        ProjectionAdmin(store).reset("out", after_position=position)


def test_partitions_are_sent_each_in_order(store: EventStore) -> None:
    fill(store, 40, streams=8)
    receiver, admin = Receiver(), ProjectionAdmin(store)
    Workers(
        Relay(store, "out", to=receiver, partitions=4, events_at_once=3), Relay(store, "out", to=receiver, partitions=4)
    ).run_until_caught_up()
    for number in range(8):
        assert receiver.of(f"order-{number + 1}") == list(range(number, 40, 8))
    assert [partition.position for partition in admin.status("out")[0].partitions] == [40] * 4


def test_it_runs_in_the_background_and_can_be_waited_for(store: EventStore) -> None:
    receiver = Receiver()
    with Relay(store, "out", to=receiver).running():
        ProjectionAdmin(store).wait_for("out", append(store))
        assert len(receiver.messages) == 1
    with pytest.raises(ProjectionBehind):
        ProjectionAdmin(store).wait_for("out", append(store), timeout_seconds=0.01)


def test_two_relays_of_one_name_exclude_each_other(store: EventStore) -> None:
    fill(store, 4)
    receiver, begun, go_on = Receiver(), threading.Event(), threading.Event()

    def to(messages: list[Message]) -> None:
        begun.set()
        assert go_on.wait(30)
        receiver(messages)

    with ThreadPoolExecutor(1) as threads:
        first = threads.submit(Relay(store, "out", to=to).run_until_caught_up)
        assert begun.wait(30)
        other = Relay(store, "out", to=receiver)
        for _ in range(5):
            assert other.run_once().outcome is Outcome.BUSY
        assert receiver.messages == []
        go_on.set()
        assert first.result(timeout=30) == 4
    assert other.run_once().outcome is Outcome.CAUGHT_UP
    assert [message.data["number"] for message in receiver.messages] == [0, 1, 2, 3]


def test_relays_of_two_names_do_not_wait_for_each_other(store: EventStore) -> None:
    append(store)
    inner, outer = Receiver(), Receiver()

    def to(messages: list[Message]) -> None:
        Relay(store, "inner", to=inner).run_until_caught_up()
        outer(messages)

    with ThreadPoolExecutor(1) as threads:
        threads.submit(Relay(store, "outer", to=to).run_until_caught_up).result(timeout=30)
    assert (len(inner.messages), len(outer.messages)) == (1, 1)


def test_a_relay_that_sends_can_not_be_reset(store: EventStore) -> None:
    receiver, refused = Receiver(), list[int]()
    fill(store, 2)

    def to(messages: list[Message]) -> None:
        if messages[0].data["number"] == 1:
            with pytest.raises(ProjectionRunning):
                ProjectionAdmin(store).reset("out")
            refused.append(1)
        receiver(messages)

    Relay(store, "out", to=to, events_at_once=1).run_until_caught_up()
    assert refused == [1]


def test_a_checkpoint_that_goes_back_while_the_first_messages_are_sent(store: EventStore) -> None:
    """Nothing has been reported about a relay before its first batch. On SQLite it locks no row, but it notices."""
    receiver, refused, is_sqlite = Receiver(), list[str](), store.engine.dialect.name == "sqlite"
    fill(store, 3)

    def to(messages: list[Message]) -> None:
        if not refused:
            try:
                ProjectionAdmin(store).reset("out", after_position=1)
                refused.append("no")
            except ProjectionRunning:
                refused.append("yes")
        receiver(messages)

    Relay(store, "out", to=to, start=2).run_until_caught_up()
    assert refused == ["no" if is_sqlite else "yes"]
    assert [message.data["number"] for message in receiver.messages] == ([2, 1, 2] if is_sqlite else [2])


def test_a_worker_of_a_projection_can_be_a_relay(store: EventStore) -> None:
    append(store)
    receiver = Receiver()
    projection = RelayProjection("out", to=receiver)
    Worker(store, projection).run_until_caught_up()
    assert len(receiver.messages) == 1
    assert repr(projection) == "<RelayProjection 'out'>"
    assert repr(Relay(store, "out", to=receiver)) == "<Relay 'out'>"


# --- bad input


async def coroutine(_: list[Message]) -> None: ...


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"to": None}, "to must be a function"),
        ({"to": coroutine}, "asyncio.run"),
        ({"publish": "all"}, "publish must be a function"),
        ({"source": ""}, "source must have 1 to"),
        ({"dataschema": "https://shop.example/{type}"}, "dataschema may have"),
        ({"dataschema": "https://shop.example/{"}, "dataschema may have"),
        ({"dataschema": 7}, "dataschema must be a string"),
        ({"events_at_once": 0}, "events_at_once must be between 1"),
        ({"attempts": 0}, "attempts must be between 1"),
        ({"backoff_seconds": -1}, "backoff_seconds must be"),
        ({"on_failure": "stop"}, "on_failure must be"),
        ({"partitions": 0}, "partitions must be"),
        ({"start": "now"}, "start must be"),
        ({"name": ""}, "the name of a projection"),
    ],
)
def test_bad_input(store: EventStore, arguments: dict[str, Any], problem: str) -> None:
    with pytest.raises(InvalidInput, match=problem):
        Relay(**{"store": store, "name": "out", "to": Receiver(), **arguments})
    assert ProjectionAdmin(store).status() == []


def test_a_relay_has_no_handlers(store: EventStore) -> None:
    with pytest.raises(InvalidInput, match="publish"):
        Relay(store, "out", to=Receiver()).projection.on("counted")


@pytest.mark.parametrize("published", [7, "text", [Message("a"), None], {"type": "a"}])
def test_publish_that_returns_something_else(store: EventStore, published: Any) -> None:
    append(store)
    with pytest.raises(ProjectionFailed) as failed:
        Relay(store, "out", to=Receiver(), publish=lambda _: published).run_until_caught_up()
    assert isinstance(failed.value.__cause__, InvalidInput)


def test_a_target_that_returns_something_to_await(store: EventStore) -> None:
    append(store)
    with pytest.raises(ProjectionFailed) as failed:
        Relay(store, "out", to=lambda messages: coroutine(messages)).run_until_caught_up()  # noqa: PLW0108
    assert isinstance(failed.value.__cause__, InvalidInput)
