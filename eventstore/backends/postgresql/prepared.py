"""Statements that are prepared under a name on the driver's connection, and executed without a cursor.

For a small statement, psycopg's cursor takes three times as long as the calls of libpq that it makes.
"""

import re
import select
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any, Final

import psycopg
from psycopg.errors import error_from_result
from psycopg.pq import DiagnosticField, ExecStatus
from psycopg.pq.abc import PGconn, PGresult

_OUTDATED: Final = (b"26000", b"0A000")
"""The server does not know the name, after DEALLOCATE or DISCARD ALL; or the result has other types than before, after
the tables were changed. Nothing was executed. If 0A000 comes from the statement itself, nothing of it has remained."""

_BINARY: Final = 1

_KEPT: Final = 100
"""How many statements to prepare on one connection. Each takes memory of the server; one store has four of them, but a
connection may serve the stores of any number of schemas."""

_INTERVAL_MILLISECONDS: Final = 100
"""As in psycopg: how often a thread wakes up, so that it notices an exception that was set for it."""

PREPARED: Final = "eventstore: prepared statements"
"""The key of the `PreparedStatements` in SQLAlchemy's notes about a connection, which end with the connection."""


@dataclass(frozen=True, slots=True)
class NumberedStatement:
    """SQL with numbered parameters, as the server takes it.

    Attributes:
        sql: The text.
        names: The names of the parameters, by number.
        types: The oids of their types; a list, as psycopg 3.2 takes nothing else.
        formats: Their formats, likewise: all are binary.
    """

    sql: bytes
    names: tuple[str, ...]
    types: list[int]
    formats: list[int]

    @classmethod
    def of(cls, sql: str, type_of: Callable[[str], int]) -> "NumberedStatement":
        """Return the statement for SQL with named parameters, as psycopg's cursors take it."""
        names: dict[str, int] = {}

        def number(found: re.Match[str]) -> str:
            name = found.group(1)
            return "%" if name is None else f"${names.setdefault(name, len(names) + 1)}"

        text = re.sub(r"%%|%\((\w+)\)b", number, sql)
        return cls(text.encode(), tuple(names), list(map(type_of, names)), [_BINARY] * len(names))


