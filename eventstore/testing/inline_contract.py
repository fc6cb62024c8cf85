"""Inline projections: several of them, with every way of appending, atomically."""

from collections.abc import Callable
from functools import partial
from io import BytesIO

import pytest
from sqlalchemy import Column, Connection, Engine, Integer, MetaData, Table, Text, func, select

from eventstore import (
    STREAM_EXISTS,
    Append,
    ConcurrencyConflict,
    EventStore,
    NewEvent,
    RecordedEvent,
    Repository,
)
from eventstore.events import STREAM_ARCHIVED_EVENT, STREAM_DELETED_EVENT
from eventstore.projections import Projection, inline
from eventstore.testing._base import ContractBase, MakeStore, is_test_of, numbered, numbers
from eventstore.testing.projection_contract import PAYLOAD
from eventstore.transfer import Format, export_events, import_events

metadata = MetaData()
sums = Table(
    "eventstore_contract_sums",
    metadata,
    Column("stream_id", Text, primary_key=True),
    Column("sum", Integer, nullable=False),
)
journal = Table(
    "eventstore_contract_journal",
    metadata,
    Column("place", Integer, primary_key=True),
    Column("entry", Text, nullable=False),
)

ENDS = (STREAM_DELETED_EVENT, STREAM_ARCHIVED_EVENT)


def write(connection: Connection, entry: str) -> None:
    """Write to the journal."""
    connection.execute(journal.insert().values(entry=entry))


def summing() -> Projection:
    """Return a projection that sums the numbers of each stream, and removes deleted and archived streams."""
    projection = Projection("sums")

    @projection.on("counted")
    def add(event: RecordedEvent, connection: Connection) -> None:
        change = sums.update().where(sums.c.stream_id == event.stream_id)
        if not connection.execute(change.values(sum=sums.c.sum + event.data["number"])).rowcount:
            connection.execute(sums.insert().values(stream_id=event.stream_id, sum=event.data["number"]))

    @projection.on(*ENDS)
    def forget(event: RecordedEvent, connection: Connection) -> None:
        connection.execute(sums.delete().where(sums.c.stream_id == event.stream_id))

    return projection


def noting(name: str = "journal") -> Projection:
    """Return a projection that writes each event to the journal."""
    projection = Projection(name)

    @projection.on()
    def note(event: RecordedEvent, connection: Connection) -> None:
        write(connection, f"{event.stream_id} {event.version}")

    return projection


def failing() -> Projection:
    """Return a projection that fails at each event after it has written."""
    projection = Projection("failing")

    @projection.on()
    def fail(event: RecordedEvent, connection: Connection) -> None:
        write(connection, f"failing: {event.stream_id}")
        raise ValueError(PAYLOAD)

    return projection


def calling(handler: Callable[[RecordedEvent, Connection], object]) -> Projection:
    """Return a projection with this handler of all events."""
    projection = Projection("calling")
    projection.on()(handler)
    return projection


def summed(engine: Engine) -> dict[str, int]:
    """Return the sums that `summing` has written."""
    with engine.connect() as connection:
        return {row.stream_id: row.sum for row in connection.execute(select(sums))}


def entries(engine: Engine) -> list[str]:
    """Return the entries of the journal, in order."""
    with engine.connect() as connection:
        return list(connection.execute(select(journal.c.entry).order_by(journal.c.place)).scalars())


def archive(store: EventStore) -> None:
    """Archive a stream of three events."""
    with EventStore.in_memory() as elsewhere:
        store.archive_stream("order-1", into=elsewhere, expected_version=3, reason="old")


def delete(store: EventStore) -> None:
    """Delete a stream of three events."""
    store.delete_stream("order-1", expected_version=3, reason="ticket 7")


def append(store: EventStore) -> None:
    """Append to a stream of three events."""
    store.append("order-1", numbered(2, 4), expected_version=3)


def append_first(store: EventStore) -> None:
    """Append to a new stream."""
    store.append("order-3", numbered(1), expected_version=0)


def append_many(store: EventStore) -> None:
    """Append to one stream twice, and to another between."""
    store.append_many(
        [
            Append("order-3", numbered(2), expected_version=0),
            Append("order-1", numbered(1, 4), expected_version=3),
            Append("order-3", iter(numbered(1, 3)), expected_version=2),
        ]
    )


