"""Whether all is well, and who holds readers up."""

from dataclasses import dataclass

from eventstore.backends import maintenance_backend_of
from eventstore.backends.maintenance import OpenAppend
from eventstore.errors import EventStoreError, InvalidInput
from eventstore.health import Health
from eventstore.statements.global_order import newest_position
from eventstore.store import EventStore


@dataclass(frozen=True, slots=True)
class ReadersHeldUp:
    """How far readers of the global order can read, and who they wait for.

    Attributes:
        newest: The newest position; 0 if there is none.
        settled: The position up to which readers can read; None if it can't be found out, see `error`.
        open_appends: The transactions that have appended and are still open, the oldest first; and those that were
            prepared, of which it is not known. Readers pass those that begin later.
        error: Why readers can't read; None if they can.
    """

    newest: int
    settled: int | None
    open_appends: tuple[OpenAppend, ...]
    error: str | None


def health(store: EventStore) -> Health | None:
    """Return the health of the store, without its projections: see `projections`. It takes two seconds at most.

    None if the store has no engine, such as one on Django's connection: the check needs a connection of its own.
    """
    try:
        store.engine  # noqa: B018  # a store without one refuses
    except InvalidInput:
        return None
    return store.health(projections=(), timeout_seconds=2.0)


def readers_held_up(store: EventStore) -> ReadersHeldUp:
    """Return how far readers can read, and which transactions they wait for."""
    settled, error = None, None
    try:
        settled = store.settled_position()
    except EventStoreError as problem:
        error = str(problem)
    with store.core.execution.statement() as run:
        open_appends = maintenance_backend_of(store.address.system).open_appends(run)
        ((newest,),) = run(newest_position)
    return ReadersHeldUp(int(newest), settled, tuple(open_appends), error)


def newest_event(store: EventStore) -> int:
    """Return the newest position, settled or not; 0 if there is none."""
    with store.core.execution.statement() as run:
        return int(run(newest_position)[0][0])
