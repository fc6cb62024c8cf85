"""Aggregates of every kind, by one test body; conflicts, transactions, and what is refused."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.orm import Session

from eventstore import (
    ANY,
    AggregateNotFound,
    ConcurrencyConflict,
    EventStore,
    EventTypes,
    InvalidInput,
    NewEvent,
    RecordedEvent,
    Repository,
    metadata_context,
    migrations,
)
from eventstore.errors import DatabaseMismatch, InvalidStreamId, NotInTransaction, VersionNotReached
from eventstore.projections import Projection, inline
from eventstore.repository import LoadedAggregate, always, every, never, retry_conflicts
from tests.accounts import (
    KINDS,
    Closed,
    Deposited,
    FrozenAccount,
    Kind,
    MutableAccount,
    NotEnough,
    Opened,
    Withdrawn,
    deposit,
    event_types,
    open_once,
    withdraw,
)


@pytest.fixture
def store(any_engine: Engine) -> EventStore:
    return EventStore(any_engine, event_types=event_types)


@pytest.fixture
def accounts(store: EventStore) -> Repository[FrozenAccount]:
    return Repository(store, category="account", initial=FrozenAccount, evolve=FrozenAccount.after, backoff_seconds=0)


@pytest.mark.parametrize("snapshots", [never, always, every(3)])
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_an_aggregate_of_any_kind_lives_through_commands_and_snapshots(
    store: EventStore, kind: Kind[Any], snapshots: Any
) -> None:
    accounts = kind.repository(store, snapshots=snapshots)

    def command(function: Callable[..., Any]) -> Callable[..., Any]:
        return lambda state, *arguments: function(kind.view(state), *arguments)

    with pytest.raises(AggregateNotFound):
        accounts.load("1")
    assert kind.seen(accounts.load("1", must_exist=False).state) == ("", Decimal(0), [])
    assert accounts.execute("1", command(open_once), "Ada").version == 1
    again = accounts.execute("1", command(open_once), "Grace")
    assert (again.version, again.events, again.position) == (1, (), 0)
    for number in range(2, 9):
        saved = accounts.execute("1", command(deposit), Decimal(f"{number}.50"))
        assert (saved.version, saved.events) == (number, (Deposited(Decimal(f"{number}.50")),))
    assert accounts.execute("1", command(withdraw), Decimal("38.25")).version == 9
    with pytest.raises(NotEnough):
        accounts.execute("1", command(withdraw), Decimal("0.26"))
    loaded = accounts.load("1")
    last = [(4, "10.50"), (5, "16.00"), (6, "22.50"), (7, "30.00"), (8, "38.50"), (9, "0.25")]
    expected = ("Ada", Decimal("0.25"), [(version, Decimal(balance)) for version, balance in last])
    assert kind.seen(loaded.state) == expected
    assert (loaded.stream_id, loaded.version, loaded.exists) == ("account-1", 9, True)
    assert type(loaded.state) is type(kind.initial())
    assert loaded.snapshot_version == {never: 0, always: 9}.get(snapshots, 9)
    assert accounts.snapshot_counts.saved == {never: 0, always: 9}.get(snapshots, 3)
    assert accounts.snapshot_counts.failed == accounts.snapshot_counts.declined == 0


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
@pytest.mark.parametrize("snapshots", [never, always])
def test_what_is_done_to_a_loaded_state_stays_with_it(store: EventStore, kind: Kind[Any], snapshots: Any) -> None:
    accounts = kind.repository(store, snapshots=snapshots)

    def spoil_and_deposit(state: Any) -> list[Deposited]:
        kind.view(state).entries[:] if isinstance(state, FrozenAccount) else kind.view(state).entries.clear()
        return [Deposited(Decimal(1))]

    for _ in range(3):
        accounts.execute("1", spoil_and_deposit)
    spoiled = accounts.load("1").state
    if not isinstance(spoiled, FrozenAccount):
        kind.view(spoiled).entries.clear()
    assert kind.seen(accounts.load("1").state)[2] == [(version, Decimal(version)) for version in (1, 2, 3)]
    assert kind.seen(accounts.load("2", must_exist=False).state) == ("", Decimal(0), [])


# --- load


def test_an_aggregate_is_loaded_at_every_version_and_time(accounts: Repository[FrozenAccount]) -> None:
    for number in range(1, 8):
        accounts.execute("1", deposit, Decimal(number))
    events = list(accounts.store.read_stream("account-1"))
    for version in range(8):
        by_hand = FrozenAccount()
        for event in events[:version]:
            by_hand = by_hand.after(event)
        assert accounts.load("1", version=version, must_exist=False) == LoadedAggregate("account-1", version, by_hand)
    for event in events:
        at = accounts.load("1", as_of=event.recorded_at)
        assert at.version == max(each.version for each in events if each.recorded_at <= event.recorded_at)
        elsewhere = event.recorded_at.astimezone(timezone(timedelta(hours=-9)))
        assert accounts.load("1", as_of=elsewhere) == at
    before = events[0].recorded_at - timedelta(microseconds=1)
    assert accounts.load("1", as_of=before, must_exist=False).version == 0
    with pytest.raises(AggregateNotFound) as not_yet:
        accounts.load("1", as_of=before)
    assert (not_yet.value.stream_id, not_yet.value.as_of) == ("account-1", before)


def test_a_version_that_is_not_there_is_an_error(accounts: Repository[FrozenAccount]) -> None:
    accounts.execute("1", deposit, Decimal(1))
    with pytest.raises(VersionNotReached) as error:
        accounts.load("1", version=2)
    assert (error.value.stream_id, error.value.wanted, error.value.actual) == ("account-1", 2, 1)
    with pytest.raises(AggregateNotFound):
        accounts.load("2", version=1)
    with pytest.raises(VersionNotReached):
        accounts.load("2", version=1, must_exist=False)
    with pytest.raises(AggregateNotFound):
        accounts.load("1", version=0)


def test_the_version_is_that_of_the_stream_where_upcasters_drop_and_split(any_engine: Engine) -> None:
    old = EventStore(any_engine)
    names = ["kept", "noise", "pair", "noise"]
    old.append("log-1", [NewEvent(name, {"n": number}) for number, name in enumerate(names)], expected_version=0)
    old.append("log-2", [NewEvent("noise")], expected_version=0)
    today = EventTypes()
    today.drop("noise", from_version=1)

    @today.splitter("pair", from_version=1, into=[("left", 1), ("right", 1)])
    def split(data: dict[str, int]) -> list[tuple[str, dict[str, int]]]:
        return [("left", data), ("right", data)]

    for page_size in (1, 2, 3, 1000):
        store = EventStore(any_engine, event_types=today, page_size=page_size)
        for snapshots in (never, always):
            logs = Repository[list[str]](
                store, category="log", initial=list, evolve=lambda seen, event: [*seen, event.event_type],
                snapshots=snapshots,
            )  # fmt: skip
            assert logs.load("1") == LoadedAggregate("log-1", 4, ["kept", "left", "right"])
            assert logs.load("1", version=3).state == ["kept", "left", "right"]
            assert logs.load("2") == LoadedAggregate("log-2", 1, [])
    assert logs.execute("1", lambda _: [NewEvent("kept")]).version == 5
    assert logs.load("1") == LoadedAggregate("log-1", 5, ["kept", "left", "right", "kept"], 5)


@pytest.mark.parametrize("page_size", [1, 2, 3, 4])
def test_pages_of_any_size_hold_the_same_aggregate(any_engine: Engine, page_size: int) -> None:
    store = EventStore(any_engine, event_types=event_types, page_size=page_size)
    accounts = Repository(store, category="account", initial=FrozenAccount, evolve=FrozenAccount.after)
    assert accounts._writer is not None
    for events in range(1, 6):
        store.append(f"account-{events}", [Deposited(Decimal(1))] * events, expected_version=0)
        assert accounts.load(events).version == events == accounts.load(events).state.balance
        for version in range(1, events + 1):
            store.snapshots.delete(f"account-{events}")
            assert accounts._writer.write(f"account-{events}", version) == "saved"
            loaded = accounts.load(events)
            assert (loaded.version, loaded.snapshot_version, int(loaded.state.balance)) == (events, version, events)


# --- save and execute


def test_save_appends_at_the_loaded_version(accounts: Repository[FrozenAccount]) -> None:
    stale = accounts.load("1", must_exist=False)
    saved = accounts.save(stale, [Opened("Ada"), Deposited(Decimal(5))], metadata={"clerk": "Ann"})
    assert (saved.stream_id, saved.version, saved.attempts) == ("account-1", 2, 1)
    assert [event.metadata for event in accounts.store.read_stream("account-1")] == [{"clerk": "Ann"}] * 2
    assert saved.position == list(accounts.store.read_stream("account-1"))[-1].position
    with pytest.raises(ConcurrencyConflict):
        accounts.save(stale, [Opened("Grace")])
    loaded = accounts.load("1")
    assert accounts.save(loaded, []).version == 2
    assert accounts.save(loaded, (each for each in [Withdrawn(Decimal(5))])).version == 3
    with pytest.raises(InvalidInput):
        accounts.save(LoadedAggregate("order-1", 0, FrozenAccount()), [Opened("Ada")])


def test_a_command_is_called_again_on_fresh_state_after_a_conflict(accounts: Repository[FrozenAccount]) -> None:
    seen = []

    def interrupted(account: FrozenAccount) -> list[Deposited]:
        seen.append(account.balance)
        if len(seen) < 4:
            accounts.store.append("account-1", [Deposited(Decimal(100))], expected_version=ANY)
        return [Deposited(Decimal(1))]

    saved = accounts.execute("1", interrupted)
    assert seen == [0, 100, 200, 300]
    assert (saved.attempts, saved.version) == (4, 4)
    assert accounts.load("1").state.balance == 301


def test_the_number_of_attempts_is_bounded(store: EventStore) -> None:
    accounts = Repository(
        store, category="account", initial=FrozenAccount, evolve=FrozenAccount.after, attempts=3, backoff_seconds=0
    )
    calls = []

    def always_late(account: FrozenAccount) -> list[Deposited]:
        calls.append(account)
        store.append("account-1", [Deposited(Decimal(100))], expected_version=ANY)
        return [Deposited(Decimal(1))]

    with pytest.raises(ConcurrencyConflict) as conflict:
        accounts.execute("1", always_late)
    assert len(calls) == 3
    assert (conflict.value.expected, conflict.value.actual) == (2, 3)
    assert accounts.load("1").state.balance == 300


def test_pauses_grow_at_random_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    ranges: list[tuple[float, float]] = []
    pauses: list[float] = []

    def uniform(low: float, high: float) -> float:
        ranges.append((low, high))
        return high

    monkeypatch.setattr("random.uniform", uniform)
    monkeypatch.setattr("time.sleep", pauses.append)

    def conflict() -> None:
        raise ConcurrencyConflict("order-1", 1, 2)

    with pytest.raises(ConcurrencyConflict):
        retry_conflicts(conflict, attempts=10, backoff_seconds=0.01)
    assert ranges == [(0, seconds / 100) for seconds in (1, 2, 4, 8, 16, 32, 64, 100, 100)]
    assert pauses == [high for _, high in ranges]


def test_other_errors_are_not_retried(accounts: Repository[FrozenAccount]) -> None:
    calls = []

    def fails(account: FrozenAccount) -> list[Deposited]:
        calls.append(account)
        raise NotEnough

    with pytest.raises(NotEnough):
        accounts.execute("1", fails)
    assert len(calls) == 1


def test_a_generator_that_fails_half_way_appends_nothing(accounts: Repository[FrozenAccount]) -> None:
    def fails(account: FrozenAccount) -> Any:
        yield Deposited(Decimal(1))
        raise NotEnough

    with pytest.raises(NotEnough):
        accounts.execute("1", fails)
    assert accounts.store.stream_version("account-1") == 0


def test_a_missing_aggregate_is_an_error_where_asked(accounts: Repository[FrozenAccount]) -> None:
    with pytest.raises(AggregateNotFound) as error:
        accounts.execute("1", deposit, Decimal(1), must_exist=True)
    assert isinstance(error.value, LookupError)
    assert accounts.store.stream_version("account-1") == 0
    assert accounts.execute("1", deposit, Decimal(1)).version == 1
    assert accounts.execute("1", deposit, Decimal(1), must_exist=True).version == 2


def test_metadata_comes_from_the_call_and_from_the_context(accounts: Repository[FrozenAccount]) -> None:
    with metadata_context(correlation_id="c"):
        accounts.execute("1", deposit, Decimal(1), metadata={"clerk": "Ann"})
    (event,) = accounts.store.read_stream("account-1")
    assert event.metadata == {"correlation_id": "c", "clerk": "Ann"}


# --- transactions


def test_several_aggregates_change_together_or_not_at_all(accounts: Repository[FrozenAccount]) -> None:
    accounts.execute("from", deposit, Decimal(10))

    def transfer(amount: Decimal) -> None:
        with accounts.store.transaction() as transaction:
            joined = accounts.join(transaction)
            joined.execute("to", deposit, amount)
            joined.execute("from", withdraw, amount)

    transfer(Decimal(4))
    with pytest.raises(NotEnough):
        transfer(Decimal(7))
    assert (accounts.load("from").state.balance, accounts.load("to").state.balance) == (Decimal(6), Decimal(4))


@pytest.mark.parametrize("snapshots", [never, always])
def test_a_session_is_joined(any_engine: Engine, store: EventStore, snapshots: Any) -> None:
    accounts = Repository(
        store, category="account", initial=FrozenAccount, evolve=FrozenAccount.after, snapshots=snapshots
    )
    with Session(any_engine) as session:
        joined = accounts.join(session)
        joined.execute("1", deposit, Decimal(1))
        joined.execute("1", deposit, Decimal(2))
        assert joined.load("1").state.balance == 3
        session.rollback()
    with pytest.raises(AggregateNotFound):
        accounts.load("1")
    assert store.snapshots.load("account-1") is None
    with Session(any_engine) as session, session.begin():
        accounts.join(store.join(session)).execute("1", deposit, Decimal(3))
    assert accounts.load("1").state.balance == 3
    assert accounts.load("1").snapshot_version == (1 if snapshots is always else 0)


def test_the_event_types_of_a_joined_repository_stay_its_own(any_engine: Engine, accounts: Any) -> None:
    with EventStore(any_engine).transaction() as transaction:
        accounts.join(transaction).execute("1", deposit, Decimal(3))
    assert accounts.load("1").state.balance == 3


def test_a_command_in_a_transaction_is_called_once(postgres_engine: Engine) -> None:
    """At READ COMMITTED a second try would see the other's event; what else was read before would be out of date."""
    store = EventStore(postgres_engine, event_types=event_types)
    accounts = Repository(store, category="account", initial=FrozenAccount, evolve=FrozenAccount.after)
    calls = []

    def late(account: FrozenAccount) -> list[Deposited]:
        calls.append(account)
        store.append("account-1", [Deposited(Decimal(100))], expected_version=ANY)
        return [Deposited(Decimal(1))]

    with store.transaction() as transaction:
        with pytest.raises(ConcurrencyConflict):
            accounts.join(transaction).execute("1", late)
        assert len(calls) == 1
        assert accounts.join(transaction).execute("2", deposit, Decimal(1)).version == 1, "it is still usable"
    assert accounts.load("2").state.balance == 1


