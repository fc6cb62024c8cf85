"""Snapshots of aggregates: a cache that never makes an error, and never makes another state."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, event, select, text, update

from eventstore import ANY, EventStore, InvalidInput, NewEvent, RecordedEvent, Repository
from eventstore.errors import UnsuitableTransaction
from eventstore.repository import RefreshProgress, SinceSnapshot, SnapshotCounts, always, every, never
from tests.accounts import KINDS, Deposited, FrozenAccount, Kind, Opened, Withdrawn, deposit, event_types
from tests.fix_engines import changing_history

pytestmark = pytest.mark.slow


@pytest.fixture
def store(any_engine: Engine) -> EventStore:
    return EventStore(any_engine, event_types=event_types)


def accounts_of(store: EventStore, **options: Any) -> Repository[FrozenAccount]:
    return Repository(store, category="account", initial=FrozenAccount, evolve=FrozenAccount.after, **options)


@pytest.fixture
def executed(any_engine: Engine) -> Iterator[list[str]]:
    """The statements that were sent."""
    sent: list[str] = []

    @event.listens_for(any_engine, "before_cursor_execute")
    def _note(connection: object, cursor: object, statement: str, *_: object) -> None:
        sent.append(statement)

    yield sent
    event.remove(any_engine, "before_cursor_execute", _note)


# --- one round trip


@pytest.mark.parametrize("snapshot_version", [None, 3, 7])
def test_an_aggregate_is_loaded_in_one_statement(
    store: EventStore, executed: list[str], snapshot_version: int | None
) -> None:
    store.append("account-1", [Deposited(Decimal(1))] * 7, expected_version=0)
    accounts = accounts_of(store)
    if snapshot_version:
        assert accounts._writer is not None
        accounts._writer.write("account-1", snapshot_version)
    executed.clear()
    loaded = accounts.load("1")
    assert (int(loaded.state.balance), loaded.version, loaded.snapshot_version) == (7, 7, snapshot_version or 0)
    assert len(executed) == 1
    assert len(accounts.load("1", version=5).state.entries) == 5
    assert len(executed) == 2
    assert accounts.load("1", as_of=datetime.now(UTC) + timedelta(days=1)).version == 7
    assert len(executed) == 4, "one more, for the version of that time"


@pytest.mark.parametrize(("tail", "statements"), [(0, 1), (9, 1), (10, 2), (19, 2), (25, 3)])
def test_a_long_tail_takes_a_statement_for_each_page(
    any_engine: Engine, executed: list[str], tail: int, statements: int
) -> None:
    store = EventStore(any_engine, event_types=event_types, page_size=10)
    accounts = accounts_of(store)
    store.append("account-1", [Deposited(Decimal(1))] * 50, expected_version=0)
    assert accounts._writer is not None
    accounts._writer.write("account-1", 50)
    if tail:
        store.append("account-1", [Deposited(Decimal(1))] * tail, expected_version=50)
    executed.clear()
    assert accounts.load("1").state.balance == 50 + tail
    assert len(executed) == statements


def test_a_command_takes_two_round_trips(postgres_engine: Engine) -> None:
    sent: list[str] = []
    store = EventStore(postgres_engine, event_types=event_types)
    accounts = accounts_of(store, snapshots=every(5))
    counts = []
    accounts.execute("0", deposit, Decimal(1))  # on a new connection there is more to ask
    event.listen(postgres_engine, "before_cursor_execute", lambda *arguments: sent.append(arguments[2]))
    for _ in range(11):
        sent.clear()
        accounts.execute("1", deposit, Decimal(1))
        counts.append(len(sent))
    assert counts == [2, 2, 2, 2, 4, 2, 2, 2, 2, 4, 2], "load and append; and sometimes load and save"


# --- policies


def test_the_state_is_serialised_only_when_the_policy_asks(store: EventStore) -> None:
    asked: list[SinceSnapshot] = []
    serialised: list[Decimal] = []

    def at_four_and_seven(since: SinceSnapshot) -> bool:
        asked.append(since)
        return since.version in (4, 7)

    def to_snapshot(state: FrozenAccount) -> Decimal:
        serialised.append(state.balance)
        return state.balance

    accounts = accounts_of(
        store,
        snapshots=at_four_and_seven,
        to_snapshot=to_snapshot,
        from_snapshot=lambda plain: FrozenAccount("", plain),
    )
    for _ in range(8):
        accounts.execute("1", deposit, Decimal(1))
    accounts.execute("1", lambda _: None)
    assert serialised == [4, 7]
    before = [0, 0, 0, 0, 4, 4, 4, 7]
    assert asked == [SinceSnapshot("account-1", number + 1, version) for number, version in enumerate(before)]
    assert [since.events for since in asked] == [1, 2, 3, 4, 1, 2, 3, 1]


@pytest.mark.parametrize(("events", "saved_at"), [(1, [1, 2, 3, 4, 5, 6, 7]), (3, [3, 6]), (7, [7]), (8, [])])
def test_every_n_events_is_at_the_threshold_not_below(store: EventStore, events: int, saved_at: list[int]) -> None:
    accounts = accounts_of(store, snapshots=every(events))
    seen = []
    for version in range(1, 8):
        before = accounts.snapshot_counts.saved
        accounts.execute("1", deposit, Decimal(1))
        seen += [version] * (accounts.snapshot_counts.saved - before)
    assert seen == saved_at


def test_an_append_of_many_events_is_one_snapshot(store: EventStore) -> None:
    accounts = accounts_of(store, snapshots=every(3))
    accounts.execute("1", lambda _: [Deposited(Decimal(1))] * 10)
    assert accounts.load("1").snapshot_version == 10
    assert accounts.snapshot_counts == SnapshotCounts(saved=1)


def test_never_uses_what_others_have_saved(store: EventStore) -> None:
    accounts_of(store, snapshots=always).execute("1", deposit, Decimal(1))
    assert accounts_of(store, snapshots=never).load("1").snapshot_version == 1


@pytest.mark.parametrize("events", [0, -1, True, "3", 2.5])
def test_every_takes_a_number_from_1(events: Any) -> None:
    with pytest.raises(InvalidInput):
        every(events)


# --- failures


def forbid_snapshots(engine: Engine) -> None:
    """Let every write fail, and reads succeed."""
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text("ALTER TABLE snapshots ADD CHECK (version < 0) NOT VALID"))
        else:
            connection.execute(
                text("CREATE TRIGGER forbid BEFORE INSERT ON snapshots BEGIN SELECT RAISE(ABORT, 'secret'); END")
            )


def test_a_failed_snapshot_never_fails_the_append(
    store: EventStore, any_engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    accounts = accounts_of(store, snapshots=always)
    forbid_snapshots(any_engine)
    with caplog.at_level(logging.WARNING, "eventstore.repository"):
        assert accounts.execute("1", lambda _: [Opened("secret")]).version == 1
    assert accounts.load("1").state.owner == "secret"
    assert accounts.snapshot_counts == SnapshotCounts(failed=1)
    (record,) = caplog.records
    assert "'account-1' at version 1" in record.getMessage()
    assert "IntegrityError" in record.getMessage()
    assert "secret" not in record.getMessage()


@pytest.mark.parametrize("joined_by", ["transaction", "connection"])
def test_a_failed_snapshot_leaves_the_callers_transaction_usable(
    store: EventStore, any_engine: Engine, joined_by: str
) -> None:
    accounts = accounts_of(store, snapshots=always)
    forbid_snapshots(any_engine)
    with store.transaction() if joined_by == "transaction" else any_engine.begin() as target:
        joined = accounts.join(target)
        assert joined.execute("1", deposit, Decimal(1)).version == 1
        assert joined.execute("1", deposit, Decimal(1)).version == 2
        assert joined.load("1").state.balance == 2
    assert accounts.load("1").version == 2
    assert accounts.snapshot_counts == SnapshotCounts(failed=2), "counted for all that share the repository"


def test_a_policy_that_fails_never_fails_the_append(store: EventStore, caplog: pytest.LogCaptureFixture) -> None:
    def fails(since: SinceSnapshot) -> bool:
        raise RuntimeError("secret")

    accounts = accounts_of(store, snapshots=fails)
    assert accounts.execute("1", deposit, Decimal(1)).version == 1
    assert accounts.snapshot_counts == SnapshotCounts(failed=1)
    assert "RuntimeError" in caplog.text
    assert "secret" not in caplog.text


def test_a_serialiser_that_fails_never_fails_the_append(store: EventStore, caplog: pytest.LogCaptureFixture) -> None:
    def fails(state: FrozenAccount) -> Any:
        raise RuntimeError(state.balance)

    accounts = accounts_of(store, snapshots=always, to_snapshot=fails, from_snapshot=fails)
    assert accounts.execute("1", deposit, Decimal("47.11")).version == 1
    assert accounts.snapshot_counts == SnapshotCounts(failed=1)
    assert "47.11" not in caplog.text


@dataclass
class Careless:
    """Annotations that do not say what is in the fields."""

    notes: list = field(default_factory=list)  # type: ignore[type-arg]


@dataclass(eq=False)
class MoreCareless(Careless):
    pass


@pytest.mark.parametrize(
    ("state", "problem"),
    [
        (Careless([FrozenAccount()]), "at $.notes[0]: FrozenAccount, is read back as dict"),
        (Careless([object()]), "can't be encoded at $.state.notes[0]"),
        (FrozenAccount(), "is not the class of the initial state, Careless"),
        (MoreCareless(), "is not the class of the initial state, Careless"),
    ],
)
def test_a_state_that_would_come_back_as_another_is_not_saved(
    store: EventStore, state: Any, problem: str, caplog: pytest.LogCaptureFixture
) -> None:
    careless: Repository[Any] = Repository(
        store, category="careless", initial=Careless, evolve=lambda _, __: state, snapshots=always
    )
    assert careless.execute("1", lambda _: [NewEvent("noted")]).version == 1
    assert careless.load("1").state is state
    assert careless.snapshot_counts == SnapshotCounts(failed=1)
    assert store.snapshots.load("careless-1") is None
    assert problem in caplog.text


class Pair(NamedTuple):
    one: int
    other: int


def test_a_named_tuple_needs_functions(store: EventStore) -> None:
    options: Any = {"category": "pair", "initial": lambda: Pair(0, 0), "evolve": lambda pair, _: Pair(pair.one + 1, 0)}
    with pytest.raises(InvalidInput, match="to_snapshot"):
        Repository(store, **options, snapshots=always)
    pairs = Repository(store, **options, snapshots=always, to_snapshot=tuple, from_snapshot=lambda plain: Pair(*plain))
    pairs.execute("1", lambda _: [NewEvent("counted")])
    assert (pairs.load("1").state, pairs.load("1").snapshot_version) == (Pair(1, 0), 1)
    assert type(pairs.load("1").state) is Pair


# --- states that change their shape


@dataclass(frozen=True)
class Version1:
    total: int = 0

    def after(self, _: Any) -> "Version1":
        return Version1(self.total + 1)


@dataclass(frozen=True)
class Version2:
    count: int
    double: int

    def after(self, _: Any) -> "Version2":
        return Version2(self.count + 1, self.double + 2)


def test_old_and_new_code_run_side_by_side(store: EventStore) -> None:
    def counter(cls: Any, schema_version: int) -> Repository[Any]:
        return Repository(
            store,
            category="counter",
            initial=cls if cls is Version1 else lambda: Version2(0, 0),
            evolve=cls.after,
            snapshots=every(2),
            schema_version=schema_version,
        )

    old, new = counter(Version1, 1), counter(Version2, 2)
    for _ in range(4):
        old.execute("1", lambda _: [NewEvent("counted")])
    assert (new.load("1").state, new.load("1").snapshot_version) == (Version2(4, 8), 0)
    for _ in range(3):
        new.execute("1", lambda _: [NewEvent("counted")])
        old.execute("1", lambda _: [NewEvent("counted")])
    assert (old.load("1").state, new.load("1").state) == (Version1(10), Version2(10, 20))
    assert old.load("1").snapshot_version >= 8
    assert new.load("1").snapshot_version >= 8
    for repository in (old, new):
        assert repository.snapshot_counts.saved > 1
        assert repository.snapshot_counts.failed == repository.snapshot_counts.declined == 0


def test_a_changed_class_under_the_same_schema_version_is_a_miss(
    store: EventStore, caplog: pytest.LogCaptureFixture
) -> None:
    options: Any = {"category": "counter", "snapshots": every(2)}
    old = Repository(store, initial=Version1, evolve=Version1.after, **options)
    for _ in range(2):
        old.execute("1", lambda _: [NewEvent("counted", "secret")])
    assert old.load("1").snapshot_version == 2
    new = Repository(store, initial=lambda: Version2(0, 0), evolve=Version2.after, **options)
    with caplog.at_level(logging.WARNING, "eventstore.repository"):
        loaded = new.load("1")
    assert (loaded.state, loaded.version, loaded.snapshot_version) == (Version2(2, 4), 2, 0)
    assert "'counter-1' at version 2 is ignored" in caplog.text
    new.execute("1", lambda _: [NewEvent("counted")])
    assert new.load("1").snapshot_version == 3, "the next append replaces it"


@pytest.mark.parametrize("damage", [{"state": b"\xc1"}, {"codec": 99}, {"state": b""}, {"codec": 257}])
def test_a_damaged_snapshot_is_a_miss(store: EventStore, any_engine: Engine, damage: dict[str, Any]) -> None:
    accounts = accounts_of(store, snapshots=always)
    for _ in range(3):
        accounts.execute("1", deposit, Decimal(1))
    with any_engine.begin() as connection:
        connection.execute(update(store.tables.snapshots).values(**damage))
    loaded = accounts.load("1")
    assert (int(loaded.state.balance), loaded.version, loaded.snapshot_version) == (3, 3, 0)


def test_a_reader_of_snapshots_that_fails_is_a_miss(store: EventStore, caplog: pytest.LogCaptureFixture) -> None:
    def fails(plain: Any) -> FrozenAccount:
        raise RuntimeError(plain)

    accounts = accounts_of(store, snapshots=always, to_snapshot=lambda _: "secret", from_snapshot=fails)
    accounts.execute("1", deposit, Decimal(1))
    assert accounts.load("1").state.balance == 1
    assert "RuntimeError" in caplog.text
    assert "secret" not in caplog.text


def test_a_snapshot_beyond_the_head_is_not_used(store: EventStore, any_engine: Engine) -> None:
    accounts = accounts_of(store, snapshots=always)
    accounts.execute("1", deposit, Decimal(1))
    with any_engine.begin() as connection:
        connection.execute(update(store.tables.snapshots).values(version=2))
    assert (accounts.load("1").version, accounts.load("1").snapshot_version) == (1, 0)


def test_states_are_compressed_by_size(any_engine: Engine) -> None:
    store = EventStore(any_engine, event_types=event_types, compress_above=500)
    accounts = accounts_of(store, snapshots=always)
    accounts.execute("short", lambda _: [Opened("a")])
    accounts.execute("long", lambda _: [Opened("a" * 5000)])
    snapshots = store.tables.snapshots.c
    with any_engine.connect() as connection:
        rows = connection.execute(select(snapshots.codec, snapshots.state).order_by(snapshots.stream_id)).all()
    assert [codec > 255 for codec, _ in rows] == [True, False]
    assert len(rows[0].state) < 500
    assert accounts.load("long").snapshot_version == 1
    assert accounts.load("long").state.owner == "a" * 5000


# --- refresh


def test_refresh_saves_what_is_missing_and_passes_over_what_is_done(
    store: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eventstore.repository.snapshotting._PAGE_SIZE", 3)
    accounts = accounts_of(store, snapshots=every(4))
    for number in range(10):
        store.append(f"account-{number}", [Deposited(Decimal(1))] * (number + 1), expected_version=0)
    neighbours = ["account", "account!-1", "accounts-1", "account.-1", "accoun-1", "zebra-1", "Account-1"]
    for stream_id in neighbours:
        store.append(stream_id, [Deposited(Decimal(1))] * 20, expected_version=0)
    told: list[RefreshProgress] = []
    progress = accounts.refresh_snapshots(on_progress=told.append)
    assert progress == told[-1] == RefreshProgress(streams=11, total=11, saved=8, failed=0)
    assert [each.streams for each in told] == list(range(1, 12))
    for number in range(10):
        assert accounts.load(number).snapshot_version == (number + 1 if number >= 3 else 0)
        assert accounts.load(number).state.balance == number + 1
    assert [store.snapshots.load(each) is not None for each in neighbours] == [True] + [False] * 6
    assert accounts.refresh_snapshots() == RefreshProgress(streams=11, total=11, saved=0, failed=0)
    assert accounts.refresh_snapshots(policy=always).saved == 3
    store.append("account-9", [Deposited(Decimal(1))] * 4, expected_version=ANY)
    assert accounts.refresh_snapshots().saved == 1
    assert accounts.refresh_snapshots(policy=lambda _: True).saved == 0
    assert accounts.snapshot_counts.declined == 0, "those at the head are not even tried"


def test_refresh_fills_a_new_schema_version_and_leaves_the_old_one(store: EventStore) -> None:
    old = accounts_of(store, snapshots=every(3))
    for _ in range(5):
        old.execute("1", deposit, Decimal(1))
    new = accounts_of(store, snapshots=every(3), schema_version=2)
    assert new.load("1").snapshot_version == 0
    assert new.refresh_snapshots() == RefreshProgress(streams=1, total=1, saved=1, failed=0)
    assert (old.load("1").snapshot_version, new.load("1").snapshot_version) == (3, 5)


def test_refresh_goes_on_after_an_aggregate_that_fails(store: EventStore, caplog: pytest.LogCaptureFixture) -> None:
    for number in range(3):
        store.append(f"account-{number}", [Deposited(Decimal(1))], expected_version=0)

    def evolve(account: FrozenAccount, event: Any) -> FrozenAccount:
        if event.stream_id == "account-1":
            raise RuntimeError("secret")
        return account.after(event)

    accounts = Repository(store, category="account", initial=FrozenAccount, evolve=evolve, snapshots=always)
    assert accounts.refresh_snapshots() == RefreshProgress(streams=3, total=3, saved=2, failed=1)
    assert "'account-1'" in caplog.text
    assert "secret" not in caplog.text


def test_refresh_is_not_for_a_transaction(store: EventStore) -> None:
    with store.transaction() as transaction, pytest.raises(UnsuitableTransaction):
        accounts_of(store, snapshots=always).join(transaction).refresh_snapshots()


def test_refresh_keeps_a_page_in_memory_not_a_stream(any_engine: Engine, executed: list[str]) -> None:
    writer = EventStore(any_engine, event_types=event_types)
    writer.append("account-1", [Deposited(Decimal(1))] * 95, expected_version=0)
    store = EventStore(any_engine, event_types=event_types, page_size=10)
    accounts = accounts_of(store, snapshots=always)
    accounts.load("1", version=1)
    executed.clear()
    assert accounts.refresh_snapshots().saved == 1
    pages = [statement for statement in executed if "es_events" in statement and "INSERT" not in statement]
    assert len(pages) == 10
    assert accounts.load("1").snapshot_version == 95


# --- the same state, with and without


changes = st.lists(
    st.one_of(
        st.builds(Opened, st.text(max_size=3).filter(lambda name: "\0" not in name)),
        st.builds(Deposited, st.decimals(-100, 100, places=2)),
        st.builds(Withdrawn, st.decimals(-100, 100, places=2)),
    ),
    min_size=1,
    max_size=10,
)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(events=changes, page_size=st.integers(1, 14))
def test_folding_a_stream_is_folding_its_snapshot_and_tail_at_every_cut(
    kind: Kind[Any], events: list[Any], page_size: int
) -> None:
    with EventStore.in_memory(event_types=event_types, page_size=page_size) as store:
        store.append("account-1", events, expected_version=0)
        accounts = kind.repository(store)
        states = [kind.initial()]
        for recorded in store.read_stream("account-1"):
            fresh = kind.initial()
            for earlier in store.read_stream("account-1", up_to_version=recorded.version):
                fresh = kind.evolve(fresh, earlier)
            states.append(fresh)
        by_hand = [kind.seen(state) for state in states]
        recorded_at = [event.recorded_at for event in store.read_stream("account-1")]
        assert accounts._writer is not None
        for cut in range(len(events) + 1):
            if cut:
                assert accounts._writer.write("account-1", cut) == "saved"
            for version in range(len(events) + 1):
                loaded = accounts.load("1", version=version, must_exist=False)
                assert kind.seen(loaded.state) == by_hand[version]
                assert (loaded.version, loaded.snapshot_version) == (version, cut if cut <= version else 0)
            for at in set(recorded_at):
                then = accounts.load("1", as_of=at)
                assert then.version == max(place for place, time in enumerate(recorded_at, start=1) if time <= at)
                assert kind.seen(then.state) == by_hand[then.version]


@pytest.mark.parametrize("snapshots", [never, always, every(5)])
def test_time_travel_agrees_with_a_replay_by_hand(store: EventStore, any_engine: Engine, snapshots: Any) -> None:
    """The times are set, so that they are apart: two events in one moment, the others hours from each other."""
    accounts = accounts_of(store, snapshots=snapshots)
    for number in range(1, 13):
        accounts.execute("1", deposit, Decimal(number))
    hours = [1, 2, 3, 3, 5, 6, 7, 8, 9, 10, 11, 12]
    zone = "+00:00" if any_engine.dialect.name == "postgresql" else ""
    with changing_history(any_engine) as connection:
        for version, hour in enumerate(hours, start=1):
            moment = f"2026-03-01 {hour:02}:00:00.123456{zone}"
            connection.execute(text(f"UPDATE es_events SET recorded_at = '{moment}' WHERE version = {version}"))
    events = list(store.read_stream("account-1"))
    assert [each.recorded_at.hour for each in events] == hours
    for each in events:
        for microseconds in (-1, 0, 1):
            moment_ = each.recorded_at + timedelta(microseconds=microseconds)
            then = accounts.load("1", as_of=moment_, must_exist=False)
            assert then.state == replayed([event for event in events if event.recorded_at <= moment_])
        assert accounts.load("1", version=each.version).state == replayed(events[: each.version])


def replayed(events: list[RecordedEvent]) -> FrozenAccount:
    state = FrozenAccount()
    for each in events:
        state = state.after(each)
    return state
