"""The options of a store, by which its constructor, other ways to make one and frameworks check what they are given."""

from collections.abc import Iterable
from typing import TypedDict

from eventstore.codecs import Codec
from eventstore.event_types import EventTypes


class CoreOptions(TypedDict, total=False):
    """What does not depend on how the database is reached. `EventStore` says what each means."""

    event_types: EventTypes | None
    codec: Codec | None
    also_reads: Iterable[Codec]
    compress_above: int | None
    page_size: int


class StoreOptions(CoreOptions, total=False):
    """All options of `EventStore`, which says what each means."""

    lock_timeout_seconds: float
    schema: str | None
    notify: bool
