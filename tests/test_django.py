"""The store of a Django project: one connection and one transaction with the models."""

import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.db import (
    DatabaseError,
    IntegrityError,
    InterfaceError,
    OperationalError,
    connection,
    connections,
    router,
    transaction,
)
from django.db.backends.signals import connection_created
from django.test import Client
from django.test.utils import CaptureQueriesContext

from eventstore import (
    ANY,
    NO_STREAM,
    Append,
    ConcurrencyConflict,
    EventFilter,
    EventStore,
    NewEvent,
    ProjectionFailed,
    RecordedEvent,
    Repository,
)
from eventstore.backends.postgresql import dialect as postgresql
from eventstore.contrib.django import engine_of, events_appended, get_store
from eventstore.errors import BoundaryChanged, InvalidInput, NotInTransaction, SchemaMissing, UnsuitableTransaction
from eventstore.events import STREAM_DELETED_EVENT
from eventstore.projections import OnFailure, Projection, ProjectionAdmin, Worker, inline
from eventstore.repository import transact
from eventstore.streams import STREAM_EXISTS
from tests.django_project.events import Deposited, totals
from tests.fix_django import leave_database, postgresql_settings, sqlite_settings, use_database

pytestmark = pytest.mark.usefixtures("django_database")
EVENT = NewEvent("invoiced", {"number": 1})


def store() -> Any:
    return get_store()


def invoices() -> Any:
    return apps.get_model("django_project", "Invoice").objects


def total() -> int:
    return int(apps.get_model("django_project", "Total").objects.get(name="all").amount)


def events_of(stream_id: str) -> list[int]:
    return [event.version for event in store().read_stream(stream_id)]


def new(number: int = 1) -> NewEvent:
    return NewEvent("invoiced", {"number": number})


# --- one transaction


def test_a_model_and_an_append_commit_together() -> None:
    with transaction.atomic():
        invoices().create(number=1)
        result = store().append("invoice-1", [new()], expected_version=NO_STREAM)
    assert (result.version, invoices().count(), events_of("invoice-1")) == (1, 1, [1])


def test_a_model_and_an_append_roll_back_together() -> None:
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        invoices().create(number=1)
        store().append("invoice-1", [new()], expected_version=NO_STREAM)
        assert events_of("invoice-1") == [1]
        raise ZeroDivisionError
    assert (invoices().count(), events_of("invoice-1"), store().stream_version("invoice-1")) == (0, [], 0)


def test_a_decision_by_tags_is_part_of_the_atomic_block_and_its_refusal_leaves_that_usable() -> None:
    seat = EventFilter(tags=["seat:1"])
    empty = store().read_boundary(seat)
    taken = NewEvent("seat-taken", tags=["seat:1"])
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        store().append("seat-1", taken, expected_version=ANY, condition=store().read_boundary(seat))
        assert len(store().read_boundary(seat)) == 1
        raise ZeroDivisionError
    with transaction.atomic():
        invoices().create(number=1)
        with suppress(ZeroDivisionError), transaction.atomic():
            store().append("seat-2", taken, expected_version=ANY, condition=empty)
            raise ZeroDivisionError
        store().append("seat-3", taken, expected_version=ANY, condition=empty)
        with pytest.raises(BoundaryChanged):
            store().append("seat-4", taken, expected_version=ANY, condition=empty)
        every = store().read_boundary(EventFilter(event_types=["seat-taken"]), lock_all_appends=True)
        store().append("seat-4", NewEvent("counted", len(every)), expected_version=ANY, condition=every)
        invoices().create(number=2)
    assert [event.stream_id for event in store().read_boundary(seat)] == ["seat-3"]
    assert ([event.data for event in store().read_stream("seat-4")], invoices().count()) == ([1], 2)


