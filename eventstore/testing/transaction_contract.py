"""Transactions of the store and of the caller."""

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, text
from sqlalchemy.orm import Session, scoped_session, sessionmaker

from eventstore import ANY, Append, ConcurrencyConflict, EventStore, InvalidInput
from eventstore.testing._base import ContractBase, numbered


class TransactionContract(ContractBase):
    """The contract of joining and opening transactions."""

    @pytest.fixture
    def notes(self, engine: Engine) -> None:
        """Create a table of the application."""
        with engine.begin() as connection:
            connection.execute(text("CREATE TABLE notes (note text)"))

    @pytest.fixture(params=["session", "scoped_session", "connection"])
    def joined(self, request: pytest.FixtureRequest, engine: Engine, notes: None) -> Iterator[Any]:
        """Yield each kind of target that can be joined."""
        if request.param == "connection":
            with engine.connect() as connection:
                yield connection
        elif request.param == "session":
            with Session(engine) as session:
                yield session
        else:
            registry = scoped_session(sessionmaker(engine))
            yield registry
            registry.remove()

    def note(self, target: Any, note: str = "written") -> None:
        """Write to the application's table."""
        target.execute(text("INSERT INTO notes VALUES (:note)"), {"note": note})

    def committed(self, engine: Engine) -> list[str]:
        """Return the committed rows of the application's table."""
        with engine.connect() as connection:
            return list(connection.execute(text("SELECT note FROM notes ORDER BY note")).scalars())

    def test_a_commit_of_the_caller_commits_the_events(self, store: EventStore, engine: Engine, joined: Any) -> None:
        self.note(joined)
        result = store.join(joined).append("order-1", numbered(2), expected_version=0)
        joined.commit()
        assert result.version == store.stream_version("order-1") == 2
        assert self.committed(engine) == ["written"]

    def test_a_rollback_of_the_caller_leaves_no_trace(self, store: EventStore, engine: Engine, joined: Any) -> None:
        store.join(joined).append("order-1", numbered(2), expected_version=0)
        self.note(joined)
        joined.rollback()
        assert store.stream_version("order-1") == 0
        assert list(store.read_stream("order-1")) == []
        assert self.committed(engine) == []
        assert store.append("order-1", numbered(1), expected_version=0).version == 1

    def test_the_store_commits_nothing_by_itself(self, store: EventStore, joined: Any) -> None:
        inside = store.join(joined)
        inside.append("order-1", numbered(1), expected_version=0)
        inside.append_many([Append("order-2", numbered(1), expected_version=0)])
        inside.snapshots.save("order-1", version=1, state=1)
        assert (inside.stream_version("order-1"), len(list(inside.read_stream("order-2")))) == (1, 1)
        joined.rollback()
        assert [store.stream_version(id_) for id_ in ("order-1", "order-2")] == [0, 0]
        assert store.snapshots.load("order-1") is None

    def test_a_conflict_leaves_the_callers_transaction_usable(
        self, store: EventStore, engine: Engine, joined: Any
    ) -> None:
        store.append("order-1", numbered(3), expected_version=0)
        self.note(joined, "before")
        for expected in (0, 1, 7):
            with pytest.raises(ConcurrencyConflict) as conflict:
                store.join(joined).append("order-1", numbered(1), expected_version=expected)
            assert conflict.value.actual == 3
        self.note(joined, "after")
        store.join(joined).append("order-1", numbered(1, first=4), expected_version=3)
        joined.commit()
        assert self.committed(engine) == ["after", "before"]
        assert store.stream_version("order-1") == 4

    def test_a_conflict_among_many_undoes_only_that_call(self, store: EventStore, engine: Engine, joined: Any) -> None:
        store.append("order-2", numbered(1), expected_version=0)
        inside = store.join(joined)
        self.note(joined, "before")
        inside.append("order-1", numbered(1), expected_version=0)
        with pytest.raises(ConcurrencyConflict):
            inside.append_many(
                [
                    Append("order-1", numbered(1), expected_version=1),
                    Append("order-9", numbered(1), expected_version=ANY),
                    Append("order-2", numbered(1), expected_version=0),
                ]
            )
        self.note(joined, "after")
        joined.commit()
        assert [store.stream_version(f"order-{number}") for number in (1, 2, 9)] == [1, 1, 0]
        assert self.committed(engine) == ["after", "before"]
        assert store.append("order-9", numbered(1), expected_version=0).version == 1

    def test_the_callers_savepoints_are_respected(self, store: EventStore, engine: Engine, notes: None) -> None:
        with engine.begin() as connection:
            inside = store.join(connection)
            inside.append("order-1", numbered(1), expected_version=0)
            savepoint = connection.begin_nested()
            inside.append("order-1", numbered(1), expected_version=1)
            inside.append_many([Append("order-2", numbered(1), expected_version=0)])
            savepoint.rollback()
            inside.append("order-1", numbered(1), expected_version=1)
        assert [store.stream_version(f"order-{number}") for number in (1, 2)] == [2, 0]

    def test_a_transaction_of_the_store_is_all_or_nothing(self, store: EventStore) -> None:
        with store.transaction() as tx:
            tx.append("order-1", numbered(1), expected_version=0)
            tx.append("order-2", numbered(1), expected_version=0)
        assert [store.stream_version(f"order-{number}") for number in (1, 2)] == [1, 1]
        with pytest.raises(ConcurrencyConflict), store.transaction() as tx:
            tx.append("order-3", numbered(1), expected_version=0)
            tx.append("order-1", numbered(1), expected_version=0)
        assert store.stream_version("order-3") == 0

    def test_a_transaction_goes_on_after_a_conflict_that_is_caught(self, store: EventStore) -> None:
        store.append("order-1", numbered(1), expected_version=0)
        with store.transaction() as tx:
            tx.append("order-2", numbered(1), expected_version=0)
            with pytest.raises(ConcurrencyConflict):
                tx.append("order-1", numbered(1), expected_version=0)
            tx.append("order-1", numbered(1), expected_version=1)
        assert [store.stream_version(f"order-{number}") for number in (1, 2)] == [2, 1]

    def test_a_transaction_in_a_transaction_is_a_savepoint(self, store: EventStore) -> None:
        with store.transaction() as outer:
            outer.append("order-1", numbered(1), expected_version=0)
            with pytest.raises(ZeroDivisionError), outer.transaction() as inner:
                inner.append("order-2", numbered(1), expected_version=0)
                _ = 1 / 0
            outer.append("order-3", numbered(1), expected_version=0)
        assert [store.stream_version(f"order-{number}") for number in (1, 2, 3)] == [1, 0, 1]

    def test_only_sessions_and_connections_can_be_joined(self, store: EventStore, engine: Engine) -> None:
        for target in (engine, None, "session"):
            with pytest.raises(InvalidInput):
                store.join(target)  # type: ignore[arg-type]  # on purpose

    def test_closing_a_joined_store_closes_nothing(self, store: EventStore, engine: Engine) -> None:
        with engine.connect() as connection:
            store.join(connection).close()
            assert isinstance(connection, Connection)
            assert not connection.closed
