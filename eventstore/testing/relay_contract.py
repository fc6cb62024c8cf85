"""Relays: at least once, in order within a stream, failures, dead letters, sending again."""

from collections.abc import Callable

import pytest

from eventstore import ANY, EventStore, NewEvent
from eventstore.errors import MessageRejected, TargetUnavailable
from eventstore.projections import OnFailure, Outcome, ProjectionAdmin
from eventstore.relay import Message, Relay
from eventstore.testing._base import ContractBase

PAYLOAD = "0042-4242"


def fill(store: EventStore, number: int) -> list[int]:
    """Append events with numbers from 0 to three streams; return their positions."""
    return [
        store.append(
            f"order-{each % 3}", NewEvent("counted", {"number": each, "secret": PAYLOAD}), expected_version=ANY
        ).position
        for each in range(number)
    ]


class Collector:
    """A target that keeps what it takes, and refuses what it is asked to."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.messages: list[Message] = []
        self.refuses: Callable[[int], Exception | None] = lambda _: None

    def __call__(self, messages: list[Message]) -> None:
        """Take messages, all or none."""
        numbers = [message.data["number"] for message in messages]
        for number in numbers:
            if (error := self.refuses(number)) is not None:
                raise error
        self.batches.append(numbers)
        self.messages += messages


class RelayContract(ContractBase):
    """The contract of relays on every database."""

    def test_messages_are_sent_in_batches_and_in_order(self, store: EventStore) -> None:
        positions, collector = fill(store, 7), Collector()
        relay = Relay(store, "out", to=collector, events_at_once=3)
        assert relay.run_once().handled == 3
        assert ProjectionAdmin(store).position("out") == positions[2]
        assert relay.run_until_caught_up() == 4
        assert relay.run_once().outcome is Outcome.CAUGHT_UP
        assert collector.batches == [[0, 1, 2], [3, 4, 5], [6]]
        assert [message.id for message in collector.messages] == [str(event.event_id) for event in store.read_all()]
        assert {message.subject for message in collector.messages} == {"order-0", "order-1", "order-2"}

    def test_after_a_crash_the_last_batch_is_sent_again_and_no_other(self, store: EventStore) -> None:
        fill(store, 5)
        collector = Collector()

        def crash_in_the_second_batch(messages: list[Message]) -> None:
            collector(messages)
            if len(collector.batches) == 2:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            Relay(store, "out", to=crash_in_the_second_batch, events_at_once=2).run_until_caught_up()
        Relay(store, "out", to=collector, events_at_once=2).run_until_caught_up()
        assert collector.batches == [[0, 1], [2, 3], [2, 3], [4]]
        assert collector.messages[2:4] == collector.messages[4:6]

    def test_a_target_that_is_not_available_is_waited_for(self, store: EventStore) -> None:
        fill(store, 3)
        collector, calls = Collector(), list[int]()

        def refuse(number: int) -> Exception | None:
            calls.append(number)
            return TargetUnavailable("the collector", "is down") if len(calls) < 5 else None

        collector.refuses = refuse
        relay = Relay(store, "out", to=collector, attempts=1, backoff_seconds=0.001, on_failure=OnFailure.DEAD_LETTER)
        assert relay.run_until_caught_up() == 3
        assert collector.batches == [[0], [1, 2]]
        assert ProjectionAdmin(store).status("out")[0].dead_letters == 0

    def test_dead_letters_of_a_relay_block_their_stream_only(self, store: EventStore) -> None:
        positions, collector, admin = fill(store, 9), Collector(), ProjectionAdmin(store)
        collector.refuses = lambda number: MessageRejected("the collector", "no") if number == 1 else None
        relay = Relay(store, "out", to=collector, on_failure=OnFailure.DEAD_LETTER)
        assert relay.run_until_caught_up() == 6
        assert sorted(message.data["number"] for message in collector.messages) == [0, 2, 3, 5, 6, 8]
        assert [letter.position for letter in admin.dead_letters.list("out")] == positions[1::3]
        collector.refuses = lambda _: None
        assert admin.dead_letters.retry(relay.projection, "order-1") == 3
        assert [message.data["number"] for message in collector.messages if message.subject == "order-1"] == [1, 4, 7]

    def test_events_are_sent_again_from_a_position(self, store: EventStore) -> None:
        positions, collector = fill(store, 5), Collector()
        Relay(store, "out", to=collector, events_at_once=2).run_until_caught_up()
        ProjectionAdmin(store).reset("out", after_position=positions[2])
        Relay(store, "out", to=collector, events_at_once=2).run_until_caught_up()
        assert collector.batches == [[0, 1], [2, 3], [4], [3, 4]]

    def test_partitions_of_a_relay_keep_the_order_of_each_stream(self, store: EventStore) -> None:
        fill(store, 12)
        collector = Collector()
        Relay(store, "out", to=collector, partitions=3, events_at_once=2).run_until_caught_up()
        for number in range(3):
            numbers = [message.data["number"] for message in collector.messages if message.subject == f"order-{number}"]
            assert numbers == list(range(number, 12, 3))
