"""Imports while the writers of the table go on: rows that are committed late are not missed, and come in order."""

import random
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, text

from eventstore import EventStore
from eventstore.backends import engine_for
from eventstore.errors import UnsuitableSource
from eventstore.maintenance import verify
from eventstore.transfer import TableImported, TableMap, TableProgress, compare_table, import_table
from tests.source_tables import DEFINITIONS, MAP, create_source, insert

pytestmark = pytest.mark.postgresql


@pytest.fixture
def source(postgres_url: str) -> Iterator[Engine]:
    engine = create_engine(engine_for(postgres_url).url, pool_size=20)
    yield engine
    engine.dispose()


@pytest.fixture
def store() -> Iterator[EventStore]:
    with EventStore.in_memory() as store:
        yield store


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as executor:
        yield executor


class Following:
    """An import that follows in a thread."""

    def __init__(self, threads: ThreadPoolExecutor, store: EventStore, source: Engine, table_map: TableMap) -> None:
        self.stop = threading.Event()
        self.steps: list[TableProgress] = []
        self._moved = threading.Condition()
        self.running: Future[TableImported] = threads.submit(
            import_table, store, source, table_map, follow=True, stop=self.stop, poll_seconds=0.01, batch_size=4,
            on_progress=self._note,
        )  # fmt: skip

    def _note(self, step: TableProgress) -> None:
        with self._moved:
            self.steps.append(step)
            self._moved.notify_all()

    def wait_for(self, condition: Callable[[TableProgress], bool]) -> TableProgress:
        """Return the next step for which a condition holds."""
        with self._moved:
            begin = len(self.steps)
            found = self._moved.wait_for(
                lambda: self.running.done() or any(map(condition, self.steps[begin:])), timeout=60
            )
            assert found
            assert not self.running.done(), self.running.result()
            return next(step for step in self.steps[begin:] if condition(step))

    def end(self) -> TableImported:
        self.stop.set()
        return self.running.result(60)


@contextmanager
def following(
    threads: ThreadPoolExecutor, store: EventStore, source: Engine, table_map: TableMap
) -> Iterator[Following]:
    running = Following(threads, store, source, table_map)
    try:
        yield running
    finally:
        running.stop.set()


def orders(store: EventStore) -> list[Any]:
    return [event.metadata["$imported"]["order"] for event in store.read_all()]


def waits(step: TableProgress) -> bool:
    return step.phase == "waiting" and step.writers > 0


def has_looked(step: TableProgress) -> bool:
    """Whether it has looked who is writing, and either waits or has imported all that it takes for complete."""
    return step.phase in ("waiting", "following")


def test_a_row_that_is_committed_late_is_not_missed(
    source: Engine, store: EventStore, threads: ThreadPoolExecutor
) -> None:
    table_map = create_source(source, "table")
    with source.connect() as late, source.begin() as other:
        for number in range(3):
            insert(other, "table", number)
        other.commit()
        insert(late, "table", 3)  # has drawn 4, and lingers
        with source.begin() as quick:
            for number in range(4, 9):
                insert(quick, "table", number)
        with following(threads, store, source, table_map) as running:
            running.wait_for(has_looked)
            running.wait_for(has_looked)
            assert orders(store) == []
            late.commit()
            running.wait_for(lambda step: step.phase == "following" and step.rows == 9)
            done = running.end()
    assert orders(store) == [1, 2, 3, 4, 5, 6, 7, 8, 9]
    assert (done.events, done.is_complete) == (9, True)
    assert compare_table(store, source, table_map).is_equal


def test_rows_before_the_first_gap_do_not_wait_and_a_rollback_leaves_a_gap(
    source: Engine, store: EventStore, threads: ThreadPoolExecutor
) -> None:
    table_map = create_source(source, "table")
    with source.begin() as connection:
        insert(connection, "table", 0)
    with following(threads, store, source, table_map) as running, source.connect() as late:
        running.wait_for(lambda step: step.phase == "following" and step.rows == 1)
        with source.begin() as quick, source.connect() as third:
            insert(quick, "table", 1)
            quick.commit()
            insert(late, "table", 2)  # has drawn 3
            insert(third, "table", 3)
            third.commit()
        running.wait_for(waits)
        running.wait_for(waits)
        assert orders(store) == [1, 2]
        late.rollback()
        running.wait_for(lambda step: step.phase == "following" and step.rows == 3)
        assert orders(store) == [1, 2, 4]
        with source.begin() as again:
            insert(again, "table", 2)
        running.wait_for(lambda step: step.phase == "following" and step.rows == 4)
        running.end()
    assert compare_table(store, source, table_map).is_equal


