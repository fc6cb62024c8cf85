"""State and projections with the library `eventsourcing`: its `Application`, snapshots, and `ProjectionRunner`."""

import itertools
import time
from typing import Any
from uuid import UUID

from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event
from eventsourcing.postgres import PostgresTrackingRecorder
from eventsourcing.projection import Projection, ProjectionRunner


class Basket(Aggregate):
    """Adds up what its items cost."""

    def __init__(self) -> None:
        self.total = 0

    @event("ItemAdded")
    def add(self, article: str, quantity: int, price_in_cents: int, note: str) -> None:  # noqa: ARG002  # stored
        """Note an item."""
        self.total += price_in_cents


class Baskets(Application[UUID]):
    """Keeps baskets."""


class Counted(PostgresTrackingRecorder):
    """Where a projection keeps how far it has come."""


_numbers = itertools.count(1)
_applications: dict[str, tuple[Baskets, Baskets, UUID, dict[str, str]]] = {}


def prepare_state(name: str, environment: dict[str, str], size: int, after: int) -> None:
    """Store an aggregate of so many events, with a snapshot that so many events came after."""
    snapshotting = Baskets(env={**environment, "IS_SNAPSHOTTING_ENABLED": "y"})
    basket = Basket()
    for number in range(size - 1):
        basket.add(f"article-{number % 1000}", number % 7 + 1, 1999, "to be wrapped as a present")
    snapshotting.save(basket)
    snapshotting.take_snapshot(basket.id, version=size - after)
    _applications[name] = (Baskets(env=environment), snapshotting, basket.id, environment)


def load_state(name: str, *, snapshot: bool) -> float:
    """Return the seconds of loading the aggregate, from its snapshot or from all of its events."""
    replaying, snapshotting, basket_id, _ = _applications[name]
    begun = time.perf_counter()
    basket: Any = (snapshotting if snapshot else replaying).repository.get(basket_id)
    seconds = time.perf_counter() - begun
    if not basket.total:
        raise RuntimeError("nothing was loaded")
    return seconds


def project(name: str) -> float:
    """Return the seconds of an event when all are projected by a handler that counts, each with its tracking."""
    application, _, _, environment = _applications[name]
    seen = 0

    class Counting(Projection[Counted]):
        name = f"counting{next(_numbers)}"

        def process_event(self, domain_event: Any, tracking: Any) -> None:  # noqa: ARG002  # it only counts
            nonlocal seen
            seen += 1
            self.view.insert_tracking(tracking)

    last = application.recorder.max_notification_id()
    begun = time.perf_counter()
    with ProjectionRunner(
        application_class=Baskets, projection_class=Counting, view_class=Counted, env=environment
    ) as runner:
        runner.wait(last, timeout=60)
        seconds = time.perf_counter() - begun
    return seconds / seen