@pytest.mark.slow
def test_a_transaction_over_several_is_repeated_as_a_whole(postgres_engine: Engine) -> None:
    store = EventStore(postgres_engine, event_types=event_types)
    accounts = Repository(store, category="account", initial=FrozenAccount, evolve=FrozenAccount.after)
    accounts.execute("from", deposit, Decimal(10))
    attempts = []

    def transfer() -> int:
        with store.transaction() as transaction:
            joined = accounts.join(transaction)
            joined.execute("to", deposit, Decimal(4))
            attempts.append(joined.load("from").state.balance)
            if len(attempts) < 3:
                loaded = joined.load("from")
                accounts.execute("from", deposit, Decimal(1))
                return joined.save(loaded, [Withdrawn(Decimal(4))]).version
            return joined.execute("from", withdraw, Decimal(4)).version

    assert retry_conflicts(transfer, backoff_seconds=0) == 4
    assert attempts == [10, 11, 12]
    assert (accounts.load("from").state.balance, accounts.load("to").state.balance) == (Decimal(8), Decimal(4))


@pytest.mark.slow
def test_a_transaction_begun_by_a_store_of_another_schema_is_joined(postgres_engine: Engine) -> None:
    migrations.provision(postgres_engine, "other")
    here = EventStore(postgres_engine, event_types=event_types)
    there = EventStore(postgres_engine, event_types=event_types, schema="other")
    options: Any = {"category": "account", "initial": FrozenAccount, "evolve": FrozenAccount.after}
    with there.transaction() as transaction:
        Repository(here, **options).join(transaction).execute("1", deposit, Decimal(1))
        Repository(there, **options).join(transaction).execute("1", deposit, Decimal(2))
    for store, balance in ((here, 1), (there, 2)):
        assert Repository(store, **options).load("1").state.balance == balance


