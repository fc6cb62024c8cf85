"""Which errors say that a transaction came between others, so that all of it can be repeated."""

from typing import Final

from sqlalchemy.exc import DBAPIError

from eventstore.errors import ConcurrencyConflict, DatabaseBusy

_SQLSTATES: Final = frozenset({"40001", "40P01"})
"""Serialization failures and deadlocks, for which PostgreSQL has rolled the transaction back."""

_SQLITE_BUSY: Final = 5
"""The lowest byte of SQLite's error code if another connection has the write lock, or has written meanwhile."""


def is_conflict(error: BaseException) -> bool:
    """Return whether other transactions were in the way, and the whole transaction may succeed if it is repeated.

    Nothing of it is stored. The error is the store's, or the driver's, which SQLAlchemy or Django may have wrapped: of
    a statement of the application, or of a commit. An error that the application has made of one is no conflict.
    """
    if isinstance(error, ConcurrencyConflict | DatabaseBusy):
        return True
    cause: BaseException | None = error
    if isinstance(error, DBAPIError):
        cause = error.orig
    elif _is_of_django(error):
        cause = error.__cause__
    code = getattr(cause, "sqlite_errorcode", None)
    return getattr(cause, "sqlstate", None) in _SQLSTATES or (isinstance(code, int) and code & 0xFF == _SQLITE_BUSY)


def _is_of_django(error: BaseException) -> bool:
    return type(error).__module__ == "django.db.utils"
