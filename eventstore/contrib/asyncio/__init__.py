"""The event store in asyncio: the same methods, awaited, on SQLAlchemy's engines for asyncio."""

from importlib.util import find_spec

from eventstore.errors import ExtraMissing

if find_spec("greenlet") is None:
    raise ExtraMissing("greenlet", "asyncio")

from eventstore.contrib.asyncio.iterating import AsyncIteration, AsyncSubscription
from eventstore.contrib.asyncio.repository import AsyncRepository
from eventstore.contrib.asyncio.retrying import retry_conflicts, transact
from eventstore.contrib.asyncio.store import AsyncEventStore

__all__ = ["AsyncEventStore", "AsyncIteration", "AsyncRepository", "AsyncSubscription", "retry_conflicts", "transact"]
