"""Appends of very many events on PostgreSQL, which are made by COPY."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Engine, create_engine, event, text

from eventstore import ANY, NO_STREAM, ConcurrencyConflict, EventStore, NewEvent
from eventstore.backends.postgresql import dialect as postgresql
from eventstore.backends.postgresql.parameters import rows_to_copy
from eventstore.errors import PermissionDenied, UnsuitableSetting
from eventstore.transfer import export_events, import_events
from tests.waiting import start_waiting

FEW = 20


@pytest.fixture
def store(postgres_engine: Engine, monkeypatch: pytest.MonkeyPatch) -> EventStore:
    """COPY begins with 20 events here."""
    monkeypatch.setattr(postgresql, "COPY_FROM", FEW)
    return EventStore(postgres_engine)


@pytest.fixture
def executed(postgres_engine: Engine) -> Iterator[list[str]]:
    """The statements that were sent, as hooks of SQLAlchemy see them."""
    sent: list[str] = []

    @event.listens_for(postgres_engine, "before_cursor_execute")
    def _note(connection: object, cursor: object, statement: str, *_: object) -> None:
        sent.append(statement)

    yield sent
    event.remove(postgres_engine, "before_cursor_execute", _note)


def events(count: int, **metadata: Any) -> list[NewEvent]:
    return [NewEvent("counted", {"number": number}, metadata=metadata or None) for number in range(count)]


@pytest.mark.slow
def test_ten_thousand_events_are_copied(postgres_engine: Engine, executed: list[str]) -> None:
    store = EventStore(postgres_engine)
    new = events(10_000, user="Ada")
    result = store.append("order-1", new, expected_version=NO_STREAM)
    assert [statement for statement in executed if statement.startswith("COPY")] != []
    stored = list(store.read_stream("order-1"))
    assert [each.event_id for each in stored] == [each.event_id for each in new]
    assert [each.version for each in stored] == list(range(1, 10_001))
    assert [each.data["number"] for each in stored] == list(range(10_000))
    assert stored[-1].metadata == {"user": "Ada"}
    assert (stored[-1].position, stored[-1].version) == (result.position, result.version)


@pytest.mark.slow
def test_a_result_has_the_positions_between_those_of_others(
    store: EventStore, postgres_engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = EventStore(postgres_engine)
    theirs: list[int] = []

    def with_an_append_between(*arguments: Any) -> Iterator[Any]:
        for number, row in enumerate(rows_to_copy(*arguments)):
            if number == 15_000:
                _until_rows_are_stored(postgres_engine)
                theirs.extend(other.append("other-1", events(2), expected_version=ANY).positions)
            yield row

    monkeypatch.setattr(postgresql, "rows_to_copy", with_an_append_between)
    result = store.append("order-1", events(20_000), expected_version=NO_STREAM)
    assert result.positions[0] < theirs[0] < theirs[1] < result.positions[-1]
    assert result.positions == tuple(event.position for event in store.read_stream("order-1"))
    assert len(set(result.positions) | set(theirs)) == 20_002


def _until_rows_are_stored(engine: Engine) -> None:
    deadline = time.monotonic() + 60
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        while not connection.execute(text("SELECT sum(tuples_processed) FROM pg_stat_progress_copy")).scalar_one():
            assert time.monotonic() < deadline
            time.sleep(0.005)


def test_the_limit_decides(store: EventStore, executed: list[str]) -> None:
    store.append("order-0", events(1), expected_version=NO_STREAM)  # on a new connection there is more to ask
    executed.clear()
    store.append("order-1", events(FEW - 1), expected_version=NO_STREAM)
    assert len(executed) == 1
    executed.clear()
    store.append("order-2", events(FEW), expected_version=NO_STREAM)
    assert [statement.split()[0] for statement in executed] == ["SELECT", "INSERT", "COPY", "SELECT"]


def test_hooks_see_the_copy_and_its_end(store: EventStore, postgres_engine: Engine) -> None:
    seen = []

    @event.listens_for(postgres_engine, "after_cursor_execute")
    def _note(connection: object, cursor: Any, statement: str, *_: object) -> None:
        if statement.startswith("COPY"):
            seen.append(cursor.rowcount)

    store.append("order-1", events(FEW), expected_version=NO_STREAM)
    event.remove(postgres_engine, "after_cursor_execute", _note)
    assert seen == [FEW]


def test_the_head_is_locked_before_a_position_is_drawn(store: EventStore, postgres_engine: Engine) -> None:
    """So positions ascend with versions, though two writers copy at once."""
    store.append("order-1", events(1), expected_version=NO_STREAM)
    with ThreadPoolExecutor(1) as threads, postgres_engine.connect() as holder:
        store.join(holder).append("order-1", events(FEW), expected_version=1)
        other = start_waiting(threads, holder, store.append, "order-1", events(FEW), expected_version=ANY)
        store.join(holder).append("order-1", events(FEW), expected_version=1 + FEW)
        holder.commit()
        assert other.result(timeout=30).version == 1 + 3 * FEW
    positions = [each.position for each in store.read_stream("order-1")]
    assert positions == sorted(positions)


def test_a_conflict_burns_no_position_and_leaves_a_joined_transaction_usable(
    store: EventStore, postgres_engine: Engine
) -> None:
    first = store.append("order-1", events(1), expected_version=NO_STREAM).position
    with postgres_engine.begin() as connection:
        with pytest.raises(ConcurrencyConflict) as conflict:
            store.join(connection).append("order-1", events(FEW), expected_version=7)
        assert conflict.value.actual == 1
        store.join(connection).append("order-1", events(FEW), expected_version=1)
    assert store.stream_version("order-1") == 1 + FEW
    assert store.append("order-2", events(1), expected_version=0).position == first + FEW + 1


def test_a_copy_that_fails_stores_nothing(store: EventStore, postgres_engine: Engine) -> None:
    store.append("order-1", events(5), expected_version=NO_STREAM)
    with postgres_engine.begin() as connection:
        connection.execute(text("UPDATE es_streams SET version = 2"))
    with pytest.raises(ConcurrencyConflict) as conflict:
        store.append("order-1", events(FEW), expected_version=2)
    assert conflict.value.actual == 3
    assert (store.stream_version("order-1"), len(list(store.read_stream("order-1")))) == (2, 5)


def test_an_append_that_is_repeated_is_recognised(store: EventStore) -> None:
    new = events(FEW)
    first = store.append("order-1", new, expected_version=NO_STREAM)
    again = store.append("order-1", new, expected_version=NO_STREAM)
    assert (again.position, again.version, again.duplicate) == (first.position, FEW, True)
    assert store.stream_version("order-1") == FEW


def test_those_who_listen_are_notified(postgres_engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgresql, "COPY_FROM", FEW)
    store = EventStore(postgres_engine, notify=True)
    listener: Any = store.core.driver.listen(postgres_engine)
    try:
        store.append("order-1", events(FEW), expected_version=NO_STREAM)
        assert list(listener.driver.notifies(timeout=5, stop_after=1)) != []
    finally:
        listener.close()


# --- row level security, under which PostgreSQL refuses to COPY


@pytest.fixture
def restricted(postgres_engine: Engine) -> Iterator[Engine]:
    """Engine of a role to which a policy applies: it may store events of one type, and see all."""
    role = f"restricted_{uuid4().hex}"
    grants = """
        GRANT SELECT, INSERT, UPDATE ON es_streams, es_events, snapshots, es_schema TO {0};
        ALTER TABLE es_events ENABLE ROW LEVEL SECURITY;
        CREATE POLICY readers ON es_events FOR SELECT TO {0} USING (true);
        CREATE POLICY writers ON es_events FOR INSERT TO {0} WITH CHECK (event_type = 'counted');
    """
    with postgres_engine.begin() as connection:
        connection.exec_driver_sql(f"CREATE ROLE {role}")
        connection.exec_driver_sql(grants.format(role))
    engine = create_engine(postgres_engine.url, connect_args={"options": f"-c role={role}"})
    yield engine
    engine.dispose()
    with postgres_engine.begin() as connection:
        connection.exec_driver_sql(f"DROP OWNED BY {role}")
        connection.exec_driver_sql(f"DROP ROLE {role}")


def test_under_row_level_security_very_many_events_are_stored_without_copy(
    store: EventStore, restricted: Engine, executed: list[str]
) -> None:
    del store  # for its limit
    watched: list[str] = []
    event.listen(restricted, "before_cursor_execute", lambda *arguments: watched.append(arguments[2]))
    limited = EventStore(restricted)
    new = events(FEW, user="Ada")
    result = limited.append("order-1", new, expected_version=NO_STREAM)
    assert (result.version, limited.append("order-1", new, expected_version=NO_STREAM).duplicate) == (FEW, True)
    with pytest.raises(ConcurrencyConflict) as conflict:
        limited.append("order-1", events(FEW), expected_version=3)
    assert conflict.value.actual == FEW
    stored = list(limited.read_all())
    assert [each.event_id for each in stored] == [each.event_id for each in new]
    assert stored[-1].position == result.position
    with restricted.begin() as connection:
        limited.join(connection).append("order-1", events(FEW), expected_version=FEW)
    assert not any(statement.startswith("COPY") for statement in watched)
    with pytest.raises(PermissionDenied, match="row-level security policy"):
        limited.append("order-1", [NewEvent("other") for _ in range(FEW)], expected_version=ANY)
    assert limited.stream_version("order-1") == 2 * FEW


def test_under_row_level_security_an_import_is_refused(
    postgres_engine: Engine, restricted: Engine, tmp_path: Path
) -> None:
    file = tmp_path / "events.jsonl"
    with EventStore.in_memory() as other:
        other.append("order-1", events(3), expected_version=NO_STREAM)
        export_events(other, file)
    with pytest.raises(UnsuitableSetting, match=r"row level security .*BYPASSRLS"):
        import_events(EventStore(restricted), file)
    assert EventStore(postgres_engine).stream_version("order-1") == 0
    import_events(EventStore(postgres_engine), file)  # the owner is exempt
    assert EventStore(postgres_engine).stream_version("order-1") == 3
