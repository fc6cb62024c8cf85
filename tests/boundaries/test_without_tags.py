"""Conditions on queries without tags, which lock all appends, steered on PostgreSQL."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Engine, text

from eventstore import ANY, Append, EventStore, NewEvent
from eventstore.backends.postgresql.dialect import PostgreSQLDialect
from eventstore.backends.protocol import Server
from eventstore.core.settling import Settling
from eventstore.errors import BoundaryChanged
from eventstore.testing.boundary_oracle import Courses, Decided
from tests.boundaries.events import UNTAGGED, noted, tagged
from tests.fix_engines import changing_history
from tests.waiting import start_waiting

pytestmark = pytest.mark.postgresql


@pytest.mark.slow
def test_an_append_on_a_condition_without_tags_waits_for_all_appends_under_way_and_is_refused(
    store: EventStore, threads: ThreadPoolExecutor
) -> None:
    boundary = store.read_boundary(UNTAGGED, lock_all_appends=True)
    for number, event_under_way in enumerate((noted(), noted("x"))):
        with store.transaction() as tx:
            first = tx.append(f"a-{number}", event_under_way, expected_version=ANY)
            running = start_waiting(
                threads, tx.connection, store.append, "b-1", NewEvent("n"), expected_version=ANY, condition=boundary
            )
        with pytest.raises(BoundaryChanged) as refused:
            running.result()
        assert refused.value.position == first.position
        boundary = store.read_boundary(UNTAGGED, lock_all_appends=True)
        assert len(boundary) == number + 1


@pytest.mark.slow
def test_other_appends_wait_for_one_on_a_condition_without_tags_and_readers_do_not(
    store: EventStore, threads: ThreadPoolExecutor
) -> None:
    with store.transaction() as tx:
        boundary = tx.read_boundary(UNTAGGED, lock_all_appends=True)
        tx.append("a-1", noted(), expected_version=ANY, condition=boundary)
        assert list(store.read_stream("a-1")) == list(store.read_all(wait_seconds=0)) == []
        store.read_boundary(UNTAGGED, lock_all_appends=True)
        running: list[Future[Any]] = [
            start_waiting(threads, tx.connection, store.append, "b-1", NewEvent("n"), expected_version=ANY),
            start_waiting(threads, tx.connection, store.append, "b-2", tagged("x"), expected_version=ANY),
            start_waiting(
                threads,
                tx.connection,
                store.append_many,
                [Append(f"b-{number}", NewEvent("n"), expected_version=ANY) for number in (3, 4)],
            ),
        ]
    assert len([each.result() for each in running]) == 3
    assert next(event.stream_id for event in store.read_all()) == "a-1"


def test_what_a_read_without_tags_has_not_seen_is_found_though_its_position_is_low(store: EventStore) -> None:
    """The control: it is not enough to remember the highest position that was seen."""
    store.append("a-0", noted(), expected_version=ANY)
    with store.transaction() as tx:
        low = tx.append("a-1", noted(), expected_version=ANY)
        high = store.append("b-1", noted(), expected_version=ANY)
        boundary = store.read_boundary(UNTAGGED, lock_all_appends=True)
    assert [event.position for event in boundary] == [low.position - 1, high.position]
    seen = ((high.position, boundary.events[-1].event_id),)
    assert [(item.position, item.seen) for item in boundary.items] == [(low.position - 1, seen)]
    with pytest.raises(BoundaryChanged) as refused:
        store.append("a-2", NewEvent("n"), expected_version=ANY, condition=boundary)
    assert refused.value.position == low.position


def test_a_refusal_without_tags_frees_all_appends_of_others(store: EventStore) -> None:
    boundary = store.read_boundary(UNTAGGED, lock_all_appends=True)
    store.append("a-1", noted(), expected_version=ANY)
    with store.transaction() as tx:
        with pytest.raises(BoundaryChanged):
            tx.append("a-2", NewEvent("n"), expected_version=ANY, condition=boundary)
        store.append("a-1", [noted(), noted("x")], expected_version=ANY)
        tx.append("a-2", NewEvent("n"), expected_version=ANY)
    assert store.stream_version("a-2") == 1


def test_an_append_that_has_locked_heads_does_not_deadlock_with_one_on_a_condition_without_tags(
    store: EventStore, threads: ThreadPoolExecutor
) -> None:
    """`append_many` may lock heads before it stores events; then the condition's lock waits for it, not it for that."""
    store.append("a-1", NewEvent("n"), expected_version=ANY)
    boundary = store.read_boundary(UNTAGGED, lock_all_appends=True)
    with store.transaction() as tx:
        with tx.core.execution.statement() as run:
            tx.core.dialect.lock_heads(run, ["a-1"], create=())
        running = start_waiting(
            threads, tx.connection, store.append, "a-1", NewEvent("n"), expected_version=ANY, condition=boundary
        )
        tx.append("a-1", NewEvent("n"), expected_version=1)
    assert running.result().version == 3


def test_if_the_page_comes_from_another_server_nothing_counts_as_settled(
    store: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.append("a-1", [noted(), noted()], expected_version=ANY)
    horizon = Settling.horizon

    def of_another(*arguments: Any, **options: Any) -> Any:
        return replace(horizon(*arguments, **options), server=Server(0, None, in_recovery=False))

    assert store.read_boundary(UNTAGGED, lock_all_appends=True).items[0].seen == ()
    monkeypatch.setattr(Settling, "horizon", of_another)
    boundary = store.read_boundary(UNTAGGED, lock_all_appends=True)
    assert boundary.items[0].position == 0
    assert boundary.items[0].seen == tuple((event.position, event.event_id) for event in boundary)
    monkeypatch.undo()
    store.append("a-2", noted(), expected_version=ANY, condition=boundary)


def test_the_judge_finds_a_blind_decision_if_a_condition_without_tags_locks_nothing(
    make_engine: Callable[..., Engine], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PostgreSQLDialect, "lock_all_appends", lambda *_: None)
    store = EventStore(make_engine())
    courses = Courses(store, seed=0)
    boundary = store.read_boundary(UNTAGGED, lock_all_appends=True)
    with store.transaction() as tx:
        tx.append("a-1", noted(), expected_version=ANY)
        blind = noted()
        store.append("a-2", blind, expected_version=ANY, condition=boundary)
    courses.decided.append(Decided((UNTAGGED,), frozenset(), blind.event_id))
    with pytest.raises(AssertionError, match="decided blindly"):
        courses.judge()


def test_a_boundary_without_tags_is_refused_if_another_event_stands_where_one_was_seen(store: EventStore) -> None:
    store.append("a-0", noted(), expected_version=ANY)
    with store.transaction() as tx:
        tx.append("a-1", noted(), expected_version=ANY)
        store.append("b-1", noted(), expected_version=ANY)
        boundary = store.read_boundary(UNTAGGED, lock_all_appends=True)
        assert len(boundary.items[0].seen) == 1
    with changing_history(store.engine) as connection:
        connection.execute(text("UPDATE es_events SET event_id = gen_random_uuid() WHERE stream_id = 'b-1'"))
        connection.execute(text("UPDATE es_events SET event_type = 'other' WHERE stream_id = 'a-1'"))
    with pytest.raises(BoundaryChanged, match="no longer has"):
        store.append("a-2", NewEvent("n"), expected_version=ANY, condition=boundary)