class PreparedStatements:
    """The statements that are prepared on one connection. Each is prepared when it is executed for the first time.

    Once there are many, others are executed without that, also in one round trip.

    Args:
        pgconn: psycopg's object for libpq's connection.
    """

    @classmethod
    def on(cls, raw: psycopg.Connection[Any], notes: dict[Any, Any]) -> "PreparedStatements":
        """Return those of a connection, which SQLAlchemy's notes about it keep."""
        if PREPARED not in notes:
            notes[PREPARED] = cls(raw.pgconn)
        prepared: PreparedStatements = notes[PREPARED]
        return prepared

    def __init__(self, pgconn: PGconn) -> None:
        self._pgconn = pgconn
        self._names: dict[bytes, bytes] = {}
        self._numbers = count()
        self._wait, self._wait_to_write = _waiting_for(pgconn.socket)

    def execute(self, statement: NumberedStatement, values: Sequence[bytes | None]) -> PGresult:
        """Execute a statement that returns rows; return them, in binary.

        A KeyboardInterrupt leaves the connection in the middle of it.

        Raises:
            Error: psycopg's, for an error of the server, or a lost connection.
        """
        name = self._names.get(statement.sql)
        if name is not None:
            result = self._execute(name, statement, values)
            if result.status == ExecStatus.TUPLES_OK:
                return result
            if not _is_outdated(result):
                raise error_from_result(result)
            self._deallocate(name)
        if name is None and len(self._names) >= _KEPT:
            self._pgconn.send_query_params(statement.sql, values, statement.types, statement.formats, _BINARY)
            result = self._receive()[0]
        else:
            result = self._execute(self._prepare(statement), statement, values)
        if result.status != ExecStatus.TUPLES_OK:
            raise error_from_result(result)
        return result

    def execute_in_transaction(self, calls: Sequence[tuple[NumberedStatement, Sequence[bytes | None]]]) -> PGresult:
        """Execute statements in a transaction at READ COMMITTED, in one round trip; return the rows of the last one.

        The connection must not be in a transaction. After an error of the server, it is in a failed one. A
        KeyboardInterrupt leaves the connection in the middle of it, in pipeline mode.

        Raises:
            Error: psycopg's, for an error of the server, or a lost connection.
        """
        results = self._transaction(calls)
        if any(map(_is_outdated, results)):
            self._pgconn.send_query(b"ROLLBACK")
            self._receive()
            for statement, _ in calls:
                if name := self._names.pop(statement.sql, None):
                    self._deallocate(name)
            results = self._transaction(calls)
        for result in results:
            if result.status == ExecStatus.FATAL_ERROR:
                raise error_from_result(result)
        return results[-2]  # the last is that of COMMIT

    def _transaction(self, calls: Sequence[tuple[NumberedStatement, Sequence[bytes | None]]]) -> list[PGresult]:
        """Send statements as a transaction, after those that prepare them; return the results of all."""
        pgconn, names = self._pgconn, dict[int, tuple[bytes, bytes]]()
        pgconn.enter_pipeline_mode()
        pgconn.send_query_params(b"BEGIN ISOLATION LEVEL READ COMMITTED", None)
        for sent, (statement, values) in enumerate(calls, 1):
            name = self._names.get(statement.sql)
            if name is None and len(self._names) + len(names) >= _KEPT:
                pgconn.send_query_params(statement.sql, values, statement.types, statement.formats, _BINARY)
                continue
            if name is None:
                name = b"eventstore_%d" % next(self._numbers)
                pgconn.send_prepare(name, statement.sql, statement.types)
                names[sent + len(names)] = statement.sql, name
            pgconn.send_query_prepared(name, values, statement.formats, _BINARY)
        pgconn.send_query_params(b"COMMIT", None)
        pgconn.pipeline_sync()
        results = self._receive(in_pipeline=True)
        pgconn.exit_pipeline_mode()
        self._names.update(made for index, made in names.items() if results[index].status == ExecStatus.COMMAND_OK)
        return results

    def _deallocate(self, name: bytes) -> None:
        self._pgconn.send_query(b"DEALLOCATE " + name)  # fails if the name is not known
        self._receive()

    def _prepare(self, statement: NumberedStatement) -> bytes:
        name = b"eventstore_%d" % next(self._numbers)
        self._pgconn.send_prepare(name, statement.sql, statement.types)
        result = self._receive()[0]
        if result.status != ExecStatus.COMMAND_OK:
            raise error_from_result(result)
        self._names[statement.sql] = name
        return name

    def _execute(self, name: bytes, statement: NumberedStatement, values: Sequence[bytes | None]) -> PGresult:
        self._pgconn.send_query_prepared(name, values, statement.formats, _BINARY)
        return self._receive()[0]

    def _receive(self, *, in_pipeline: bool = False) -> list[PGresult]:
        """Send what is not sent yet; return the results, when the server is ready for the next statement."""
        pgconn, results = self._pgconn, []
        while pgconn.flush():
            self._wait_to_write(_INTERVAL_MILLISECONDS)
            pgconn.consume_input()  # a server that can't send does not read either
        is_end = False
        while not is_end or in_pipeline:
            while pgconn.is_busy():
                self._wait(_INTERVAL_MILLISECONDS)
                pgconn.consume_input()
            result = pgconn.get_result()
            if result is not None:
                if result.status == ExecStatus.PIPELINE_SYNC:
                    break
                results.append(result)
            elif is_end:  # of a statement, already
                raise psycopg.OperationalError("the connection is lost")
            is_end = result is None
        while notification := pgconn.notifies():
            if pgconn.notify_handler is not None:  # psycopg's, which knows the application's
                pgconn.notify_handler(notification)
        return results


def _is_outdated(result: PGresult) -> bool:
    return result.error_field(DiagnosticField.SQLSTATE) in _OUTDATED


def _waiting_for(file_descriptor: int) -> tuple[Callable[[int], object], Callable[[int], object]]:
    """Return functions that wait for so many milliseconds until there is input, or until there is or it takes output.

    A signal interrupts them.
    """
    if hasattr(select, "poll"):
        reading, writing = select.poll(), select.poll()
        reading.register(file_descriptor, select.POLLIN)
        writing.register(file_descriptor, select.POLLIN | select.POLLOUT)
        return reading.poll, writing.poll
    files = [file_descriptor]
    return (
        lambda milliseconds: select.select(files, [], [], milliseconds / 1000),
        lambda milliseconds: select.select(files, files, [], milliseconds / 1000),
    )
