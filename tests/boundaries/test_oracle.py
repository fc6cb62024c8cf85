"""Writers decide by boundaries, and a judge looks for decisions that were blind; it finds those of wrong variants."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine

from eventstore import ANY, NO_STREAM, EventFilter, EventStore
from eventstore.backends.postgresql import dialect as postgresql
from eventstore.backends.postgresql.dialect import PostgreSQLDialect
from eventstore.boundaries import Boundary
from eventstore.errors import BoundaryChanged
from eventstore.testing.boundary_oracle import Courses, Decided
from tests.boundaries.events import COURSE, tagged
from tests.pgbouncer import PgBouncer

pytestmark = pytest.mark.postgresql


@pytest.mark.parametrize("level", ["read\\ committed", "repeatable\\ read", "serializable"])
@pytest.mark.slow
def test_decisions_are_right_at_each_default_level(make_engine: Callable[..., Engine], level: str) -> None:
    courses = Courses(EventStore(make_engine(f"-c default_transaction_isolation={level}")), seed=11)
    courses.run(writers=8, seconds=1)
    courses.judge()
    assert courses.counts["stored"] > 0


@pytest.mark.slow
def test_decisions_are_right_if_two_clients_name_the_schema_differently(make_engine: Callable[..., Engine]) -> None:
    by_name = EventStore(make_engine("-c search_path=pg_catalog"), schema="public")
    courses = Courses(EventStore(make_engine()), seed=12, others=[by_name])
    courses.run(writers=8, seconds=1)
    courses.judge()
    assert courses.counts["stored"] > 0


@pytest.mark.slow
@pytest.mark.parametrize(("mode", "connections"), [("transaction", 4), ("session", 20)])
def test_decisions_are_right_behind_pgbouncer(
    make_engine: Callable[..., Engine], shared_postgres_url: str, mode: str, connections: int
) -> None:
    with PgBouncer(shared_postgres_url, mode, f"default_pool_size = {connections}") as bouncer:
        engine = create_engine(bouncer.url(make_engine().url), pool_size=20, **bouncer.engine_options)
        store = EventStore(engine)
        boundary = store.read_boundary(COURSE)
        courses = Courses(store, seed=14)
        courses.run(writers=8, seconds=1.5)
        courses.judge()
        with pytest.raises(BoundaryChanged):
            store.append("a-1", tagged("course:1"), expected_version=ANY, condition=boundary)
        engine.dispose()
    assert courses.counts["stored"] > 0


@pytest.mark.slow
def test_decisions_are_right_if_many_tags_have_the_same_key(
    make_engine: Callable[..., Engine], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two tags whose keys are equal are locked once, exclusively if one of them is to be."""
    store, compiled = EventStore(make_engine()), PostgreSQLDialect.sql

    def alike(dialect: PostgreSQLDialect, statement: Any) -> tuple[str, dict[str, Any]]:
        sql, constants = compiled(dialect, statement)
        return sql.replace("hashtextextended(", "3 & hashtextextended("), constants

    monkeypatch.setattr(PostgreSQLDialect, "sql", alike)
    courses = Courses(store, seed=13)
    courses.run(writers=8, seconds=1)
    courses.judge()
    assert courses.counts["stored"] > 0


def no_locks(_locks: object) -> dict[str, Any]:
    return {"number": 0, "tags": [], "are_shared": []}


def test_the_judge_finds_a_blind_decision_if_nothing_is_locked(
    make_engine: Callable[..., Engine], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgresql, "lock_parameters", no_locks)
    store = EventStore(make_engine())
    courses = Courses(store, seed=0)
    boundary = store.read_boundary(COURSE)
    with store.transaction() as tx:
        tx.append("a-1", tagged("course:1", "student:1"), expected_version=ANY)
        blind = tagged("course:1", "student:2")
        store.append("a-2", blind, expected_version=ANY, condition=boundary)
    courses.decided.append(Decided((COURSE,), frozenset(), blind.event_id))
    with pytest.raises(AssertionError, match="decided blindly"):
        courses.judge()


def highest_position(store: EventStore, queries: Sequence[EventFilter]) -> Boundary:
    """Return what the specification seems to say: the boundary is the highest position that the reader has seen."""
    boundary = store.read_boundary(*queries)
    newest = next(store.read_all(backwards=True, limit=1, wait_seconds=0), None)
    last = max(boundary, key=lambda event: event.position, default=None)
    newest = last if newest is None or (last and last.position > newest.position) else newest
    if newest is None:
        return boundary
    items = [replace(item, position=newest.position, event_id=newest.event_id) for item in boundary.items]
    return replace(boundary, items=tuple(items))


def test_the_judge_finds_a_blind_decision_if_the_boundary_is_the_highest_position(
    make_engine: Callable[..., Engine],
) -> None:
    store = EventStore(make_engine())
    courses, queries = Courses(store, seed=0), (COURSE, EventFilter(tags=["other"]))
    with store.transaction() as tx:
        tx.append("a-1", tagged("course:1", "student:1"), expected_version=ANY)
        store.append("b-1", tagged("other", event_type="noted"), expected_version=ANY)
        boundary = highest_position(store, queries)
    blind = tagged("course:1", "student:2")
    store.append("a-2", blind, expected_version=ANY, condition=boundary)
    courses.decided.append(Decided(queries, frozenset(event.position for event in boundary), blind.event_id))
    with pytest.raises(AssertionError, match="decided blindly"):
        courses.judge()


@pytest.mark.slow
@pytest.mark.parametrize("rounds", [10, pytest.param(60, marks=pytest.mark.long)])
def test_of_16_requests_against_one_boundary_one_wins_in_each_round(store: EventStore, rounds: int) -> None:
    """Marten's #5300: a decision that was made between the read of the boundary and that of its events."""
    with ThreadPoolExecutor(16) as threads:
        for number in range(rounds):
            seat, barrier = EventFilter(tags=[f"seat:{number}"]), Barrier(16)

            def take(request: int, number: int = number, seat: EventFilter = seat, barrier: Barrier = barrier) -> bool:
                barrier.wait()
                boundary = store.read_boundary(seat)
                if len(boundary):
                    return False
                try:
                    store.append(
                        f"seat-{number}-{request}",
                        tagged(f"seat:{number}"),
                        expected_version=NO_STREAM,
                        condition=boundary,
                    )
                except BoundaryChanged:
                    return False
                return True

            assert sum(threads.map(take, range(16))) == 1
