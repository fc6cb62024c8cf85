"""Several workers in one process, each in a thread of its own."""

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import copy_context
from typing import Final, Self

from eventstore.common.backoff import Backoff
from eventstore.common.error_type import error_type
from eventstore.common.locks import make_lock
from eventstore.common.starting import join_started, start_all
from eventstore.common.waker import Waker
from eventstore.errors import InvalidInput
from eventstore.projections.background import in_background
from eventstore.projections.batches import Batch
from eventstore.projections.signals import stopping_at_signals
from eventstore.projections.worker import Worker

_log = logging.getLogger("eventstore.projections")

_SHORTEST_BACKOFF_SECONDS: Final = 1.0
_LONGEST_BACKOFF_SECONDS: Final = 60.0


class Workers:
    """Runs workers in one process: of several projections, or several of one that is partitioned.

    Each has a thread, and its store needs a connection for it. A projection that fails is retried after a pause, from a
    second to a minute, and does not stop the others: see `failures`, the log, and the projection's status.

    `TenantWorkers` does the same for the projections of many stores, with fewer threads and connections than workers.

    Args:
        workers: The workers.
        stop_on_failure: Stop all workers when one has failed, so that a process supervisor restarts the process.
        thread_context: Makes a context manager that each thread enters first, for example to close connections that
            belong to threads.

    Raises:
        InvalidInput: There are no workers, one is not a Worker or is given twice.

    Example:
        ```python
        Workers(Worker(store, totals), Worker(store, customers)).run_forever(handle_signals=True)
        ```
    """

    def __init__(
        self,
        *workers: Worker,
        stop_on_failure: bool = False,
        thread_context: Callable[[], AbstractContextManager[object]] = nullcontext,
    ) -> None:
        if not workers or not all(isinstance(worker, Worker) for worker in workers):
            msg = "Workers needs at least one Worker, and nothing else; pass them one by one: Workers(one, other)"
            raise InvalidInput(msg)
        if len(set(map(id, workers))) < len(workers):
            msg = "the same Worker is given twice, but a worker has one thread; make another one"
            raise InvalidInput(msg)
        self._workers = workers
        self._wakers = [Waker() for _ in workers]
        self._stop_on_failure = stop_on_failure
        self._thread_context = thread_context
        self._lock = make_lock()
        self._failures: dict[str, Exception] = {}
        self._stopped = False

    @property
    def failures(self) -> Mapping[str, Exception]:
        """The projections that have failed and not handled a batch since, by name, with the error."""
        with self._lock:
            return dict(self._failures)

    def stop(self) -> None:
        """End a run after the current batches, for good. Can be called from any thread, and from a signal handler."""
        self._stopped = True
        for worker, waker in zip(self._workers, self._wakers, strict=True):
            worker.stop()
            waker.wake()

    def run_forever(self, *, handle_signals: bool = False) -> None:
        """Handle events as they are appended, until `stop`.

        Args:
            handle_signals: Stop at SIGTERM and SIGINT, after the current batches. In the main thread only.

        Raises:
            InvalidInput: `handle_signals` is True in another thread than the main one; or a worker runs already, or was
                stopped after an earlier run.
            KeyboardInterrupt: Ctrl-C was pressed, and `handle_signals` is False. All workers have finished their batch.
            EventStoreError: A worker has failed, and `stop_on_failure` is True: the error of the first one.
        """
        with stopping_at_signals(self.stop, handle_signals=handle_signals):
            self._run(self._run_forever)
        if self._stop_on_failure:
            self._raise_first()

    def run_until_caught_up(self, *, handle_signals: bool = False) -> None:
        """Handle all events that are stored when this is called, and return. Wait for appends under way among them.

        Args:
            handle_signals: As for `run_forever`.

        Raises:
            EventStoreError: A worker has failed. The others have caught up, unless `stop_on_failure` is True. If
                several have failed, it is the error of the first one; see `failures`.
        """
        with stopping_at_signals(self.stop, handle_signals=handle_signals):
            self._run(lambda worker, _waker: worker.run_until_caught_up())
        self._raise_first()

    @contextmanager
    def running(self, *, stop_timeout_seconds: float = 30.0) -> Iterator[Self]:
        """Run them in the background while a block runs, as `Worker.running` does.

        Raises:
            WorkerStillRunning: A handler did not return within `stop_timeout_seconds` after the end of the block.
            EventStoreError: A checkpoint can't be read or created; or as for `run_forever`.
        """
        for worker in self._workers:
            worker.check_can_run()
            worker.begin()
        projections = ", ".join(dict.fromkeys(repr(worker.projection.name) for worker in self._workers))
        with in_background(
            f"the workers of {projections}", self.run_forever, self.stop, stop_timeout_seconds=stop_timeout_seconds
        ):
            yield self

    def _run(self, run: Callable[[Worker, Waker], object]) -> None:
        """Call a function for each worker, in threads, and wait for all of them. `stop` can be called meanwhile."""
        for worker in self._workers:
            worker.check_can_run()
        ends = [threading.Event() for _ in self._workers]
        threads = [
            threading.Thread(
                target=copy_context().run,
                args=[self._work, run, worker, waker, end],
                name=f"eventstore {worker.projection.name}",
                daemon=True,
            )
            for worker, waker, end in zip(self._workers, self._wakers, ends, strict=True)
        ]
        try:
            start_all(threads)
            for end in ends:  # in Python 3.11, a join that Ctrl-C interrupts takes a running thread for one that ended
                end.wait()
        except BaseException:  # Ctrl-C: the caller would have no other way to stop them
            self.stop()
            for thread, end in zip(threads, ends, strict=True):
                if thread.ident is not None:
                    end.wait()
            raise
        finally:
            join_started(threads)

    def _work(self, run: Callable[[Worker, Waker], object], worker: Worker, waker: Waker, end: threading.Event) -> None:
        try:
            with self._thread_context():
                run(worker, waker)
        except Exception as error:  # noqa: BLE001  # raised by the calling thread, or in `failures`
            self._note(worker, error)
            if self._stop_on_failure:
                self.stop()
        finally:
            end.set()

    def _run_forever(self, worker: Worker, waker: Waker) -> None:
        """Run a worker until `stop`, and run it again after a failure."""
        backoff = Backoff(_SHORTEST_BACKOFF_SECONDS, _LONGEST_BACKOFF_SECONDS)

        def has_worked(_: Batch) -> None:
            backoff.reset()
            with self._lock:
                self._failures.pop(worker.projection.name, None)

        while not self._stopped:
            try:
                worker.run_forever(on_batch=has_worked)
            except Exception as error:
                if self._stop_on_failure:
                    raise
                self._note(worker, error)
                waker.wait(backoff.pause())

    def _note(self, worker: Worker, error: Exception) -> None:
        name, kind = worker.projection.name, error_type(error)
        with self._lock:
            before, self._failures[name] = self._failures.get(name), error
        if before is None or error_type(before) != kind:
            extra = {"projection": name, "error_type": kind}
            _log.error("projection %r has failed (%s)", name, kind, extra=extra)

    def _raise_first(self) -> None:
        with self._lock:
            for error in self._failures.values():
                raise error
