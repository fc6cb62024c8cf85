"""Connections of SQLAlchemy's pool, taken without the object that SQLAlchemy makes for each checkout.

A checkout makes a proxy with a finalizer, and a checkin resets the connection; together they take as long as it takes
to send an append. All that they are for is hooks, pings, the log and a transaction to roll back, and here there are
none. SQLAlchemy has no public way around them. What is used of it here is checked when this module is imported: if
anything is missing, connections are taken as usual. tests/test_sqlalchemy_private.py shows that all of it works.
"""

import inspect
from typing import Any, Final

from sqlalchemy import pool as pools
from sqlalchemy.pool import Pool, QueuePool

_USED: Final[tuple[tuple[str, str, tuple[str, ...]], ...]] = (
    ("QueuePool", "_do_get", ("self",)),
    ("QueuePool", "_do_return_conn", ("self", "record")),
    ("QueuePool", "_invalidate", ("self", "connection", "exception", "_checkin")),
    ("QueuePool", "_should_log_debug", ("self",)),
    ("_ConnectionRecord", "get_connection", ("self",)),
    ("_ConnectionRecord", "invalidate", ("self", "e", "soft")),
    ("_AdhocProxiedConnection", "__init__", ("self", "dbapi_connection", "connection_record")),
)
"""Classes of `sqlalchemy.pool`, their methods, and the parameters of those."""


def _has_what_is_used() -> bool:
    for class_name, method_name, parameters in _USED:
        method = getattr(getattr(pools, class_name, None), method_name, None)
        if method is None or tuple(inspect.signature(method).parameters) != parameters:
            return False
    return True


HAS_RECORDS: Final = _has_what_is_used()
"""Whether SQLAlchemy has the private parts that this module uses."""


def lends_records(pool: Pool) -> bool:
    """Return whether a checkout and checkin of this pool do nothing but hand over a connection.

    That is not so for a class of the application, for pools whose connections are not kept or are shared, with
    `pool_pre_ping` and `echo_pool`, and if a hook listens to checkouts, resets or checkins.
    """
    if type(pool) is not QueuePool or not HAS_RECORDS:
        return False
    hooks: Any = pool.dispatch
    return not (
        getattr(pool, "_pre_ping", True) or hooks.checkout or hooks.reset or hooks.checkin or pool._should_log_debug()  # noqa: SLF001  # no public way
    )


def take(pool: Pool) -> Any:
    """Take a record out of the pool: the place of one connection. Its `get_connection` connects if it has none.

    Raises:
        TimeoutError: SQLAlchemy's, if all connections are in use for too long.
        Error: The driver's, if it can't connect.
    """
    record: Any = pool._do_get()  # noqa: SLF001  # likewise
    return record


def give_back(pool: Pool, record: Any) -> None:
    """Return a record to the pool. No transaction may be open on its connection."""
    pool._do_return_conn(record)  # noqa: SLF001  # likewise


def discard_after_loss(pool: Pool, record: Any, error: Exception | None = None) -> None:
    """Discard a lost connection, and have the pool replace all that are as old, as SQLAlchemy does after a loss."""
    proxy: Any = pools._AdhocProxiedConnection(record.dbapi_connection, record)  # noqa: SLF001  # likewise
    pool._invalidate(proxy, error)  # noqa: SLF001  # likewise
    record.invalidate(error)


class Checkout:
    """A connection that was taken out of the pool. If it is forgotten, it is closed, and the pool gets its place back.

    Args:
        pool: The pool; `lends_records` is true for it.

    Attributes:
        dbapi_connection: The driver's connection.
        info: The notes that the pool keeps about it.
    """

    __slots__ = ("_pool", "_record", "dbapi_connection", "info")

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._record: Any = None  # set at once when the pool has given it, so that Ctrl-C does not lose it
        self._record = pool._do_get()  # noqa: SLF001
        self.dbapi_connection: Any = self._record.get_connection()
        self.info: dict[Any, Any] = self._record.info

    def close(self) -> None:
        """Return the connection to the pool. No transaction may be open on it."""
        record, self._record = self._record, None
        self._pool._do_return_conn(record)  # noqa: SLF001

    def invalidate(self) -> None:
        """Close the connection; the pool opens another one when it needs one."""
        record, self._record = self._record, None
        try:
            record.invalidate()
        finally:
            self._pool._do_return_conn(record)  # noqa: SLF001

    def __del__(self) -> None:
        if getattr(self, "_record", None) is not None:
            self.invalidate()
