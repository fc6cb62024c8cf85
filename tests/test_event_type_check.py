"""Whether code reads the events that are stored, on both databases."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from sqlalchemy import Engine, text

from eventstore import NO_STREAM, EventStore, EventTypes, InvalidInput, NewEvent
from eventstore.backends import backend_for
from eventstore.statements.event_types import event_type_spans, sample_events
from tests.fix_leaks import SECRET


@dataclass
class OrderPlaced:
    customer: str
    total: int


def registry() -> EventTypes:
    """Return event types of which one was renamed, one is dropped, and one has a bad upcaster."""
    event_types = EventTypes()
    event_types.register("order-placed", OrderPlaced, schema_version=2)
    event_types.upcaster("order-placed", from_version=1)(lambda data: {"customer": data["who"], "total": 0})
    event_types.upcaster("order-opened", from_version=1, to=("order-placed", 2))(lambda data: data)
    event_types.drop("order-noted", from_version=1)
    event_types.upcaster("order-paid", from_version=1)(lambda data: {"amount": int(data["amount"])})
    return event_types


def write(engine: Engine) -> None:
    store = EventStore(engine)
    paid = [NewEvent("order-paid", {"amount": SECRET if number % 4 == 0 else "1"}) for number in range(60)]
    events = [
        *(NewEvent("order-placed", {"who": "Ada"}) for _ in range(5)),
        *(NewEvent("order-opened", {"customer": "Ada", "total": 3}) for _ in range(2)),
        NewEvent("order-noted", {"note": "hm"}),
        *paid,
        *(NewEvent("order-placed", {"customer": "Ada", "total": 3}, schema_version=2) for _ in range(3)),
        NewEvent("order-placed", {"customer": "Ada"}, schema_version=3),
        NewEvent("strange", 7, schema_version=12),
    ]
    store.append("order-1", events, expected_version=NO_STREAM)


def test_each_event_type_and_schema_version_is_found_and_read(any_engine: Engine) -> None:
    write(any_engine)
    findings = EventStore(any_engine, event_types=registry()).check_event_types()
    assert [(each.event_type, each.schema_version, each.sampled, each.failed, each.read_as) for each in findings] == [
        ("order-noted", 1, 1, 0, ()),
        ("order-opened", 1, 2, 0, (("order-placed", 2),)),
        ("order-paid", 1, 60, 15, (("order-paid", 2),)),
        ("order-placed", 1, 5, 0, (("order-placed", 2),)),
        ("order-placed", 2, 3, 0, (("order-placed", 2),)),
        ("order-placed", 3, 1, 1, ()),
        ("strange", 12, 1, 0, (("strange", 12),)),
    ]
    paid = findings[2]
    assert len(paid.failures) == 10
    assert (paid.failures[0].stream_id, paid.failures[0].version) == ("order-1", 9)
    assert "ValueError" in str(paid.failures[0])
    assert SECRET not in repr(findings)


@pytest.mark.slow
def test_a_sample_holds_the_first_and_the_last_event_and_is_as_large_as_asked(any_engine: Engine) -> None:
    events = [
        NewEvent("first" if number % 2 else "second", number, schema_version=1 + (number == 999))
        for number in range(1000)
    ]
    store = EventStore(any_engine)
    store.append("order-1", events, expected_version=NO_STREAM)
    for sample_size in (1, 2, 7, 100, 499, 500, 1000):
        first_old, first_new, second = store.check_event_types(sample_size=sample_size)
        assert (first_old.event_type, first_new.sampled, first_new.schema_version) == ("first", 1, 2)
        for sampled in (first_old.sampled + 1, second.sampled):
            assert min(sample_size, 250) <= sampled <= sample_size + 1


def test_an_empty_store_and_a_joined_one_are_checked_too(any_engine: Engine) -> None:
    store = EventStore(any_engine)
    assert store.check_event_types() == []
    with store.transaction() as joined:
        joined.append("order-1", [NewEvent("order-placed")], expected_version=NO_STREAM)
        assert [each.sampled for each in joined.check_event_types(sample_size=1)] == [1]


@pytest.mark.parametrize("sample_size", [0, -1, True, None, "all"])
def test_a_bad_sample_size_is_refused(sqlite_engine: Engine, sample_size: Any) -> None:
    with pytest.raises(InvalidInput, match="sample_size"):
        EventStore(sqlite_engine).check_event_types(sample_size=sample_size)


@pytest.mark.slow
@pytest.mark.parametrize("statement", [event_type_spans, sample_events])
def test_with_the_index_no_statement_scans_the_table(any_engine: Engine, statement: Callable[..., Any]) -> None:
    store = EventStore(any_engine)
    store.append("order-1", [NewEvent(f"type-{number % 3}") for number in range(30_000)], expected_version=NO_STREAM)
    postgresql = any_engine.dialect.name == "postgresql"
    with any_engine.begin() as connection:
        connection.execute(text("CREATE INDEX IF NOT EXISTS by_type ON es_events (event_type, position)"))
        connection.execute(text("ANALYZE es_events"))
    sql, constants = backend_for(any_engine, lock_timeout_seconds=1).dialect.sql(statement)
    parameters = {"event_type": "type-1", "first": 2, "last": 29_999, "stride": 300}
    with any_engine.connect() as connection:
        explain = "EXPLAIN " if postgresql else "EXPLAIN QUERY PLAN "
        used = parameters if statement is sample_events else {}
        plan = "\n".join(str(row[-1]) for row in connection.exec_driver_sql(explain + sql, {**constants, **used}))
    print(plan)
    assert "Seq Scan on es_events" not in plan
    assert "SCAN es_events" not in plan.replace("SCAN es_events USING COVERING INDEX", "")
