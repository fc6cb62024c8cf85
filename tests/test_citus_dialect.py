"""What the store does on Citus, shown without Citus: any PostgreSQL takes the same statements."""

from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine, text

from eventstore import ANY, EventStore, NewEvent
from eventstore.backends.postgresql import citus
from eventstore.backends.postgresql.citus import CitusView
from eventstore.backends.postgresql.dialect import PostgreSQLDialect
from eventstore.backends.protocol import Server
from eventstore.errors import SeveralTenants
from eventstore.testing.append_contract import AppendContract
from eventstore.testing.boundary_contract import BoundaryContract
from eventstore.testing.deletion_contract import DeletionContract
from eventstore.tokens import PositionToken
from tests.test_contract import InPagesOfSeven

EVENT = PositionToken(7, UUID(int=7), "order-1", 1)


@pytest.mark.slow
class TestPostgreSQLInTheWayOfCitus(AppendContract, InPagesOfSeven, DeletionContract, BoundaryContract):
    """Heads first, then rows of values; a statement each for the end of the log, the locks, and those of a worker."""

    locks_all_appends = False

    @pytest.fixture
    def engine(self, shared_postgres_engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Engine:
        monkeypatch.setattr(PostgreSQLDialect, "on_citus", True)
        return shared_postgres_engine


@pytest.mark.parametrize("count", [1, 2, 9, 10, 11, 99, 100, 101, 119, 1234])
def test_events_are_inserted_in_their_order_by_few_kinds_of_statements(count: int) -> None:
    events = [range(start, start + size) for start, size in citus._chunks(count)]  # the statements in between are long
    assert [number for each in events for number in each] == list(range(count))
    assert {len(each) for each in events} <= {100, 10, 1}


# --- who is waited for


def view(*names: str) -> CitusView:
    return CitusView(Server(1, None, in_recovery=False), EVENT, {}, 7, frozenset(names))


@pytest.mark.parametrize(
    ("waiting", "unfinished", "still"),
    [
        ({"3/1"}, {"3/1"}, {"3/1"}),
        ({"3/1"}, set(), set()),
        ({"3/1"}, {"4/1"}, set()),  # a later one
        ({"3/1"}, {"worker 9/1", "worker -1/8"}, {"worker 9/1", "worker -1/8"}),  # it may be any of those
        ({"3/1", "4/1"}, {"4/1", "worker 9/1"}, {"4/1", "worker 9/1"}),
        ({"worker 9/1"}, {"worker 9/1", "worker 9/2"}, {"worker 9/1"}),
        ({"worker 9/1"}, {"3/1", "worker 9/2"}, set()),  # later ones
        ({"worker 9/1"}, {"worker -1/8", "worker 9/2"}, {"worker -1/8"}),  # it may have been prepared
        ({"worker -1/8"}, {"worker -1/9"}, set()),
        ({"moved"}, {"worker 9/1"}, {"worker 9/1"}),
    ],
)
def test_one_that_has_ended_on_the_coordinator_is_waited_for_on_the_worker(
    waiting: set[str], unfinished: set[str], still: set[str]
) -> None:
    assert view(*unfinished).still_unfinished(frozenset(waiting)) == still


def test_a_view_that_has_read_no_locks_ends_no_waiting() -> None:
    unread = CitusView(Server(1, None, in_recovery=False), EVENT, {}, 7, None)
    assert unread.still_unfinished(frozenset({"3/1"})) == {"3/1"}


def rows_of(worker: list[tuple[Any, ...]], *, newest: PositionToken | None = EVENT, is_standby: bool = False) -> Any:
    """Return a run that answers as a coordinator does, whose tables are on a worker with the oid 1."""
    event = (None,) * 4 if newest is None else (newest.position, newest.event_id, newest.stream_id, newest.version)
    answers: dict[str, list[Any]] = {
        "end_of_log": [(*event, [7], [UUID(int=7)], 1, None, False)],
        "appends_on_coordinator": [(["3/1"], False, "read committed", is_standby, "p", 1, 7)],
        "appends_on_worker": worker,
    }
    return lambda statement, **_: answers[statement.__name__]


def test_a_view_has_those_on_the_coordinator_and_on_the_worker() -> None:
    seen = citus.view_log(rows_of([(["9/1"], 1, None, False)]), settled=None, others=[], joined=False)
    assert seen.unfinished == frozenset({"3/1", "worker 9/1"})


@pytest.mark.parametrize("worker", [[], [(["9/1"], 2, None, False)]], ids=["no events any more", "another worker"])
def test_a_view_during_which_the_tables_were_moved_settles_nothing(worker: list[tuple[Any, ...]]) -> None:
    seen = citus.view_log(rows_of(worker), settled=None, others=[], joined=False)
    assert seen.unfinished == frozenset({"3/1", "moved"})


def test_the_worker_is_not_asked_if_nothing_is_new() -> None:
    seen = citus.view_log(rows_of([]), settled=EVENT, others=[], joined=False)
    assert seen.unfinished is None
    assert citus.view_log(rows_of([], newest=None), settled=None, others=[], joined=False).unfinished is None


# --- several tenants


@pytest.mark.postgresql
def test_a_transaction_appends_to_one_tenants_store(postgres_engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PostgreSQLDialect, "on_citus", True)
    with postgres_engine.begin() as connection:
        connection.execute(text("CREATE SCHEMA other"))
        connection.execute(text("CREATE TABLE other.es_events (number integer)"))
    store = EventStore(postgres_engine)
    with postgres_engine.connect() as connection:
        connection.execute(text("INSERT INTO other.es_events VALUES (1)"))
        with pytest.raises(SeveralTenants, match=r"other\.es_events"):
            store.join(connection).append("order-1", NewEvent("placed"), expected_version=ANY)
    assert store.stream_version("order-1") == 0
