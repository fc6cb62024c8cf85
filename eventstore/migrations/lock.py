"""One deployer at a time."""

import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b
from typing import Final

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import SQLAlchemyError

from eventstore.errors import DirectConnectionRequired, MigrationInProgress, TransactionOpen
from eventstore.migrations import catalog
from eventstore.migrations.place import schemas_to_lock
from eventstore.migrations.settings import Progress, Report, Settings, logger

_SAY_AGAIN_SECONDS: Final = 10
_WATCH_SECONDS: Final = 0.5
_PID: Final = text("SELECT pg_backend_pid()")


@contextmanager
def deploy_lock(
    connection: Connection,
    *,
    schema: str | None = None,
    wait_seconds: float = 600.0,
    on_progress: Report | None = None,
) -> Iterator[None]:
    """Keep other migrations of the same tables out while the block runs, for an env.py of your own.

    On PostgreSQL it is a session-level advisory lock on a second connection, which is asked for again and again: one
    that is waited for would be a transaction that CREATE INDEX CONCURRENTLY in turn waits for. It is gone with its
    connection, so also with a killed process. While it is held, whom the migration waits for goes to the log
    (`eventstore.migrations`) and to `on_progress`. On SQLite it does nothing: there the migration is one transaction.

    Args:
        connection: The one that the migration will run on; not in a transaction.
        schema: Of the tables. Defaults to None: all of the connection's search path, since the tables may be in any.
        wait_seconds: How long to wait for another migration.
        on_progress: Called from another thread. An asynchronous connection (in `run_sync`) is not watched: whom the
            migration waits for is told then only when a try has failed.

    Raises:
        MigrationInProgress: Another one was not done in time.
        DirectConnectionRequired: The engine leads to a pool in transaction mode.
        TransactionOpen: The connection is in a transaction.
    """
    if connection.dialect.name == "sqlite":
        yield
        return
    if connection.in_transaction():
        raise TransactionOpen("taking the lock of migrations")
    settings = Settings(on_progress=on_progress)
    # beside the application's pool, which may allow no second connection; with its dialect, which may be asynchronous
    application = connection.engine
    engine = Engine(application.pool.recreate(), application.dialect, application.url)
    try:
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as beside:
            beside.execute(text("SET application_name = 'eventstore migrations'"))  # so that who waits sees for whom
            _refuse_transaction_pool(connection, beside)
            schemas = schemas_to_lock(connection, schema)
            pid = _pid_of(connection)
            began = time.monotonic()
            for each in schemas:
                _wait_for_lock(beside, _key(each), began, wait_seconds, settings)
            with _watch(beside, pid, settings):
                yield
    finally:
        engine.dispose()


def _key(schema: str | None) -> int:
    """Return a number of 63 bits for the tables of a schema; the database is part of every advisory lock."""
    name = f"eventstore migrations of {schema}"
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "big") >> 1


def _wait_for_lock(beside: Connection, key: int, began: float, wait_seconds: float, settings: Settings) -> None:
    said = 0.0
    while not beside.execute(text("SELECT pg_try_advisory_lock(:key)"), {"key": key}).scalar():
        waited = time.monotonic() - began
        holders = catalog.advisory_lockers(beside, key)
        if waited > wait_seconds:
            raise MigrationInProgress(round(waited, 1), holders)
        if holders and (not said or waited - said > _SAY_AGAIN_SECONDS):
            settings.report(Progress("another migration is at work", waiting_for=holders))
            said = waited or 1e-9
        time.sleep(random.uniform(0.1, 0.5))  # noqa: S311  # spreads waiters, guards nothing


def _refuse_transaction_pool(one: Connection, other: Connection) -> None:
    """Refuse where two open connections are served by one backend, or one by two: PgBouncer tells it no other way."""
    seen_by_one, seen_by_other = set(), set()
    for _ in range(5):
        seen_by_one.add(_pid_of(one))
        seen_by_other.add(other.execute(_PID).scalar())
        if len(seen_by_one) > 1 or len(seen_by_other) > 1 or seen_by_one & seen_by_other:
            raise DirectConnectionRequired


def _pid_of(connection: Connection) -> int:
    pid: int = connection.execute(_PID).scalar_one()
    connection.rollback()
    return pid


@contextmanager
def _watch(beside: Connection, pid: int, settings: Settings) -> Iterator[None]:
    """Tell, from a thread of its own, what the backend of a migration does or waits for.

    It also keeps the lock's connection from falling asleep behind a firewall, or by `idle_session_timeout`.
    """
    if beside.dialect.is_async:  # it belongs to its event loop, and no thread may use it
        yield
        return
    finished = threading.Event()

    def watch() -> None:
        said_at = float("-inf")
        while not finished.wait(_WATCH_SECONDS):
            try:
                waiting_for = catalog.blockers(beside, pid)
                building = catalog.build_progress(beside, pid)
            except SQLAlchemyError as error:
                kind = type(error.__cause__ or error).__name__
                lost = f"the connection that holds the lock of migrations is lost ({kind}): another one may begin"
                logger.warning("%s", lost)
                if settings.on_progress is not None:
                    settings.on_progress(Progress(lost))
                return
            if waiting_for and time.monotonic() - said_at > _SAY_AGAIN_SECONDS:
                said_at = time.monotonic()
                settings.report(Progress("the migration waits for a lock", waiting_for=waiting_for))
            if building and settings.on_progress is not None:
                index, phase, done, total = building
                step = f"building index {index}: {phase}" if index else "building an index"
                settings.on_progress(
                    Progress(step, done=done if total else None, total=total or None, waiting_for=waiting_for)
                )

    thread = threading.Thread(target=watch, name="eventstore-migration-watch", daemon=True)
    thread.start()
    try:
        yield
    finally:
        finished.set()
        thread.join()
