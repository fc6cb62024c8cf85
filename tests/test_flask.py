"""ORM writes and events in one transaction: with Flask-SQLAlchemy, a session of one's own, and one that is kept."""

from collections.abc import Callable, Iterator

import pytest
from flask import Response, abort, stream_with_context
from sqlalchemy import event, select

from eventstore import (
    NO_STREAM,
    ConcurrencyConflict,
    Repository,
)
from eventstore.contrib.flask import FlaskEventStore, current_session, current_store
from tests.flask_applications import (
    PLACED,
    Invoice,
    Made,
    orders_and_invoices,
    respond,
    with_kept_session,
    write,
)

pytest_plugins = ["tests.fix_flask"]


# --- one transaction


def test_an_orm_write_and_an_append_are_committed_together(made: Made) -> None:
    app, engine = made

    def view() -> str:
        write()
        assert orders_and_invoices(engine) == (0, 0), "nothing is seen before"
        current_session.commit()
        return "placed"

    assert respond(app, view).status_code == 200
    assert orders_and_invoices(engine) == (1, 1)


def test_they_are_rolled_back_together(made: Made) -> None:
    app, engine = made

    def view() -> str:
        write()
        current_session.flush()
        current_session.rollback()
        current_session.commit()
        return "not placed"

    assert respond(app, view).status_code == 200
    assert orders_and_invoices(engine) == (0, 0)


def test_a_savepoint_undoes_what_is_in_it_and_nothing_else(made: Made) -> None:
    app, engine = made

    def view() -> str:
        with current_session.begin_nested():
            write()
            with pytest.raises(ZeroDivisionError), current_session.begin_nested():
                current_session.add(Invoice(order_id="order-2"))
                current_store.append("order-1", PLACED, expected_version=1)
                _ = 1 / 0
        current_store.append("order-1", PLACED, expected_version=1)
        current_session.commit()
        return "placed"

    assert respond(app, view).status_code == 200
    assert orders_and_invoices(engine) == (2, 1)


def test_a_savepoint_is_a_part_of_the_transaction_also_where_it_begins_it(made: Made) -> None:
    app, engine = made

    def view() -> str:
        with current_session.begin_nested():
            write()
        current_session.rollback()
        return "not placed"

    assert respond(app, view).status_code == 200
    assert orders_and_invoices(engine) == (0, 0)


def test_a_conflict_leaves_the_transaction_usable(made: Made) -> None:
    app, engine = made

    def view() -> str:
        current_session.add(Invoice(order_id="order-1"))
        current_session.flush()
        with pytest.raises(ConcurrencyConflict):
            current_store.append("order-1", PLACED, expected_version=7)
        current_session.commit()
        return "invoiced"

    assert respond(app, view).status_code == 200
    assert orders_and_invoices(engine) == (0, 1)


def test_an_exception_in_the_view_leaves_nothing(made: Made) -> None:
    app, engine = made

    def view() -> str:
        write()
        current_session.flush()
        raise LookupError

    assert respond(app, view).status_code == 500
    assert orders_and_invoices(engine) == (0, 0)
    assert engine.pool.checkedout() == 0  # type: ignore[attr-defined]  # QueuePool's


@pytest.mark.slow
def test_one_connection_is_used_for_all_of_a_request(made: Made) -> None:
    app, engine = made
    taken: list[object] = []
    event.listen(engine, "checkout", lambda connection, *_: taken.append(connection))

    def view() -> str:
        current_session.scalars(select(Invoice)).all()
        write()
        list(current_store.read_stream("order-1"))
        current_store.append_many([])
        with current_store.transaction() as tx:
            tx.append("order-2", PLACED, expected_version=NO_STREAM)
        repository: Repository[int] = Repository(
            current_store, category="order", initial=int, evolve=lambda count, _: count + 1
        )
        assert repository.load("1").state == 1
        current_session.commit()
        return "placed"

    assert respond(app, view).status_code == 200
    assert len(taken) == 1


# --- the session that the extension keeps


@pytest.mark.parametrize(("status", "stored"), [(200, 1), (303, 1), (400, 0), (409, 0)])
def test_on_request_what_a_successful_view_has_written_is_committed(
    flask_sqlite_url: str, status: int, stored: int
) -> None:
    app, engine = with_kept_session(flask_sqlite_url, FlaskEventStore(), EVENTSTORE_COMMIT_ON_SUCCESS=True)

    def view() -> tuple[str, int]:
        write()
        return "", status

    assert respond(app, view).status_code == status
    assert orders_and_invoices(engine) == (stored, stored)
    engine.dispose()


@pytest.mark.parametrize("fail", [lambda: abort(404), lambda: 1 / 0])
def test_on_request_nothing_of_a_failed_view_is_committed(flask_sqlite_url: str, fail: Callable[[], object]) -> None:
    app, engine = with_kept_session(flask_sqlite_url, FlaskEventStore(), EVENTSTORE_COMMIT_ON_SUCCESS=True)

    def view() -> str:
        write()
        fail()
        return "placed"

    assert respond(app, view).status_code in {404, 500}
    assert orders_and_invoices(engine) == (0, 0)
    engine.dispose()


def test_a_view_that_commits_for_nothing_is_an_error_of_the_request(flask_sqlite_url: str) -> None:
    app, engine = with_kept_session(flask_sqlite_url, FlaskEventStore(), EVENTSTORE_COMMIT_ON_SUCCESS=True)

    def view() -> str:
        write()
        current_session.add(Invoice(id=1))  # it has no order: the commit fails
        return "placed"

    assert respond(app, view).status_code == 500
    assert orders_and_invoices(engine) == (0, 0)
    engine.dispose()


def test_a_streamed_response_works_in_the_session_and_it_is_closed_with_it(keeping: Made) -> None:
    app, engine = keeping

    def view() -> Response:
        write()
        current_session.commit()

        def lines() -> Iterator[str]:
            for recorded in current_store.read_stream("order-1"):
                yield f"{recorded.event_type}\n"
            current_session.add(Invoice(order_id="never committed"))
            current_session.flush()
            yield "end\n"

        return Response(stream_with_context(lines()))

    assert respond(app, view).text == "order-placed\nend\n"
    assert orders_and_invoices(engine) == (1, 1)
    assert engine.pool.checkedout() == 0  # type: ignore[attr-defined]


def test_a_nested_application_context_has_a_session_of_its_own(keeping: Made) -> None:
    app, engine = keeping
    with app.app_context():
        outer = current_session()
        current_session.add(Invoice(order_id="order-1"))
        with app.app_context():
            assert current_session() is not outer
            current_store.append("order-1", PLACED, expected_version=NO_STREAM)
            current_session.commit()
        assert current_session() is outer
        assert orders_and_invoices(engine) == (1, 0)
        current_session.commit()
    assert orders_and_invoices(engine) == (1, 1)


def test_scripts_and_workers_use_it_in_an_application_context(keeping: Made) -> None:
    app, engine = keeping
    with app.app_context():
        write()
    assert orders_and_invoices(engine) == (0, 0), "nobody has committed it"
    with pytest.raises(RuntimeError, match="application context"):
        current_store.append("order-1", PLACED, expected_version=NO_STREAM)
