"""The migration lock: one migration at a time."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import copy_context
from hashlib import blake2b
from typing import Final

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import SQLAlchemyError

from eventstore.common.backoff import spread
from eventstore.common.starting import join_started, start_all
from eventstore.errors import (
    DirectConnectionRequired,
    MigrationError,
    MigrationInProgress,
    MigrationInsideTransaction,
    MigrationLockLost,
)
from eventstore.migrations import catalog
from eventstore.migrations.place import schemas_to_lock
from eventstore.migrations.poolers import refuse_transaction_pool
from eventstore.migrations.session import no_timeouts, set_all, set_aside
from eventstore.migrations.settings import OnProgress, Progress, Settings

_REPORT_AGAIN_SECONDS: Final = 10
_MONITOR_SECONDS: Final = 0.5
_CANCEL_SECONDS: Final = 0.1
_UNLOCK_ATTEMPTS: Final = 20
_PID: Final = text("SELECT pg_backend_pid()")
_TRY: Final = text("SELECT pg_backend_pid(), pg_try_advisory_lock(:key)")
_UNLOCK: Final = text("SELECT CASE WHEN pg_backend_pid() = :pid THEN pg_advisory_unlock(:key) END")
_CANCEL: Final = text("SELECT pg_cancel_backend(:pid)")
_END_SESSION: Final = text("""
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE pid = :pid AND application_name = 'eventstore migrations' AND usename = current_user
""")


@contextmanager
def deploy_lock(
    connection: Connection,
    *,
    schema: str | None = None,
    wait_seconds: float = 600.0,
    on_progress: OnProgress | None = None,
) -> Iterator[None]:
    """Exclude other migrations of the same tables while the block runs, for your env.py.

    On PostgreSQL it is a session-level advisory lock on a second connection. It is polled, because a session that waits
    for it would hold a transaction that CREATE INDEX CONCURRENTLY in turn waits for. The lock ends with its connection,
    and so with a killed process. While it is held, the sessions that the migration waits for are reported to the log
    (`eventstore.migrations`) and to `on_progress`. If its connection is lost, the lock is taken again on another one;
    if another migration has taken it first, this migration is cancelled. On SQLite it does nothing, because the
    migration is one transaction.

    Args:
        connection: The connection that the migration will run on, not in a transaction. `idle_session_timeout` is off
            on it while the block runs, because it may wait for long.
        schema: The schema of the tables. Defaults to None: all schemas of the connection's search path, because the
            tables may be in any of them.
        wait_seconds: How long to wait for another migration.
        on_progress: Called from another thread. An asynchronous connection (in `run_sync`) is not monitored, so waiting
            is then reported only after a failed attempt.

    Raises:
        MigrationInProgress: Another migration was not done in time.
        DirectConnectionRequired: The engine connects to a pool in transaction mode.
        MigrationInsideTransaction: The connection is in a transaction.
        MigrationLockLost: The lock's connection was lost, and another migration has taken the lock.
    """
    if connection.dialect.name == "sqlite":
        yield
        return
    if connection.in_transaction():
        raise MigrationInsideTransaction("taking the migration lock")
    settings = Settings(on_progress=on_progress)
    # not from the application's pool, which may allow no second connection; its dialect may be asynchronous
    application = connection.engine
    engine = Engine(application.pool.recreate(), application.dialect, application.url)
    try:
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as lock_connection:
            refuse_transaction_pool(connection, lock_connection)
            with set_aside(connection, {"idle_session_timeout": "0"}):
                keys = [lock_key(each) for each in schemas_to_lock(connection, schema)]
                pid = _pid_of(connection)
                lock = _Lock(engine, lock_connection, keys, settings)
                try:
                    lock.wait(wait_seconds)
                    with lock.monitored(pid):
                        yield
                finally:
                    lock.release()
    finally:
        engine.dispose()


def lock_key(schema: str | None) -> int:
    """Return a number of 63 bits for the tables of a schema; advisory locks are separate for each database anyway."""
    name = f"eventstore migrations of {schema}"
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "big") >> 1


def _pid_of(connection: Connection) -> int:
    pid: int = connection.execute(_PID).scalar_one()
    connection.rollback()
    return pid


class _Lock:
    """The advisory lock, and the connection that holds it."""

    def __init__(self, engine: Engine, connection: Connection, keys: list[int], settings: Settings) -> None:
        self._engine = engine
        self._connection = connection
        self._keys = keys
        self._held_keys: list[int] = []
        self._settings = settings
        self._holder = _prepare(connection)
        self._failure: MigrationError | None = None
        self._finished = threading.Event()

    def wait(self, seconds: float) -> None:
        """Poll until the lock is held.

        Raises:
            MigrationInProgress: Another migration held it for the whole time.
        """
        began, reported_after = time.monotonic(), 0.0
        while not self._try():
            waited = time.monotonic() - began
            holders = self._holders()
            if waited > seconds:
                raise MigrationInProgress(round(waited, 1), holders)
            if holders and (not reported_after or waited - reported_after > _REPORT_AGAIN_SECONDS):
                self._settings.report(Progress("another migration is running", waiting_for=holders))
                reported_after = waited or 1e-9
            time.sleep(spread(0.1, 0.5))

    def _try(self) -> bool:
        """Try once to take the keys that are not held, in order; return whether all are held.

        Raises:
            DirectConnectionRequired: Another session than the prepared one has answered.
        """
        for key in self._keys[len(self._held_keys) :]:
            pid, is_taken = self._connection.execute(_TRY, {"key": key}).one()
            if is_taken:
                self._held_keys.append(key)
            if pid != self._holder:
                self._holder = pid if is_taken else self._holder
                raise DirectConnectionRequired
            if not is_taken:
                return False
        return True

    def _holders(self) -> tuple[str, ...]:
        """Return descriptions of the sessions that hold the next key."""
        return catalog.advisory_lockers(self._connection, self._keys[min(len(self._held_keys), len(self._keys) - 1)])

    @contextmanager
    def monitored(self, pid: int) -> Iterator[None]:
        """Report, from another thread, what the backend of a migration does or waits for.

        The queries also keep the lock's connection alive behind a firewall.

        Args:
            pid: The process id of the backend.
        """
        if self._connection.dialect.is_async:  # its connection can be used only in its event loop
            yield
            return
        run = copy_context().run  # a hook of the pool may ask the context which tenant it is
        thread = threading.Thread(
            target=lambda: run(self._monitor, pid), name="eventstore-migration-monitor", daemon=True
        )
        try:
            start_all([thread])
            yield
        except Exception as error:
            self._end(thread)
            if self._failure is not None:
                raise self._failure from error
            raise
        finally:
            self._end(thread)
        if self._failure is not None:
            raise self._failure

    def _end(self, thread: threading.Thread) -> None:
        if not self._finished.is_set():
            self._finished.set()
            join_started([thread])

    def _monitor(self, pid: int) -> None:
        reported_at = float("-inf")
        while not self._finished.wait(_MONITOR_SECONDS):
            try:
                self._refuse_another_session()
                waiting_for = catalog.blockers(self._connection, pid)
                building = catalog.build_progress(self._connection, pid)
            except SQLAlchemyError as error:
                self._reacquire(" ".join(str(error.__cause__ or error).split()), pid)
                continue
            except DirectConnectionRequired as error:
                self._cancel_migration(error, pid)
                return
            if waiting_for and time.monotonic() - reported_at > _REPORT_AGAIN_SECONDS:
                reported_at = time.monotonic()
                self._settings.report(Progress("the migration waits for a lock", waiting_for=waiting_for))
            if building and self._settings.on_progress is not None:
                index, phase, done, total = building
                step = f"building index {index}: {phase}" if index else "building an index"
                self._settings.on_progress(
                    Progress(step, done=done if total else None, total=total or None, waiting_for=waiting_for)
                )

    def _refuse_another_session(self) -> None:
        if self._connection.execute(_PID).scalar_one() != self._holder:
            raise DirectConnectionRequired

    def _reacquire(self, cause: str, pid: int) -> None:
        """Take the lock on another connection after its own was lost; the migration continues meanwhile."""
        self._settings.report(Progress(f"the connection that holds the migration lock is lost: {cause}"))
        before = self._holder
        while not self._finished.is_set():
            with suppress(SQLAlchemyError):
                self._connection.invalidate()
                self._connection.close()
                self._connection = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
                self._holder = _prepare(self._connection)
                self._held_keys = []
                self._connection.execute(
                    _END_SESSION, {"pid": before}
                )  # if the network is cut, the server may not know
                try:
                    is_held = self._try()
                except DirectConnectionRequired as error:
                    self._cancel_migration(error, pid)
                    return
                if is_held:
                    self._settings.report(Progress("the migration lock was taken again on another connection"))
                    return
                holders = self._holders()
                if holders and not any(who.startswith(f"pid {before} ") for who in holders):
                    self._cancel_migration(MigrationLockLost(cause, holders), pid)
                    return
            self._finished.wait(_MONITOR_SECONDS)

    def _cancel_migration(self, failure: MigrationError, pid: int) -> None:
        """Cancel the migration's statement repeatedly, because between two statements there is nothing to cancel."""
        self._failure = failure
        while not self._finished.wait(_CANCEL_SECONDS):
            with suppress(SQLAlchemyError):
                self._connection.execute(_CANCEL, {"pid": pid})

    def release(self) -> None:
        """Release the lock, or report the session that keeps it: behind a pool, another session may answer."""
        with suppress(SQLAlchemyError):  # if the connection is lost, so is the lock
            for key in self._held_keys:
                if not self._is_unlocked(key) and self._is_left(key):
                    remedy = f"SELECT pg_terminate_backend({self._holder})"
                    self._settings.report(Progress(f"the migration lock could not be released; run {remedy}"))
        self._connection.close()

    def _is_unlocked(self, key: int) -> bool:
        parameters = {"key": key, "pid": self._holder}
        return any(self._connection.execute(_UNLOCK, parameters).scalar() for _ in range(_UNLOCK_ATTEMPTS))

    def _is_left(self, key: int) -> bool:
        holders = catalog.advisory_lockers(self._connection, key)
        return any(who.startswith(f"pid {self._holder} ") for who in holders)


def _prepare(connection: Connection) -> int:
    """Switch off the timeouts of the lock's session; return its process id."""
    connection.execute(text("SET application_name = 'eventstore migrations'"))  # shown to sessions that wait
    set_all(connection, no_timeouts(), is_local=False)
    return int(connection.execute(_PID).scalar_one())
