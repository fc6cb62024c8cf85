"""Tenants in one log, held apart by the policies of the guide, on real connections of a role that they apply to."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import pytest
from sqlalchemy import Engine, create_engine, event, text
from sqlalchemy.orm import Session

from eventstore import ANY, NO_STREAM, STREAM_EXISTS, Append, EventFilter, EventStore, NewEvent, maintenance
from eventstore.errors import BoundaryChanged, ConcurrencyConflict, StreamForbidden, TenantNotSet, UnsuitableSetting
from eventstore.findings import Finding, FindingKind
from eventstore.maintenance import fill_tags, verify
from eventstore.projections import OnFailure, Projection, ProjectionAdmin, Worker

pytestmark = pytest.mark.postgresql
GUIDE: Final = Path(__file__).parent.parent / "docs" / "how-to" / "multi-tenancy.md"
SHARED: Final = ("order", "customer:7")
"""Tags that events of both tenants have."""
_tenant: ContextVar[str] = ContextVar("tenant")


@contextmanager
def working_for(tenant: str) -> Iterator[None]:
    token = _tenant.set(tenant)
    try:
        yield
    finally:
        _tenant.reset(token)


def set_tenant(raw: Any, *_: object) -> None:
    raw.execute("SELECT set_config('app.tenant', %s, false)", [_tenant.get("")])
    raw.commit()


@pytest.fixture
def role(postgres_engine: Engine) -> Iterator[str]:
    """A role for the application, and the policies of the guide."""
    role = f"application_{uuid4().hex}"
    (policies,) = re.findall(r"```sql\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    with postgres_engine.begin() as connection:
        connection.exec_driver_sql(f"CREATE ROLE {role}")
        connection.exec_driver_sql(f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role}")
        connection.exec_driver_sql(policies, execution_options={"no_parameters": True})
    yield role
    with postgres_engine.begin() as connection:
        connection.exec_driver_sql(f"DROP OWNED BY {role}")
        connection.exec_driver_sql(f"DROP ROLE {role}")


@pytest.fixture
def limited_engine(postgres_engine: Engine, role: str) -> Iterator[Engine]:
    """The engine of that role; each transaction sets its tenant, or none."""
    engine = create_engine(postgres_engine.url, connect_args={"options": f"-c role={role}"})
    yield engine
    engine.dispose()


@pytest.fixture
def limited(limited_engine: Engine) -> EventStore:
    """A store for all tenants: the pool sets that of the context at each checkout."""
    event.listen(limited_engine, "checkout", set_tenant)
    return EventStore(limited_engine)


@pytest.fixture
def filled(limited: EventStore) -> EventStore:
    """Two tenants, each with two orders, whose events alternate in the global order."""
    for number in (1, 2):
        for tenant in ("acme", "globex"):
            with working_for(tenant):
                stream_id = f"{tenant}:order-{number}"
                events = [NewEvent("placed", tags=SHARED), NewEvent("paid", tags=[f"{tenant}:order"])]
                limited.append(stream_id, events, expected_version=NO_STREAM)
                limited.snapshots.save(stream_id, version=1, state={})
    return limited


READS: dict[str, Callable[[EventStore], set[str]]] = {
    "all": lambda store: {each.stream_id for each in store.read_all()},
    "all, backwards": lambda store: {each.stream_id for each in store.read_all(backwards=True)},
    "by type": lambda store: {each.stream_id for each in store.read_all(EventFilter(event_types=["paid"]))},
    "by category": lambda store: {
        each.stream_id for each in store.read_all(EventFilter(categories=["acme:order", "globex:order"]))
    },
    "by stream": lambda store: {
        each.stream_id for each in store.read_all(EventFilter(stream_ids=["acme:order-1", "globex:order-1"]))
    },
    "by tag": lambda store: {each.stream_id for each in store.read_all(EventFilter(tags=["order"]))},
    "by tag, backwards": lambda store: {
        each.stream_id for each in store.read_all(EventFilter(tags=SHARED, event_types=["placed"]), backwards=True)
    },
    "a boundary": lambda store: {each.stream_id for each in store.read_boundary(EventFilter(tags=["order"]))},
    "a boundary of several tags": lambda store: {
        each.stream_id
        for each in store.read_boundary(
            EventFilter(tags=SHARED), EventFilter(tags=["acme:order"]), EventFilter(tags=["globex:order"])
        )
    },
    "a stream": lambda store: {
        each.stream_id for name in ("acme:order-1", "globex:order-1") for each in store.read_stream(name)
    },
    "versions": lambda store: {
        name for name in ("acme:order-1", "globex:order-1") if store.stream_version(name)
    },
    "list of streams": lambda store: {each.stream_id for each in store.list_streams()},
    "snapshots": lambda store: {each.stream_id for each in store.snapshots.list()},
    "a snapshot": lambda store: {
        name for name in ("acme:order-1", "globex:order-1") if store.snapshots.load(name, schema_version=1)
    },
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("read", READS)
def test_no_read_shows_another_tenants_events(filled: EventStore, read: str) -> None:
    with working_for("acme"):
        found = READS[read](filled)
    assert found
    assert {name.partition(":")[0] for name in found} == {"acme"}


@pytest.mark.slow
def test_no_query_shows_another_tenants_tags(filled: EventStore) -> None:
    for tenant in ("acme", "globex"):
        with working_for(tenant), filled.engine.connect() as connection:
            found = connection.execute(text("SELECT position, tag FROM es_event_tags WHERE tag <> ''")).all()
        with working_for(tenant):
            assert sorted(tuple(row) for row in found) == sorted(
                (each.position, tag) for each in filled.read_all() for tag in each.tags
            )
        assert len(found) == 6


@pytest.mark.slow
def test_a_decision_is_about_the_tenants_own_events(filled: EventStore) -> None:
    order = EventFilter(tags=["order"])
    with working_for("acme"):
        boundary = filled.read_boundary(order)
    with working_for("globex"):
        filled.append("globex:order-3", NewEvent("placed", tags=SHARED), expected_version=NO_STREAM)
    with working_for("acme"):
        own = NewEvent("placed", tags=SHARED)
        filled.append("acme:order-3", own, expected_version=NO_STREAM, condition=boundary)
        with pytest.raises(BoundaryChanged) as changed:
            filled.append("acme:order-4", NewEvent("placed"), expected_version=NO_STREAM, condition=boundary)
        assert changed.value.event_stream_id == "acme:order-3"
        several = [
            Append(f"acme:order-{number}", NewEvent("placed", tags=SHARED), expected_version=0) for number in (5, 6)
        ]
        filled.append_many(several, condition=filled.read_boundary(order))
        assert [each.stream_id for each in filled.read_boundary(order)] == [
            f"acme:order-{number}" for number in (1, 2, 3, 5, 6)
        ]


@pytest.mark.slow
def test_a_boundary_of_another_tenant_is_refused_without_a_word_about_its_events(filled: EventStore) -> None:
    with working_for("globex"):
        foreign = filled.read_boundary(EventFilter(tags=["order"]))
        filled.append("globex:order-3", NewEvent("placed", tags=SHARED), expected_version=NO_STREAM)
    with working_for("acme"), pytest.raises(BoundaryChanged) as changed:
        filled.append("acme:order-3", NewEvent("placed"), expected_version=NO_STREAM, condition=foreign)
    assert (changed.value.position, changed.value.event_type, changed.value.event_stream_id) == (None, None, None)


@pytest.mark.slow
def test_a_tenants_boundary_is_refused_after_the_owner_has_filled_tags(
    filled: EventStore, postgres_engine: Engine
) -> None:
    with working_for("globex"):
        boundary = filled.read_boundary(EventFilter(tags=["order"]))
    new = {
        4: ["order"]
    }  # below what the boundary has seen; the row of the generation has the position of an event of acme
    assert fill_tags(EventStore(postgres_engine), tags_of=lambda each: new.get(each.position, [])).tagged == 1
    with working_for("globex"):
        with pytest.raises(BoundaryChanged, match="tags were added to old events"):
            filled.append("globex:order-3", NewEvent("placed"), expected_version=NO_STREAM, condition=boundary)
        assert [each.position for each in filled.read_boundary(EventFilter(tags=["order"]))] == [3, 4, 7]


@pytest.mark.slow
def test_a_tenant_deletes_its_tags_with_its_stream(filled: EventStore, postgres_engine: Engine) -> None:
    with working_for("acme"):
        filled.delete_stream("acme:order-1", expected_version=2, reason="test")
    assert list(verify_tags(postgres_engine)) == []
    assert len(EventStore(postgres_engine).read_boundary(EventFilter(tags=["order"]))) == 3


def verify_tags(engine: Engine) -> list[Finding]:
    kinds = (FindingKind.TAG_MISSING, FindingKind.TAG_SUPERFLUOUS)
    return [finding for finding in verify(EventStore(engine)) if finding.kind in kinds]


@pytest.mark.slow
def test_the_owner_sees_all(filled: EventStore, postgres_engine: Engine) -> None:
    seen: list[str] = []
    projection = Projection("all")
    projection.on("placed")(lambda each, _: seen.append(each.stream_id))
    Worker(EventStore(postgres_engine), projection).run_until_caught_up()
    assert seen == ["acme:order-1", "globex:order-1", "acme:order-2", "globex:order-2"]


@pytest.mark.slow
def test_dead_letters_are_shown_to_their_tenant(filled: EventStore, postgres_engine: Engine) -> None:
    projection = Projection("all", on_failure=OnFailure.DEAD_LETTER)
    projection.on("placed")(lambda *_: 1 / 0)
    Worker(EventStore(postgres_engine), projection).run_until_caught_up()
    with working_for("acme"):
        letters = ProjectionAdmin(filled).dead_letters.list("all")
        assert {each.stream_id for each in letters} == {"acme:order-1", "acme:order-2"}


@pytest.mark.slow
def test_a_repair_by_a_role_from_which_rows_are_hidden_is_refused(filled: EventStore, postgres_engine: Engine) -> None:
    """It would delete the tags of all events that it does not see."""
    with postgres_engine.begin() as connection:
        connection.execute(text("ALTER TABLE es_event_tags DISABLE ROW LEVEL SECURITY"))
    with working_for("acme"):
        repairs = maintenance.plan(maintenance.verify(filled))
        assert any("es_event_tags" in each.action for each in repairs)
        with pytest.raises(UnsuitableSetting, match="BYPASSRLS"):
            list(maintenance.repair(filled, repairs))
    with postgres_engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM es_event_tags")) == 12


# --- writing


@pytest.mark.slow
@pytest.mark.parametrize("number", [1, 7], ids=["it exists", "it does not exist"])
@pytest.mark.parametrize("expected", [NO_STREAM, ANY])
@pytest.mark.parametrize("count", [1, 2])
def test_another_tenants_stream_can_not_be_written(
    filled: EventStore, postgres_engine: Engine, *, number: int, expected: Any, count: int
) -> None:
    stream_id = f"globex:order-{number}"
    new, again = ([NewEvent("placed") for _ in range(count)] for _ in range(2))
    with working_for("acme"):
        with pytest.raises(StreamForbidden, match=f"'{stream_id}'.*row-level security policy") as forbidden:
            filled.append(stream_id, new, expected_version=expected)
        assert forbidden.value.stream_ids == (stream_id,)
        with pytest.raises(StreamForbidden) as forbidden:
            filled.append_many(
                [Append("acme:order-9", new, expected_version=0), Append(stream_id, again, expected_version=expected)]
            )
        assert forbidden.value.stream_ids == ("acme:order-9", stream_id)
        assert not filled.snapshots.save(stream_id, version=2, state={})  # there is no such stream
    assert len(list(EventStore(postgres_engine).read_all())) == 8


@pytest.mark.slow
@pytest.mark.parametrize("expected", [2, STREAM_EXISTS])
def test_a_stream_that_is_hidden_is_not_there(filled: EventStore, expected: Any) -> None:
    with working_for("acme"), pytest.raises(ConcurrencyConflict) as conflict:
        filled.append("globex:order-1", [NewEvent("paid")], expected_version=expected)
    assert conflict.value.actual == 0


def test_it_is_refused_in_a_joined_transaction(limited_engine: Engine) -> None:
    store = EventStore(limited_engine)
    with Session(limited_engine) as session:
        session.execute(text("SELECT set_config('app.tenant', 'acme', true)"))
        store.join(session).append("acme:order-1", [NewEvent("placed")], expected_version=0)
        session.commit()
        session.execute(text("SELECT set_config('app.tenant', 'acme', true)"))
        assert [each.stream_id for each in store.join(session).read_stream("acme:order-1")] == ["acme:order-1"]
        with pytest.raises(StreamForbidden, match="'globex:order-1'"):
            store.join(session).append("globex:order-1", [NewEvent("placed")], expected_version=0)


@pytest.mark.slow
def test_more_events_than_are_copied_are_stored_in_one_append(limited: EventStore) -> None:
    with working_for("acme"):
        new = [NewEvent("counted", {"number": number}) for number in range(10_001)]
        assert limited.append("acme:count-1", new, expected_version=NO_STREAM).version == 10_001
        stored = list(limited.read_stream("acme:count-1"))
        assert [each.data["number"] for each in stored] == list(range(10_001))
        with pytest.raises(StreamForbidden):
            limited.append("globex:count-1", new, expected_version=NO_STREAM)
    with working_for("globex"):
        assert list(limited.read_all()) == []


@pytest.mark.slow
def test_a_tenant_that_was_not_set_is_an_error(filled: EventStore) -> None:
    """Also on a connection on which it was set before: then the setting is an empty text, not missing."""
    uses: list[Callable[[], object]] = [
        *(lambda read=read: read(filled) for read in READS.values()),
        lambda: filled.append("acme:order-1", [NewEvent("paid")], expected_version=ANY),
        lambda: filled.append("acme:order-1", [NewEvent("paid"), NewEvent("paid")], expected_version=ANY),
        lambda: filled.append_many([Append("acme:order-1", NewEvent("paid"), expected_version=ANY)]),
        filled.settled_position,
    ]
    for use in uses:
        with pytest.raises(TenantNotSet, match=r"app\.tenant is not set"):
            use()


def test_a_setting_that_the_policy_reads_itself_is_named(limited_engine: Engine, postgres_engine: Engine) -> None:
    with postgres_engine.begin() as connection:
        connection.execute(text("DROP POLICY tenants ON es_streams"))
        policy = "CREATE POLICY tenants ON es_streams USING (stream_id = current_setting('no.tenant'))"
        connection.exec_driver_sql(policy)
    with pytest.raises(TenantNotSet, match=r'"no\.tenant"'):
        EventStore(limited_engine).append("acme:order-1", [NewEvent("placed")], expected_version=0)


@pytest.mark.slow
def test_readers_of_one_store_are_not_mixed_up(filled: EventStore) -> None:
    """What one tenant's look has settled is remembered for both, and neither misses an event or sees another's."""
    seen: dict[str, list[str]] = {"acme": [], "globex": []}
    tokens: dict[str, Any] = dict.fromkeys(seen, 0)
    for number in range(3, 9):
        for tenant, stream_ids in seen.items():
            with working_for(tenant):
                filled.append(f"{tenant}:order-{number}", [NewEvent("placed")], expected_version=0)
                for each in filled.read_all(after_position=tokens[tenant]):
                    stream_ids.append(each.stream_id)
                    tokens[tenant] = each.token
    for tenant, stream_ids in seen.items():
        expected = [f"{tenant}:order-{number}" for number in (1, 1, 2, 2, *range(3, 9))]
        assert stream_ids == expected
