"""aiosqlite's connections, when a task is cancelled."""

import asyncio
import sqlite3
from contextlib import suppress
from typing import Any

from sqlalchemy import Engine, event
from sqlalchemy.util.concurrency import in_greenlet

from eventstore.backends.tasks import finish


def roll_back_before_closing(engine: Engine) -> None:
    """Let an engine roll back on a connection that it gives up because a task was cancelled.

    SQLAlchemy only closes it. SQLite then keeps it open, and its write lock, for as long as a cursor exists whose
    statement has not ended; and the traceback of the cancellation refers to that cursor.
    """
    if not event.contains(engine, "invalidate", _roll_back):
        event.listen(engine, "invalidate", _roll_back)


def _roll_back(connection: Any, *_: Any) -> None:
    if in_greenlet():
        with suppress(sqlite3.Error, ValueError, asyncio.CancelledError):  # the one that has led here is raised later
            finish(connection.driver_connection.rollback())