@pytest.mark.parametrize("undone", ["inner", "outer", "neither"])
def test_savepoints_are_djangos(undone: str) -> None:
    def write(number: int, *, fails: bool = False) -> None:
        invoices().create(number=number)
        store().append(f"invoice-{number}", [new(), new()], expected_version=NO_STREAM)
        if fails:
            raise ZeroDivisionError

    with suppress(ZeroDivisionError), transaction.atomic():
        write(1)
        with suppress(ZeroDivisionError), transaction.atomic():
            write(2, fails=undone == "inner")
        write(3, fails=undone == "outer")
    stored = {"inner": [1, 3], "outer": [], "neither": [1, 2, 3]}[undone]
    assert [invoice.number for invoice in invoices().order_by("number")] == stored
    assert [number for number in (1, 2, 3) if events_of(f"invoice-{number}") == [1, 2]] == stored


@pytest.mark.parametrize("expected", [0, 7, STREAM_EXISTS])
def test_after_a_conflict_the_transaction_is_usable_and_the_model_is_committed(expected: Any) -> None:
    stream_id = "invoice-1" if expected is not STREAM_EXISTS else "invoice-2"
    store().append("invoice-1", [new()], expected_version=NO_STREAM)
    with transaction.atomic():
        invoices().create(number=1)
        with pytest.raises(ConcurrencyConflict):
            store().append(stream_id, [new()], expected_version=expected)
        with pytest.raises(ConcurrencyConflict):
            store().append_many(
                [Append("other-1", [new()], expected_version=0), Append(stream_id, [new()], expected_version=expected)]
            )
        invoices().create(number=2)
        store().append("invoice-1", [new()], expected_version=1)
    assert (invoices().count(), events_of("invoice-1"), events_of("other-1")) == (2, [1, 2], [])


def test_a_repeated_append_is_recognised() -> None:
    for _ in range(2):
        with transaction.atomic():
            result = store().append("invoice-1", [EVENT], expected_version=NO_STREAM)
    assert (result.duplicate, events_of("invoice-1")) == (True, [1])


def test_an_error_in_a_view_leaves_nothing() -> None:
    client = Client(raise_request_exception=False)
    with atomic_requests():
        assert client.get("/fail/").status_code == 500
        assert (invoices().count(), events_of("invoice-1")) == (0, [])
        assert client.get("/write/").status_code == 200
    assert (invoices().count(), events_of("invoice-2")) == (1, [1])


class atomic_requests:  # noqa: N801  # read as a word
    """What `"ATOMIC_REQUESTS": True` in the settings is."""

    def __enter__(self) -> None:
        connection.settings_dict["ATOMIC_REQUESTS"] = True

    def __exit__(self, *_: object) -> None:
        connection.settings_dict["ATOMIC_REQUESTS"] = False


def test_outside_of_an_atomic_block_each_append_is_committed(in_thread: Callable[..., Any]) -> None:
    store().append("invoice-1", [new()], expected_version=NO_STREAM)
    store().append_many([Append(f"invoice-{number}", [new(), new()], expected_version=ANY) for number in (1, 2)])
    assert not connection.in_atomic_block
    assert in_thread(events_of, "invoice-1") == [1, 2, 3]
    assert in_thread(events_of, "invoice-2") == [1, 2]


def test_a_transaction_of_the_store_is_an_atomic_block() -> None:
    with pytest.raises(ZeroDivisionError), store().transaction() as tx:
        tx.append("invoice-1", [new()], expected_version=NO_STREAM)
        invoices().create(number=1)
        assert tx.connection.in_atomic_block
        raise ZeroDivisionError
    assert (invoices().count(), events_of("invoice-1")) == (0, [])


# --- errors


def test_an_error_in_the_database_breaks_the_atomic_block_as_one_of_the_orm_does() -> None:
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE es_streams RENAME TO es_streams_elsewhere")
        with pytest.raises(SchemaMissing) as raised:
            store().stream_version("invoice-1")
        assert isinstance(raised.value.__cause__, DatabaseError)
        assert connection.needs_rollback
        with pytest.raises(transaction.TransactionManagementError):
            invoices().count()
        transaction.set_rollback(True)
    assert invoices().count() == 0


