"""The Flask extension: ORM writes and events in one transaction, with Flask-SQLAlchemy and with plain SQLAlchemy."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from flask import Flask, Response, abort, copy_current_request_context, g, stream_with_context
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import Engine, String, create_engine, event, func, select
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, scoped_session, sessionmaker
from werkzeug.test import TestResponse

from eventstore import (
    ANY,
    NO_STREAM,
    ConcurrencyConflict,
    EventStore,
    InvalidInput,
    InvalidMetadata,
    NewEvent,
    Repository,
    current_metadata,
    metadata_context,
    migrations,
)
from eventstore.contrib.flask import FlaskEventStore, current_session, current_store
from tests.fix_engines import migrated_sqlite

PLACED = [NewEvent("order-placed", {"total": 30})]


class Base(DeclarativeBase):
    pass


class Invoice(Base):
    __tablename__ = "invoices"

    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[str] = mapped_column(String(255))


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def url(request: pytest.FixtureRequest) -> str:
    """Return the URL of a database with the tables of both."""
    if request.param == "sqlite":
        engine = create_engine(f"sqlite:///{request.getfixturevalue('sqlite_path')}")
    else:
        engine = create_engine(request.getfixturevalue("shared_postgres_engine").url)
    Base.metadata.create_all(engine)
    engine.dispose()
    return engine.url.render_as_string(hide_password=False)


def with_flask_sqlalchemy(url: str, events: FlaskEventStore) -> tuple[Flask, Engine]:
    app = Flask(__name__)
    app.config["SQLALCHEMY_DATABASE_URI"] = url
    db = SQLAlchemy(app)
    events.init_app(app)
    with app.app_context():
        return app, db.engine


def with_own_session(url: str, _: FlaskEventStore) -> tuple[Flask, Engine]:
    """Use a session of the application's own, made and removed as Flask's documentation shows."""
    app = Flask(__name__)
    engine = create_engine(url)
    session = scoped_session(sessionmaker(engine))
    FlaskEventStore(app, session=session)

    @app.teardown_appcontext
    def remove(_: BaseException | None) -> None:
        session.remove()

    return app, engine


def with_kept_session(url: str, events: FlaskEventStore, **config: Any) -> tuple[Flask, Engine]:
    """Let the extension keep a session for each context."""
    app = Flask(__name__)
    app.config["EVENTSTORE_URL"] = url
    app.config.update(config)
    events.init_app(app)
    with app.app_context():
        return app, events.store.engine


Made = tuple[Flask, Engine]


@pytest.fixture(params=[with_flask_sqlalchemy, with_own_session, with_kept_session])
def made(request: pytest.FixtureRequest, url: str) -> Iterator[Made]:
    app, engine = request.param(url, FlaskEventStore())
    yield app, engine
    engine.dispose()


def orders_and_invoices(engine: Engine) -> tuple[int, int]:
    """Return the version of the order, and how many invoices there are, as others see them."""
    with engine.connect() as connection:
        invoices = connection.execute(select(func.count()).select_from(Invoice)).scalar_one()
    return EventStore(engine).stream_version("order-1"), invoices


def write(stream_id: str = "order-1") -> None:
    current_session.add(Invoice(order_id=stream_id))
    current_store.append(stream_id, PLACED, expected_version=NO_STREAM)


def respond(app: Flask, view: Callable[[], Any], method: str = "POST", **request: Any) -> TestResponse:
    """Let a new client send a request to a view."""
    app.add_url_rule("/orders", view_func=view, methods=["GET", "POST"])
    return app.test_client().open("/orders", method=method, **request)


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


@pytest.fixture
def sqlite_url(sqlite_path: object) -> str:
    engine = create_engine(f"sqlite:///{sqlite_path}")
    Base.metadata.create_all(engine)
    engine.dispose()
    return str(engine.url)


def close(events: FlaskEventStore, app: Flask) -> None:
    with app.app_context():
        events.store.close()


@pytest.fixture
def keeping(sqlite_url: str) -> Iterator[Made]:
    app, engine = with_kept_session(sqlite_url, FlaskEventStore())
    yield app, engine
    engine.dispose()


@pytest.mark.parametrize(("status", "stored"), [(200, 1), (303, 1), (400, 0), (409, 0)])
def test_on_request_what_a_successful_view_has_written_is_committed(sqlite_url: str, status: int, stored: int) -> None:
    app, engine = with_kept_session(sqlite_url, FlaskEventStore(), EVENTSTORE_COMMIT_ON_SUCCESS=True)

    def view() -> tuple[str, int]:
        write()
        return "", status

    assert respond(app, view).status_code == status
    assert orders_and_invoices(engine) == (stored, stored)
    engine.dispose()


@pytest.mark.parametrize("fail", [lambda: abort(404), lambda: 1 / 0])
def test_on_request_nothing_of_a_failed_view_is_committed(sqlite_url: str, fail: Callable[[], object]) -> None:
    app, engine = with_kept_session(sqlite_url, FlaskEventStore(), EVENTSTORE_COMMIT_ON_SUCCESS=True)

    def view() -> str:
        write()
        fail()
        return "placed"

    assert respond(app, view).status_code in {404, 500}
    assert orders_and_invoices(engine) == (0, 0)
    engine.dispose()


def test_a_view_that_commits_for_nothing_is_an_error_of_the_request(sqlite_url: str) -> None:
    app, engine = with_kept_session(sqlite_url, FlaskEventStore(), EVENTSTORE_COMMIT_ON_SUCCESS=True)

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


# --- metadata


def metadata_of(engine: Engine, stream_id: str = "order-1") -> dict[str, Any]:
    *_, last = EventStore(engine).read_stream(stream_id)
    return dict(last.metadata)


def test_each_append_says_which_request_has_made_it_and_who_has_sent_it(sqlite_url: str) -> None:
    app, engine = with_kept_session(
        sqlite_url, FlaskEventStore(user=lambda: g.user, metadata=lambda: {"shop": "north"})
    )

    @app.before_request
    def sign_in() -> None:  # after the extension's own hook
        g.user = 7

    def view() -> dict[str, Any]:
        write()
        write("order-2")
        current_session.commit()
        return current_metadata()

    told = respond(app, view, headers={"X-Request-ID": "request-19"}).json
    assert metadata_of(engine) == {
        "correlation_id": "request-19",
        "route": "POST /orders",
        "user_id": 7,
        "shop": "north",
    }
    assert metadata_of(engine) == metadata_of(engine, "order-2") == told
    EventStore(engine).append("order-1", PLACED, expected_version=ANY)
    assert metadata_of(engine) == {}, "the request is over"
    engine.dispose()


@pytest.mark.parametrize("given", [None, "", "two words", "x" * 129, "é"])
def test_a_request_without_an_acceptable_id_gets_one_for_all_of_its_events(keeping: Made, given: str | None) -> None:
    app, engine = keeping

    def view() -> str:
        write()
        write("order-2")
        current_session.commit()
        return ""

    respond(app, view, headers={} if given is None else {"X-Request-ID": given})
    assert len(metadata_of(engine)["correlation_id"]) == len("00000000-0000-0000-0000-000000000000")
    assert metadata_of(engine) == metadata_of(engine, "order-2")


def test_a_context_of_the_views_own_wins(keeping: Made) -> None:
    app, engine = keeping

    def view() -> str:
        with metadata_context(correlation_id="job-3"):
            write()
        current_session.commit()
        return ""

    respond(app, view)
    assert metadata_of(engine) == {"correlation_id": "job-3", "route": "POST /orders"}


def test_a_request_context_copied_into_a_thread_does_no_harm(keeping: Made) -> None:
    app, engine = keeping

    def view() -> str:
        @copy_current_request_context
        def in_thread() -> None:
            write()
            current_session.commit()

        with ThreadPoolExecutor() as threads:
            threads.submit(in_thread).result()
        write("order-2")
        current_session.commit()
        return ""

    assert respond(app, view).status_code == 200
    assert orders_and_invoices(engine) == (1, 2)
    assert metadata_of(engine, "order-2")["route"] == "POST /orders"


def test_more_metadata_has_to_be_a_mapping(sqlite_url: str) -> None:
    app, engine = with_kept_session(sqlite_url, FlaskEventStore(metadata=lambda: 7))  # type: ignore[arg-type,return-value]
    app.testing = True
    with pytest.raises(InvalidMetadata, match="int"):
        respond(app, lambda: write() or "")  # type: ignore[func-returns-value]
    engine.dispose()


# --- several


def test_several_applications_in_one_process_have_stores_of_their_own(tmp_path_factory: Any) -> None:
    events = FlaskEventStore(user=lambda: "Ada")
    made = []
    for name in ("one", "two"):
        path = migrated_sqlite(tmp_path_factory.mktemp(name))
        app, engine = with_kept_session(f"sqlite:///{path}", events)
        Base.metadata.create_all(engine)
        made.append((app, engine))
    (one, first), (two, second) = made

    def inner() -> str:
        write()
        current_session.commit()
        return "two"

    def outer() -> str:
        assert respond(two, inner).text == "two"
        write()
        current_session.rollback()
        current_store.append("order-3", PLACED, expected_version=NO_STREAM)
        current_session.commit()
        return "one"

    assert respond(one, outer, headers={"X-Request-ID": "from-one"}).text == "one"
    assert (orders_and_invoices(first), orders_and_invoices(second)) == ((0, 0), (1, 1))
    assert metadata_of(first, "order-3")["correlation_id"] == "from-one"
    assert metadata_of(second)["correlation_id"] != "from-one"
    first.dispose()
    second.dispose()


def test_an_application_may_have_several_stores(sqlite_url: str, tmp_path_factory: Any) -> None:
    audit_path = migrated_sqlite(tmp_path_factory.mktemp("audit"))
    audit = FlaskEventStore(config_prefix="AUDIT")
    app, engine = with_kept_session(sqlite_url, FlaskEventStore(), AUDIT_URL=f"sqlite:///{audit_path}")
    audit.init_app(app)

    def view() -> str:
        write()
        audit.current.append("access-1", [NewEvent("seen")], expected_version=NO_STREAM)
        audit.session.commit()
        return ""

    respond(app, view)
    with app.app_context():
        assert [recorded.stream_id for recorded in audit.store.read_all()] == ["access-1"]
        assert audit.current.stream_version("access-1") == 1
    assert orders_and_invoices(engine) == (0, 0)
    assert {"eventstore", "audit"} <= set(app.cli.commands)
    close(audit, app)
    engine.dispose()


# --- the command group


def test_flask_eventstore_works_on_the_applications_own_database(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVENTSTORE_URL", "sqlite:////nowhere/at/all.db")
    app, engine = with_flask_sqlalchemy(f"sqlite:///{tmp_path}/shop.db", FlaskEventStore())
    run = app.test_cli_runner()
    assert run.invoke(args=["eventstore", "check"]).exit_code == 3
    assert "the tables are at" in run.invoke(args=["eventstore", "migrate"]).output
    assert migrations.current(engine) is not None
    engine.dispose()
    elsewhere = run.invoke(args=["eventstore", "check", "--url", f"sqlite:///{tmp_path}/other.db"])
    assert elsewhere.exit_code == 3
    assert "own" in run.invoke(args=["eventstore", "--help"]).output


# --- what is refused


def test_what_cannot_work_is_refused_where_it_is_said(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    wrongs: list[dict[str, Any]] = [{"session": object()}, {"user": 7}, {"metadata": {}}, {"config_prefix": "audit"}]
    for wrong in wrongs:
        with pytest.raises(InvalidInput, match=next(iter(wrong))):
            FlaskEventStore(**wrong)
    with pytest.raises(InvalidInput, match="EVENTSTORE_URL"):
        FlaskEventStore(Flask(__name__))
    unbound: scoped_session[Any] = scoped_session(sessionmaker())
    with pytest.raises(InvalidInput, match="bound"):
        FlaskEventStore(Flask(__name__), session=unbound)
    app = Flask(__name__)
    with app.app_context(), pytest.raises(InvalidInput, match="init_app"):
        current_store.stream_version("order-1")
    app.config.update(SQLALCHEMY_DATABASE_URI=sqlite_url, EVENTSTORE_COMMIT_ON_SUCCESS=True)
    db = SQLAlchemy(app)
    with pytest.raises(InvalidInput, match="COMMIT_ON_SUCCESS"):
        FlaskEventStore(app)
    app.config["EVENTSTORE_COMMIT_ON_SUCCESS"] = False
    events = FlaskEventStore(app)
    with pytest.raises(InvalidInput, match="already"):
        FlaskEventStore(app)
    close(events, app)
    with app.app_context():
        db.engine.dispose()
