"""What handlers write to: the connection of their batch, or a session on it."""

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
    """Give the connection, or the session that the projection makes of it, which is closed in the end.

    The transaction itself is left as it is.

    Raises:
        InvalidInput: It makes something else, or a session elsewhere: what that writes nobody would commit.
    """
    if projection.session is None:
        yield connection
        return
    session: Any = projection.session(connection)
    if not isinstance(session, Session):
        msg = (
            f"session of projection {projection.name!r} makes a {type(session).__name__}, not a "
            "sqlalchemy.orm.Session; use lambda connection: Session(bind=connection)"
        )
        raise InvalidInput(msg)
    try:
        if not _is_on(session, connection):
            msg = (
                f"session of projection {projection.name!r} makes one that is not bound to the connection that it is "
                "given, so what it writes would not be committed; use lambda connection: Session(bind=connection)"
            )
            raise InvalidInput(msg)
        yield session
        if session.join_transaction_mode != "control_fully":
            # A session that has joined by a savepoint of its own would undo it by `close`; others leave the
            # transaction alone.
            session.commit()
    finally:
        session.close()


def write_out(target: Any) -> None:
    """Have a session send what it keeps, and release the savepoints that a handler has left open: `close` undoes them.

    So an open savepoint is the same on a session as it is on a connection, and what the database refuses is the
    failure of the event whose handler has just been called.
    """
    if isinstance(target, Session):
        target.flush()
        while (savepoint := target.get_nested_transaction()) is not None:
            savepoint.commit()


def _is_on(session: Session, connection: Connection) -> bool:
    try:
        return session.get_bind() is connection
    except UnboundExecutionError:  # it has one for some of its classes only
        return False