def append_not_atomic(store: EventStore) -> None:
    """Append to two streams; leave out a conflict between."""
    results = store.append_many(
        [
            Append("order-3", numbered(2), expected_version=0),
            Append("order-1", numbered(1, 4), expected_version=2),
            Append("order-2", numbered(1, 4), expected_version=3),
        ],
        atomic=False,
    )
    assert [isinstance(result, ConcurrencyConflict) for result in results] == [False, True, False]


BEFORE = {"order-1": 6, "order-2": 6}
WAYS: dict[str, tuple[Callable[[EventStore], None], dict[str, int], list[str]]] = {
    "append": (append, {**BEFORE, "order-1": 15}, ["order-1 4", "order-1 5"]),
    "append to a new stream": (append_first, {**BEFORE, "order-3": 1}, ["order-3 1"]),
    "append_many": (
        append_many,
        {**BEFORE, "order-1": 10, "order-3": 6},
        ["order-3 1", "order-3 2", "order-1 4", "order-3 3"],
    ),
    "append_many, not atomic": (
        append_not_atomic,
        {**BEFORE, "order-2": 10, "order-3": 3},
        ["order-3 1", "order-3 2", "order-2 4"],
    ),
    "delete_stream": (delete, {"order-2": 6}, ["order-1 4"]),
    "archive_stream": (archive, {"order-2": 6}, ["order-1 4"]),
}
"""The ways to append to a store with two streams of three events: the resulting sums and journal entries."""

on_each_way = pytest.mark.parametrize("way", WAYS)
joined_or_not = pytest.mark.parametrize("is_joined", [False, True], ids=["own transaction", "joined"])