def test_inline_projections_see_what_commands_append(store: EventStore) -> None:
    seen: list[tuple[str, int]] = []
    projection = Projection("seen")
    projection.on()(lambda event, _: seen.append((event.stream_id, event.version)))
    accounts = Repository(
        inline(store, projection), category="account", initial=FrozenAccount, evolve=FrozenAccount.after
    )
    accounts.execute("1", deposit, Decimal(1))
    with store.transaction() as transaction:
        accounts.join(transaction).execute("1", deposit, Decimal(1))
    assert seen == [("account-1", 1), ("account-1", 2)]


def test_only_a_transaction_of_the_same_database_is_joined(accounts: Repository[FrozenAccount]) -> None:
    with pytest.raises(NotInTransaction):
        accounts.join(accounts.store)
    with EventStore.in_memory() as other, other.transaction() as elsewhere, pytest.raises(DatabaseMismatch):
        accounts.join(elsewhere)
    with pytest.raises(InvalidInput):
        accounts.join("session")  # type: ignore[arg-type]


def test_a_joined_repository_sees_what_its_transaction_has_not_committed(
    accounts: Repository[FrozenAccount],
) -> None:
    with accounts.store.transaction() as transaction:
        joined = accounts.join(transaction)
        joined.execute("1", deposit, Decimal(1))
        assert joined.load("1").version == 1
        if accounts.store.engine.dialect.name == "postgresql":
            assert not accounts.load("1", must_exist=False).exists
        transaction.connection.execute(text("SELECT 1"))


