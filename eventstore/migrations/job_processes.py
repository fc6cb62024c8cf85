"""Migrations of one schema after the other, in this process or in several that it starts.

Alembic's `context` and `op` are globals of a process, so schemas are migrated at the same time by processes, not by
threads. A process that has lost its parent finishes the schema that it is working on, and ends.
"""

import multiprocessing
import pickle
from collections import deque
from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection as Pipe
from multiprocessing.connection import wait
from typing import Any, Final

from sqlalchemy import URL, Engine, inspect

from eventstore.backends import engine_for
from eventstore.errors import MigrationError, SchemaMissing, TablesPlace
from eventstore.migrations.commands import current, upgrade
from eventstore.migrations.environment import VERSION_TABLE
from eventstore.migrations.settings import Progress

_SPAWN: Final = multiprocessing.get_context("spawn")
"""A forked process would share the connections and locks of its parent."""

OnWaiting = Callable[[str, Progress], None]
"""Takes the schema and what its migration waits for."""


@dataclass(frozen=True, slots=True)
class Job:
    """One schema to migrate; the attributes are the options of `upgrade`."""

    schema: str
    revision: str
    lock_timeout_seconds: float
    wait_seconds: float


@dataclass(frozen=True, slots=True)
class Result:
    """What became of it: the revision of its tables now, or the error."""

    schema: str
    revision: str | None = None
    error: Exception | None = None


def run_here(engine: Engine, jobs: Sequence[Job], on_waiting: OnWaiting) -> Generator[Result]:
    """Migrate the schemas in this process; yield what became of each."""
    for job in jobs:
        yield _run(engine, job, on_waiting)


def run_in_processes(url: URL, jobs: Sequence[Job], processes: int, on_waiting: OnWaiting) -> Generator[Result]:
    """Migrate the schemas in so many new processes; yield what became of each.

    Close the iterator to end the processes before all is done.
    """
    todo, workers = deque(jobs), list[_Worker]()
    try:
        while todo and len(workers) < processes:
            workers.append(_Worker(url, todo.popleft()))
        while workers:
            for pipe in wait([worker.pipe for worker in workers]):
                worker = next(each for each in workers if each.pipe is pipe)
                answer = worker.answer()
                if isinstance(answer, Progress):
                    on_waiting(worker.job.schema, answer)
                    continue
                yield answer
                if todo and not worker.is_lost:
                    worker.give(todo.popleft())
                    continue
                workers.remove(worker)
                worker.end()
                if todo:
                    workers.append(_Worker(url, todo.popleft()))
    finally:
        for worker in workers:
            worker.process.terminate()
            worker.end()


class _Worker:
    """A process that migrates one schema after the other."""

    def __init__(self, url: URL, job: Job) -> None:
        self.is_lost = False
        self.pipe, far_end = _SPAWN.Pipe()
        self.process = _SPAWN.Process(target=_work, args=(url, far_end), daemon=True)
        self.process.start()
        far_end.close()  # so that the process's own is the only one, and its end is noticed
        self.give(job)

    def give(self, job: Job) -> None:
        """Send a job."""
        self.job = job
        with suppress(BrokenPipeError):  # then `answer` finds that the process has ended
            self.pipe.send(job)

    def answer(self) -> Result | Progress:
        """Return what the process has sent; an error if it has ended."""
        try:
            answer: Result | Progress = self.pipe.recv()
        except (EOFError, ConnectionError):
            self.process.join()
            self.is_lost = True
            msg = (
                f"the process that migrated schema {self.job.schema!r} has ended with exit code "
                f"{self.process.exitcode}; run the migration again, and it completes what is missing"
            )
            return Result(self.job.schema, error=MigrationError(msg))
        return answer

    def end(self) -> None:
        """Wait until the process has ended, which it does when its pipe is closed."""
        self.pipe.close()
        self.process.join()


def _work(url: URL, pipe: "Pipe[Any, Any]") -> None:
    """Migrate the schemas that come through the pipe, until it is closed; for a process of its own."""
    engine = engine_for(url, pool_size=1)
    with suppress(EOFError, ConnectionError, KeyboardInterrupt):  # the parent has ended, or ends for the same Ctrl-C
        while True:
            job: Job = pipe.recv()
            pipe.send(picklable(_run(engine, job, lambda _, progress: pipe.send(progress))))
    engine.dispose()


def _run(engine: Engine, job: Job, on_waiting: OnWaiting) -> Result:
    def report(progress: Progress) -> None:
        if progress.waiting_for:
            on_waiting(job.schema, progress)

    try:
        _refuse_dropped(engine, job.schema)
        upgrade(
            engine,
            job.revision,
            schema=job.schema,
            lock_timeout_seconds=job.lock_timeout_seconds,
            wait_seconds=job.wait_seconds,
            on_progress=report,
        )
        return Result(job.schema, current(engine, schema=job.schema))
    except Exception as error:  # noqa: BLE001  # the other schemas go on; it is reported
        return Result(job.schema, error=error)


def _refuse_dropped(engine: Engine, schema: str) -> None:
    """Refuse to create the tables of a tenant who was dropped since the schemas were listed.

    Raises:
        SchemaMissing: There are none.
    """
    inspector = inspect(engine)
    if not inspector.has_table("es_schema", schema) and not inspector.has_table(VERSION_TABLE, schema):
        raise SchemaMissing(TablesPlace("this database", schema, "they were dropped meanwhile"))


def picklable(result: Result) -> Result:
    """Return the result, or one that describes its error if that can't be sent to another process."""
    try:
        pickle.loads(pickle.dumps(result))  # noqa: S301  # its own
    except Exception:  # noqa: BLE001  # an error of a driver can be anything
        return Result(result.schema, error=MigrationError(f"{type(result.error).__name__}: {result.error}"))
    return result
