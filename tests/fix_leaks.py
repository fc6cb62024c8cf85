"""Over the whole run: no log record and no error of ours has any of the strings in it that tests put into payloads."""

import logging
import sqlite3
import weakref
from collections.abc import Generator
from contextlib import suppress
from typing import Any, Final

import pytest
from sqlalchemy import event
from sqlalchemy.pool import ConnectionPoolEntry, Pool

from eventstore.errors import EventStoreError
from eventstore.testing.projection_contract import PAYLOAD

SECRET: Final = "4000-1234-5678-9010"  # noqa: S105  # it guards nothing
"""A payload that must not be seen: it looks like a card number, and is none."""

_MARKERS: Final = (SECRET, PAYLOAD)
_leaks: list[str] = []


class _Watch(logging.Handler):
    """Looks into every record, its fields and its traceback."""

    def emit(self, record: logging.LogRecord) -> None:
        _look(f"a log record of {record.name}", f"{self.format(record)} {record.__dict__}")


def _look(where: str, text: str) -> None:
    if any(marker in text for marker in _MARKERS):
        _leaks.append(where)


def _init(error: EventStoreError, *arguments: Any) -> None:
    Exception.__init__(error, *arguments)
    _look(f"an error, {type(error).__name__}", str(arguments))


def _close_in_the_end(connection: Any, record: ConnectionPoolEntry) -> None:
    """Close the connections of engines that a test has made and forgotten: since Python 3.13, sqlite3 warns if not."""
    if isinstance(connection, sqlite3.Connection):
        weakref.finalize(record, _close, connection)


def _close(connection: sqlite3.Connection) -> None:
    with suppress(sqlite3.ProgrammingError):  # the garbage collector ran in a thread that may not close it
        connection.close()


def pytest_configure(config: pytest.Config) -> None:
    event.listen(Pool, "connect", _close_in_the_end)
    EventStoreError.__init__ = _init  # type: ignore[assignment]  # to see the text of every one
    logging.getLogger("eventstore").addHandler(_Watch(logging.DEBUG))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None]:
    """Fail the test in which something has leaked."""
    _leaks.clear()
    yield
    if _leaks:
        pytest.fail(f"{item.nodeid} has leaked a payload into {', '.join(sorted(set(_leaks)))}")