def test_later_transactions_are_not_waited_for(source: Engine, store: EventStore, threads: ThreadPoolExecutor) -> None:
    table_map = create_source(source, "table")
    with source.begin() as connection:
        insert(connection, "table", 0)
    with source.connect() as late, source.connect() as later:
        insert(late, "table", 1)
        with source.begin() as quick:
            insert(quick, "table", 2)
        with following(threads, store, source, table_map) as running:
            running.wait_for(waits)
            insert(later, "table", 3)  # begins after the look, and so can't come before what was seen
            late.commit()
            running.wait_for(lambda step: step.phase == "waiting" and step.rows == 3)
            assert orders(store) == [1, 2, 3]
            later.commit()
            running.wait_for(lambda step: step.phase == "following" and step.rows == 4)
            running.end()
    assert orders(store) == [1, 2, 3, 4]


def test_an_import_that_does_not_follow_says_if_it_could_not_wait(source: Engine, store: EventStore) -> None:
    table_map = create_source(source, "table")
    with source.begin() as connection:
        for number in range(3):
            insert(connection, "table", number)
    assert import_table(store, source, table_map).is_complete
    with source.connect() as late:
        with source.begin() as quick:
            insert(quick, "table", 3)
        insert(late, "table", 4)
        with source.begin() as quick:
            insert(quick, "table", 5)
        done = import_table(store, source, table_map, wait_seconds=0.1)
        assert (done.events, done.is_complete, done.order) == (1, False, 4)
        late.commit()
    assert import_table(store, source, table_map).is_complete
    assert compare_table(store, source, table_map).is_equal


def test_a_transaction_that_is_prepared_is_waited_for_under_its_new_name(
    source: Engine, store: EventStore, threads: ThreadPoolExecutor
) -> None:
    table_map = create_source(source, "table")
    with source.connect() as asking:
        if asking.execute(text("SHOW max_prepared_transactions")).scalar_one() == "0":
            pytest.skip("this server has max_prepared_transactions = 0: it can't PREPARE TRANSACTION")
    late = source.connect().execution_options(isolation_level="AUTOCOMMIT")
    late.execute(text("BEGIN"))
    insert(late, "table", 0)
    with source.begin() as quick:
        insert(quick, "table", 1)
    with following(threads, store, source, table_map) as running:
        running.wait_for(has_looked)
        assert orders(store) == []
        late.execute(text("PREPARE TRANSACTION 'late'"))
        for _ in range(3):
            running.wait_for(has_looked)
        assert orders(store) == []
        late.execute(text("COMMIT PREPARED 'late'"))
        running.wait_for(lambda step: step.phase == "following" and step.rows == 2)
        running.end()
    late.close()
    assert orders(store) == [1, 2]


def test_a_partitioned_table_whose_part_is_written_directly(
    source: Engine, store: EventStore, threads: ThreadPoolExecutor
) -> None:
    with source.begin() as connection:
        for statement in (
            "CREATE SEQUENCE drawn",
            "CREATE TABLE parts (id bigint NOT NULL DEFAULT nextval('drawn'), s text NOT NULL) PARTITION BY LIST (s)",
            "CREATE TABLE parts_a PARTITION OF parts FOR VALUES IN ('a')",
            "CREATE TABLE parts_b PARTITION OF parts FOR VALUES IN ('b')",
        ):
            connection.execute(text(statement))
    parts = {"table": "parts", "stream": "s", "order": "id", "type": {"value": "t"}, "data": {"fields": {"id": "id"}}}
    table_map = TableMap.of(parts)
    with source.connect() as late:
        late.execute(text("INSERT INTO parts_a (id, s) VALUES (nextval('drawn'), 'a')"))
        with source.begin() as quick:
            quick.execute(text("INSERT INTO parts (s) VALUES ('b')"))
        with following(threads, store, source, table_map) as running:
            running.wait_for(has_looked)
            running.wait_for(has_looked)
            assert orders(store) == []
            late.commit()
            running.wait_for(lambda step: step.phase == "following" and step.rows == 2)
            running.end()
    assert orders(store) == [1, 2]


