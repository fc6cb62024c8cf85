"""A store that is steered while it appends on condition, and what it appends."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, event

from eventstore import EventStore
from tests.fix_engines import empty


@pytest.fixture
def make_engine(shared_postgres_url: str) -> Iterator[Callable[..., Engine]]:
    """Return a function that makes engines, whose sessions give up waiting for a lock, so that no test hangs."""
    engines: list[Engine] = []

    def make(options: str = "", *, prepare_threshold: int | None = 5, **others: Any) -> Engine:
        settings = {"options": f"-c lock_timeout=20s {options}", "prepare_threshold": prepare_threshold}
        engine = create_engine(shared_postgres_url, connect_args=settings, pool_size=20, **others)
        engines.append(engine)
        return engine

    yield make
    for engine in engines:
        engine.dispose()
    empty(shared_postgres_url)


@pytest.fixture(params=["at once", "one by one"])
def store(request: pytest.FixtureRequest, make_engine: Callable[..., Engine]) -> EventStore:
    """A store that sends both statements in one round trip; and one that can't, because a hook watches them."""
    engine = make_engine()
    if request.param == "one by one":
        event.listen(engine, "before_cursor_execute", lambda *_: None)
    return EventStore(engine)


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as executor:
        yield executor
