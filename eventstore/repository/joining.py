"""The store of a repository or a decision, inside a transaction."""

from dataclasses import replace
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.orm import Session, scoped_session

from eventstore.backends import same_database
from eventstore.errors import DatabaseMismatch
from eventstore.store import EventStore


def store_in(
    target: EventStore | Session | scoped_session[Any] | Connection, store: EventStore, *, of: str
) -> EventStore:
    """Return a store, with its event types and codec, inside a transaction.

    Args:
        target: The store of `store.transaction()` or `store.join`, or a target that `EventStore.join` accepts.
        store: The store.
        of: Whose store it is, for the error.

    Raises:
        NotInTransaction: The target is a store that is not joined to a transaction.
        DatabaseMismatch: The target is on another database.
        InvalidInput: The target is none of these.
    """
    if not isinstance(target, EventStore):
        return store.join(target)
    if not target.core.execution.is_joined:
        target.connection  # noqa: B018  # it raises
    if not same_database(target.engine, store.engine):
        msg = (
            f"the {of} is on {store.engine.url!r}, but the transaction is on {target.engine.url!r}; "
            f"join one on the {of}'s database"
        )
        raise DatabaseMismatch(msg)
    core = store.core
    execution = core.execution.joined(lambda: target.connection)
    return store.with_core(replace(core, execution=execution, loaded_streams=target.core.loaded_streams))