def test_tables_whose_order_is_not_that_of_their_inserts_are_not_followed(source: Engine, store: EventStore) -> None:
    create_source(source, "table")
    with source.begin() as connection:
        for statement in (
            "ALTER SEQUENCE events_id_seq CACHE 20",
            "CREATE TABLE own (id bigint PRIMARY KEY, s text NOT NULL)",
            "CREATE VIEW seen AS SELECT * FROM events",
            "CREATE TABLE down (id bigint GENERATED ALWAYS AS IDENTITY (INCREMENT -1) PRIMARY KEY, s text NOT NULL)",
            "CREATE TABLE identity (id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, s text NOT NULL)",
        ):
            connection.execute(text(statement))
    own = {"table": "own", "stream": "s", "order": "id", "type": {"value": "t"}, "data": {"fields": {"id": "id"}}}
    stop = threading.Event()
    stop.set()
    refused: list[tuple[dict[str, Any], str]] = [
        (MAP, "CACHE 1"),
        (own, "order_is_drawn_by_insert"),
        ({**MAP, "table": "seen"}, "view"),
        ({**own, "table": "down"}, "descends"),
    ]
    for parts, said in refused:
        with pytest.raises(UnsuitableSource, match=said):
            import_table(store, source, TableMap.of(parts), follow=True, stop=stop)
    for parts in ({**own, "order_is_drawn_by_insert": True}, {**own, "table": "identity"}):
        import_table(store, source, TableMap.of(parts), follow=True, stop=stop)
    assert import_table(store, source, TableMap.of(MAP)).is_complete


def test_an_infinite_time_is_refused(source: Engine, store: EventStore) -> None:
    table_map = create_source(source, "table")
    with source.begin() as connection:
        insert(connection, "table", 0)
        connection.execute(text("UPDATE events SET created_at = 'infinity'"))
    with pytest.raises(Exception, match="infinite"):
        import_table(store, source, table_map)


def write(source: Engine, reader: str, streams: list[int], seed: int, count: int) -> None:
    """Insert rows of some streams in transactions of several, which linger and are rolled back at random."""
    chance = random.Random(seed)
    versions = dict.fromkeys(streams, 0)
    pause = threading.Event()
    for _ in range(count):
        chosen = chance.sample(streams, chance.randint(1, len(streams)))
        with source.connect() as connection:
            for stream in chosen:
                insert(connection, reader, stream + 7 * versions[stream])
                pause.wait(chance.choice([0, 0, 0.002, 0.01]))
            if chance.random() < 0.25:
                connection.rollback()
                continue
            connection.commit()
        for stream in chosen:
            versions[stream] += 1


@pytest.mark.slow
@pytest.mark.parametrize("reader", DEFINITIONS["postgresql"])
def test_followed_while_three_writers_go_on_then_cut_over(
    source: Engine, store: EventStore, threads: ThreadPoolExecutor, reader: str
) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    table_map = create_source(source, reader)
    with following(threads, store, source, table_map) as running:
        writers = [
            threads.submit(write, source, reader, streams, seed + index, 15)
            for index, streams in enumerate(([0, 1], [2, 3], [4, 5, 6]))
        ]
        for writer in writers:
            writer.result(60)
        followed = running.end()
    last = import_table(store, source, table_map)
    assert last.is_complete
    assert followed.events + last.events == len(orders(store))
    compared = compare_table(store, source, table_map)
    assert compared.is_equal, compared.shown
    assert orders(store) == sorted(orders(store))
    assert import_table(store, source, table_map).events == 0
    assert list(verify(store)) == []


def test_a_file_of_sqlite_is_followed(threads: ThreadPoolExecutor, store: EventStore, tmp_path: Any) -> None:
    engine = create_engine(f"sqlite:///{tmp_path / 'old.db'}")
    table_map = create_source(engine, "table")
    with following(threads, store, engine, table_map) as running:
        for begin in range(0, 15, 5):
            with engine.begin() as connection:
                for number in range(begin, begin + 5):
                    insert(connection, "table", number)
            running.wait_for(lambda step, rows=begin + 5: step.phase == "following" and step.rows == rows)  # type: ignore[misc]
        done = running.end()
    assert done.events == 15
    assert compare_table(store, engine, table_map).is_equal
    engine.dispose()
