"""Inline projections: what the contract can't show, since it needs a pool, an observer, or event types."""

import gc
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from eventstore import (
    Append,
    ConcurrencyConflict,
    DecodingError,
    EventFilter,
    EventStore,
    EventTypes,
    NewEvent,
    RecordedEvent,
    Repository,
)
from eventstore.cli import make_group
from eventstore.errors import InvalidInput, TransactionBroken
from eventstore.observer import Observation, Operation
from eventstore.projections import Projection, ProjectionAdmin, Start, Worker, inline
from eventstore.testing._base import numbered
from eventstore.testing.projection_contract import PAYLOAD
from eventstore.transfer import Format, export_events, import_events


@pytest.fixture
def store(sqlite_engine: Engine) -> EventStore:
    return EventStore(sqlite_engine)


def listing(*filters: EventFilter, seen: list[Any]) -> Projection:
    """Return a projection that keeps the data of every event."""
    projection = Projection("listing", *filters)
    projection.on()(lambda event, _: seen.append(event.data))
    return projection


# --- the store that is returned is like the one that was given


class ShopStore(EventStore):
    def place(self) -> int:
        return self.append("order-1", numbered(1), expected_version=0).version


def test_it_is_of_the_same_class_and_has_the_same_options(sqlite_engine: Engine) -> None:
    seen: list[Any] = []
    store = inline(ShopStore(sqlite_engine, page_size=2), listing(seen=seen))
    assert store.place() == 1  # type: ignore[attr-defined]  # the class is that of the store
    assert seen == [{"number": 1}]
    assert (type(store), repr(store), store.engine) == (ShopStore, f"<EventStore {sqlite_engine.url!r}>", sqlite_engine)
    assert store.health().ok


def test_the_block_of_an_inline_store_closes_the_pool_that_it_has(sqlite_path: Path) -> None:
    with inline(EventStore.from_url(f"sqlite:///{sqlite_path}"), listing(seen=[])) as store:
        store.append("order-1", numbered(1), expected_version=0)
        engine, pool = store.engine, store.engine.pool
        with store.transaction() as tx, tx:
            tx.append("order-2", numbered(1), expected_version=0)
        assert engine.pool is pool, "a joined store closes nothing"
    assert engine.pool is not pool


@pytest.mark.slow
def test_the_pool_is_closed_with_the_last_store_of_it_and_not_before(sqlite_path: Path) -> None:
    url = f"sqlite:///{sqlite_path}"
    first = EventStore.from_url(url)
    engine, pool = first.engine, first.engine.pool
    store = inline(inline(first, listing(seen=[])), listing(seen=[]))
    del first
    gc.collect()
    assert engine.pool is pool
    store.append("order-1", numbered(1), expected_version=0)
    uses = [Repository(store, category="order", initial=int, evolve=lambda state, _: state), ProjectionAdmin(store)]
    del store
    gc.collect()
    assert engine.pool is pool
    del uses
    gc.collect()
    assert engine.pool is not pool


@pytest.mark.slow
def test_an_engine_of_the_applications_is_left_alone(sqlite_engine: Engine) -> None:
    pool = sqlite_engine.pool
    with inline(EventStore(sqlite_engine), listing(seen=[])) as store:
        store.append("order-1", numbered(1), expected_version=0)
    del store
    gc.collect()
    assert sqlite_engine.pool is pool


# --- observed


class Recorder:
    """Keeps what it is told of operations other than reads."""

    def __init__(self) -> None:
        self.operations: list[tuple[str, str | None, dict[str, int], str | None]] = []

    @contextmanager
    def operation(
        self,
        name: Operation,
        *,
        stream_id: str | None = None,
        projection: str | None = None,  # noqa: ARG002  # no batch is observed here
    ) -> Iterator[Observation]:
        notes, error = Notes(), None
        try:
            yield notes
        except Exception as raised:
            error = type(raised).__name__
            raise
        finally:
            if name != "read":
                self.operations.append((name, stream_id, notes.figures, error))

    def waited(self, seconds: float) -> None: ...


class Notes:
    def __init__(self) -> None:
        self.figures: dict[str, int] = {}

    def note(self, **figures: int) -> None:
        self.figures.update(figures)

    def caused_by(self, metadata: Mapping[str, Any]) -> None: ...


def test_an_inline_append_is_observed_as_what_it_is(store: EventStore) -> None:
    recorder = Recorder()
    store.observe(recorder)
    projecting = inline(store, listing(seen=[]))
    projecting.append("order-1", numbered(2), expected_version=0)
    with projecting.transaction() as tx:
        tx.append("order-1", numbered(1), expected_version=2)
    projecting.append_many([Append("order-2", numbered(3), expected_version=0)])
    projecting.append_many(
        [Append("order-2", numbered(1), expected_version=0), Append("order-2", numbered(1), expected_version=3)],
        atomic=False,
    )
    with pytest.raises(ConcurrencyConflict):
        projecting.append("order-1", numbered(1), expected_version=0)
    projecting.delete_stream("order-1", expected_version=3, reason="ticket 7")
    assert recorder.operations == [
        ("append", "order-1", {"events": 2}, None),
        ("append", "order-1", {"events": 1}, None),
        ("append_many", None, {"events": 3, "conflicts": 0}, None),
        ("append_many", None, {"events": 1, "conflicts": 1}, None),
        ("append", "order-1", {}, "ConcurrencyConflict"),
    ]


