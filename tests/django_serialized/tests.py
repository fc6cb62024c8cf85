"""Tests that commit, after each of which Django empties all tables, and brings back what migrations have written."""

from django.test import TestCase, TransactionTestCase

from eventstore import NewEvent
from eventstore.contrib.django import get_store


class CommittingTest(TransactionTestCase):
    serialized_rollback = True

    def change(self) -> None:
        store = get_store()
        events = list(store.read_all())
        assert [(event.stream_id, event.version) for event in events] == [("plan-1", 1), ("plan-1", 2)]
        assert events[0].data == {"price": 10}
        assert store.stream_version("plan-1") == 2
        appended = store.append("plan-1", NewEvent("accepted"), expected_version=2)
        assert appended.position > events[-1].position
        assert [event.version for event in store.read_all()] == [1, 2, 3]

    test_once = test_again = test_and_again = change


class RolledBackTest(TestCase):
    def test_the_events_are_there(self) -> None:
        assert get_store().stream_version("plan-1") == 2
