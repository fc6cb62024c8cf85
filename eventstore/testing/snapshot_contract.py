"""Snapshots: never older than a stored one, never beyond the head, never an error."""

import logging

import pytest
from sqlalchemy import Engine, update

from eventstore import EncodingError, EventStore, InvalidInput
from eventstore.testing._base import ContractBase, numbered


class SnapshotContract(ContractBase):
    """The contract of snapshots."""

    @pytest.fixture
    def ten(self, store: EventStore) -> EventStore:
        """Return the store with a stream of ten events."""
        store.append("order-1", numbered(10), expected_version=0)
        return store

    def test_there_is_none_at_first(self, ten: EventStore) -> None:
        assert ten.snapshots.load("order-1") is None
        assert ten.snapshots.load("no-such-stream") is None

    def test_a_saved_state_comes_back(self, ten: EventStore) -> None:
        assert ten.snapshots.save("order-1", version=4, state={"paid": True, "lines": (1, 2)}, schema_version=3)
        snapshot = ten.snapshots.load("order-1", schema_version=3)
        assert snapshot is not None
        assert (snapshot.stream_id, snapshot.version, snapshot.schema_version) == ("order-1", 4, 3)
        assert snapshot.state == {"paid": True, "lines": (1, 2)}

    @pytest.mark.parametrize(("version", "saved", "state"), [(4, False, "old"), (5, False, "old"), (6, True, "new")])
    def test_only_a_newer_one_replaces_it(self, ten: EventStore, version: int, *, saved: bool, state: str) -> None:
        ten.snapshots.save("order-1", version=5, state="old")
        assert ten.snapshots.save("order-1", version=version, state="new") is saved
        snapshot = ten.snapshots.load("order-1")
        assert snapshot is not None
        assert (snapshot.state, snapshot.version) == (state, 6 if saved else 5)

    def test_schema_versions_and_streams_are_apart(self, ten: EventStore) -> None:
        ten.append("order-2", numbered(3), expected_version=0)
        ten.snapshots.save("order-1", version=5, state="first", schema_version=1)
        ten.snapshots.save("order-1", version=3, state="second", schema_version=2)
        first, second = ten.snapshots.load("order-1"), ten.snapshots.load("order-1", schema_version=2)
        assert first is not None
        assert second is not None
        assert (first.state, second.state) == ("first", "second")
        assert ten.snapshots.load("order-1", schema_version=3) is None
        assert ten.snapshots.load("order-2") is None

    @pytest.mark.parametrize("stream_id", ["order-1", "no-such-stream"])
    def test_one_beyond_the_head_is_declined(self, ten: EventStore, stream_id: str) -> None:
        assert ten.snapshots.save(stream_id, version=11, state="too early") is False
        assert ten.snapshots.load(stream_id) is None

    def test_one_beyond_the_head_is_not_loaded(self, ten: EventStore, engine: Engine) -> None:
        ten.snapshots.save("order-1", version=10, state="of events that a restore has lost")
        with engine.begin() as connection:
            connection.execute(update(ten.tables.snapshots).values(version=11))
        assert ten.snapshots.load("order-1") is None

    @pytest.mark.parametrize("damage", [{"state": b"\xc1"}, {"codec": 99}, {"state": b""}, {"codec": 257}])
    def test_one_that_cannot_be_read_is_a_miss_and_logged(
        self, ten: EventStore, engine: Engine, caplog: pytest.LogCaptureFixture, damage: dict[str, object]
    ) -> None:
        ten.snapshots.save("order-1", version=5, state="secret")
        with engine.begin() as connection:
            connection.execute(update(ten.tables.snapshots).values(**damage))
        with caplog.at_level(logging.WARNING, "eventstore.snapshots"):
            assert ten.snapshots.load("order-1") is None
        (record,) = [record for record in caplog.records if record.name == "eventstore.snapshots"]
        assert "order-1" in record.getMessage()
        assert "secret" not in record.getMessage()
        assert ten.snapshots.save("order-1", version=6, state="new") is True

    def test_delete_says_how_many(self, ten: EventStore) -> None:
        for schema_version in (1, 2, 3):
            ten.snapshots.save("order-1", version=5, state=schema_version, schema_version=schema_version)
        assert ten.snapshots.delete("order-1", schema_version=2) == 1
        assert ten.snapshots.load("order-1", schema_version=2) is None
        assert ten.snapshots.delete("order-1") == 2
        assert ten.snapshots.delete("order-1") == 0

    def test_what_cannot_be_encoded_is_an_error(self, ten: EventStore) -> None:
        with pytest.raises(EncodingError) as error:
            ten.snapshots.save("order-1", version=5, state={"lines": [1, object()]})
        assert (error.value.path, error.value.index) == ("$.lines[1]", None)

    @pytest.mark.parametrize(
        "arguments",
        [{"version": 0}, {"version": -1}, {"version": True}, {"version": 1, "schema_version": 0}, {"version": 2**63}],
    )
    def test_bad_arguments_are_errors(self, ten: EventStore, arguments: dict[str, int]) -> None:
        with pytest.raises(InvalidInput):
            ten.snapshots.save("order-1", state=1, **arguments)
        with pytest.raises(InvalidInput):
            ten.snapshots.load("")
