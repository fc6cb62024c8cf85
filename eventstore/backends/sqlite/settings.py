"""Settings of a connection to SQLite that would change results, and are refused by name."""

import sqlite3
from collections.abc import MutableMapping
from typing import Any, Final

from eventstore.errors import UnsuitableSetting

_CHECKED: Final = "eventstore: settings"
"""The key, in the notes about a connection, that says that its settings were checked."""

_LEGACY: Final = -1
"""sqlite3.LEGACY_TRANSACTION_CONTROL of Python 3.12, with which `isolation_level` controls transactions."""


def check_connection(connection: Any, info: MutableMapping[Any, Any]) -> None:
    """Check what a connection returns for texts, and, once for each connection, SQLite's settings.

    Args:
        connection: The driver's connection, or SQLAlchemy's wrapper of aiosqlite's.
        info: The notes that the pool keeps about it.

    Raises:
        UnsuitableSetting: A setting would make results wrong.
    """
    driver = getattr(connection, "driver_connection", connection)
    if driver.text_factory is not str:
        raise UnsuitableSetting("text_factory", "of the connection does not return texts as str", "leave it as it is")
    if driver is not connection and driver.row_factory is not None:
        raise UnsuitableSetting("row_factory", "of aiosqlite's connection does not return tuples", "leave it as it is")
    if _CHECKED in info:
        return
    for pragma, is_right, problem, remedy in _PRAGMAS:
        value = execute_on(connection, f"PRAGMA {pragma}")
        if value is not None and not is_right(value):
            raise UnsuitableSetting(f"PRAGMA {pragma}", problem.format(value), remedy)
    info[_CHECKED] = True


_PRAGMAS: Final = (
    (
        "encoding",
        lambda value: value == "UTF-8",
        "is {}, in which texts are not sorted by their bytes",
        "create a new file, which is in UTF-8, and copy the tables",
    ),
    (
        "ignore_check_constraints",
        lambda value: not value,
        "is on, so deleted streams would take events again",
        "leave it off",
    ),
    (
        "journal_mode",
        lambda value: value != "off",
        "is off, so nothing could be rolled back",
        "choose another one, such as WAL",
    ),
    (
        "count_changes",
        lambda value: not value,
        "is on, with which the driver of Python 3.12 and newer can't insert several rows",
        "leave it off; SQLite has deprecated it",
    ),
    (
        "read_uncommitted",
        lambda value: not value,
        "is on, so events could be read that are rolled back later",
        "leave it off, and the engine's isolation_level as it is",
    ),
)


def plain_cursor(connection: Any) -> sqlite3.Cursor:
    """Return a cursor that returns rows as tuples, whatever the connection's `row_factory` is."""
    cursor: sqlite3.Cursor = connection.cursor()
    cursor.row_factory = None
    return cursor


def execute_on(connection: Any, sql: str) -> Any:
    """Execute SQL on the driver's connection, or on SQLAlchemy's wrapper of aiosqlite's.

    Returns:
        The first value of the first row; None if there is no row.
    """
    cursor = plain_cursor(connection) if isinstance(connection, sqlite3.Connection) else connection.cursor()
    cursor.execute(sql)
    row = cursor.fetchone()
    cursor.close()
    return None if row is None else row[0]


def begins_nothing(connection: Any) -> bool:
    """Return whether each statement commits: the driver begins no transaction by itself, and none is open."""
    autocommit = getattr(connection, "autocommit", _LEGACY)
    never_begins = connection.isolation_level is None if autocommit == _LEGACY else bool(autocommit)
    return never_begins and not connection.in_transaction


class ManualBegin:
    """Sets the driver to begin no transaction by itself; `restore` restores its setting.

    Args:
        connection: The driver's connection.
    """

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._autocommit = getattr(connection, "autocommit", _LEGACY)
        self._isolation_level = connection.isolation_level
        if self._autocommit == _LEGACY:
            connection.isolation_level = None
        elif not self._autocommit:
            connection.autocommit = True

    def restore(self) -> None:
        """Restore the driver's setting."""
        if self._autocommit == _LEGACY:
            self._connection.isolation_level = self._isolation_level
        elif not self._autocommit:
            self._connection.autocommit = False