@pytest.mark.slow
def test_threads_share_a_repository(store: EventStore) -> None:
    accounts = Repository(
        store, category="account", initial=FrozenAccount, evolve=FrozenAccount.after, attempts=200, snapshots=every(7)
    )
    barrier = threading.Barrier(4)

    def work() -> None:
        barrier.wait(timeout=30)
        for _ in range(10):
            accounts.execute("1", deposit, Decimal(1))

    with ThreadPoolExecutor(4) as threads:
        for future in [threads.submit(work) for _ in range(4)]:
            future.result()
    assert accounts.load("1").state.balance == 40 == accounts.load("1").version
    counts = accounts.snapshot_counts
    assert counts.saved >= 1
    assert counts.failed == 0


# --- what is refused


@pytest.mark.parametrize("id_", ["42", 42, UUID(int=7), uuid4(), "a-b", "ä"])
def test_ids_are_strings_integers_and_uuids(accounts: Repository[FrozenAccount], id_: Any) -> None:
    assert accounts.stream_id(id_) == f"account-{id_}"
    assert accounts.execute(id_, deposit, Decimal(1)).stream_id == f"account-{id_}"


@pytest.mark.parametrize("id_", ["", "account-42", "account-", True, None, 1.5, b"42", "x" * 248, "a\0"])
def test_other_ids_are_refused(accounts: Repository[FrozenAccount], id_: Any) -> None:
    with pytest.raises(InvalidStreamId):
        accounts.load(id_)
    with pytest.raises(InvalidStreamId):
        accounts.execute(id_, deposit, Decimal(1))


