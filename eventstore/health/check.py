"""The health check of a store's database, with a bounded duration."""

import threading
import time
from collections.abc import Sequence
from contextvars import copy_context
from dataclasses import dataclass, replace
from typing import Any, Final

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import QueuePool, SingletonThreadPool, StaticPool

from eventstore.backends import without_password
from eventstore.backends.protocol import Dialect, Row, Run
from eventstore.common.validation import check_seconds
from eventstore.core.execution import Execution
from eventstore.core.schema_version import REQUIRED_BY_PROJECTIONS, check_version
from eventstore.errors import GlobalOrderError, PartitioningRefused, PermissionDenied, SchemaError, SchemaMissing
from eventstore.findings import Finding, Level
from eventstore.health.parts import of_runway
from eventstore.health.report import (
    COUNTED_AT_MOST,
    ConnectionHealth,
    Health,
    PoolHealth,
    ProjectionHealth,
    SchemaHealth,
)
from eventstore.health.thresholds import Thresholds
from eventstore.parts import Runway
from eventstore.statements.projections import projection_health
from eventstore.statements.schema import schema_version

_UNKNOWN_SCHEMA: Final = SchemaHealth(fits=False, version=None, error=None)


@dataclass(frozen=True, slots=True)
class _Observation:
    """What the check read from the database; `error` if the database did not answer."""

    error: str | None
    schema: SchemaHealth = _UNKNOWN_SCHEMA
    projections: tuple[ProjectionHealth, ...] = ()
    projections_error: str | None = None
    positions_error: str | None = None
    runway: Runway | None = None


