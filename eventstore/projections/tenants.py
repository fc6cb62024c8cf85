"""Workers of many tenants in one process: one poll for all schemas, and a few threads for those with new events."""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from queue import SimpleQueue
from typing import Final, Self

from sqlalchemy import Engine

from eventstore.backends.schema_watch import Drawn, SchemaWatch
from eventstore.common.backoff import LONGEST_WITHOUT_CONNECTION, Backoff
from eventstore.common.error_type import error_type
from eventstore.common.locks import make_lock
from eventstore.common.starting import join_started, start_all
from eventstore.common.validation import check_number, check_seconds
from eventstore.common.waker import Waker
from eventstore.errors import InvalidInput
from eventstore.projections.background import in_background
from eventstore.projections.batches import Outcome
from eventstore.projections.signals import stopping_at_signals
from eventstore.projections.tenant import Tenant
from eventstore.projections.worker import Worker

_log = logging.getLogger("eventstore.projections")

_BATCHES_AT_ONCE: Final = 10
"""After how many batches a tenant lets others have its thread."""

_LIST_EVERY_SECONDS: Final = 5.0


class TenantWorkers:
    """Runs the projections of many stores, each in a schema of its own of one PostgreSQL database, in one process.

    One statement at a time finds out in which schemas positions were drawn, and a few threads visit those: they make
    the tenant's workers, run them until they have caught up, and drop them. An idle tenant costs no thread, no
    connection and no statement of its own. A tenant whose projection fails is tried again after a pause, from a second
    to a minute, and does not stop the others.

    Several processes may do this for the same tenants; each projection is run by one of them at a time. Between visits
    a projection's status is `stopped`.

    Args:
        engine: The engine of the database. It needs `threads + 1` connections.
        tenants: Returns the names of the schemas; called now and then, every 5 seconds.
        make_workers: Makes the workers of a tenant, from the name of its schema; called at each visit, in any thread.
        threads: How many tenants are visited at the same time.
        interval_seconds: How long to wait between two looks for new events.
        visit_every_seconds: Each tenant is visited at least this often, whatever the looks have found: for what a
            failover has changed, and for roles that can't read the sequences.

    Raises:
        InvalidInput: An argument is not valid, or the engine is not for PostgreSQL.

    Example:
        ```python
        TenantWorkers(
            engine,
            lambda: migrations.find_schemas(engine, "tenant_*"),
            lambda schema: [Worker(store_of(schema), totals)],
        ).run_forever(handle_signals=True)
        ```
    """

    def __init__(
        self,
        engine: Engine,
        tenants: Callable[[], Iterable[str]],
        make_workers: Callable[[str], Iterable[Worker]],
        *,
        threads: int = 4,
        interval_seconds: float = 0.25,
        visit_every_seconds: float = 60.0,
    ) -> None:
        for name, value in (("tenants", tenants), ("make_workers", make_workers)):
            if not callable(value):
                msg = f"{name} must be a function, not {type(value).__name__}"
                raise InvalidInput(msg)
        self._watch = SchemaWatch(engine)
        self._list = tenants
        self._make_workers = make_workers
        self._threads = check_number("threads", threads, minimum=1)
        self._interval = check_seconds("interval_seconds", interval_seconds, minimum=0.001)
        self._visit_every = check_seconds("visit_every_seconds", visit_every_seconds, minimum=0.001)
        self._tenants: dict[str, Tenant] = {}
        self._listed_at = float("-inf")
        self._server_started_at: datetime | None = None
        self._lock = make_lock()
        self._queue: SimpleQueue[Tenant | None] = SimpleQueue()
        self._failures: dict[str, Exception] = {}
        self._running: set[Worker] = set()
        self._waker = Waker()
        self._stopped = self._is_ending = False

    @property
    def failures(self) -> Mapping[str, Exception]:
        """The tenants whose last visit has failed, with the error."""
        with self._lock:
            return dict(self._failures)

    def stop(self) -> None:
        """End a run after the current batches, for good. Can be called from any thread, and from a signal handler."""
        self._stopped = True
        self._waker.wake()

    def run_forever(self, *, handle_signals: bool = False) -> None:
        """Handle events as they are appended, until `stop`.

        If the database does not answer, it is tried again until it does; only the first look has to succeed.

        Args:
            handle_signals: Stop at SIGTERM and SIGINT, after the current batches. In the main thread only.

        Raises:
            InvalidInput: `handle_signals` is True in another thread than the main one.
            sqlalchemy.exc.SQLAlchemyError: The first look has failed.
        """
        backoff, has_looked, trouble = Backoff(self._interval, LONGEST_WITHOUT_CONNECTION), False, ""
        with stopping_at_signals(self.stop, handle_signals=handle_signals), self._working():
            while not self._stopped:
                try:
                    self._look()
                except Exception as error:
                    if not has_looked or not self._watch.is_transient(error):
                        raise
                    if error_type(error) != trouble:
                        trouble = error_type(error)
                        _log.warning("the look for new events is retried after %s", trouble)
                    self._waker.wait(backoff.pause())
                    continue
                has_looked, trouble = True, ""
                backoff.reset()
                self._waker.wait(self._interval)

    def run_until_caught_up(self) -> None:
        """Visit each tenant once, and again while it has new events or appends under way. Then return.

        Tenants that fail are left out; see `failures`.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: A look has failed.
        """
        with self._working():
            while not self._stopped:
                self._look()
                while not self._stopped and self._is_busy():
                    self._waker.wait(self._interval)
                with self._lock:
                    rest = (each for each in self._tenants.values() if each.schema not in self._failures)
                    if all(each.is_caught_up for each in rest):
                        return

    @contextmanager
    def running(self, *, stop_timeout_seconds: float = 30.0) -> Iterator[Self]:
        """Run it in the background while a block runs, as `Worker.running` does.

        Raises:
            WorkerStillRunning: A handler did not return within `stop_timeout_seconds` after the end of the block.
            sqlalchemy.exc.SQLAlchemyError: The first look has failed; raised at the end of the block.
        """
        with in_background(
            "the workers of tenants", self.run_forever, self.stop, stop_timeout_seconds=stop_timeout_seconds
        ):
            yield self

    def _is_busy(self) -> bool:
        with self._lock:
            return any(each.is_at_work for each in self._tenants.values())

    # --- looking

    def _look(self) -> None:
        """Find the tenants to visit, and queue them."""
        now = time.monotonic()
        if now - self._listed_at > _LIST_EVERY_SECONDS:
            self._refresh(dict.fromkeys(self._list()))
            self._listed_at = now
        with self._watch.looking() as look:
            drawn = look.drawn(list(self._tenants))
            self._forget_after_restart(drawn)
            with self._lock:
                due = [each for each in self._tenants.values() if each.is_due(drawn.get(each.schema), now)]
            tables = [drawn[each.schema].table for each in due if each.schema in drawn]
            # A later statement than the one that has read what was drawn: see SchemaLook.
            appended_to = look.appended_to(tables) if tables else frozenset()
        with self._lock:
            for tenant in due:
                tenant.begin_visit(drawn.get(tenant.schema), appended_to)
                self._queue.put(tenant)

    def _refresh(self, schemas: Iterable[str]) -> None:
        with self._lock:
            self._tenants = {each: self._tenants.get(each) or Tenant(each) for each in schemas}
            self._failures = {name: error for name, error in self._failures.items() if name in self._tenants}

    def _forget_after_restart(self, drawn: Mapping[str, Drawn]) -> None:
        """Forget what was handled if another server answers, or the same one after a crash."""
        started_at = next((each.started_at for each in drawn.values()), None)
        if started_at != self._server_started_at:
            self._server_started_at = started_at
            with self._lock:
                for tenant in self._tenants.values():
                    tenant.handled = tenant.drawn = None

    # --- visiting

    @contextmanager
    def _working(self) -> Iterator[None]:
        """Run the threads. At the end they finish their batches."""
        self._queue = queue = SimpleQueue[Tenant | None]()
        self._is_ending = False
        threads = [
            threading.Thread(target=self._work, args=[queue], name=f"eventstore-tenants-{number}", daemon=True)
            for number in range(self._threads)
        ]
        try:
            start_all(threads)
            yield
        finally:
            self._is_ending = True
            with self._lock:
                running = list(self._running)
            for worker in running:
                worker.stop()
            for _ in threads:
                queue.put(None)
            join_started(threads)
            for tenant in self._tenants.values():
                tenant.is_at_work = False

    def _work(self, queue: "SimpleQueue[Tenant | None]") -> None:
        """Visit the tenants of the queue, in a thread."""
        while (tenant := queue.get()) is not None:
            if not (self._stopped or self._is_ending):
                self._visit(tenant)

    def _visit(self, tenant: Tenant) -> None:
        is_at_end, failure = True, None
        try:
            for worker in self._make_workers(tenant.schema):
                try:
                    is_at_end &= self._run(worker)
                except Exception as error:  # noqa: BLE001  # likewise
                    failure = failure or error
        except Exception as error:  # noqa: BLE001  # the others go on; it is logged, and in `failures`
            failure = error
        self._end_visit(tenant, failure, is_at_end=is_at_end and failure is None)

    def _end_visit(self, tenant: Tenant, failure: Exception | None, *, is_at_end: bool) -> None:
        now = time.monotonic()
        with self._lock:
            tenant.end_visit(is_at_end=is_at_end, visit_at=now + self._visit_every)
            if failure is None:
                tenant.backoff.reset()
                self._failures.pop(tenant.schema, None)
                return
            before, self._failures[tenant.schema] = self._failures.get(tenant.schema), failure
            tenant.not_before = now + tenant.backoff.pause()
        if before is None or error_type(before) != error_type(failure):
            extra = {"tenant": tenant.schema, "error_type": error_type(failure)}
            _log.error("projections of tenant %r are retried after %s", tenant.schema, error_type(failure), extra=extra)

    def _run(self, worker: Worker) -> bool:
        """Run a worker until it has caught up; return whether it has handled everything that is stored."""
        with self._lock:
            self._running.add(worker)
        try:
            batch = worker.run_once()
            has_advanced = False
            for _ in range(_BATCHES_AT_ONCE):
                if batch.outcome is not Outcome.ADVANCED or self._stopped or self._is_ending:
                    break
                has_advanced = True
                batch = worker.run_once()
            if has_advanced:
                with worker:  # records that it has stopped
                    pass
            return batch.is_at_end
        finally:
            with self._lock:
                self._running.discard(worker)
