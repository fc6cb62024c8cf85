"""Changing history, for who means it: what switches the protection of es_events off for a while."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from sqlalchemy.exc import SQLAlchemyError

from eventstore.backends.protocol import Backend, Run


@contextmanager
def history_changes(backend: Backend, run: Run) -> Iterator[None]:
    """Let statements of this transaction change es_events until the end of the block."""
    was_permitted = backend.permit_history_changes(run)
    try:
        yield
    except BaseException:
        if not was_permitted:
            with suppress(SQLAlchemyError):  # an aborted transaction takes the permission with it
                backend.forbid_history_changes(run)
        raise
    if not was_permitted:
        backend.forbid_history_changes(run)