class HealthCheck:
    """Checks the database of one store, in a separate thread, or in a task of asyncio that can be cancelled.

    Without asyncio, only a thread bounds the time: a lost network, a full pool or a lock can block a driver for
    minutes. A thread that misses the timeout is left running. The next check waits for it first, so threads and
    connections don't accumulate while a database hangs.

    Args:
        engine: The store's engine.
        execution: Where the store's statements run, not joined.
        dialect: The store's dialect.
    """

    def __init__(self, engine: Engine, execution: Execution, dialect: Dialect) -> None:
        self._engine = engine
        self._execution = execution
        self._dialect = dialect
        self._overdue: list[threading.Thread] = []

    def __call__(self, thresholds: Thresholds, *, timeout_seconds: float) -> Health:
        """Check, and compare the result with the thresholds. Problems are returned, never raised."""
        check_seconds("timeout_seconds", timeout_seconds, minimum=0.001)
        began = time.monotonic()
        pool = self._pool()
        names = thresholds.projections
        observation = self._look_within(timeout_seconds, names)
        seconds = round(time.monotonic() - began, 6)
        errors = {
            "connection": observation.error,
            "schema": observation.schema.error,
            "positions": observation.positions_error,
            "projections": observation.projections_error,
        }
        problems = [Finding(Level.ERROR, subject, error) for subject, error in errors.items() if error is not None]
        projections = tuple(each for each in observation.projections if names is None or each.name in names)
        if observation.schema.fits and observation.projections_error is None:
            problems += thresholds.of_projections(projections)
        problems += of_runway(observation.runway)
        problems += thresholds.of_pool(pool)
        connection = ConnectionHealth(is_up=observation.error is None, seconds=seconds, error=observation.error)
        return Health(tuple(problems), connection, observation.schema, projections, pool, observation.runway)

    def _look_within(self, timeout_seconds: float, names: tuple[str, ...] | None) -> _Observation:
        if isinstance(self._engine.pool, SingletonThreadPool | StaticPool):  # another thread has another database
            return self._look(names)
        missed = _Observation(f"the database did not answer within {timeout_seconds:g} s")
        if self._engine.dialect.is_async:
            from eventstore.backends.tasks import within  # noqa: PLC0415  # only on an engine for asyncio

            return within(timeout_seconds, lambda: self._look(names)) or missed
        deadline = time.monotonic() + timeout_seconds
        for thread in list(self._overdue):
            thread.join(max(deadline - time.monotonic(), 0))
        self._overdue = [thread for thread in self._overdue if thread.is_alive()]
        observations: list[_Observation] = []
        if not self._overdue:
            run = copy_context().run  # a hook of the pool may ask the context which tenant it is
            thread = threading.Thread(
                target=lambda: observations.append(run(self._look, names)), name="eventstore-health", daemon=True
            )
            thread.start()
            thread.join(max(deadline - time.monotonic(), 0))
            if thread.is_alive():
                self._overdue.append(thread)
        if not observations:
            return missed
        return observations[0]

    def _look(self, names: tuple[str, ...] | None) -> _Observation:
        try:
            with self._execution.statement() as run:
                schema = self._schema(run)
                positions_error, parts = self._positions_error(run), self._runway(run)
                if names == () or (schema.version or 0) < REQUIRED_BY_PROJECTIONS:
                    return _Observation(None, schema, positions_error=positions_error, runway=parts)
                try:
                    rows = run(projection_health, at_most=COUNTED_AT_MOST)
                except (DBAPIError, PermissionDenied) as error:
                    if isinstance(error, DBAPIError) and error.connection_invalidated:
                        raise
                    problem = f"can't be read: {self._describe(error)}"
                    return _Observation(
                        None, schema, projections_error=problem, positions_error=positions_error, runway=parts
                    )
            found = self._projections(rows)
            return _Observation(None, schema, found, positions_error=positions_error, runway=parts)
        except SchemaError as error:
            return _Observation(None, SchemaHealth(fits=False, version=getattr(error, "found", None), error=str(error)))
        except PermissionDenied as error:
            problem = f"the schema can't be read: {error}"
            return _Observation(None, SchemaHealth(fits=False, version=None, error=problem))
        except Exception as error:  # noqa: BLE001  # any error of a driver is a result here
            return _Observation(self._describe(error))

    def _schema(self, run: Run) -> SchemaHealth:
        """Read the schema version again: the store itself reads it only once."""
        rows = run(schema_version)
        if not rows:
            raise SchemaMissing(run.place)
        version, breaking_version, may_be_distributed, *_ = rows[0]
        check_version(version, breaking_version, place=run.place)
        if may_be_distributed:
            self._dialect.check_server(run)
        return SchemaHealth(fits=True, version=version, error=None)

    def _positions_error(self, run: Run) -> str | None:
        try:
            self._dialect.check_positions(run)
        except GlobalOrderError as error:
            return str(error)
        except PermissionDenied:
            return None  # a role that may not read es_events does not append
        return None

    def _runway(self, run: Run) -> Runway | None:
        try:
            return self._dialect.runway(run)
        except (PermissionDenied, PartitioningRefused):
            return None  # as above; and `verify` says what is wrong with parts that are not ours

    def _projections(self, rows: Sequence[Row]) -> tuple[ProjectionHealth, ...]:
        """Return the health of each projection; of its partitions, the greatest lag and the first failure."""
        found: dict[str, ProjectionHealth] = {}
        for each in map(self._projection, rows):
            other = found.get(each.name, each)
            behind = min(each, other, key=lambda one: one.position)
            found[each.name] = replace(
                behind,
                failure=other.failure or each.failure,
                retrying=other.retrying or each.retrying,
                log_went_back=other.log_went_back or each.log_went_back,
            )
        return tuple(found.values())

    def _projection(self, row: Row) -> ProjectionHealth:
        name, position, lag_events, oldest, dead_letters, failure, failed_at, now, log_went_back, *_ = row
        to_time = self._dialect.to_time
        lag = 0.0 if oldest is None else max((to_time(now) - to_time(oldest)).total_seconds(), 0.0)
        has_stopped = failed_at is not None
        return ProjectionHealth(
            name, position, lag_events, lag, dead_letters,
            failure=failure if has_stopped else None, retrying=None if has_stopped else failure,
            log_went_back=bool(log_went_back),
        )  # fmt: skip

    def _describe(self, error: Exception) -> str:
        cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
        first_line = str(cause).strip().partition("\n")[0]
        return f"{type(cause).__name__}: {without_password(first_line, self._engine.url)}"

    def _pool(self) -> PoolHealth:
        pool: Any = self._engine.pool
        kind = type(pool).__name__
        if not isinstance(pool, QueuePool):
            return PoolHealth(kind, size=None, checked_out=None, overflow=None, limit=None)
        max_overflow = getattr(pool, "_max_overflow", -1)  # SQLAlchemy has no public name for it; -1: no limit
        limit = pool.size() + max_overflow if max_overflow >= 0 and pool.size() else None
        return PoolHealth(kind, pool.size(), pool.checkedout(), max(pool.overflow(), 0), limit)
