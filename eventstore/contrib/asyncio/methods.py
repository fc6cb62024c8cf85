"""Methods of the synchronous store, for the asynchronous one: with the same parameters, and the same results."""

from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from eventstore.backends.tasks import spawn
from eventstore.store import EventStore

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")
Made = TypeVar("Made")


class HasStore(Protocol):
    """What has such methods."""

    @property
    def sync_store(self) -> EventStore:
        """The store whose methods they are."""
        ...


def awaited(
    method: Callable[Concatenate[EventStore, Parameters], Result],
) -> Callable[Concatenate[HasStore, Parameters], Coroutine[Any, Any, Result]]:
    """Return a method to await that does what the synchronous one does."""

    @wraps(method)
    async def call(store: HasStore, /, *arguments: Parameters.args, **options: Parameters.kwargs) -> Result:
        return await spawn(method, store.sync_store, *arguments, **options)

    return call


def made(
    make: Callable[[Result], Made], method: Callable[Concatenate[EventStore, Parameters], Result]
) -> Callable[Concatenate[HasStore, Parameters], Made]:
    """Return a method that makes something of what the synchronous one returns, without waiting for anything."""

    @wraps(method)
    def call(store: HasStore, /, *arguments: Parameters.args, **options: Parameters.kwargs) -> Made:
        return make(method(store.sync_store, *arguments, **options))

    return call
