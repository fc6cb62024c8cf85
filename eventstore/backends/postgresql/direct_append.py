"""An append of one event without SQLAlchemy's checkout and without a cursor: one prepared statement, one round trip.

Whatever is not as usual takes the ordinary way, which a caller goes if there is no answer here.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from struct import Struct
from typing import Any, Final

import psycopg
from psycopg.pq import TransactionStatus
from sqlalchemy import Engine

from eventstore.backends import pool_records
from eventstore.backends.postgresql import errors
from eventstore.backends.postgresql.cursors import (
    can_prepare,
    cancel_statement,
    check_connection,
    refuse_open_transaction,
)
from eventstore.backends.postgresql.dialect import PostgreSQLDialect
from eventstore.backends.postgresql.direct_runs import DirectRun
from eventstore.backends.postgresql.parameters import one_event
from eventstore.backends.postgresql.prepared import PREPARED, NumberedStatement, PreparedStatements
from eventstore.backends.protocol import Driver, Row
from eventstore.backends.running import (
    check_positions,
    error_to_raise,
    goes_direct,
    positions_note,
    reported_search_path,
    sqlalchemy_error,
)
from eventstore.rows.mapper import PendingAppend

_INT2, _INT4, _INT8 = Struct("!h").pack, Struct("!i").pack, Struct("!q").pack
_number: Final[Callable[[Any], int]] = partial(int.from_bytes, byteorder="big", signed=True)
_ONE: Final = _INT8(1)

_TYPES: Final = {
    "count": "int8", "expected": "int8", "stream_id": "text", "event_id": "uuid", "event_type": "text",
    "schema_version": "int4", "codec": "int2", "data": "bytea", "metadata": "text",
}  # fmt: skip


class DirectAppends:
    """Makes appends of one event on connections of an engine's pool.

    Args:
        driver: Translates errors.
        dialect: Has the statements.
    """

    def __init__(self, driver: Driver, dialect: PostgreSQLDialect) -> None:
        self._driver = driver
        self._dialect = dialect

    def append(self, engine: Engine, pending: PendingAppend) -> Sequence[Row] | None:
        """Append one event; see `Connections.append_directly`.

        A connection that is lost, or that Ctrl-C has interrupted during a statement, does not return to the pool.
        """
        pool = engine.pool
        if not goes_direct(engine) or not pool_records.lends_records(pool):
            return None
        give_back = pool_records.giving_back(pool)
        try:
            record = pool_records.take(pool)
        except psycopg.Error as error:
            raise sqlalchemy_error(engine, error, None, None) from error
        rows, failure, is_usable = None, None, False
        try:
            rows = self._append(engine, record, pending)
            is_usable = True
        except psycopg.Error as error:
            is_usable = _is_idle(record)
            failure = self._failure(engine, record, error, pending)
        finally:
            # No call comes before these `try`s. Ctrl-C raises in calls, and a place must not be lost to the pool.
            try:
                if not is_usable:
                    _discard(record)
            finally:
                give_back(record)
        if failure is not None:
            raise failure
        return rows

    def _append(self, engine: Engine, record: Any, pending: PendingAppend) -> Sequence[Row] | None:
        raw = record.get_connection()  # a new one if the record has none, or if the pool says that it is too old
        if not can_prepare(raw) or raw.read_only:
            return None
        refuse_open_transaction(raw)
        check_connection(raw)
        notes = record.info
        if positions_note(self._dialect, reported_search_path(raw)) not in notes:
            self._check_positions(engine, record, raw)
        prepared: PreparedStatements = notes.get(PREPARED) or PreparedStatements.on(raw, notes)
        if not self._dialect.append_is_one_statement(pending):
            return None
        sql, constants = self._dialect.append_one_sql(pending.expectation)
        statement, values = _numbered(sql), _packed(pending)
        for name, value in constants.items():
            values[name] = value.encode()
        result = prepared.execute(statement, [values[name] for name in statement.names])
        if result.ntuples == 0:
            return ()
        return ((_number(result.get_value(0, 0)), _number(result.get_value(0, 1))),)

    def _failure(
        self, engine: Engine, record: Any, error: psycopg.Error, pending: PendingAppend
    ) -> BaseException | None:
        """Return what to raise for the driver's error; None if the ordinary way has to try it again."""
        raw = record.dbapi_connection
        if raw is None:  # it could not connect
            return sqlalchemy_error(engine, error, None, None)
        if errors.is_serialization_failure(error):
            return None  # nothing was stored; the ordinary way retries at READ COMMITTED
        is_lost = raw.closed
        if is_lost:
            pool_records.discard_after_loss(engine.pool, record, error)
        sql, constants = self._dialect.append_one_sql(pending.expectation)
        parameters = {**constants, **one_event(pending)}
        return error_to_raise(self._driver, sqlalchemy_error(engine, error, sql, parameters, is_lost=is_lost))

    def _check_positions(self, engine: Engine, record: Any, raw: Any) -> None:
        """Check a new connection; after any error it is discarded."""
        was_autocommit = raw.autocommit
        raw.autocommit = True
        check_positions(_CheckingRun(self._driver, self._dialect, engine, record), self._dialect)
        raw.autocommit = was_autocommit


class _CheckingRun(DirectRun):
    """Runs statements on a record of the pool, which has the same attributes as the pool's proxy for it."""

    def _report_loss(self) -> None:
        pool_records.discard_after_loss(self._engine.pool, self._pooled)


def _is_idle(record: Any) -> bool:
    raw = record.dbapi_connection
    return raw is not None and raw.pgconn.transaction_status == TransactionStatus.IDLE


def _discard(record: Any) -> None:
    """Close a connection, and cancel the statement on it, which would otherwise go on waiting for its locks."""
    raw = record.dbapi_connection
    try:
        if raw is not None:
            cancel_statement(raw)
    finally:
        record.invalidate()


@lru_cache(maxsize=1024)
def _numbered(sql: str) -> NumberedStatement:
    oids = psycopg.adapters.types
    return NumberedStatement.of(sql, lambda name: oids[_TYPES.get(name, "text")].oid)


def _packed(pending: PendingAppend) -> dict[str, bytes | None]:
    """Return the parameters of `one_event` as PostgreSQL has them in binary."""
    expected, metadata = pending.expected, pending.metadata[0]
    return {
        "stream_id": pending.stream_id.encode(),
        "count": _ONE,
        "expected": _INT8(expected) if isinstance(expected, int) else None,
        "event_id": pending.event_ids[0].bytes,
        "event_type": pending.event_types[0].encode(),
        "schema_version": _INT4(pending.schema_versions[0]),
        "codec": _INT2(pending.codecs[0]),
        "data": pending.data[0],
        "metadata": None if metadata is None else metadata.encode(),
    }