def test_an_error_in_an_append_of_several_statements_is_contained_by_its_savepoint() -> None:
    with transaction.atomic():
        invoices().create(number=1)
        with pytest.raises(ZeroDivisionError), store().transaction() as tx:
            tx.append("invoice-1", [new()], expected_version=NO_STREAM)
            raise ZeroDivisionError
        assert not connection.needs_rollback
    assert (invoices().count(), events_of("invoice-1")) == (1, [])


def test_a_repository_retries_outside_of_an_atomic_block_and_not_inside() -> None:
    numbers: Repository[int] = Repository(store(), category="number", initial=int, evolve=lambda state, _: state + 1)
    calls: list[int] = []

    def overtaken_once(state: int) -> list[NewEvent]:
        calls.append(state)
        if len(calls) == 1:
            store().append("number-1", [new()], expected_version=ANY)
        return [new()]

    assert numbers.execute("1", overtaken_once).version == 2
    assert calls == [0, 1]
    calls.clear()
    with transaction.atomic(), pytest.raises(ConcurrencyConflict):
        numbers.execute("1", overtaken_once)
    assert len(calls) == 1


# --- what Django sees


def test_several_aggregates_are_saved_in_an_atomic_block_that_is_repeated() -> None:
    numbers: Repository[int] = Repository(store(), category="number", initial=int, evolve=lambda state, _: state + 1)
    calls = 0

    def count(joined: Repository[int]) -> None:
        nonlocal calls
        calls += 1
        joined.execute("1", lambda _: [NewEvent("counted")])
        joined.execute("2", lambda _: [NewEvent("counted")])
        if calls == 1:
            raise ConcurrencyConflict("number-1", 0, 1)

    transact(count, numbers)
    assert (calls, numbers.load("1").version, numbers.load("2").version) == (2, 1, 1)
    calls = 0
    with transaction.atomic():
        with pytest.raises(ConcurrencyConflict):
            transact(count, numbers)
        numbers.execute("3", lambda _: [NewEvent("counted")])
    assert (calls, numbers.load("1").version, numbers.load("3").version) == (1, 1, 1)


