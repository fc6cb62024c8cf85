"""Correlation: metadata that records which events belong together, and which event has caused which."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any, Final

from eventstore.codecs.metadata import encode_metadata
from eventstore.errors import InvalidInput
from eventstore.events import RecordedEvent

CORRELATION_ID: Final = "correlation_id"
"""The metadata key of the id that all events of one piece of work share, such as a request and its consequences."""

CAUSATION_ID: Final = "causation_id"
"""The metadata key of the id of the event that has caused this one."""

CONTEXT: ContextVar[Mapping[str, Any]] = ContextVar("eventstore_metadata", default=MappingProxyType({}))
PROVIDERS: ContextVar[tuple[Callable[[], Mapping[str, Any]], ...]] = ContextVar("eventstore_functions", default=())


@contextmanager
def metadata_context(metadata: Mapping[str, Any] | None = None, /, **more: Any) -> Iterator[dict[str, Any]]:
    """Add metadata to every append inside the block, of every store.

    Contexts nest: the inner one adds to the outer one, and overrides it. The metadata of an append or of an event
    overrides both. A context belongs to its thread or task. Another thread has it only if it is started with
    `contextvars.copy_context().run`.

    Args:
        metadata: JSON values by string keys.
        more: The same, as keywords; they override the mapping.

    Returns:
        A context manager, which is also a decorator. Its value is the metadata that is added inside the block,
        including that of outer contexts.

    Raises:
        InvalidMetadata: The metadata can't be stored.

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
    """Call a function at each append from now on, and add the metadata that it returns. For framework integrations.

    It suits metadata that is known only late, such as who has signed in, or that ends by itself, such as a request;
    outside of one, the function returns an empty mapping. Every `metadata_context` overrides it. Like a context, it
    belongs to its thread or task, where it stays for good. Adding it twice has no further effect.
    """
    if function not in PROVIDERS.get():
        PROVIDERS.set((*PROVIDERS.get(), function))


def current_metadata() -> dict[str, Any]:
    """Return the metadata that the context adds to an append here, for example to pass it to a job.

    It is empty outside any `metadata_context`.
    """
    metadata: dict[str, Any] = {}
    for function in PROVIDERS.get():
        metadata |= function()
    return {**metadata, **CONTEXT.get()}


def caused_by(event: RecordedEvent, *, also: Iterable[str] = ()) -> dict[str, Any]:
    """Return the metadata for events that an event has caused, to pass to `append` or to `metadata_context`.

    The causation id is the id of the event. The correlation id is that of the event; if it has none, it is the id of
    the event.

    Args:
        event: The event, as it was read.
        also: Keys of its metadata to copy as well, if it has them.

    Raises:
        InvalidInput: The event is not a `RecordedEvent`, or `also` is not a list.

    Example:
        ```python
        store.append("invoice-7", [opened], expected_version=NO_STREAM, metadata=caused_by(order_paid))
        ```
    """
    if not isinstance(event, RecordedEvent):
        msg = f"a cause must be an event that was read, a RecordedEvent, not {type(event).__name__}"
        raise InvalidInput(msg)
    if isinstance(also, str | bytes) or not isinstance(also, Iterable):
        msg = f"also must be a list of keys, not {type(also).__name__}"
        raise InvalidInput(msg)
    event_id = str(event.event_id)
    copies = {key: event.metadata[key] for key in also if key in event.metadata}
    correlation_id = event.metadata.get(CORRELATION_ID)
    return {
        **copies,
        CORRELATION_ID: event_id if correlation_id is None else correlation_id,
        CAUSATION_ID: event_id,
    }


def with_context(metadata: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """Return the metadata of an append merged with that of its context. If it is not a mapping, return it as it is."""
    context = current_metadata()
    if not context or not (metadata is None or isinstance(metadata, Mapping)):
        return metadata
    return {**context, **(metadata or {})}