class InlineContract(ContractBase):
    """The contract of inline projections on every database."""

    @pytest.fixture(autouse=True)
    def _read_models(self, request: pytest.FixtureRequest) -> None:
        if is_test_of(InlineContract, request) or "two" in request.fixturenames:
            metadata.create_all(request.getfixturevalue("engine"))

    @pytest.fixture
    def two(self, store: EventStore) -> EventStore:
        """Return a store with two projections, added one after the other, and two streams of three events."""
        projecting = inline(inline(store, summing()), noting())
        projecting.append("order-1", numbered(3), expected_version=0)
        projecting.append("order-2", numbered(3), expected_version=0)
        assert summed(store.engine) == BEFORE
        with store.engine.begin() as connection:
            connection.execute(journal.delete())
        return projecting

    @pytest.fixture
    def exported(self) -> BytesIO:
        """Return the export of a store with interleaved streams, one of them deleted and begun again."""
        with EventStore.in_memory() as other:
            for version in (0, 2):
                for stream_id in ("order-1", "order-2"):
                    other.append(stream_id, numbered(2, version + 1), expected_version=version)
            other.append("order-3", numbered(2), expected_version=0)
            other.delete_stream("order-3", expected_version=2, reason="ticket 7", reusable=True)
            other.append("order-3", numbered(1, 5), expected_version=3)
            file = BytesIO()
            export_events(other, file, format=Format.JSON_LINES)
        file.seek(0)
        return file

    @joined_or_not
    @on_each_way
    def test_two_inline_projections_are_right_after_each_way_to_append(
        self, two: EventStore, engine: Engine, *, way: str, is_joined: bool
    ) -> None:
        act, expected, journal = WAYS[way]
        if is_joined:
            with engine.begin() as connection:
                write(connection, "mine")
                act(two.join(connection))
            journal = ["mine", *journal]
        else:
            act(two)
        assert (summed(engine), entries(engine)) == (expected, journal)

    @joined_or_not
    @on_each_way
    def test_a_handler_that_fails_undoes_it_and_what_other_handlers_wrote(
        self, two: EventStore, engine: Engine, *, way: str, is_joined: bool
    ) -> None:
        act, expected, journal = WAYS[way]
        before = list(two.read_all())
        broken = inline(two, failing())
        if is_joined:
            with engine.begin() as connection:
                write(connection, "mine")
                with pytest.raises(ValueError, match=PAYLOAD):
                    act(broken.join(connection))
                act(two.join(connection))
            assert (summed(engine), entries(engine)) == (expected, ["mine", *journal])
            return
        with pytest.raises(ValueError, match=PAYLOAD):
            act(broken)
        assert (summed(engine), entries(engine), list(two.read_all())) == (BEFORE, [], before)
        act(two)
        assert (summed(engine), entries(engine)) == (expected, journal)

    @joined_or_not
    def test_two_inline_projections_of_very_many_events(
        self,
        store: EventStore,
        engine: Engine,
        *,
        is_joined: bool,
    ) -> None:
        """Import as many events as PostgreSQL stores by COPY. Handlers write at each thousandth."""

        def adding(name: str) -> Projection:
            projection, added = Projection(name), [0]

            @projection.on("counted")
            def add(event: RecordedEvent, connection: Connection) -> None:
                added[0] += event.data["number"]
                if event.version % 1000 == 0:
                    connection.execute(sums.delete().where(sums.c.stream_id == name))
                    connection.execute(sums.insert().values(stream_id=name, sum=added[0]))

            return projection

        projecting = inline(inline(store, adding("one")), adding("other"))
        events, total = numbered(10_000), 10_000 * 10_001 // 2
        with pytest.raises(ValueError, match=PAYLOAD):
            inline(projecting, failing()).append("order-2", events, expected_version=0)
        assert (store.stream_version("order-2"), summed(engine)) == (0, {})
        projecting = inline(inline(store, adding("one")), adding("other"))
        if is_joined:
            with engine.begin() as connection:
                result = projecting.join(connection).append("order-1", events, expected_version=0)
        else:
            result = projecting.append("order-1", events, expected_version=0)
        assert (result.version, summed(engine)) == (10_000, {"one": total, "other": total})

    @pytest.mark.parametrize("keep_positions", [False, True])
    @pytest.mark.parametrize("batch_size", [1, 3, 1000])
    def test_two_inline_projections_are_right_after_an_import(
        self,
        store: EventStore,
        engine: Engine,
        exported: BytesIO,
        *,
        keep_positions: bool,
        batch_size: int,
    ) -> None:
        projecting = inline(inline(store, summing()), noting())
        run = partial(import_events, format=Format.JSON_LINES, keep_positions=keep_positions, batch_size=batch_size)
        run(projecting, exported)
        assert summed(engine) == {"order-1": 10, "order-2": 10, "order-3": 5}
        assert entries(engine) == [f"{event.stream_id} {event.version}" for event in store.read_all()]
        exported.seek(0)
        before = entries(engine)
        run(projecting, exported)
        assert entries(engine) == before, "what is there already is handled once"

    @pytest.mark.parametrize("keep_positions", [False, True])
    def test_a_handler_that_fails_undoes_its_batch_of_an_import(
        self,
        store: EventStore,
        engine: Engine,
        exported: BytesIO,
        *,
        keep_positions: bool,
    ) -> None:
        projecting = inline(inline(store, summing()), noting())

        def fail(event: RecordedEvent, _: Connection) -> None:
            if (event.stream_id, event.version) == ("order-2", 3):
                raise ValueError(PAYLOAD)

        with pytest.raises(ValueError, match=PAYLOAD):
            import_events(
                inline(projecting, calling(fail)),
                exported,
                format=Format.JSON_LINES,
                keep_positions=keep_positions,
                batch_size=5,
            )
        assert (summed(engine), len(list(store.read_all()))) == ({"order-1": 6, "order-2": 3}, 5)
        assert entries(engine) == ["order-1 1", "order-1 2", "order-2 1", "order-2 2", "order-1 3"]
        exported.seek(0)
        import_events(projecting, exported, format=Format.JSON_LINES, keep_positions=keep_positions, batch_size=5)
        assert summed(engine) == {"order-1": 10, "order-2": 10, "order-3": 5}

    def test_composed_projections_are_called_in_the_order_in_which_they_were_added(
        self, store: EventStore, engine: Engine
    ) -> None:
        def naming(name: str) -> Projection:
            return calling(lambda event, connection: write(connection, f"{name} {event.version}"))

        inline(inline(store, naming("a"), naming("b")), naming("c")).append("order-1", numbered(2), expected_version=0)
        assert entries(engine) == ["a 1", "a 2", "b 1", "b 2", "c 1", "c 2"]

    def test_what_was_stored_before_is_not_handled_again(self, two: EventStore, engine: Engine) -> None:
        events = numbered(2)
        for _ in range(2):
            result = two.append("order-3", events, expected_version=0)
        many = [Append("order-3", events, expected_version=0), Append("order-4", numbered(1), expected_version=0)]
        both = two.append_many(many)
        assert [result.duplicate, *(each.duplicate for each in both)] == [True, True, False]
        assert [each.duplicate for each in two.append_many(many)] == [True, True]
        assert entries(engine) == ["order-3 1", "order-3 2", "order-4 1"]

    def test_nothing_is_called_after_a_conflict(self, two: EventStore, engine: Engine) -> None:
        many = [Append("order-1", numbered(1), expected_version=0), Append("order-2", numbered(1), expected_version=1)]
        with pytest.raises(ConcurrencyConflict):
            two.append("order-1", numbered(1), expected_version=0)
        with pytest.raises(ConcurrencyConflict):
            two.append_many([*many, Append("order-3", numbered(1), expected_version=0)])
        with pytest.raises(ConcurrencyConflict):
            two.delete_stream("order-1", expected_version=2, reason="ticket 7")
        assert len(two.append_many(many, atomic=False)) == 2
        assert (two.append_many([]), two.append_many([], atomic=False)) == ([], [])
        assert (summed(engine), entries(engine)) == (BEFORE, [])

    @pytest.mark.parametrize("end", [delete, archive])
    def test_when_handlers_get_the_event_that_ends_a_stream_the_others_are_gone(
        self, two: EventStore, end: Callable[[EventStore], None]
    ) -> None:
        two.snapshots.save("order-1", version=3, state="old")
        events, streams = two.tables.events, two.tables.streams
        counted: list[tuple[str, object, object, object]] = []

        def count(event: RecordedEvent, connection: Connection) -> None:
            stored = select(func.count()).select_from(events).where(events.c.stream_id == event.stream_id)
            head = select(streams.c.deleted_version, streams.c.archived_version).where(
                streams.c.stream_id == event.stream_id
            )
            ended = max(version or 0 for version in connection.execute(head).one())
            snapshot = two.join(connection).snapshots.load(event.stream_id)
            counted.append((event.event_type, connection.execute(stored).scalar(), ended, snapshot))

        end(inline(two, calling(count)))
        event_type = STREAM_DELETED_EVENT if end is delete else STREAM_ARCHIVED_EVENT
        assert counted == [(event_type, 1, 4, None)]

    def test_inline_projections_of_an_archive_get_what_is_archived(self, make_store: MakeStore) -> None:
        store, archived = make_store(page_size=2), list[str]()
        store.append("order-1", numbered(5), expected_version=0)
        with EventStore.in_memory() as elsewhere:
            note = calling(lambda event, _: archived.append(f"{event.stream_id} {event.version}"))
            into = inline(elsewhere, note)
            store.archive_stream("order-1", into=into, expected_version=STREAM_EXISTS, reason="old")
            assert archived == [f"order-1 {version}" for version in range(1, 6)]
            store.append("order-2", numbered(1), expected_version=0)
            with pytest.raises(ValueError, match=PAYLOAD):
                store.archive_stream(
                    "order-2", into=inline(into, failing_in_memory()), expected_version=1, reason="old"
                )
            assert list(elsewhere.read_stream("order-2")) == []
        assert numbers(store.read_stream("order-2")) == [1]

    def test_if_a_handler_fails_at_an_archival_the_archive_has_the_events_and_it_can_be_repeated(
        self, two: EventStore, engine: Engine
    ) -> None:
        with EventStore.in_memory() as elsewhere:
            with pytest.raises(ValueError, match=PAYLOAD):
                inline(two, failing()).archive_stream("order-1", into=elsewhere, expected_version=3, reason="old")
            assert numbers(two.read_stream("order-1")) == numbers(elsewhere.read_stream("order-1")) == [1, 2, 3]
            two.archive_stream("order-1", into=elsewhere, expected_version=3, reason="old")
            assert numbers(elsewhere.read_stream("order-1")) == [1, 2, 3]
        assert (summed(engine), entries(engine)) == ({"order-2": 6}, ["order-1 4"])

    @joined_or_not
    def test_what_a_handler_appends_is_part_of_the_append(
        self,
        two: EventStore,
        store: EventStore,
        engine: Engine,
        *,
        is_joined: bool,
    ) -> None:
        """Through a store without projections the event is not handled; through one with them it is handled at once."""

        def bill(event: RecordedEvent, connection: Connection) -> None:
            if event.stream_id.startswith("order-"):
                suffix = event.stream_id.removeprefix("order-")
                store.join(connection).append(f"log-{suffix}", [event_of(event)], expected_version=event.version - 1)
                two.join(connection).append(f"bill-{suffix}", [event_of(event)], expected_version=event.version - 1)

        billing, many = inline(two, calling(bill)), [Append("order-3", numbered(2), expected_version=0)]
        with pytest.raises(ValueError, match=PAYLOAD):
            inline(billing, failing()).append_many(many)
        assert [store.stream_version(stream_id) for stream_id in ("order-3", "log-3", "bill-3")] == [0, 0, 0]
        assert (summed(engine), entries(engine)) == (BEFORE, [])
        if is_joined:
            with engine.begin() as connection:
                billing.join(connection).append_many(many)
        else:
            billing.append_many(many)
        assert [numbers(store.read_stream(stream_id)) for stream_id in ("log-3", "bill-3")] == [[1, 2], [1, 2]]
        assert summed(engine) == {**BEFORE, "order-3": 3, "bill-3": 3}
        assert entries(engine) == ["order-3 1", "order-3 2", "bill-3 1", "bill-3 2"]

    def test_a_handler_that_appends_what_it_handles_itself_comes_to_no_end_and_stores_nothing(
        self, two: EventStore, engine: Engine
    ) -> None:
        looping: list[EventStore] = []

        def again(event: RecordedEvent, connection: Connection) -> None:
            if event.version > 20:  # otherwise Python would raise a RecursionError later
                raise ValueError(PAYLOAD)
            looping[0].join(connection).append("loop-1", numbered(1), expected_version=event.version)

        looping.append(inline(two, calling(again)))
        with pytest.raises(ValueError, match=PAYLOAD):
            looping[0].append("loop-1", numbered(1), expected_version=0)
        assert (two.stream_version("loop-1"), summed(engine), entries(engine)) == (0, BEFORE, [])

    @joined_or_not
    def test_a_conflict_in_a_handler_is_that_of_the_append(
        self,
        two: EventStore,
        engine: Engine,
        *,
        is_joined: bool,
    ) -> None:
        """This holds for appends that are not atomic, too, which leave out only their own conflicts."""

        def conflict(_: RecordedEvent, connection: Connection) -> None:
            two.join(connection).append("order-2", numbered(1), expected_version=1)

        calls: list[Callable[[EventStore], object]] = [
            lambda store: store.append("order-1", numbered(1), expected_version=3),
            lambda store: store.append_many([Append("order-1", numbered(1), expected_version=3)]),
            lambda store: store.append_many([Append("order-1", numbered(1), expected_version=3)], atomic=False),
            delete,
            archive,
        ]
        for call in calls:
            with engine.begin() as connection:
                projecting = inline(two, calling(conflict))
                with pytest.raises(ConcurrencyConflict) as raised:
                    call(projecting.join(connection) if is_joined else projecting)
                if is_joined:
                    write(connection, "mine")
            assert (raised.value.stream_id, raised.value.actual) == ("order-2", 3)
        assert (numbers(two.read_stream("order-1")), summed(engine)) == ([1, 2, 3], BEFORE)
        assert entries(engine) == ["mine"] * len(calls) * is_joined

    def test_a_repository_runs_its_command_again_after_a_conflict_in_a_handler(
        self, two: EventStore, engine: Engine
    ) -> None:
        expected_versions = iter([1, 3])

        def count(_: RecordedEvent, connection: Connection) -> None:
            two.join(connection).append("order-2", numbered(1, 4), expected_version=next(expected_versions))

        orders = Repository(
            inline(two, calling(count)), category="order", initial=int, evolve=lambda state, _: state + 1
        )
        saved = orders.execute("1", lambda state: [NewEvent("counted", {"number": state + 1})])
        assert (saved.attempts, saved.version) == (2, 4)
        assert summed(engine) == {"order-1": 10, "order-2": 10}


def event_of(event: RecordedEvent) -> NewEvent:
    """Return a new event with the same content."""
    return NewEvent(event.event_type, event.data)


def failing_in_memory() -> Projection:
    """Return a projection that fails, on a database without the tables of the contract."""

    def fail(_event: RecordedEvent, _connection: Connection) -> None:
        raise ValueError(PAYLOAD)

    return calling(fail)
