"""The database of the shop, and the event store in it."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from eventstore import EventStore, migrations
from eventstore.contrib.asyncio import AsyncEventStore, AsyncRepository
from fastapi_shop.order import Order, event_types
from fastapi_shop.read_models import Table

POOL: Final[dict[str, int]] = {"pool_size": 10, "max_overflow": 0, "pool_timeout": 30}
"""Requests beyond so many wait for a connection. Those of an overflow would be made and closed for each request."""

WAITING: Final[dict[str, Any]] = {"lock_timeout_seconds": 30}
"""How long a request waits for its turn to write on SQLite, which has one writer at a time."""


def configured_url() -> str:
    """Return the URL of the database that the environment names; else of a file in the current folder."""
    return os.environ.get("DATABASE_URL") or f"sqlite:///{Path.cwd() / 'fastapi_shop.db'}"


def create_tables(url: str) -> None:
    """Create the tables of the event store, and the shop's own, by a synchronous engine: a step of the deployment."""
    with EventStore.from_url(url) as store:
        migrations.upgrade(store.engine)
        Table.metadata.create_all(store.engine)


@dataclass
class Database:
    """What requests need of the database.

    Attributes:
        store: The event store.
        sessions: Makes sessions that read the shop's own tables, on the store's engine.
        orders: The orders.
    """

    url: str
    store: AsyncEventStore = field(init=False)
    sessions: async_sessionmaker[AsyncSession] = field(init=False)
    orders: AsyncRepository[Order] = field(init=False)

    def __post_init__(self) -> None:
        self.store = AsyncEventStore.from_url(self.url, event_types=event_types, engine_options=POOL, **WAITING)
        self.sessions = async_sessionmaker(self.store.engine)
        self.orders = AsyncRepository(self.store, category="order", initial=Order, evolve=Order.after)
