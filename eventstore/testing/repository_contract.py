"""Repositories: the same state from events and from snapshots; failed snapshots do no harm."""

from datetime import timedelta, timezone
from typing import Any

import pytest
from sqlalchemy import Engine, update

from eventstore import AggregateNotFound, ConcurrencyConflict, EventStore, NewEvent, RecordedEvent, Repository
from eventstore.errors import VersionNotReached
from eventstore.repository import RefreshProgress, SnapshotPolicy, always, every, never
from eventstore.testing._base import ContractBase, MakeStore


def _add(numbers: list[int], event: RecordedEvent) -> list[int]:
    numbers.append(event.data)
    return numbers


def _next(numbers: list[int], count: int = 1) -> list[NewEvent]:
    return [NewEvent("counted", len(numbers) + place) for place in range(1, count + 1)]


def _counts(store: EventStore, snapshots: SnapshotPolicy = never, **options: Any) -> Repository[list[int]]:
    return Repository(store, category="count", initial=list, evolve=_add, snapshots=snapshots, **options)


class RepositoryContract(ContractBase):
    """The contract of repositories, as far as it depends on the database."""

    @pytest.mark.parametrize("policy", ["never", "always", "every 3"])
    @pytest.mark.parametrize("page_size", [1, 3, 1000])
    def test_an_aggregate_is_what_its_events_make_of_it(
        self, make_store: MakeStore, policy: str, page_size: int
    ) -> None:
        policies = {"never": never, "always": always, "every 3": every(3)}
        counts = _counts(make_store(page_size=page_size), policies[policy])
        with pytest.raises(AggregateNotFound):
            counts.load("1")
        for version in range(1, 8):
            assert counts.execute("1", _next).version == version
        loaded = counts.load("1")
        assert (loaded.state, loaded.version) == ([1, 2, 3, 4, 5, 6, 7], 7)
        assert loaded.snapshot_version == {"never": 0, "always": 7, "every 3": 6}[policy]
        assert counts.execute("2", _next, 7).version == 7
        assert counts.load("2").state == loaded.state
        with pytest.raises(VersionNotReached):
            counts.load("1", version=8)

    def test_an_aggregate_is_loaded_as_it_was(self, store: EventStore) -> None:
        counts = _counts(store, every(4))
        for _ in range(6):
            counts.execute("1", _next)
        events = list(store.read_stream("count-1"))
        for event in events:
            assert counts.load("1", version=event.version).state == list(range(1, event.version + 1))
            until = [each.version for each in events if each.recorded_at <= event.recorded_at]
            elsewhere = event.recorded_at.astimezone(timezone(timedelta(hours=-9)))
            assert counts.load("1", as_of=elsewhere).state == until
        with pytest.raises(AggregateNotFound):
            counts.load("1", as_of=events[0].recorded_at - timedelta(microseconds=1))

    def test_a_command_is_called_again_after_a_conflict(self, store: EventStore) -> None:
        counts = _counts(store, always)
        lengths: list[int] = []

        def interrupted(numbers: list[int]) -> list[NewEvent]:
            lengths.append(len(numbers))
            if len(lengths) < 3:
                counts.execute("1", _next)
            return _next(numbers)

        saved = counts.execute("1", interrupted)
        assert (lengths, saved.attempts, counts.load("1").state) == ([0, 1, 2], 3, [1, 2, 3])

    def test_several_aggregates_change_together(self, store: EventStore, engine: Engine) -> None:
        counts = _counts(store, always)
        with store.transaction() as transaction:
            for id_ in ("1", "2"):
                assert counts.join(transaction).execute(id_, _next).version == 1
        with engine.connect() as connection:
            joined = counts.join(connection)
            stale = joined.load("1")
            assert joined.execute("1", _next).version == 2
            with pytest.raises(ConcurrencyConflict):
                joined.save(stale, _next(stale.state))
            assert joined.execute("2", _next).version == 2, "the transaction is still usable"
            connection.rollback()
        for id_ in ("1", "2"):
            assert (counts.load(id_).state, counts.load(id_).snapshot_version) == ([1], 1)

    def test_a_failed_snapshot_fails_neither_append_nor_transaction(self, store: EventStore, engine: Engine) -> None:
        def fails(_: list[int]) -> Any:
            raise RuntimeError

        counts = _counts(store, always, to_snapshot=fails, from_snapshot=list)
        assert counts.execute("1", _next).version == 1
        with engine.begin() as connection:
            assert counts.join(connection).execute("1", _next).version == 2
            assert counts.join(connection).execute("1", _next).version == 3
        assert counts.load("1").state == [1, 2, 3]
        assert counts.snapshot_counts.failed == 3

    @pytest.mark.parametrize("damage", [{"state": b"\xc1"}, {"codec": 99}, {"version": 5}, {"schema_version": 2}])
    def test_a_snapshot_that_can_not_be_used_is_a_miss(
        self, store: EventStore, engine: Engine, damage: dict[str, Any]
    ) -> None:
        counts = _counts(store, always)
        counts.execute("1", _next, 4)
        with engine.begin() as connection:
            connection.execute(update(store.tables.snapshots).values(**damage))
        loaded = counts.load("1")
        assert (loaded.state, loaded.version, loaded.snapshot_version) == ([1, 2, 3, 4], 4, 0)

    def test_snapshots_are_refreshed(self, store: EventStore) -> None:
        for number in range(1, 6):
            _counts(store).execute(number, _next, number)
        store.append("counter-1", _next([], 9), expected_version=0)
        counts = _counts(store, every(3))
        reports: list[RefreshProgress] = []
        assert counts.refresh_snapshots(on_progress=reports.append) == RefreshProgress(5, 5, saved=3, failed=0)
        assert [progress.streams for progress in reports] == [1, 2, 3, 4, 5]
        assert [counts.load(number).snapshot_version for number in range(1, 6)] == [0, 0, 3, 4, 5]
        assert counts.refresh_snapshots().saved == 0
        assert store.snapshots.load("counter-1") is None
