"""The target of handlers: the connection of their batch, or a session on it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import UnboundExecutionError
from sqlalchemy.orm import Session

from eventstore.errors import InvalidInput
from eventstore.projections.definition import Projection


@contextmanager
def target_of(projection: Projection, connection: Connection) -> Iterator[Any]:
    """Yield the connection, or the projection's session on it, which is closed at the end.

    The transaction itself is neither committed nor rolled back.

    Raises:
        InvalidInput: The projection does not make a session, or makes one on another connection, whose writes would
            not be committed.
    """
    if projection.session is None:
        yield connection
        return
    session: Any = projection.session(connection)
    if not isinstance(session, Session):
        msg = (
            f"session of projection {projection.name!r} returns a {type(session).__name__}, not a "
            "sqlalchemy.orm.Session; use lambda connection: Session(bind=connection)"
        )
        raise InvalidInput(msg)
    try:
        if not _is_on(session, connection):
            msg = (
                f"session of projection {projection.name!r} returns a session that is not bound to the given "
                "connection, so its writes would not be committed; use lambda connection: Session(bind=connection)"
            )
            raise InvalidInput(msg)
        yield session
        if session.join_transaction_mode != "control_fully":
            # `close` would roll back the savepoint of a session that has joined by one. In the other modes, `commit`
            # does not end the transaction.
            session.commit()
    finally:
        session.close()


def write_out(target: Any) -> None:
    """Flush a session, and release the savepoints that a handler has left open, which `close` would roll back.

    So an open savepoint has the same effect on a session as on a connection, and an error of the database counts as a
    failure of the event whose handler has just been called.
    """
    if isinstance(target, Session):
        target.flush()
        while (savepoint := target.get_nested_transaction()) is not None:
            savepoint.commit()


def _is_on(session: Session, connection: Connection) -> bool:
    try:
        return session.get_bind() is connection
    except UnboundExecutionError:  # it has a bind for some of its classes only
        return False
