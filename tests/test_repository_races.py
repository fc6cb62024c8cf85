"""Commands of many processes on few aggregates, and a very long stream."""

import random
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from decimal import Decimal

import pytest
from sqlalchemy import Engine, event

from eventstore import ConcurrencyConflict, EventStore, RecordedEvent, Repository
from eventstore.repository import LoadedAggregate, SnapshotCounts, every, retry_conflicts
from tests.accounts import Deposited, FrozenAccount, NotEnough, Withdrawn, deposit, event_types, withdraw
from tests.fix_engines import sqlite_when_there_is_time
from tests.processes import clean_processes

ACCOUNTS = 10


def accounts_of(store: EventStore, *, attempts: int = 10) -> Repository[FrozenAccount]:
    return Repository(
        store, category="account", initial=FrozenAccount, evolve=FrozenAccount.after, snapshots=every(20),
        attempts=attempts,
    )  # fmt: skip


@dataclass(frozen=True)
class Outcome:
    command: str
    kind: str
    result: str


def run_commands(url: str, seed: int, process: int, count: int) -> tuple[list[Outcome], SnapshotCounts, int]:
    """Deposit, withdraw and transfer at random; return what became of each command."""
    generator = random.Random(seed * 1000 + process)  # repeatable, guards nothing
    outcomes, retries = [], 0
    with EventStore.from_url(url, event_types=event_types) as store:
        accounts = accounts_of(store, attempts=generator.choice([3, 10]))
        for number in range(count):
            command = f"{process}/{number}"
            kind = generator.choice(["deposit"] * 4 + ["withdraw"] * 5 + ["transfer"])
            first, second = sorted(generator.sample(range(ACCOUNTS), 2))
            amount = Decimal(generator.randint(1, 40))
            metadata = {"command": command}

            def transfer() -> None:
                with store.transaction() as transaction:
                    joined = accounts.join(transaction)
                    joined.execute(first, withdraw, amount, metadata=metadata)  # noqa: B023
                    joined.execute(second, deposit, amount, metadata=metadata)  # noqa: B023

            try:
                if kind == "transfer":
                    retry_conflicts(transfer)
                else:
                    saved = accounts.execute(
                        first, deposit if kind == "deposit" else withdraw, amount, metadata=metadata
                    )
                    retries += saved.attempts - 1
                result = "applied"
            except NotEnough:
                result = "refused"
            except ConcurrencyConflict:
                result = "failed"
            outcomes.append(Outcome(command, kind, result))
        return outcomes, accounts.snapshot_counts, retries


@pytest.mark.slow
def test_every_command_is_applied_once_or_reported(postgres_url: str) -> None:
    run_processes(postgres_url, processes=4, count=400)


@pytest.mark.long
@pytest.mark.parametrize(("any_url", "count"), [("postgresql", 5000), ("sqlite", 480)], indirect=["any_url"])
def test_so_is_every_one_of_many(any_url: str, count: int) -> None:
    run_processes(any_url, processes=8, count=count)


def run_processes(any_url: str, *, processes: int, count: int) -> None:
    seed = random.SystemRandom().randrange(10**6)
    print("seed:", seed)
    began = time.perf_counter()
    with ProcessPoolExecutor(processes, mp_context=clean_processes()) as pool:
        futures = [
            pool.submit(run_commands, any_url, seed, process, count // processes) for process in range(processes)
        ]
        done = [future.result() for future in futures]
    seconds = time.perf_counter() - began
    outcomes = [outcome for each, _, _ in done for outcome in each]
    results = Counter(outcome.result for outcome in outcomes)
    print(f"{count} commands in {seconds:.1f} s: {dict(results)}, {sum(each[2] for each in done)} retries")
    assert len(outcomes) == count
    expected: Counter[str] = Counter()
    for outcome in outcomes:
        if outcome.result == "applied":
            expected[outcome.command] = 2 if outcome.kind == "transfer" else 1
    with EventStore.from_url(any_url, event_types=event_types) as store:
        accounts = accounts_of(store)
        applied: Counter[str] = Counter()
        for number in range(ACCOUNTS):
            state = FrozenAccount()
            events = list(store.read_stream(f"account-{number}"))
            assert [recorded.version for recorded in events] == list(range(1, len(events) + 1))
            for recorded in events:
                state = state.after(recorded)
                assert state.balance >= 0, f"account {number} is overdrawn at version {recorded.version}"
                applied[recorded.metadata["command"]] += 1
            loaded = accounts.load(number)
            assert (loaded.state, loaded.version) == (state, len(events))
            assert len(events) - loaded.snapshot_version < 20
    assert applied == expected
    counts = [counts for _, counts, _ in done]
    assert sum(each.failed for each in counts) == 0
    assert sum(each.saved for each in counts) > ACCOUNTS


STEP = 1000


@pytest.mark.slow
@pytest.mark.parametrize("length_in_the_end", [4_000, pytest.param(40_000, marks=pytest.mark.long)])
@sqlite_when_there_is_time
def test_loading_does_not_grow_with_the_length_of_the_stream(any_engine: Engine, length_in_the_end: int) -> None:
    """A stream of very many events with a snapshot every 1,000: what is read is bounded, whatever its length."""
    store = EventStore(any_engine, event_types=event_types)
    accounts = Repository(
        store, category="account", initial=FrozenAccount, evolve=FrozenAccount.after, snapshots=every(STEP)
    )
    statements: list[str] = []
    event.listen(any_engine, "before_cursor_execute", lambda *arguments: statements.append(arguments[2]))
    evolved = [0]

    def counting(account: FrozenAccount, recorded: RecordedEvent) -> FrozenAccount:
        evolved[0] += 1
        return account.after(recorded)

    reading = Repository(store, category="account", initial=FrozenAccount, evolve=counting)

    def measure() -> LoadedAggregate[FrozenAccount]:
        statements.clear()
        evolved[0] = 0
        began = time.perf_counter()
        loaded = reading.load("1")
        seconds = time.perf_counter() - began
        if loaded.version % 20_000 in (0, 250, 19_750):
            read = f"{evolved[0]:6} read in {len(statements):3} statements"
            print(f"{loaded.version:7} events: {read}, {seconds * 1000:7.1f} ms")
        assert int(loaded.state.balance) == loaded.version // 2
        return loaded

    batch = [Deposited(Decimal(2)), Withdrawn(Decimal(1))] * 125
    for length in range(len(batch), length_in_the_end + 1, len(batch)):
        assert accounts.execute("1", lambda _: batch).version == length
        assert measure().version == length
        assert (evolved[0], len(statements)) == (length % STEP, 1)
    assert accounts.snapshot_counts == SnapshotCounts(saved=length_in_the_end // STEP)
    with_snapshot = measure()
    store.snapshots.delete("account-1")
    print("without a snapshot:")
    assert measure() == replace(with_snapshot, snapshot_version=0)
    assert (evolved[0], len(statements)) == (length_in_the_end, length_in_the_end // 1000 + 1)
