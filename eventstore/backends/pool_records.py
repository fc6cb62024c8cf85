"""Connections of SQLAlchemy's pool, taken without the object that SQLAlchemy makes for each checkout.

A checkout makes a proxy with a finalizer, and a checkin resets the connection; together they take as long as it takes
to send an append. All that they are for is hooks, pings, the log and a transaction to roll back, and here there are
none. SQLAlchemy has no public way around them. What is used of it here is checked when this module is imported: if
anything is missing, connections are taken as usual. tests/test_sqlalchemy_private.py shows that all of it works.
"""

import inspect
from collections.abc import Callable
from typing import Any, Final

from sqlalchemy import pool as pools
from sqlalchemy.pool import Pool, QueuePool

USED: Final[tuple[tuple[str, str, tuple[str, ...]], ...]] = (
    ("QueuePool", "_do_get", ("self",)),
    ("QueuePool", "_do_return_conn", ("self", "record")),
    ("QueuePool", "_invalidate", ("self", "connection", "exception", "_checkin")),
    ("QueuePool", "_should_log_debug", ("self",)),
    ("_ConnectionRecord", "get_connection", ("self",)),
    ("_ConnectionRecord", "invalidate", ("self", "e", "soft")),
    ("_AdhocProxiedConnection", "__init__", ("self", "dbapi_connection", "connection_record")),
)
"""Classes of `sqlalchemy.pool`, their methods, and the parameters of those."""


def has_what_is_used() -> bool:
    """Return whether all of `USED` exists, with these parameters."""
    for class_name, method_name, parameters in USED:
        method = getattr(getattr(pools, class_name, None), method_name, None)
        if method is None or tuple(inspect.signature(method).parameters) != parameters:
            return False
    return True


HAS_RECORDS: Final = has_what_is_used()
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


def giving_back(pool: Pool) -> Callable[[Any], None]:
    """Return the function that returns a record to the pool. No transaction may be open on its connection.

    It is the pool's own: Ctrl-C raises in calls, and in a function around it the place could be lost.
    """
    return pool._do_return_conn  # noqa: SLF001  # likewise


def discard_after_loss(pool: Pool, record: Any, error: Exception | None = None) -> None:
    """Discard a lost connection, and have the pool replace all that are as old, as SQLAlchemy does after a loss."""
    proxy: Any = pools._AdhocProxiedConnection(record.dbapi_connection, record)  # noqa: SLF001  # likewise
    pool._invalidate(proxy, error)  # noqa: SLF001  # likewise
    record.invalidate(error)