@pytest.mark.parametrize(
    "arguments",
    [
        {"version": -1},
        {"version": True},
        {"version": "1"},
        {"as_of": datetime(2026, 1, 1)},  # noqa: DTZ001  # that is the point
        {"as_of": "2026-01-01"},
        {"version": 1, "as_of": datetime(2026, 1, 1, tzinfo=UTC)},
    ],
)
def test_bad_arguments_of_load_are_refused(accounts: Repository[FrozenAccount], arguments: Any) -> None:
    accounts.execute("1", deposit, Decimal(1))
    with pytest.raises(InvalidInput):
        accounts.load("1", **arguments)


def shared_dict() -> dict[str, int]:
    return SHARED


SHARED: dict[str, int] = {}


class NoClassAtAll:
    pass


@pytest.mark.parametrize(
    ("option", "value", "problem"),
    [
        ("store", "sqlite://", "EventStore"),
        ("category", "order-item", "category"),
        ("category", "", "stream id"),
        ("initial", FrozenAccount(), "initial"),
        ("initial", shared_dict, "same mutable object"),
        ("evolve", None, "evolve"),
        ("snapshots", 100, "snapshots"),
        ("schema_version", 0, "schema version"),
        ("attempts", 0, "attempts"),
        ("backoff_seconds", -1, "backoff_seconds"),
        ("to_snapshot", FrozenAccount, "both to_snapshot and from_snapshot"),
        ("from_snapshot", FrozenAccount, "both to_snapshot and from_snapshot"),
    ],
)
def test_bad_options_are_refused(option: str, value: Any, problem: str) -> None:
    with EventStore.in_memory() as store:
        options: Any = {
            "store": store, "category": "account", "initial": FrozenAccount, "evolve": FrozenAccount.after,
            option: value,
        }  # fmt: skip
        with pytest.raises(InvalidInput, match=problem):
            Repository(**options)


