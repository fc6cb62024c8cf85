"""The Flask extension: metadata of requests, several stores and applications, the command group, refusals."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, copy_current_request_context, g
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import Engine, func, select
from sqlalchemy.orm import scoped_session, sessionmaker

from eventstore import ANY, NO_STREAM, EventStore, InvalidInput, NewEvent, metadata_context, migrations
from eventstore.contrib.flask import FlaskEventStore, current_session, current_store
from eventstore.correlation import current_metadata
from eventstore.errors import InvalidMetadata
from tests.fix_engines import migrated_sqlite
from tests.flask_applications import (
    PLACED,
    Base,
    Made,
    close,
    orders_and_invoices,
    respond,
    with_flask_sqlalchemy,
    with_kept_session,
    write,
)

pytest_plugins = ["tests.fix_flask"]


# --- metadata


def metadata_of(engine: Engine, stream_id: str = "order-1") -> dict[str, Any]:
    *_, last = EventStore(engine).read_stream(stream_id)
    return dict(last.metadata)


def test_each_append_says_which_request_has_made_it_and_who_has_sent_it(flask_sqlite_url: str) -> None:
    app, engine = with_kept_session(
        flask_sqlite_url, FlaskEventStore(user=lambda: g.user, metadata=lambda: {"shop": "north"})
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


def test_more_metadata_has_to_be_a_mapping(flask_sqlite_url: str) -> None:
    app, engine = with_kept_session(flask_sqlite_url, FlaskEventStore(metadata=lambda: 7))  # type: ignore[arg-type,return-value]
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


def test_an_application_may_have_several_stores(flask_sqlite_url: str, tmp_path_factory: Any) -> None:
    audit_path = migrated_sqlite(tmp_path_factory.mktemp("audit"))
    audit = FlaskEventStore(config_prefix="AUDIT")
    app, engine = with_kept_session(flask_sqlite_url, FlaskEventStore(), AUDIT_URL=f"sqlite:///{audit_path}")
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


# --- a bind of Flask-SQLAlchemy, by name


def with_binds(url: str, events_url: str, **config: Any) -> tuple[Flask, SQLAlchemy, FlaskEventStore]:
    app, db, events = Flask(__name__), SQLAlchemy(), FlaskEventStore()
    app.config.update(SQLALCHEMY_DATABASE_URI=url, SQLALCHEMY_BINDS={"events": events_url}, **config)
    db.init_app(app)
    if "EVENTSTORE_BIND_KEY" not in config:
        app.config["EVENTSTORE_BIND_KEY"] = "events"
    events.init_app(app)
    return app, db, events


@pytest.fixture
def bound(tmp_path: Path, flask_url: str) -> Iterator[tuple[Flask, SQLAlchemy, FlaskEventStore]]:
    """An application whose own database has no event store, and whose bind `events` has one."""
    app, db, events = with_binds(f"sqlite:///{tmp_path}/app.db", flask_url)

    class Receipt(db.Model):  # type: ignore[name-defined, misc]  # made by Flask-SQLAlchemy
        __bind_key__ = "events"
        id = db.mapped_column(db.Integer, primary_key=True)

    class Visit(db.Model):  # type: ignore[name-defined, misc]
        id = db.mapped_column(db.Integer, primary_key=True)

    with app.app_context():
        db.create_all()
        yield app, db, events
        db.session.remove()
        db.drop_all("events")
        for engine in db.engines.values():
            engine.dispose()


def test_a_store_on_a_bind_works_in_the_sessions_transaction_on_that_database(
    bound: tuple[Flask, SQLAlchemy, FlaskEventStore],
) -> None:
    _, db, events = bound
    rows = {name: db.metadatas[key].tables[name] for key, name in ((None, "visit"), ("events", "receipt"))}

    def counts() -> list[int]:
        found = []
        for key, name in ((None, "visit"), ("events", "receipt")):
            with db.engines[key].connect() as connection:
                found.append(connection.execute(select(func.count()).select_from(rows[name])).scalar_one())
        return [*found, events.store.stream_version("order-1")]

    def work() -> None:
        for table in rows.values():
            db.session.execute(table.insert())
        current_store.append("order-1", PLACED, expected_version=NO_STREAM)

    assert events.store.engine is db.engines["events"]
    assert events.session is db.session
    work()
    assert current_store.connection is db.session.connection(bind_arguments={"bind": db.engines["events"]})
    db.session.rollback()
    assert counts() == [0, 0, 0]
    work()
    db.session.commit()
    assert counts() == [1, 1, 1]


def test_a_test_can_put_a_connection_in_place_of_a_bind(bound: tuple[Flask, SQLAlchemy, FlaskEventStore]) -> None:
    _, db, events = bound
    engine = db.engines["events"]
    with engine.connect() as connection:
        transaction = connection.begin()
        db.engines["events"] = connection  # type: ignore[index]  # as the how-to shows
        db.session.configure(join_transaction_mode="create_savepoint")
        current_store.append("order-1", PLACED, expected_version=NO_STREAM)
        db.session.commit()
        assert current_store.stream_version("order-1") == 1
        db.session.remove()
        db.engines["events"] = engine  # type: ignore[index]
        transaction.rollback()
    assert events.store.stream_version("order-1") == 0


@pytest.mark.slow
def test_the_command_group_works_on_the_bind(tmp_path: Path) -> None:
    app, db, _ = with_binds(f"sqlite:///{tmp_path}/app.db", f"sqlite:///{tmp_path}/events.db")
    assert "the tables are at" in app.test_cli_runner().invoke(args=["eventstore", "migrate"]).output
    with app.app_context():
        assert migrations.current(db.engines["events"]) is not None
        assert migrations.current(db.engine) is None
        for engine in db.engines.values():
            engine.dispose()


@pytest.mark.parametrize(
    ("config", "named"),
    [
        ({"EVENTSTORE_BIND_KEY": "other"}, "'events'"),
        ({"EVENTSTORE_BIND_KEY": ["events"]}, "SQLALCHEMY_BINDS"),
        ({"EVENTSTORE_URL": "sqlite://"}, "EVENTSTORE_URL"),
    ],
)
def test_a_bind_that_is_not_there_is_refused(tmp_path: Path, config: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidInput, match=named):
        with_binds(f"sqlite:///{tmp_path}/app.db", f"sqlite:///{tmp_path}/events.db", **config)


def test_a_bind_needs_the_session_of_flask_sqlalchemy() -> None:
    app = Flask(__name__)
    app.config["EVENTSTORE_BIND_KEY"] = "events"
    for session in (None, scoped_session(sessionmaker())):
        with pytest.raises(InvalidInput, match="EVENTSTORE_BIND_KEY"):
            FlaskEventStore(app, session=session)


# --- the command group


@pytest.mark.slow
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
    assert "Inspect and maintain the event store" in run.invoke(args=["eventstore", "--help"]).output


# --- what is refused


def test_what_cannot_work_is_refused_where_it_is_said(flask_sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
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
    app.config.update(SQLALCHEMY_DATABASE_URI=flask_sqlite_url, EVENTSTORE_COMMIT_ON_SUCCESS=True)
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
