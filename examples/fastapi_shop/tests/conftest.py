"""The shop, run by uvicorn, on a fresh database of each kind."""

import asyncio
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
import uvicorn
from fastapi import FastAPI

from eventstore import EventStore
from fastapi_shop import create_app
from fastapi_shop.database import POOL, WAITING, Database, create_tables
from fastapi_shop.order import event_types
from fastapi_shop.tests.clients import PATIENCE_SECONDS
from tests.fix_asyncio import LoopWatch
from tests.waiting import until


@dataclass
class Server:
    """The shop in a thread, by uvicorn. What blocks the thread of its loop fails, and is noted.

    Attributes:
        app: The application.
        store: A synchronous store on its database, to look at what it has written.
        watch: What finds calls that block, once it runs.
        url: Where it answers.
        loop: The loop that it runs in.
    """

    app: FastAPI
    store: EventStore
    monkeypatch: pytest.MonkeyPatch
    url: str = ""
    loop: asyncio.AbstractEventLoop = field(init=False)
    watch: LoopWatch = field(init=False)
    _server: uvicorn.Server = field(init=False)
    _is_watched: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self._server = uvicorn.Server(
            uvicorn.Config(self.app, port=0, log_level="warning", ws="none", timeout_graceful_shutdown=1)
        )

    def run(self) -> None:
        """Serve until `stop`."""
        self.watch = LoopWatch(self.monkeypatch)
        self._is_watched.set()
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self.loop = asyncio.get_running_loop()
        await self._server.serve()

    def started(self) -> None:
        """Return when it answers."""
        assert self._is_watched.wait(60)
        until(lambda: self._server.started)
        host, port = self._server.servers[0].sockets[0].getsockname()
        self.url = f"http://{host}:{port}"

    def stop(self) -> None:
        """Shut down."""
        self._server.should_exit = True

    @property
    def database(self) -> Database:
        """The application's."""
        database: Database = self.app.state.database
        return database

    def is_idle(self) -> bool:
        """Return whether no request is at work, and all connections are back in the pool."""
        pool = self.database.store.engine.sync_engine.pool
        busy = [task for task in asyncio.all_tasks(self.loop) if "RequestResponseCycle" in repr(task.get_coro())]
        return not busy and "Current Checked out connections: 0" in pool.status()


@pytest.fixture
def server(any_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """Serve the shop."""
    monkeypatch.setitem(POOL, "pool_timeout", PATIENCE_SECONDS)
    monkeypatch.setitem(WAITING, "lock_timeout_seconds", PATIENCE_SECONDS)
    create_tables(any_url)
    with EventStore.from_url(any_url, event_types=event_types) as store:
        serving = Server(create_app(any_url), store, monkeypatch)
        thread = threading.Thread(target=serving.run)
        thread.start()
        try:
            serving.started()
            yield serving
        finally:
            serving.stop()
            thread.join()
    assert serving.watch.calls == []
