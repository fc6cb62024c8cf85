"""Correlation: metadata that says which events belong together, and which event caused which."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any, Final

from eventstore.codecs.metadata import encode_metadata
from eventstore.errors import InvalidInput
from eventstore.events import RecordedEvent

CORRELATION_ID: Final = "correlation_id"
"""The key of what all events of one piece of work share: of a request, say, and all that follows from it."""

CAUSATION_ID: Final = "causation_id"
"""The key of the id of the event that this one is a reaction to."""

CONTEXT: ContextVar[Mapping[str, Any]] = ContextVar("eventstore_metadata", default=MappingProxyType({}))
PROVIDERS: ContextVar[tuple[Callable[[], Mapping[str, Any]], ...]] = ContextVar("eventstore_functions", default=())


@contextmanager
def metadata_context(metadata: Mapping[str, Any] | None = None, /, **more: Any) -> Iterator[dict[str, Any]]:
    """Add metadata to every append inside the block, of every store.

    Contexts nest: the inner one adds to the outer one, and wins over it. Metadata given to an append, or to an event,
    wins over both. A context belongs to its thread, or to its task: another thread knows nothing of it, unless it is
    started with `contextvars.copy_context().run`.

    Args:
        metadata: JSON values by string keys.
        more: The same, as keywords; they win over the mapping.

    Returns:
        A context manager, which is also a decorator. It gives what is added inside the block, those of outer contexts
        among them.

    Raises:
        InvalidMetadata: It can't be stored.

    Example:
        ```python
        with metadata_context(correlation_id=request.id, user_id=7):
            store.append("order-42", events, expected_version=1)
        ```
    """
    encode_metadata(metadata)
    encode_metadata(more)
    merged = {**CONTEXT.get(), **(metadata or {}), **more}
    token = CONTEXT.set(MappingProxyType(merged))
    try:
        yield dict(merged)
    finally:
        CONTEXT.reset(token)


def add_metadata_provider(function: Callable[[], Mapping[str, Any]]) -> None:
    """Call a function at each append from now on, for metadata to add to it: for integrations with frameworks.

    What it returns may be known only late (who has signed in), and may end by itself (a request): it returns nothing
    then. Every `metadata_context` wins over it. Like a context it belongs to its thread, or to its task; there it is
    for good, and asked for again it is still called once.
    """
    if function not in PROVIDERS.get():
        PROVIDERS.set((*PROVIDERS.get(), function))


def current_metadata() -> dict[str, Any]:
    """Return what is added to an append here, empty outside any `metadata_context`; to hand it on to a job, say."""
    metadata: dict[str, Any] = {}
    for function in PROVIDERS.get():
        metadata |= function()
    return {**metadata, **CONTEXT.get()}


def caused_by(event: RecordedEvent, *, also: Iterable[str] = ()) -> dict[str, Any]:
    """Return the metadata of a reaction to an event, to pass to `append` or to `metadata_context`.

    The causation id is the id of the event. The correlation id is that of the event; if it has none, it is the id of
    the event, with which the correlation begins.

    Args:
        event: The event that was read.
        also: Keys of its metadata to take over as well, if it has them.

    Raises:
        InvalidInput: The event is not one that was read.

    Example:
        ```python
        store.append("invoice-7", [opened], expected_version=NO_STREAM, metadata=caused_by(order_paid))
        ```
    """
    if not isinstance(event, RecordedEvent):
        msg = f"a cause is an event that was read, a RecordedEvent, not {type(event).__name__}"
        raise InvalidInput(msg)
    if isinstance(also, str | bytes) or not isinstance(also, Iterable):
        msg = f"also is a list of keys, not {type(also).__name__}"
        raise InvalidInput(msg)
    event_id = str(event.event_id)
    taken_over = {key: event.metadata[key] for key in also if key in event.metadata}
    correlation_id = event.metadata.get(CORRELATION_ID)
    return {
        **taken_over,
        CORRELATION_ID: event_id if correlation_id is None else correlation_id,
        CAUSATION_ID: event_id,
    }


def with_context(metadata: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """Return the metadata of an append and of the context around it; what is no mapping is left to be refused."""
    context = current_metadata()
    if not context or not (metadata is None or isinstance(metadata, Mapping)):
        return metadata
    return {**context, **(metadata or {})}
