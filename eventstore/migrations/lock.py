"""One deployer at a time."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import blake2b
from typing import Final

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import SQLAlchemyError

from eventstore.common.backoff import spread
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

_SAY_AGAIN_SECONDS: Final = 10
_WATCH_SECONDS: Final = 0.5
_CANCEL_SECONDS: Final = 0.1
_TRIES_TO_GIVE_BACK: Final = 20
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
    """Keep other migrations of the same tables out while the block runs, for an env.py of your own.

    On PostgreSQL it is a session-level advisory lock on a second connection, which is asked for again and again: one
    that is waited for would be a transaction that CREATE INDEX CONCURRENTLY in turn waits for. It is gone with its
    connection, so also with a killed process. While it is held, whom the migration waits for goes to the log
    (`eventstore.migrations`) and to `on_progress`. If its connection is lost, the lock is taken again on another one;
    if another migration was quicker, this one is cancelled. On SQLite it does nothing: there the migration is one
    transaction.

    Args:
        connection: The one that the migration will run on; not in a transaction. `idle_session_timeout` is off on it
            while the block runs, because it may wait for long.
        schema: Of the tables. Defaults to None: all of the connection's search path, since the tables may be in any.
        wait_seconds: How long to wait for another migration.
        on_progress: Called from another thread. An asynchronous connection (in `run_sync`) is not watched: whom the
            migration waits for is told then only when a try has failed.

    Raises:
        MigrationInProgress: Another one was not done in time.
        DirectConnectionRequired: The engine leads to a pool in transaction mode.
        MigrationInsideTransaction: The connection is in a transaction.
        MigrationLockLost: The lock's connection was lost, and another migration has taken the lock.
    """
    if connection.dialect.name == "sqlite":
        yield
        return
    if connection.in_transaction():
        raise MigrationInsideTransaction("taking the lock of migrations")
    settings = Settings(on_progress=on_progress)
    # beside the application's pool, which may allow no second connection; with its dialect, which may be asynchronous
    application = connection.engine
    engine = Engine(application.pool.recreate(), application.dialect, application.url)
    try:
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as beside:
            refuse_transaction_pool(connection, beside)
            with set_aside(connection, {"idle_session_timeout": "0"}):
                keys = [_key(each) for each in schemas_to_lock(connection, schema)]
                pid = _pid_of(connection)
                lock = _Lock(engine, beside, keys, settings)
                try:
                    lock.wait(wait_seconds)
                    with lock.watched(pid):
                        yield
                finally:
                    lock.give_back()
    finally:
        engine.dispose()


def _key(schema: str | None) -> int:
    """Return a number of 63 bits for the tables of a schema; the database is part of every advisory lock."""
    name = f"eventstore migrations of {schema}"
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "big") >> 1


def _pid_of(connection: Connection) -> int:
    pid: int = connection.execute(_PID).scalar_one()
    connection.rollback()
    return pid


class _Lock:
    """The advisory lock, and the connection that holds it."""

    def __init__(self, engine: Engine, beside: Connection, keys: list[int], settings: Settings) -> None:
        self._engine = engine
        self._beside = beside
        self._keys = keys
        self._held: list[int] = []
        self._settings = settings
        self._holder = _prepare(beside)
        self._failure: MigrationError | None = None
        self._finished = threading.Event()

    def wait(self, seconds: float) -> None:
        """Ask for it until it is had.

        Raises:
            MigrationInProgress: It was not, in all that time.
        """
        began, said = time.monotonic(), 0.0
        while not self._try():
            waited = time.monotonic() - began
            holders = self._holders()
            if waited > seconds:
                raise MigrationInProgress(round(waited, 1), holders)
            if holders and (not said or waited - said > _SAY_AGAIN_SECONDS):
                self._settings.report(Progress("another migration is at work", waiting_for=holders))
                said = waited or 1e-9
            time.sleep(spread(0.1, 0.5))

    def _try(self) -> bool:
        """Ask once for what is not held, in order; return whether all is held then.

        Raises:
            DirectConnectionRequired: Another session than the one that was prepared has answered.
        """
        for key in self._keys[len(self._held) :]:
            pid, taken = self._beside.execute(_TRY, {"key": key}).one()
            if taken:
                self._held.append(key)
            if pid != self._holder:
                self._holder = pid if taken else self._holder
                raise DirectConnectionRequired
            if not taken:
                return False
        return True

    def _holders(self) -> tuple[str, ...]:
        """Return who has the key that is waited for."""
        return catalog.advisory_lockers(self._beside, self._keys[min(len(self._held), len(self._keys) - 1)])

    @contextmanager
    def watched(self, pid: int) -> Iterator[None]:
        """Tell, from a thread of its own, what the backend of a migration does or waits for.

        It also keeps the lock's connection from falling asleep behind a firewall.

        Args:
            pid: Of the backend.
        """
        if self._beside.dialect.is_async:  # it belongs to its event loop, and no thread may use it
            yield
            return
        thread = threading.Thread(target=self._watch, args=(pid,), name="eventstore-migration-watch", daemon=True)
        thread.start()
        try:
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
            thread.join()

    def _watch(self, pid: int) -> None:
        said_at = float("-inf")
        while not self._finished.wait(_WATCH_SECONDS):
            try:
                self._refuse_another_session()
                waiting_for = catalog.blockers(self._beside, pid)
                building = catalog.build_progress(self._beside, pid)
            except SQLAlchemyError as error:
                self._take_again(" ".join(str(error.__cause__ or error).split()), pid)
                continue
            except DirectConnectionRequired as error:
                self._give_way(error, pid)
                return
            if waiting_for and time.monotonic() - said_at > _SAY_AGAIN_SECONDS:
                said_at = time.monotonic()
                self._settings.report(Progress("the migration waits for a lock", waiting_for=waiting_for))
            if building and self._settings.on_progress is not None:
                index, phase, done, total = building
                step = f"building index {index}: {phase}" if index else "building an index"
                self._settings.on_progress(
                    Progress(step, done=done if total else None, total=total or None, waiting_for=waiting_for)
                )

    def _refuse_another_session(self) -> None:
        if self._beside.execute(_PID).scalar_one() != self._holder:
            raise DirectConnectionRequired

    def _take_again(self, cause: str, pid: int) -> None:
        """Take the lock on another connection, since the one that had it is lost; the migration goes on meanwhile."""
        self._settings.report(Progress(f"the connection that holds the lock of migrations is lost: {cause}"))
        before = self._holder
        while not self._finished.is_set():
            with suppress(SQLAlchemyError):
                self._beside.invalidate()
                self._beside.close()
                self._beside = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
                self._holder = _prepare(self._beside)
                self._held = []
                self._beside.execute(_END_SESSION, {"pid": before})  # if the network is cut, the server may not know
                try:
                    is_held = self._try()
                except DirectConnectionRequired as error:
                    self._give_way(error, pid)
                    return
                if is_held:
                    self._settings.report(Progress("the lock of migrations was taken again on another connection"))
                    return
                holders = self._holders()
                if holders and not any(who.startswith(f"pid {before} ") for who in holders):
                    self._give_way(MigrationLockLost(cause, holders), pid)
                    return
            self._finished.wait(_WATCH_SECONDS)

    def _give_way(self, failure: MigrationError, pid: int) -> None:
        """Cancel what the migration does, again and again: between two statements there is nothing to cancel."""
        self._failure = failure
        while not self._finished.wait(_CANCEL_SECONDS):
            with suppress(SQLAlchemyError):
                self._beside.execute(_CANCEL, {"pid": pid})

    def give_back(self) -> None:
        """Give the lock back, or say who is left with it: behind a pool, another session may answer."""
        with suppress(SQLAlchemyError):  # if the connection is lost, so is the lock
            for key in self._held:
                if not self._is_unlocked(key) and self._is_left(key):
                    left = (
                        f"the lock of migrations could not be given back: SELECT pg_terminate_backend({self._holder})"
                    )
                    self._settings.report(Progress(left))
        self._beside.close()

    def _is_unlocked(self, key: int) -> bool:
        parameters = {"key": key, "pid": self._holder}
        return any(self._beside.execute(_UNLOCK, parameters).scalar() for _ in range(_TRIES_TO_GIVE_BACK))

    def _is_left(self, key: int) -> bool:
        holders = catalog.advisory_lockers(self._beside, key)
        return any(who.startswith(f"pid {self._holder} ") for who in holders)


def _prepare(beside: Connection) -> int:
    """Make the lock's session last; return its process id."""
    beside.execute(text("SET application_name = 'eventstore migrations'"))  # so that who waits sees for whom
    set_all(beside, no_timeouts(), is_local=False)
    return int(beside.execute(_PID).scalar_one())