def test_a_handler_that_fails_is_observed_as_the_failure_of_the_append(store: EventStore) -> None:
    recorder, projection = Recorder(), Projection("failing")

    @projection.on()
    def fail(_event: RecordedEvent, _connection: Connection) -> None:
        raise ValueError(PAYLOAD)

    projecting = inline(store, projection)
    projecting.observe(recorder)
    with pytest.raises(ValueError, match=PAYLOAD):
        projecting.append("order-1", numbered(1), expected_version=0)
    assert recorder.operations == [("append", "order-1", {}, "ValueError")]


# --- which events handlers get, and as what


@dataclass(frozen=True)
class Placed:
    total: int


@pytest.fixture
def typed(sqlite_engine: Engine) -> EventStore:
    event_types = EventTypes()
    event_types.register("placed", Placed)
    event_types.upcaster("order-opened", from_version=1, to=("placed", 1))(lambda data: {"total": data})
    return EventStore(sqlite_engine, event_types=event_types)


@pytest.fixture
def exported() -> BytesIO:
    """An export with an event as it was stored years ago."""
    file = BytesIO()
    with EventStore.in_memory() as other:
        other.append("order-7", [NewEvent("order-opened", 30), NewEvent("other")], expected_version=0)
        export_events(other, file, format=Format.JSON_LINES)
    file.seek(0)
    return file


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ([EventFilter(event_types=["order-opened"])], [Placed(30)]),
        ([EventFilter(event_types=["placed"])], []),
        ([EventFilter(event_types=["placed"]), EventFilter(categories=["order"])], [Placed(30), {}]),
        ([EventFilter(event_types=["order-opened", "other"], categories=["invoice"])], []),
        ([EventFilter(stream_ids=["order-7"], event_types=["other"])], [{}]),
    ],
)
def test_filters_choose_what_they_choose_for_a_worker(
    typed: EventStore, exported: BytesIO, filters: list[EventFilter], expected: list[Any]
) -> None:
    seen: list[Any] = []
    import_events(inline(typed, listing(*filters, seen=seen)), exported, format=Format.JSON_LINES)
    assert seen == expected
    Worker(typed, listing(*filters, seen=seen)).run_until_caught_up()
    assert seen == expected * 2


def test_where_a_projection_starts_and_its_partitions_do_not_count(store: EventStore) -> None:
    seen: list[Any] = []
    projection = Projection("seen", start=Start.NOW, partitions=8)
    projection.on(lambda event, _: seen.append(event.data))
    inline(store, projection).append("order-1", numbered(1), expected_version=0)
    assert seen == [{"number": 1}]


def test_handlers_with_outside_effects_are_refused(store: EventStore) -> None:
    projection = Projection("mails")
    projection.on("counted", outside=True)(print)
    with pytest.raises(InvalidInput, match="before the append is committed; run it with a Worker"):
        inline(store, projection)


def test_handlers_of_classes_are_called_for_what_is_appended_as_plain_data(typed: EventStore) -> None:
    """As by the command line, which knows no classes."""
    seen: list[Any] = []
    projection = Projection("totals")
    projection.on(Placed)(lambda event, _: seen.append(event.data))
    group = make_group(inline(typed, projection), name="events")
    event = '{"event_type": "placed", "data": {"total": %s}}'
    arguments = ["append", "order-1", "--expected-version"]
    result = CliRunner().invoke(group, [*arguments, "0", event % 30], catch_exceptions=False)
    assert (result.exit_code, seen) == (0, [Placed(30)])
    result = CliRunner().invoke(group, [*arguments, "1", event % '"x"'])
    assert (result.exit_code != 0, typed.stream_version("order-1")) == (True, 1)


def test_an_import_that_handlers_could_not_read_is_undone(typed: EventStore) -> None:
    file = BytesIO()
    with EventStore.in_memory() as other:
        other.append("order-7", [NewEvent("placed", "not one")], expected_version=0)
        export_events(other, file, format=Format.JSON_LINES)
    file.seek(0)
    with pytest.raises(DecodingError):
        import_events(inline(typed, listing(seen=[])), file, format=Format.JSON_LINES)
    assert typed.stream_version("order-7") == 0


def test_archive_stream_reaches_the_handlers_of_both_stores(store: EventStore) -> None:
    here: list[Any] = []
    there: list[Any] = []
    store.append("order-1", numbered(2), expected_version=0)
    with EventStore.in_memory() as elsewhere:
        into = inline(elsewhere, listing(seen=there))
        inline(store, listing(seen=here)).archive_stream("order-1", into=into, expected_version=2, reason="old")
    assert (here, there) == ([{"reason": "old", "reusable": False}], [{"number": 1}, {"number": 2}])


@pytest.mark.postgresql
def test_a_handler_that_catches_an_error_of_the_database_undoes_the_append_and_no_more(postgres_engine: Engine) -> None:
    """PostgreSQL has aborted the savepoint, which can't be released."""
    projection = Projection("careless")

    @projection.on()
    def _handle(_: RecordedEvent, connection: Connection) -> None:
        with suppress(DBAPIError):
            connection.execute(text("SELECT 1 / 0"))

    store = EventStore(postgres_engine)
    with postgres_engine.begin() as connection:
        joined = store.join(connection)
        with pytest.raises(TransactionBroken, match="begin_nested"):
            inline(joined, projection).append("order-1", numbered(1), expected_version=0)
        joined.append("order-2", numbered(1), expected_version=0)
    assert [stream.stream_id for stream in store.list_streams()] == ["order-2"]
    with pytest.raises(TransactionBroken):
        inline(store, projection).append("order-1", numbered(1), expected_version=0)
    assert store.stream_version("order-1") == 0
