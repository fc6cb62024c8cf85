"""Server-Sent Events: what a browser's EventSource follows, and resumes after a lost connection."""

from collections.abc import AsyncIterator
from typing import Annotated, Final

from fastapi import Depends, Header, HTTPException
from fastapi.responses import StreamingResponse

from eventstore import EventFilter, PositionToken
from eventstore.contrib.asyncio import AsyncEventStore
from eventstore.errors import InvalidInput

IDLE_SECONDS: Final = 60
"""When a response without events ends. The client connects again, if it is still there."""


def last_event(last_event_id: Annotated[str | None, Header()] = None) -> PositionToken | int:
    """Return where a client goes on: it has sent the id of the last event that it has received."""
    if not last_event_id:
        return 0
    try:
        return PositionToken.parse(last_event_id)
    except InvalidInput as error:
        raise HTTPException(422, str(error)) from None


After = Annotated[PositionToken | int, Depends(last_event)]


def following(store: AsyncEventStore, events: EventFilter, after: PositionToken | int) -> StreamingResponse:
    """Return a response that sends events, those stored and then new ones, until the client goes away."""

    async def lines() -> AsyncIterator[str]:
        async with store.subscribe(events, after_position=after, idle_timeout_seconds=IDLE_SECONDS) as subscription:
            async for event in subscription:
                yield f"id: {event.token}\nevent: {event.event_type}\ndata: {event.data.model_dump_json()}\n\n"

    return StreamingResponse(lines(), media_type="text/event-stream", headers={"Cache-Control": "no-cache"})
