"""No payload in an error, whatever the database says of a row that it has refused."""

import logging
import pickle
import re
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import psycopg
import pytest
from sqlalchemy import Engine, create_engine, event, text
from sqlalchemy.exc import DBAPIError, IntegrityError

from eventstore import ANY, Append, EventStore, NewEvent, migrations
from eventstore.backends.postgresql import dialect as postgresql
from eventstore.errors import ProjectionFailed
from eventstore.projections import Projection, Worker
from tests.fix_clusters import Cluster
from tests.fix_leaks import SECRET

COPIED: Final = 5
SHOWN: Final = (SECRET, SECRET.encode().hex())

REFUSALS: Final = {
    "check": "ALTER TABLE es_events ADD CONSTRAINT theirs CHECK (event_type <> 'refused')",
    "not null": "ALTER TABLE es_events ALTER metadata SET NOT NULL",
    "unique": "CREATE UNIQUE INDEX theirs ON es_events ((metadata->>'card'))",
    "check that converts": "ALTER TABLE es_events ADD CONSTRAINT theirs CHECK ((metadata->>'card')::int > 0)",
    "trigger": """
        CREATE FUNCTION theirs() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN PERFORM (new.metadata->>'card')::int; RETURN new; END $$;
        CREATE TRIGGER theirs BEFORE INSERT ON es_events FOR EACH ROW EXECUTE FUNCTION theirs()""",
    "trigger that inserts": """
        CREATE TABLE theirs (card text CHECK (length(card) < 5));
        CREATE FUNCTION theirs() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN INSERT INTO theirs VALUES (new.metadata->>'card'); RETURN new; END $$;
        CREATE TRIGGER theirs BEFORE INSERT ON es_events FOR EACH ROW EXECUTE FUNCTION theirs()""",
    "deferred trigger": """
        CREATE TABLE theirs (card text CHECK (length(card) < 5));
        CREATE FUNCTION theirs() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN INSERT INTO theirs VALUES (new.metadata->>'card'); RETURN new; END $$;
        CREATE CONSTRAINT TRIGGER theirs AFTER INSERT ON es_events DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION theirs()""",
}


def card(*, metadata: bool = True) -> NewEvent:
    return NewEvent("refused", {"card": SECRET}, metadata={"card": SECRET} if metadata else None)


CALLS: Final[dict[str, Callable[[EventStore], object]]] = {
    "append": lambda store: store.append("card-1", [card()], expected_version=ANY),
    "append of several": lambda store: store.append("card-1", [card(), card(metadata=False)], expected_version=ANY),
    "append by COPY": lambda store: store.append(
        "card-1", [card(), *(card(metadata=False) for _ in range(COPIED))], expected_version=ANY
    ),
    "append_many": lambda store: store.append_many([Append("card-1", [card()], expected_version=ANY)] * 2),
}


def everything_shown(error: BaseException) -> str:
    """Return whatever a log, a traceback or a person would show of an error and of what is chained to it."""
    parts = ["".join(traceback.format_exception(error))]
    todo: list[BaseException | None] = [error]
    while todo:
        if (each := todo.pop()) is not None:
            parts += [str(each), repr(each), repr(each.args)]
            if isinstance(each, psycopg.Error):
                parts += [repr(pickle.loads(pickle.dumps(each)).__dict__)]  # noqa: S301  # our own
            todo += [each.__cause__, each.__context__, getattr(each, "orig", None)]
    return "\n".join(parts)


def assert_hidden(error: BaseException) -> None:
    shown = everything_shown(error)
    for secret in SHOWN:
        assert secret not in shown


