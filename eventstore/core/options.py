"""The types of a store's options, for its constructors and for the integrations of frameworks."""

from collections.abc import Iterable
from typing import TypedDict

from eventstore.codecs import Codec
from eventstore.event_types import EventTypes


class CoreOptions(TypedDict, total=False):
    """The options that do not depend on the database. `EventStore` documents them."""

    event_types: EventTypes | None
    codec: Codec | None
    also_reads: Iterable[Codec]
    compress_above: int | None
    page_size: int


class StoreOptions(CoreOptions, total=False):
    """All options of `EventStore`, which documents them."""

    lock_timeout_seconds: float
    schema: str | None
    notify: bool
    group_commit: bool | None