def test_a_class_that_cannot_be_in_a_snapshot_is_refused_only_where_there_are_to_be_some() -> None:
    with EventStore.in_memory() as store:
        options: Any = {"category": "a", "initial": NoClassAtAll, "evolve": lambda state, _: state}
        repository = Repository(store, **options)
        repository.execute("1", lambda _: [NewEvent("happened")])
        assert isinstance(repository.load("1").state, NoClassAtAll)
        with pytest.raises(InvalidInput, match="to_snapshot"):
            Repository(store, **options, snapshots=always)
        with pytest.raises(InvalidInput, match="to_snapshot"):
            repository.refresh_snapshots(policy=always)


@pytest.mark.parametrize(
    "decided", ["text", {"a": 1}, NewEvent("happened"), Deposited(Decimal(1)), Closed(reason="moved"), 7]
)
def test_what_is_no_list_of_events_is_refused(accounts: Repository[FrozenAccount], decided: Any) -> None:
    with pytest.raises(InvalidInput, match="list of events"):
        accounts.execute("1", lambda _: decided)
    with pytest.raises(InvalidInput, match="list of events"):
        accounts.save(accounts.load("1", must_exist=False), decided)
    assert accounts.store.stream_version("account-1") == 0


def test_an_evolve_that_forgets_to_return_is_refused(store: EventStore) -> None:
    def forgets(account: MutableAccount, event: Any) -> Any:
        account.after(event)

    accounts = Repository(store, category="account", initial=MutableAccount, evolve=forgets)
    accounts.execute("1", deposit, Decimal(1))
    with pytest.raises(InvalidInput, match="'deposited'"):
        accounts.load("1")


def test_a_state_may_begin_as_none(store: EventStore) -> None:
    accounts: Repository[int | None] = Repository(
        store, category="account", initial=lambda: None, evolve=lambda count, _: None if count else 1
    )
    for expected in (1, None, 1):
        accounts.execute("1", lambda _: [NewEvent("toggled")])
        assert accounts.load("1").state == expected


def test_engines_can_be_told_apart() -> None:
    with EventStore.in_memory() as store:
        accounts = Repository(store, category="account", initial=FrozenAccount, evolve=FrozenAccount.after)
        engine = create_engine("sqlite://")
        with engine.connect() as connection, pytest.raises(DatabaseMismatch):
            accounts.join(connection)
        engine.dispose()


@dataclass
class Notes:
    """A state of any class, which is changed."""

    texts: list[str] = field(default_factory=list)


class Unlisted:
    """One whose fields nobody has declared."""

    def __init__(self) -> None:
        self.texts: list[str] = []


@pytest.mark.parametrize("initial", [FrozenAccount, Notes, Unlisted, int])
def test_events_without_event_types_that_change_nothing_are_told_of_once(
    any_engine: Engine, initial: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """A store that was made without event_types gives plain data to a function that knows classes only."""
    typed, plain = EventStore(any_engine, event_types=event_types), EventStore(any_engine)

    def evolve(state: Any, event: RecordedEvent) -> Any:
        match event.data:
            case Opened(owner):
                return FrozenAccount(owner)
        return state

    accounts = Repository(plain, category="account", initial=initial, evolve=evolve)
    typed.append("account-1", [Opened("Ada"), Deposited(Decimal(5))], expected_version=0)
    Repository(typed, category="account", initial=initial, evolve=evolve).load("1")
    accounts.load("2", must_exist=False)
    assert caplog.messages == []
    assert accounts.load("1").version == 2
    (message,) = caplog.messages
    assert message.startswith("'account-1' is loaded at version 2 in its initial state")
    assert message.endswith("give the store event_types")
    with plain.transaction() as transaction:
        accounts.join(transaction).load("1")
    assert len(caplog.messages) == 1


def test_events_without_event_types_that_change_something_are_fine(
    any_engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    store = EventStore(any_engine)
    store.append("note-1", [NewEvent("noted", {"text": "a"})], expected_version=0)

    def change(state: Any, event: RecordedEvent) -> Any:
        state.texts.append(event.data["text"])
        return state

    for initial in (Notes, Unlisted):
        state: Any = Repository(store, category="note", initial=initial, evolve=change).load("1").state
        assert state.texts == ["a"]
    assert caplog.messages == []