def test_statements_are_seen_by_djangos_query_log_and_wrappers() -> None:
    seen: list[str] = []

    def wrapper(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        seen.append(sql)
        return execute(sql, params, many, context)

    store().append("invoice-1", [new()], expected_version=NO_STREAM)
    with CaptureQueriesContext(connection) as captured, connection.execute_wrapper(wrapper):
        store().append("invoice-1", [new()], expected_version=1)
        store().append_many([Append("invoice-2", [new(), new()], expected_version=ANY)])
        list(store().read_stream("invoice-1"))
        list(store().read_all())
    assert sum("INSERT INTO es_events" in sql for sql in seen) == 2
    assert sum("INSERT INTO es_events" in query["sql"] for query in captured.captured_queries) == 2
    assert len(captured.captured_queries) >= len(seen)


@pytest.mark.parametrize("count", [1, 3])
def test_whoever_listens_is_told_when_it_is_committed(count: int) -> None:
    told: list[tuple[str, int]] = []

    def receive(**given: Any) -> None:
        assert given["using"] == "default"
        told.append((given["stream_id"], given["version"]))
        raise ZeroDivisionError  # the append has been made all the same

    events_appended.connect(receive)
    try:
        with transaction.atomic():
            store().append("invoice-1", [new() for _ in range(count)], expected_version=NO_STREAM)
            with pytest.raises(ZeroDivisionError), transaction.atomic():
                store().append("invoice-2", [new()], expected_version=NO_STREAM)
                raise ZeroDivisionError
            assert told == []
        assert told == [("invoice-1", count)]
        store().append_many([Append("invoice-3", [new()], expected_version=ANY)])
        assert told[1:] == [("invoice-3", 1)]
    finally:
        events_appended.disconnect(receive)


@contextmanager
def listening() -> Iterator[list[tuple[str, int, int]]]:
    """Yield the streams, versions and positions that are announced."""
    announced: list[tuple[str, int, int]] = []

    def receive(**given: Any) -> None:
        announced.append((given["stream_id"], given["version"], given["position"]))

    events_appended.connect(receive)
    try:
        yield announced
    finally:
        events_appended.disconnect(receive)


def test_only_what_was_stored_is_announced() -> None:
    with listening() as announced:
        first = store().append("invoice-1", [EVENT], expected_version=NO_STREAM)
        store().append("invoice-1", [EVENT], expected_version=NO_STREAM)
        with pytest.raises(ConcurrencyConflict):
            store().append("invoice-1", [new()], expected_version=NO_STREAM)
        left_out, second, third = store().append_many(
            [
                Append("invoice-1", [new()], expected_version=NO_STREAM),
                Append("invoice-2", [new(), new()], expected_version=NO_STREAM),
                Append("invoice-2", [new()], expected_version=2),
            ],
            atomic=False,
        )
        deleted = store().delete_stream("invoice-1", expected_version=1, reason="ticket 7")
    assert isinstance(left_out, ConcurrencyConflict)
    stored: list[Any] = [first, second, third, deleted]
    assert announced == [(each.stream_id, each.version, each.position) for each in stored]


def test_an_inline_append_is_announced_if_its_handlers_succeed() -> None:
    failing = Projection("failing")
    failing.on()(fail)
    with listening() as announced:
        result = inline(store(), totals).append("account-1", [Deposited(3), Deposited(4)], expected_version=NO_STREAM)
        with pytest.raises(ZeroDivisionError):
            inline(store(), failing).append("account-1", [Deposited(3)], expected_version=2)
        with transaction.atomic(), pytest.raises(ZeroDivisionError):
            inline(store(), failing).append_many([Append("account-2", [Deposited(3)], expected_version=NO_STREAM)])
    assert announced == [("account-1", 2, result.position)]


# --- the global order


def test_all_events_are_read_outside_of_an_atomic_block_and_not_after_an_append() -> None:
    store().append("invoice-1", [new(), new()], expected_version=NO_STREAM)
    assert [event.version for event in store().read_all()] == [1, 2]
    with transaction.atomic():
        store().append("invoice-1", [new()], expected_version=2)
        with pytest.raises(UnsuitableTransaction):
            list(store().read_all())


def test_a_reader_in_another_thread_waits_for_an_append_under_way(in_thread: Callable[..., Any]) -> None:
    if connection.vendor == "sqlite":  # there is one writer at a time: nothing can be under way before what is stored
        store().append("first-1", [new()], expected_version=NO_STREAM)
        assert in_thread(lambda: [event.stream_id for event in store().read_all()]) == ["first-1"]
        return
    with transaction.atomic():
        store().append("first-1", [new()], expected_version=NO_STREAM)
        in_thread(lambda: store().append("second-1", [new()], expected_version=NO_STREAM))
        assert in_thread(lambda: list(store().read_all(wait_seconds=0))) == []
    assert in_thread(lambda: [event.stream_id for event in store().read_all()]) == ["first-1", "second-1"]


def test_a_worker_runs_on_djangos_connection_and_handlers_write_models_with_the_checkpoint() -> None:
    store().append("account-1", [Deposited(3), Deposited(4)], expected_version=NO_STREAM)
    with Worker(store(), totals) as worker:
        assert worker.run_until_caught_up() == 2
        assert total() == 7
        store().append("account-1", [Deposited(5)], expected_version=2)
        with CaptureQueriesContext(connection) as captured:
            worker.run_once()
        batch = [query["sql"] for query in captured.captured_queries]
        first = next(number for number, sql in enumerate(batch) if sql.startswith("BEGIN"))
        assert any("tests_total" in sql or "django_project_total" in sql for sql in batch[first:])
        assert any("es_checkpoints" in sql for sql in batch[first:])
        assert batch[-1] == "COMMIT"
    assert total() == 12


def swallow() -> None:
    """Go on after an error in an atomic block, as Django forbids."""
    total_of = apps.get_model("django_project", "Total").objects
    for _ in range(2):
        with suppress(IntegrityError):
            total_of.create(name="twice", amount=0)


def send(*statements: str) -> None:
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


SPOILS: dict[str, Callable[[], None]] = {
    "swallow": swallow,
    "set_rollback": lambda: transaction.set_rollback(True),
    "COMMIT": lambda: send("COMMIT"),
    "ROLLBACK and BEGIN": lambda: send("ROLLBACK", "BEGIN"),
}


@pytest.mark.parametrize("spoil", SPOILS)
def test_a_handler_that_leaves_the_atomic_block_unusable_has_failed(spoil: str) -> None:
    store().append("account-1", [Deposited(3)], expected_version=NO_STREAM)
    store().append("account-2", [Deposited(4)], expected_version=NO_STREAM)
    store().append("account-3", [Deposited(5)], expected_version=NO_STREAM)
    projection = Projection("spoiled", on_failure=OnFailure.DEAD_LETTER)
    handled = []

    @projection.on("deposited")
    def handle(event: RecordedEvent, _: object) -> None:
        if event.stream_id == "account-2":
            SPOILS[spoil]()
        handled.append(event.stream_id)

    Worker(store(), projection).run_until_caught_up()
    projections = ProjectionAdmin(store())
    (letter,) = projections.dead_letters.list("spoiled")
    assert (letter.stream_id, letter.error) == ("account-2", "TransactionBroken")
    assert (projections.status("spoiled")[0].lag_events, handled[-1]) == (0, "account-3")
    with pytest.raises(ProjectionFailed):
        projections.dead_letters.retry(projection, "account-2")


def test_an_inline_projection_writes_models_in_the_transaction_of_the_append() -> None:
    projecting = inline(store(), totals)
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        projecting.append("account-1", [Deposited(3), Deposited(4)], expected_version=NO_STREAM)
        assert total() == 7
        raise ZeroDivisionError
    projecting.append("account-1", [Deposited(5)], expected_version=NO_STREAM)
    assert total() == 5


def test_an_inline_store_is_like_the_projects_store() -> None:
    projecting: Any = inline(inline(store(), totals), totals)
    assert (type(projecting), repr(projecting), projecting.using) == (type(store()), repr(store()), "default")
    refused: list[Callable[[], object]] = [
        lambda: projecting.engine,
        projecting.health,
        lambda: projecting.archive_stream("account-1", into=EventStore.in_memory(), expected_version=1, reason="old"),
        lambda: projecting.subscribe(after_position=0, notify=True),
    ]
    for call in refused:
        with pytest.raises(InvalidInput, match=r"engine_of\('default'\)"):
            call()
    with pytest.raises(InvalidInput, match="can't join"):
        projecting.join(connection)
    with pytest.raises(NotInTransaction):
        projecting.connection  # noqa: B018  # what it says
    with transaction.atomic():
        assert projecting.connection is connections["default"]
    projecting.close()


def numbering() -> Projection:
    """Return a projection that makes a model of each deposit, and removes those of a stream that has ended."""
    projection = Projection("invoices")
    projection.on("deposited")(lambda event, _: invoices().create(number=event.position))
    projection.on(STREAM_DELETED_EVENT)(lambda _event, _: invoices().all().delete())
    return projection


def fail(_event: RecordedEvent, _connection: object) -> None:
    raise ZeroDivisionError


def deposits(*amounts: int) -> list[Deposited]:
    return [Deposited(amount) for amount in amounts]


DEPOSITS: dict[str, tuple[Callable[[EventStore], object], int, int]] = {
    "append": (lambda to: to.append("account-1", deposits(3, 4), expected_version=1), 8, 3),
    "append_many": (
        lambda to: to.append_many(
            [
                Append("account-2", deposits(3, 4), expected_version=0),
                Append("account-1", deposits(5), expected_version=1),
            ]
        ),
        13,
        4,
    ),
    "append_many, not atomic": (
        lambda to: to.append_many(
            [
                Append("account-2", deposits(3), expected_version=1),
                Append("account-1", deposits(5), expected_version=1),
            ],
            atomic=False,
        ),
        6,
        2,
    ),
    "delete_stream": (lambda to: to.delete_stream("account-1", expected_version=1, reason="ticket 7"), 1, 0),
}
"""Ways to append, the total that it leads to after a deposit of 1, and how many invoices there are then."""


@pytest.mark.parametrize("way", DEPOSITS)
@pytest.mark.parametrize("is_atomic", [True, False])
def test_two_inline_projections_write_models_with_each_way_to_append(way: str, *, is_atomic: bool) -> None:
    append, amount, count = DEPOSITS[way]
    projecting, failing = inline(inline(store(), totals), numbering()), Projection("failing")
    failing.on()(fail)
    projecting.append("account-1", [Deposited(1)], expected_version=NO_STREAM)
    with transaction.atomic() if is_atomic else nullcontext():
        with pytest.raises(ZeroDivisionError):
            append(inline(projecting, failing))
        assert (total(), invoices().count(), events_of("account-1"), events_of("account-2")) == (1, 1, [1], [])
        append(projecting)
    assert (total(), invoices().count()) == (amount, count)


def test_no_worker_in_an_atomic_block() -> None:
    with transaction.atomic(), pytest.raises(InvalidInput):
        Worker(store(), totals)
    with transaction.atomic(), pytest.raises(UnsuitableTransaction):
        store().subscribe(after_position=0)


def test_very_many_events_are_copied_in_the_open_transaction(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgresql, "COPY_FROM", 3)
    for rolls_back in (True, False):
        with transaction.atomic(), CaptureQueriesContext(connection) as captured:
            store().append("invoice-1", [new(number) for number in range(4)], expected_version=NO_STREAM)
            transaction.set_rollback(rolls_back)
    assert any(query["sql"] and "COPY" in query["sql"] for query in captured) == (connection.vendor == "postgresql")
    assert [event.data["number"] for event in store().read_stream("invoice-1")] == [0, 1, 2, 3]


# --- connections and databases


def test_all_is_done_on_one_connection(django_database: dict[str, Any]) -> None:
    opened: list[Any] = []

    def count(**given: Any) -> None:
        opened.append(given["connection"].alias)

    connection.close()
    connection_created.connect(count)
    try:
        with transaction.atomic():
            invoices().create(number=1)
            store().append("invoice-1", [new(), new()], expected_version=NO_STREAM)
            with pytest.raises(ConcurrencyConflict):
                store().append("invoice-1", [new()], expected_version=NO_STREAM)
            list(store().read_stream("invoice-1"))
            assert open_connections(django_database) == 1
        store().append_many([Append("invoice-1", [new()], expected_version=ANY)])
        list(store().read_all())
        assert open_connections(django_database) == 1
    finally:
        connection_created.disconnect(count)
    assert opened == ["default"]


def open_connections(settings: dict[str, Any]) -> int:
    """Return how many sessions the server has on this database; on SQLite, how often the process has the file open."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()")
            return int(cursor.fetchone()[0])
    files = [path.resolve() for path in Path("/proc/self/fd").iterdir() if path.exists()]
    return files.count(Path(settings["NAME"]).resolve())


def test_a_second_database_is_used_by_its_alias_and_by_routers(second_database: str) -> None:
    with transaction.atomic(using=second_database):
        get_store(second_database).append("there-1", [new()], expected_version=NO_STREAM)
        assert not connection.in_atomic_block
    store().append("here-1", [new()], expected_version=NO_STREAM)
    assert [event.stream_id for event in get_store(second_database).read_all()] == ["there-1"]
    assert [event.stream_id for event in store().read_all()] == ["here-1"]

    class EventsElsewhere:
        def db_for_write(self, model: Any, **_: Any) -> str | None:
            return second_database if model._meta.app_label == "eventstore" else None

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(router, "routers", [EventsElsewhere()])
        assert store().using == second_database
        assert events_of("there-1") == [1]


@contextmanager
def second(settings: dict[str, Any], request: pytest.FixtureRequest) -> Iterator[dict[str, Any]]:
    """Make another database like the first one."""
    if connection.vendor == "sqlite":
        path = Path(settings["NAME"])
        yield sqlite_settings(Path(shutil.copy(path, path.with_name("second.db"))))
        return
    with request.getfixturevalue("postgres_databases").fresh(
        request.getfixturevalue("django_postgres_template")
    ) as url:
        yield postgresql_settings(url)


@pytest.fixture
def second_database(django_database: dict[str, Any], request: pytest.FixtureRequest) -> Iterator[str]:
    with second(django_database, request) as settings:
        use_database(settings, "second")
        yield "second"
        leave_database("second")


@pytest.mark.postgresql
def test_a_lost_connection_is_made_anew_outside_of_an_atomic_block(
    django_database: dict[str, Any], in_thread: Callable[..., Any]
) -> None:
    if connection.vendor == "sqlite":
        connection.close()  # there is no server that could be lost
        assert store().stream_version("invoice-1") == 0
        return
    store().append("invoice-1", [new()], expected_version=NO_STREAM)
    in_thread(end_other_sessions)
    with pytest.raises(OperationalError) as raised:
        store().append("invoice-1", [new()], expected_version=1)
    assert store().core.driver.is_transient(raised.value)
    assert store().append("invoice-1", [new()], expected_version=1).version == 2
    with pytest.raises((OperationalError, InterfaceError)), transaction.atomic():
        store().append("invoice-1", [new()], expected_version=2)
        in_thread(end_other_sessions)
        store().append("invoice-1", [new()], expected_version=3)
    assert events_of("invoice-1") == [1, 2]


def end_other_sessions() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


def test_threads_share_the_store_and_not_the_connection(in_thread: Callable[..., Any]) -> None:
    shared, barrier = store(), threading.Barrier(2, timeout=30)

    def work(number: int) -> bool:
        with transaction.atomic():
            if connection.vendor == "postgresql":
                shared.append(f"invoice-{number}", [new()], expected_version=NO_STREAM)
                barrier.wait()  # both are in the midst of a transaction
            else:
                barrier.wait()
                shared.append(f"invoice-{number}", [new()], expected_version=NO_STREAM)
        return True

    threads = [threading.Thread(target=in_thread, args=[work, number]) for number in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (events_of("invoice-1"), events_of("invoice-2")) == ([1], [1])


def test_what_needs_an_engine_says_so() -> None:
    with pytest.raises(InvalidInput, match="engine_of"):
        store().engine  # noqa: B018
    with pytest.raises(InvalidInput, match="atomic"):
        store().join(object())
    with pytest.raises(InvalidInput, match="engine_of"):
        store().subscribe(notify=True)
    with pytest.raises(NotInTransaction):
        store().connection  # noqa: B018


def test_an_engine_beside_it_reads_what_was_appended() -> None:
    store().append("invoice-1", [new()], expected_version=NO_STREAM)
    engine = engine_of()
    assert [event.version for event in EventStore(engine).read_stream("invoice-1")] == [1]
    engine.dispose()
