"""Connections of SQLAlchemy's pool, taken without the proxy that SQLAlchemy makes for each checkout.

The proxy, its finalizer and the reset at the checkin serve hooks, pings, the log, and a transaction to roll back. If
there are none of these, they only take time. SQLAlchemy has no public way around them. What is used of it is looked for
when this module is imported; if anything is missing, connections are taken as usual.
"""

from typing import Any, Final

from sqlalchemy.pool import Pool, QueuePool
from sqlalchemy.pool import base as pools

_USED: Final = (
    (QueuePool, ("_do_get", "_do_return_conn", "_should_log_debug", "dispatch")),
    (getattr(pools, "_ConnectionRecord", None), ("get_connection", "info", "invalidate")),
)

HAS_RECORDS: Final = all(hasattr(owner, name) for owner, names in _USED for name in names)
"""Whether SQLAlchemy has the private parts that this module uses."""


def lends_records(pool: Pool) -> bool:
    """Return whether a checkout and a checkin of this pool do nothing but hand over a connection.

    That is not so for another class of pools, with `pool_pre_ping` and `echo_pool`, and if a hook listens to checkouts,
    resets or checkins.
    """
    if type(pool) is not QueuePool or not HAS_RECORDS or getattr(pool, "_pre_ping", True):
        return False
    hooks: Any = pool.dispatch
    return not (hooks.checkout or hooks.reset or hooks.checkin or pool._should_log_debug())  # noqa: SLF001  # see above


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
