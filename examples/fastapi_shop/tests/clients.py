"""Clients of the shop: a crowd that places and pays orders, and followers of its events."""

import asyncio
import random
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import httpx

REPEATED, GONE = 0.1, 0.1
"""How many requests are sent twice at the same time, and how many clients go away before they have an answer."""
CUSTOMERS = 40
PATIENCE_SECONDS = 1500
"""How long a thousand requests may take together, on a busy machine."""
LONGEST_PATIENCE_SECONDS = 0.2
LONGEST_CONNECTION_SECONDS = 2
MOST_LINES = 60


def client_of(url: str, transport: httpx.AsyncBaseTransport | None = None) -> httpx.AsyncClient:
    """Return a client with as many connections as it needs."""
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=50)
    return httpx.AsyncClient(base_url=url, timeout=PATIENCE_SECONDS, limits=limits, transport=transport)


@dataclass
class Crowd:
    """Clients who each place and pay one order, all at the same time.

    Args:
        client: How they send requests.
        seed: What they order, and when they are impatient, follows from it.

    Attributes:
        expected: The orders as they should be stored.
        gone: How many have gone away before they had an answer.
    """

    client: httpx.AsyncClient
    seed: int
    expected: dict[str, tuple[str, str, int, int]] = field(default_factory=dict)
    gone: int = 0

    async def order(self, orders: int) -> None:
        """Let so many clients order."""
        await asyncio.gather(*(self._order_and_pay(number) for number in range(orders)))

    async def _order_and_pay(self, number: int) -> None:
        chance = random.Random(f"{self.seed}-{number}")
        order_id = str(UUID(int=chance.getrandbits(128)))
        customer, tea = f"customer {chance.randrange(CUSTOMERS)}", chance.randint(1, 9)
        path = f"/orders/{order_id}"
        await self._send(chance, "PUT", path, json={"customer": customer, "quantities": {"tea": tea}})
        await self._send(chance, "POST", f"{path}/payment")
        self.expected[order_id] = (customer, "paid", 420 * tea, 2)

    async def _send(self, chance: random.Random, method: str, path: str, **body: Any) -> None:
        if chance.random() < GONE:
            with suppress(TimeoutError):
                async with asyncio.timeout(chance.random() * LONGEST_PATIENCE_SECONDS):
                    await self.client.request(method, path, **body)
                    return
            self.gone += 1
        requests = [self.client.request(method, path, **body) for _ in range(1 + (chance.random() < REPEATED))]
        for response in await asyncio.gather(*requests):
            assert response.status_code == 200, response.text


@dataclass
class Follower:
    """Follows Server-Sent Events as a browser does: it goes away at random, and resumes after the last event.

    Args:
        url: Of the shop.
        path: Of the events.
        seed: When it goes away follows from it.

    Attributes:
        last: The id of the event after which it stops; empty until that is known.
        received: The ids of the events that it has received.
        connections: How often it has connected.
    """

    url: str
    path: str
    seed: int
    last: str = ""
    received: list[str] = field(default_factory=list)
    connections: int = 0

    async def follow(self) -> None:
        """Follow until the last event."""
        chance = random.Random(self.seed)
        async with client_of(self.url) as client:
            while not self._is_done():
                self.connections += 1
                with suppress(TimeoutError):
                    async with asyncio.timeout(chance.random() * LONGEST_CONNECTION_SECONDS):
                        await self._receive(client, chance.randint(0, MOST_LINES))

    async def _receive(self, client: httpx.AsyncClient, lines: int) -> None:
        headers = {"Last-Event-ID": self.received[-1]} if self.received else {}
        event_id = ""
        async with client.stream("GET", self.path, headers=headers) as response:
            assert response.headers["content-type"].startswith("text/event-stream")
            async for line in response.aiter_lines():
                if line.startswith("id: "):
                    event_id = line.removeprefix("id: ")
                elif not line and event_id:  # an event ends by an empty line, and counts only then
                    self.received.append(event_id)
                    event_id = ""
                lines -= 1
                if lines < 0 or self._is_done():
                    return

    def _is_done(self) -> bool:
        return bool(self.last) and self.received[-1:] == [self.last]
