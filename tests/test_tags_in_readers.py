"""Readers that select events by tags: subscriptions, projections, inline projections; and what is observed of them."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

import pytest
from sqlalchemy import Connection, Engine
from sqlalchemy.ext.asyncio import create_async_engine

from eventstore import ANY, NO_STREAM, EventFilter, EventStore, NewEvent, RecordedEvent
from eventstore.contrib.asyncio import AsyncEventStore
from eventstore.errors import BoundaryChanged
from eventstore.maintenance import fill_tags
from eventstore.projections import Projection, ProjectionAdmin, Worker, inline
from tests.fix_leaks import SECRET
from tests.telemetry import Telemetry, attributes

pytest_plugins = ["tests.fix_telemetry"]

COURSE = EventFilter(tags=["course:1", "open"])
OTHER = EventFilter(tags=["rare"], event_types=["b"])


def fill(store: EventStore) -> int:
    """Append events, of which the filters match those of versions 1, 4 and 6; return the last position."""
    tags = [("course:1", "open"), ("course:1",), ("open", "course:2"), ("open", "x", "course:1"), ("rare",), ("rare",)]
    events = [NewEvent("ab"[index % 2], tags=each) for index, each in enumerate(tags)]
    return store.append("a-1", [*events, NewEvent("b"), NewEvent("b")], expected_version=ANY).position


MATCHING = [1, 4, 6]


@pytest.fixture
def store(any_engine: Engine) -> EventStore:
    return EventStore(any_engine, page_size=2)


def test_a_subscription_catches_up_and_goes_on(store: EventStore) -> None:
    fill(store)
    with store.subscribe(COURSE, OTHER, after_position=0) as subscription, ThreadPoolExecutor(1) as thread:
        assert [event.version for event in islice(subscription, 3)] == MATCHING
        following = thread.submit(lambda: list(islice(subscription, 2)))
        store.append("b-1", [NewEvent("a", tags=["rare", "open"]), NewEvent("a")], expected_version=ANY)
        store.append("b-2", NewEvent("b", tags=["rare"]), expected_version=ANY)
        store.append("b-3", NewEvent("c", tags=["open", "course:1"]), expected_version=ANY)
        assert [event.stream_id for event in following.result(30)] == ["b-2", "b-3"]


def seen_by(name: str) -> tuple[Projection, list[int]]:
    projection, seen = Projection(name, COURSE, OTHER), []

    @projection.on("a", "b")
    def see(event: RecordedEvent, _: Connection) -> None:
        seen.append(event.version)

    return projection, seen


def test_a_projection_handles_what_has_the_tags_and_passes_over_the_rest(store: EventStore) -> None:
    last = fill(store)
    projection, seen = seen_by("tagged")
    assert Worker(store, projection, batch_size=2).run_until_caught_up() == 3
    assert (seen, ProjectionAdmin(store).position("tagged")) == (MATCHING, last)


def test_tags_that_are_filled_later_reach_a_projection_that_is_rebuilt(store: EventStore) -> None:
    fill(store)
    projection, seen = seen_by("tagged")
    Worker(store, projection).run_until_caught_up()
    fill_tags(store, tags_of=lambda event: ["rare"] if event.version == 8 else [])
    assert Worker(store, projection).run_until_caught_up() == 0
    ProjectionAdmin(store).reset("tagged")
    assert Worker(store, projection).run_until_caught_up() == 4
    assert seen == [*MATCHING, *MATCHING, 8]


def test_an_inline_projection_takes_the_tags_of_what_is_appended(store: EventStore) -> None:
    projection, seen = seen_by("inline")
    fill(inline(store, projection))
    assert seen == MATCHING
    boundary = store.read_boundary(COURSE)
    tagged = NewEvent("a", tags=["course:1", "open"])
    result = inline(store, projection).append("b-1", tagged, expected_version=NO_STREAM, condition=boundary)
    assert (seen[3:], result.version) == ([1], 1)
    with pytest.raises(BoundaryChanged):
        inline(store, projection).append("b-2", tagged, expected_version=NO_STREAM, condition=boundary)
    assert len(seen) == 4


def test_spans_and_metrics_show_no_tag_and_a_changed_boundary_as_a_conflict(
    store: EventStore, telemetry: Telemetry
) -> None:
    telemetry.instrument(store)
    secret = EventFilter(tags=[SECRET])
    tagged = NewEvent("a", tags=[SECRET], metadata={"m": 1})
    boundary = store.read_boundary(secret)
    store.append("b-1", tagged, expected_version=NO_STREAM, condition=boundary)
    with pytest.raises(BoundaryChanged):
        store.append("b-2", NewEvent("a"), expected_version=NO_STREAM, condition=boundary)
    list(store.read_all(secret))
    appends = [attributes(span).get("eventstore.conflicts") for span in telemetry.spans("append es_events")]
    assert appends == [None, 1]
    assert [span.status.is_unset for span in telemetry.spans()] == [True] * len(telemetry.spans())
    (event,) = store.read_boundary(secret)
    assert (event.tags, event.metadata["m"], "traceparent" in event.metadata) == ((SECRET,), 1, True)
    assert SECRET not in telemetry.text()


def test_in_asyncio_tags_are_given_and_read_and_decided_by(any_engine: Engine, any_url: str) -> None:
    fill(EventStore(any_engine))
    url = any_url.replace("sqlite:", "sqlite+aiosqlite:")

    async def work() -> None:
        engine = create_async_engine(url)
        store = AsyncEventStore(engine)
        assert [event.version async for event in store.read_all(COURSE, OTHER)] == MATCHING
        boundary = await store.read_boundary(COURSE)
        tagged = NewEvent("a", tags=["course:1", "open"])
        await store.append("b-1", tagged, expected_version=NO_STREAM, condition=boundary)
        with pytest.raises(BoundaryChanged):
            await store.append("b-2", tagged, expected_version=NO_STREAM, condition=boundary)
        async with store.subscribe(COURSE, OTHER, after_position=0) as subscription:
            found = []
            async for event in subscription:
                found.append(event.stream_id)
                if len(found) == 4:
                    break
        assert found == ["a-1", "a-1", "a-1", "b-1"]
        await engine.dispose()

    asyncio.run(work())