@pytest.fixture(params=[False, True], ids=["alone", "watched"])
def engine(request: pytest.FixtureRequest, postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    monkeypatch.setattr(postgresql, "COPY_FROM", COPIED)
    engine = create_engine(postgres_url)
    if request.param:
        event.listen(engine, "before_cursor_execute", lambda *_: None)
    yield engine
    engine.dispose()


@pytest.mark.slow
def test_what_refuses_a_row_does_not_show_it(engine: Engine, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "eventstore")
    store = EventStore(engine)
    for refusal, sql in REFUSALS.items():
        for name, call in CALLS.items():
            with engine.begin() as connection:
                savepoint = connection.begin_nested()
                connection.exec_driver_sql(sql)
                joined = None if refusal == "deferred trigger" else store.join(connection)
                if joined is not None and not (refusal == "not null" and name in {"append", "append_many"}):
                    if refusal == "unique":
                        joined.append("card-0", [card()], expected_version=ANY)
                    with pytest.raises(DBAPIError) as error:
                        call(joined)
                    assert_hidden(error.value)
                savepoint.rollback()
    assert not any(secret in caplog.text for secret in SHOWN)


@pytest.mark.parametrize("refusal", ["check", "trigger", "deferred trigger"])
def test_what_refuses_a_row_does_not_show_it_on_connections_of_the_stores_own(engine: Engine, refusal: str) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql(REFUSALS[refusal])
    store = EventStore(engine)
    for call in CALLS.values():
        with pytest.raises(DBAPIError) as error:
            call(store)
        assert_hidden(error.value)
    with pytest.raises(DBAPIError) as error, store.transaction() as transaction:
        CALLS["append"](transaction)
    assert_hidden(error.value)
    assert store.stream_version("card-1") == 0


def test_the_error_keeps_its_class_and_the_names(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql(REFUSALS["check"])
    with pytest.raises(IntegrityError, match='violates check constraint "theirs"') as error:
        CALLS["append"](EventStore(engine))
    cause: Any = error.value.orig
    assert error.value.__cause__ is cause
    assert isinstance(cause, psycopg.errors.CheckViolation)
    assert (cause.sqlstate, cause.diag.constraint_name, cause.diag.table_name) == ("23514", "theirs", "es_events")
    assert (cause.diag.message_detail, cause.diag.context) == (None, None)


def test_a_snapshot_that_is_refused_is_not_shown(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE snapshots ADD CONSTRAINT theirs CHECK (version > 5)")
    store = EventStore(engine)
    store.append("card-1", [card()], expected_version=ANY)
    with pytest.raises(IntegrityError) as error:
        store.snapshots.save("card-1", version=1, state=SECRET)
    assert_hidden(error.value)


def test_what_a_deadlock_tells_is_kept(engine: Engine) -> None:
    """It is about locks."""
    with pytest.raises(DBAPIError) as error, EventStore(engine).transaction() as transaction:
        transaction.connection.exec_driver_sql(
            "DO $$ BEGIN RAISE EXCEPTION USING"
            " ERRCODE = '40P01', MESSAGE = 'deadlock', DETAIL = 'Process 1 waits'; END $$"
        )
    assert "Process 1 waits" in str(error.value)


def test_a_handler_whose_append_is_refused_does_not_show_it(engine: Engine, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "eventstore")
    store = EventStore(engine)
    store.append("order-1", [NewEvent("order-paid", {"card": SECRET})], expected_version=ANY)
    with engine.begin() as connection:
        connection.execute(text(REFUSALS["check"]))
    cards = Projection("cards")

    @cards.on("order-paid")
    def keep(_: Any, connection: Any) -> None:
        store.join(connection).append("card-1", [card()], expected_version=ANY)

    with pytest.raises(ProjectionFailed) as error:
        Worker(store, cards).run_until_caught_up()
    assert_hidden(error.value)
    assert not any(secret in caplog.text for secret in SHOWN)


@pytest.mark.slow
def test_with_the_settings_of_the_guide_the_servers_log_does_not_show_it(cluster: Cluster) -> None:
    guide = (Path(__file__).parent.parent / "docs/how-to/database-setup.md").read_text()
    settings = re.findall(r"^ALTER SYSTEM SET (log_parameter\w+|log_error_verbosity) = (\w+);", guide, re.MULTILINE)
    assert [name for name, _ in settings] == [
        "log_parameter_max_length",
        "log_parameter_max_length_on_error",
        "log_error_verbosity",
    ]
    engine = create_engine(cluster.url)
    migrations.provision(engine, "public")
    store = EventStore(engine)
    with engine.begin() as connection:
        connection.exec_driver_sql(REFUSALS["check"])
    for number, hidden in enumerate((False, True)):
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            chosen = settings if hidden else [("log_min_duration_statement", "0")]
            for name, value in chosen:
                connection.exec_driver_sql(f"ALTER SYSTEM SET {name} = '{value}'")
            connection.exec_driver_sql("SELECT pg_reload_conf()")
            wanted = chosen[-1]
            while connection.exec_driver_sql(f"SHOW {wanted[0]}").scalar_one() != wanted[1]:
                pass
        secret = f"{SECRET}-{number}"
        with pytest.raises(IntegrityError):
            store.append("card-1", [NewEvent("refused", metadata={"card": secret})], expected_version=ANY)
        assert (secret in cluster.log) is not hidden
    engine.dispose()
