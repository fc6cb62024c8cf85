"""Notifications of appends: sent after the commit, few, and never at the expense of an append."""

import gc
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from sqlalchemy import Engine, event, text
from sqlalchemy.exc import OperationalError

from eventstore import EventStore
from eventstore.backends.postgresql.listener import PostgreSQLSender
from eventstore.core.notifier import Notifier
from eventstore.statements.postgresql.notifications import notification_channel
from tests.readers import append
from tests.waiting import until

pytestmark = pytest.mark.slow

TIMEOUT_SECONDS = 60


@contextmanager
def listening(store: EventStore) -> Iterator[Callable[[], int]]:
    """Yield what returns how many notifications of a store have come since it was asked before.

    They come in the order of the commits. So one more, on another channel, tells that all before it are there.
    """
    url = store.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(url, autocommit=True) as listener:
        ((channel,),) = listener.execute(*store.core.dialect.sql(notification_channel)).fetchall()
        for name in (channel, "the_end"):
            listener.execute(f'LISTEN "{name}"')

        def count() -> int:
            listener.execute("NOTIFY the_end")
            come: list[str] = []
            while "the_end" not in come:
                come += [each.channel for each in listener.notifies(timeout=TIMEOUT_SECONDS, stop_after=1)]
            return come.count(channel)

        yield count


@pytest.fixture
def store(postgres_engine: Engine) -> Iterator[EventStore]:
    with EventStore(postgres_engine, notify=True) as made:
        yield made


def senders(store: EventStore) -> list[int]:
    """Return the sessions whose last statement was a notification."""
    with store.engine.connect() as connection:
        sql = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'SELECT pg_notify%'"
        return list(connection.execute(text(sql)).scalars())


def test_many_appends_are_notified_of_at_once(store: EventStore, monkeypatch: pytest.MonkeyPatch) -> None:
    send, sends, release = PostgreSQLSender.send, [], threading.Event()

    def hold(sender: PostgreSQLSender) -> None:
        sends.append(sender)
        assert release.wait(TIMEOUT_SECONDS)
        send(sender)

    monkeypatch.setattr(PostgreSQLSender, "send", hold)
    with listening(store) as heard:
        append(store)
        until(lambda: sends)
        for _ in range(50):
            append(store)
        assert heard() == 0
        release.set()
        store.close()
        assert heard() == 2, "one that was held, and one for all appends during it"
        assert len(set(sends)) == 1


def test_an_append_during_the_notification_before_is_notified_of(
    store: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A listener that is woken by the first may look before the second append is committed."""
    send, sends = PostgreSQLSender.send, []

    def send_and_append(sender: PostgreSQLSender) -> None:
        send(sender)
        sends.append(sender)
        if len(sends) == 1:
            append(store)

    monkeypatch.setattr(PostgreSQLSender, "send", send_and_append)
    append(store)
    until(lambda: len(sends) == 2)


def test_without_a_connection_appends_are_stored_and_notified_of_later(
    store: EventStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    attempts: list[None] = []

    def fail(_: Any, __: Any) -> Any:
        attempts.append(None)
        raise OperationalError("connect", None, Exception("no server"))

    with listening(store) as heard:
        with monkeypatch.context() as patches:
            patches.setattr(type(store.core.driver), "sender", fail)
            append(store)
            until(lambda: len(attempts) > 1)
            append(store)
        until(lambda: senders(store))
        store.close()
        assert heard() >= 1
    assert len(list(store.read_all())) == 2
    assert [record.levelname for record in caplog.records if record.name == "eventstore.notifications"] == ["WARNING"]


def test_a_lost_connection_is_replaced(store: EventStore) -> None:
    with listening(store) as heard:
        append(store)
        until(lambda: senders(store))
        (lost,) = senders(store)
        with store.engine.connect() as connection:
            connection.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": lost})
        until(lambda: not senders(store))
        heard()
        append(store)
        until(lambda: senders(store))
        store.close()
        assert heard() == 1


def test_closing_the_store_ends_thread_and_connection_and_the_next_append_begins_again(store: EventStore) -> None:
    for _ in range(2):
        append(store)
        until(lambda: senders(store))
        store.close()
        assert not any(thread.name == "eventstore notifier" for thread in threading.enumerate())
        until(lambda: not senders(store))


def test_a_store_that_is_dropped_ends_its_thread(postgres_engine: Engine) -> None:
    store = EventStore(postgres_engine, notify=True)
    append(store)
    del store
    gc.collect()
    assert not any(thread.name == "eventstore notifier" for thread in threading.enumerate())


def test_a_notification_is_sent_in_the_transaction_if_connections_may_lead_elsewhere(
    postgres_engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: Notifier) -> None:
        raise AssertionError("another connection may have another search path")

    monkeypatch.setattr(Notifier, "notify", refuse)
    event.listen(postgres_engine, "checkout", lambda *_: None)
    store = EventStore(postgres_engine, notify=True)
    with listening(store) as heard:
        append(store)
        assert heard() == 1
        with store.transaction() as joined:
            append(joined)
            assert heard() == 0
        assert heard() == 1


FORK = """
    import os, sys, threading
    from concurrent.futures import ThreadPoolExecutor
    from sqlalchemy import create_engine
    from eventstore import EventStore, NewEvent
    from eventstore.common import single_flight

    single_flight._PATIENCE_SECONDS = 600
    store = EventStore(create_engine(sys.argv[1]), notify=True)

    def append(stream_id):
        store.append(stream_id, [NewEvent("written")], expected_version=0)

    asked, release = threading.Event(), threading.Event()
    look = store.core.dialect.view_log

    def hold(*args, **named):
        view = look(*args, **named)
        asked.set()
        release.wait()
        return view

    append("parent-1")
    store.core.dialect.view_log = hold
    with ThreadPoolExecutor(1) as threads:
        reading = threads.submit(store.settled_position)
        asked.wait()
        child = os.fork()
        if child == 0:
            store.core.dialect.view_log = look
            assert store.settled_position() == 1, "it waits for its parent's look"
            append("child-1")
            store.close()
            os._exit(0)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        release.set()
        assert reading.result() == 1
    assert code == 0
    sys.stdin.readline()
    append("parent-2")
    store.close()
"""


def test_after_a_fork_both_processes_look_and_notify(store: EventStore) -> None:
    url = store.engine.url.render_as_string(hide_password=False)
    command = [sys.executable, "-c", textwrap.dedent(FORK), url]
    with (
        listening(store) as heard,
        subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process,
    ):
        until(lambda: len(list(store.read_all())) == 2 or process.poll() is not None)
        until(lambda: heard() or process.poll() is not None)
        _, errors = process.communicate("\n", timeout=TIMEOUT_SECONDS)
        assert process.returncode == 0, errors
        assert heard() >= 1
