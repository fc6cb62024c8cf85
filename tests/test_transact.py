"""Several aggregates in one transaction, and which errors are retried."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from threading import Barrier
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.orm import Session

from eventstore import ANY, ConcurrencyConflict, EventFilter, EventStore, NewEvent, Repository
from eventstore.contrib.asyncio import AsyncEventStore, AsyncRepository
from eventstore.contrib.asyncio import transact as transact_in_tasks
from eventstore.decisions import Decision
from eventstore.errors import DatabaseBusy, DatabaseMismatch, InvalidInput
from eventstore.repository import SaveResult, SnapshotPolicy, always, never, retry_conflicts, transact
from tests.accounts import Deposited, FrozenAccount, NotEnough, Withdrawn, deposit, event_types, withdraw
from tests.fix_asyncio import async_url
from tests.waiting import start_waiting

THREADS = 16
TRANSFERS = 4
Accounts = Repository[FrozenAccount]


def accounts_of(store: EventStore, *, category: str = "account", snapshots: SnapshotPolicy = never) -> Accounts:
    return Repository(store, category=category, initial=FrozenAccount, evolve=FrozenAccount.after, snapshots=snapshots)


@pytest.fixture
def store(any_url: str) -> Iterator[EventStore]:
    """A store with a connection for each thread."""
    engine = create_engine(any_url, pool_size=THREADS)
    yield EventStore(engine, event_types=event_types)
    engine.dispose()


@pytest.fixture
def accounts(store: EventStore) -> Accounts:
    return accounts_of(store)


@pytest.mark.slow
def test_transfers_in_opposite_orders_are_all_applied(store: EventStore, accounts: Accounts) -> None:
    for owner in "ab":
        accounts.execute(owner, deposit, Decimal(100))
    calls = [0]

    def transfers(thread: int) -> None:
        source, target = "ab" if thread % 2 else "ba"

        def transfer(accounts: Accounts) -> None:
            calls[0] += 1
            accounts.execute(source, withdraw, Decimal(1))
            accounts.execute(target, deposit, Decimal(1))

        for _ in range(TRANSFERS):
            transact(transfer, accounts)

    with ThreadPoolExecutor(THREADS) as threads:
        for each in [threads.submit(transfers, number) for number in range(THREADS)]:
            each.result()
    print("calls for each transfer:", calls[0] / (THREADS * TRANSFERS))
    assert [accounts.load(owner).state.balance for owner in "ab"] == [100, 100]
    assert [store.stream_version(f"account-{owner}") for owner in "ab"] == [1 + THREADS * TRANSFERS] * 2
    types = [event.event_type for event in store.read_all()]
    assert types.count("withdrawn") == types.count("deposited") - 2 == THREADS * TRANSFERS


def deadlocks(engine: Engine) -> int:
    engine.dispose()  # a session reports its deadlocks at the latest when it ends
    query = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    with engine.connect() as connection:
        return int(connection.execute(text(query)).scalar_one())


@pytest.mark.slow
def test_a_deadlock_is_retried(postgres_url: str) -> None:
    """By default, PostgreSQL looks for deadlocks after a second, when the first attempt has given up."""
    engine = create_engine(postgres_url, connect_args={"options": "-c deadlock_timeout=20ms"})
    accounts = accounts_of(EventStore(engine, event_types=event_types))
    for owner in "ab":
        accounts.execute(owner, deposit, Decimal(100))
    both_have_one, calls = Barrier(2), [0]

    def transfer(source: str, target: str) -> None:
        is_first = True

        def transfer(accounts: Accounts) -> None:
            nonlocal is_first
            calls[0] += 1
            accounts.execute(source, withdraw, Decimal(1))
            if is_first:
                is_first = False
                both_have_one.wait(10)
            accounts.execute(target, deposit, Decimal(1))

        transact(transfer, accounts)

    before = deadlocks(engine)
    with ThreadPoolExecutor(2) as threads:
        for each in [threads.submit(transfer, *"ab"), threads.submit(transfer, *"ba")]:
            each.result()
    assert deadlocks(engine) == before + 1
    assert calls == [3]
    assert [accounts.load(owner).version for owner in "ab"] == [3, 3]
    engine.dispose()


@pytest.mark.slow
@pytest.mark.parametrize("any_url", ["postgresql"], indirect=True)
def test_a_further_attempt_locks_what_the_one_before_has_loaded(store: EventStore, accounts: Accounts) -> None:
    for owner in "ab":
        accounts.execute(owner, deposit, Decimal(100))
    attempts = 0
    with ThreadPoolExecutor(1) as threads:

        def transfer(joined: Accounts) -> object:
            nonlocal attempts
            attempts += 1
            loaded = [joined.load(owner) for owner in "ab"]
            if attempts == 1:
                accounts.execute("b", deposit, Decimal(5))
                waiting = None
            else:  # in the first attempt, it would not wait
                waiting = start_waiting(
                    threads, joined.store.connection, store.append, "account-b", [Deposited(Decimal(1))],
                    expected_version=ANY,
                )  # fmt: skip
            for aggregate in loaded:
                joined.save(aggregate, [Withdrawn(Decimal(1))])
            return waiting

        waiting: Any = transact(transfer, accounts)
        assert waiting.result().version == 4
    assert attempts == 2
    assert [accounts.load(owner).state.balance for owner in "ab"] == [99, 105]


def test_an_error_undoes_everything_and_is_not_retried(store: EventStore, accounts: Accounts) -> None:
    calls = 0

    def transfer(accounts: Accounts) -> None:
        nonlocal calls
        calls += 1
        accounts.execute("b", deposit, Decimal(1))
        accounts.execute("a", withdraw, Decimal(1))

    with pytest.raises(NotEnough):
        transact(transfer, accounts)
    assert calls == 1
    assert list(store.read_all()) == []


def test_repositories_decisions_and_stores_take_part(store: EventStore) -> None:
    accounts, savings = accounts_of(store, snapshots=always), accounts_of(store, category="savings")
    tagged = Decision(
        store,
        queries=lambda: [EventFilter(tags=["a:1"])],
        initial=int,
        evolve=lambda count, _event: count + 1,
        decide=lambda count: [NewEvent("counted", count, tags=["a:1"])],
    )

    def work(
        accounts: Accounts, counting: Decision[int], savings: Accounts, transaction: EventStore
    ) -> tuple[SaveResult, int]:
        saved = accounts.execute("1", deposit, Decimal(3))
        counting.execute()
        savings.execute("1", deposit, Decimal(4))
        counting.execute()
        number = transaction.connection.execute(text("SELECT 7")).scalar_one()
        transaction.append("log-1", NewEvent("noted"), expected_version=0)
        assert accounts.load("1").state.balance == 3
        return saved, number

    saved, number = transact(work, accounts, tagged, savings, store)
    assert number == 7
    events = list(store.read_all())
    assert [event.event_type for event in events] == ["deposited", "counted", "deposited", "counted", "noted"]
    assert events[0].position == saved.position
    assert [event.data for event in events if event.event_type == "counted"] == [0, 1]
    assert accounts.load("1").snapshot_version == 1


def test_snapshots_are_rolled_back_with_the_transaction(store: EventStore) -> None:
    accounts = accounts_of(store, snapshots=always)
    attempts = 0

    def work(joined: Accounts) -> None:
        nonlocal attempts
        attempts += 1
        joined.execute("1", deposit, Decimal(attempts))
        if attempts == 1:
            raise ConcurrencyConflict("account-1", 0, 1)
        assert joined.load("1").snapshot_version == 1

    transact(work, accounts)
    loaded = accounts.load("1")
    assert (int(loaded.state.balance), loaded.version, loaded.snapshot_version) == (2, 1, 1)


def test_inside_the_callers_transaction_there_is_one_attempt(store: EventStore, accounts: Accounts) -> None:
    calls = 0

    def work(accounts: Accounts, store: EventStore) -> None:
        nonlocal calls
        calls += 1
        accounts.execute("1", deposit, Decimal(1))
        store.append("log-1", NewEvent("noted"), expected_version=5)

    with Session(store.engine) as session, session.begin():
        store.join(session).append("before-1", NewEvent("noted"), expected_version=0)
        with pytest.raises(ConcurrencyConflict):
            transact(work, accounts.join(session), store.join(session))
        store.join(session).append("after-1", NewEvent("noted"), expected_version=0)
    assert calls == 1
    assert [event.stream_id for event in store.read_all()] == ["before-1", "after-1"]


def test_members_that_do_not_fit_are_refused(store: EventStore, accounts: Accounts) -> None:
    def never_called(*_: Any) -> None:
        raise AssertionError

    refuse: Callable[..., Any] = transact
    with pytest.raises(InvalidInput, match="needs the repositories"):
        refuse(never_called)
    with pytest.raises(InvalidInput, match="a member must be a Repository, a Decision or an EventStore, not str"):
        refuse(never_called, "accounts")
    with pytest.raises(InvalidInput, match="function must be a function"):
        refuse(None, accounts)
    with pytest.raises(InvalidInput, match="attempts"):
        refuse(never_called, accounts, attempts=0)

    async def never_awaited(*_: Any) -> None:
        """The transaction would be committed before it runs."""

    with pytest.raises(InvalidInput, match="function must be a plain function, not a coroutine function"):
        refuse(never_awaited, accounts)
    with store.transaction() as one, pytest.raises(InvalidInput, match="some members are joined"):
        refuse(never_called, accounts.join(one), accounts)
    other = EventStore.in_memory(event_types=event_types)
    with pytest.raises(DatabaseMismatch):
        refuse(never_called, accounts, accounts_of(other))
    if store.engine.dialect.name == "postgresql":
        with store.transaction() as one, store.transaction() as two, pytest.raises(InvalidInput, match="another one"):
            refuse(never_called, accounts.join(one), accounts.join(two))


# --- which errors are retried


def refused(engine: Engine, sqlstate: str) -> None:
    """Let the server raise an error with this SQLSTATE."""
    with engine.begin() as connection:
        connection.exec_driver_sql(f"DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '{sqlstate}'; END $$")


@pytest.mark.parametrize("sqlstate", ["40001", "40P01"])
def test_what_postgresql_has_rolled_back_is_retried(postgres_engine: Engine, sqlstate: str) -> None:
    store = EventStore(postgres_engine, event_types=event_types)
    accounts, calls = accounts_of(store), [0]

    def once_refused(account: FrozenAccount) -> list[Deposited]:
        calls[0] += 1
        if calls[0] % 2:
            refused(postgres_engine, sqlstate)
        return [Deposited(Decimal(1))]

    assert accounts.execute("1", once_refused).attempts == 2
    transact(lambda accounts: accounts.execute("1", once_refused), accounts)
    decision = Decision(
        store,
        queries=lambda: [EventFilter(tags=["a:1"])],
        initial=FrozenAccount,
        evolve=FrozenAccount.after,
        decide=once_refused,
    )
    assert decision.execute().attempts == 2
    assert retry_conflicts(lambda: once_refused(FrozenAccount())) == [Deposited(Decimal(1))]
    with pytest.raises(DBAPIError), store.transaction() as transaction:
        accounts.join(transaction).execute("1", once_refused)
    assert calls == [9]


@pytest.mark.parametrize("sqlstate", ["55P03", "22012", "57014"])
def test_other_errors_are_not_retried(postgres_engine: Engine, sqlstate: str) -> None:
    calls = [0]

    def work() -> None:
        calls[0] += 1
        refused(postgres_engine, sqlstate)

    with pytest.raises(DBAPIError):
        retry_conflicts(work)
    assert calls == [1]


def test_an_error_that_the_application_makes_of_a_conflict_is_its_own() -> None:
    calls = [0]

    def work() -> None:
        calls[0] += 1
        msg = "sold out"
        raise ValueError(msg) from ConcurrencyConflict("order-1", 0, 1)

    with pytest.raises(ValueError, match="sold out"):
        retry_conflicts(work)
    assert calls == [1]


def test_a_transaction_that_can_no_longer_write_is_retried(sqlite_engine: Engine) -> None:
    """SQLite refuses a transaction that has read before another one has written, without waiting."""
    with sqlite_engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE counter AS SELECT 0 AS number")
    calls = [0]

    def count() -> None:
        calls[0] += 1
        with sqlite_engine.connect() as connection:
            connection.exec_driver_sql("BEGIN")
            number = connection.exec_driver_sql("SELECT number FROM counter").scalar_one()
            if calls[0] == 1:
                with sqlite_engine.begin() as other:
                    other.exec_driver_sql("UPDATE counter SET number = 10")
            connection.exec_driver_sql(f"UPDATE counter SET number = {number + 1}")
            connection.commit()

    retry_conflicts(count)
    assert calls == [2]
    with sqlite_engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT number FROM counter").scalar_one() == 11


def test_a_busy_database_is_retried(sqlite_engine: Engine) -> None:
    store = EventStore(sqlite_engine, event_types=event_types, lock_timeout_seconds=0.01)
    accounts = accounts_of(store)
    holder = sqlite_engine.connect()
    holder.exec_driver_sql("BEGIN IMMEDIATE")
    with pytest.raises(DatabaseBusy):
        store.append("account-1", [Deposited(Decimal(1))], expected_version=0)
    with pytest.raises(DatabaseBusy):
        Repository(
            store, category="account", initial=FrozenAccount, evolve=FrozenAccount.after, attempts=2
        ).execute("1", deposit, Decimal(1))  # fmt: skip
    calls = [0]

    def release_then_deposit(account: FrozenAccount) -> list[Deposited]:
        calls[0] += 1
        if calls[0] == 2:
            holder.rollback()
        return [Deposited(Decimal(1))]

    assert accounts.execute("1", release_then_deposit).attempts == 2
    holder.close()


def test_a_conflict_of_a_statement_of_the_application_is_retried(postgres_engine: Engine) -> None:
    with postgres_engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE counter AS SELECT 0 AS number")
    calls = [0]

    def count() -> None:
        calls[0] += 1
        with postgres_engine.connect().execution_options(isolation_level="SERIALIZABLE") as connection:
            number = connection.exec_driver_sql("SELECT number FROM counter").scalar_one()
            if calls[0] == 1:
                with postgres_engine.begin() as other:
                    other.exec_driver_sql("UPDATE counter SET number = 10")
            connection.exec_driver_sql(f"UPDATE counter SET number = {number + 1}")
            connection.commit()

    retry_conflicts(count)
    assert calls == [2]
    with pytest.raises(OperationalError):
        retry_conflicts(lambda: refused(postgres_engine, "40001"), attempts=2)


# --- asyncio


async def test_tasks_transact(any_url: str) -> None:
    async with AsyncEventStore.from_url(async_url(any_url), event_types=event_types) as store:
        accounts = AsyncRepository(store, category="account", initial=FrozenAccount, evolve=FrozenAccount.after)
        await accounts.execute("a", deposit, Decimal(10))
        calls = 0

        async def transfer(joined: AsyncRepository[FrozenAccount], transaction: AsyncEventStore) -> int:
            nonlocal calls
            calls += 1
            await joined.execute("a", withdraw, Decimal(1))
            await joined.execute("b", deposit, Decimal(1))
            if calls == 1:
                raise ConcurrencyConflict("account-a", 1, 2)
            await transaction.append("log-1", NewEvent("noted"), expected_version=0)
            return calls

        assert await transact_in_tasks(transfer, accounts, store) == 2
        assert (await accounts.load("a")).state.balance == 9
        assert (await accounts.load("b")).version == 1
        async with store.transaction() as tx:
            with pytest.raises(ConcurrencyConflict):
                await transact_in_tasks(transfer, accounts.join(tx), tx)  # one attempt: log-1 exists
            await tx.append("log-1", NewEvent("noted"), expected_version=1)
        assert (calls, await store.stream_version("log-1"), (await accounts.load("b")).version) == (3, 2, 1)
        with pytest.raises(InvalidInput, match="must be an AsyncRepository"):
            await transact_in_tasks(transfer, accounts, "store")  # type: ignore[arg-type]  # refused
