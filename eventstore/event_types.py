"""The registry of event classes: stable names and schema versions instead of class names."""

import dataclasses
import re
from collections.abc import Callable
from typing import Any, TypeVar, overload
from uuid import UUID

import msgspec

from eventstore.errors import DecodingError, EventTypeError, EventTypeTaken, UnregisteredEventType
from eventstore.events import NewEvent, check_event_type, check_schema_version

EventClass = TypeVar("EventClass", bound=type)


@dataclasses.dataclass(frozen=True, slots=True)
class _Registration:
    event_type: str
    schema_version: int
    cls: type


class EventTypes:
    """Which class stands for which event type.

    Dataclasses, attrs classes, msgspec Structs and pydantic models can be registered. Keep one registry for an application, and
    register at import; after that it may be used from any thread.

    Example:
        ```python
        event_types = EventTypes()

        @event_types.register("order-placed")
        @dataclass(frozen=True)
        class OrderPlaced:
            total: Decimal

        store = EventStore(engine, event_types=event_types)
        store.append("order-42", [OrderPlaced(total=Decimal("30.00"))], expected_version=NO_STREAM)
        ```
    """

    def __init__(self) -> None:
        self._by_class: dict[type, _Registration] = {}
        self._by_name: dict[str, _Registration] = {}

    @overload
    def register(self, event_type: str, cls: EventClass, *, schema_version: int = 1) -> EventClass: ...

    @overload
    def register(self, event_type: str, *, schema_version: int = 1) -> Callable[[EventClass], EventClass]: ...

    def register(self, event_type: str, cls: type | None = None, *, schema_version: int = 1) -> Any:
        """Register a class under a name; as a decorator where no class is given.

        Args:
            event_type: What is stored as the event's type, 1 to 255 characters. Never rename it once events are stored.
            cls: The class.
            schema_version: The version of the shape of the class, from 1; stored with each event.

        Returns:
            The class, unchanged.

        Raises:
            InvalidEvent: The name or the schema version is not valid.
            EventTypeTaken: The class has another name already, or the name another class.
            EventTypeError: The class is of no supported kind, or has a field whose type can't be brought back.
        """
        check_event_type(event_type)
        check_schema_version(schema_version)
        if cls is None:
            return lambda decorated: self.register(event_type, decorated, schema_version=schema_version)
        _check_class(cls)
        self._check_free(event_type, cls)
        registration = _Registration(event_type, schema_version, cls)
        self._by_name[event_type] = registration
        self._by_class[cls] = registration
        return cls

    def new_event(
        self, event: Any, *, event_id: UUID | None = None, metadata: dict[str, Any] | None = None
    ) -> NewEvent:
        """Return an object of a registered class as a `NewEvent`, to give it an id or metadata of its own.

        Args:
            event: The object. It becomes the `data` of the result.
            event_id: Defaults to a new UUIDv7.
            metadata: JSON values by string keys.

        Raises:
            UnregisteredEventType: Its class is not registered.
        """
        registration = self._by_class.get(type(event))
        if registration is None:
            raise UnregisteredEventType(type(event).__qualname__)
        extra = {} if event_id is None else {"event_id": event_id}
        return NewEvent(
            registration.event_type, event, metadata=metadata, schema_version=registration.schema_version, **extra
        )

    def is_registered(self, event: Any) -> bool:
        """Return whether this is an object of a registered class."""
        return type(event) in self._by_class

    def from_plain(self, event_type: str, schema_version: int, data: Any) -> Any:
        """Return an object of the class registered for the event type, or `data` where there is none.

        Raises:
            DecodingError: The schema version is not that of the class, or the data does not fit it.
        """
        registration = self._by_name.get(event_type)
        if registration is None:
            return data
        if schema_version != registration.schema_version:
            raise DecodingError(
                f"stored with schema version {schema_version}, but {registration.cls.__qualname__} is registered with "
                f"schema version {registration.schema_version}"
            )
        return _build(registration.cls, data)

    def _check_free(self, event_type: str, cls: type) -> None:
        same_class, same_name = self._by_class.get(cls), self._by_name.get(event_type)
        if same_class is not None and same_class.event_type != event_type:
            msg = f"{cls.__qualname__} is registered as {same_class.event_type!r} already; it can't be {event_type!r} too"
            raise EventTypeTaken(msg)
        if same_name is not None and same_name.cls is not cls:
            if cls.__module__ == "__main__" and same_name.cls.__qualname__ == cls.__qualname__:
                del self._by_class[same_name.cls]  # a notebook's cell that was run again
                return
            msg = f"the event type {event_type!r} belongs to {same_name.cls.__qualname__}; {cls.__qualname__} needs another name"
            raise EventTypeTaken(msg)


def _check_class(cls: type) -> None:
    supported = dataclasses.is_dataclass(cls) or any(
        hasattr(cls, mark) for mark in ("__attrs_attrs__", "__struct_fields__", "model_validate")
    )
    if not isinstance(cls, type) or not supported:
        msg = f"{cls!r} is not a dataclass, attrs class, msgspec Struct or pydantic model"
        raise EventTypeError(msg)
    if hasattr(cls, "model_validate"):
        return
    try:
        msgspec.convert(None, cls)
    except (msgspec.ValidationError, NameError):  # None is no event; a forward reference may be defined later
        return
    except TypeError as error:
        msg = f"{cls.__qualname__} has a field whose type can't be brought back: {error}"
        raise EventTypeError(msg) from error


def _build(cls: Any, data: Any) -> Any:
    """Return an object of the class. The libraries' own texts can show values: they go no further than here."""
    if hasattr(cls, "model_validate"):
        try:
            return cls.model_validate(data)
        except ValueError as error:
            places = [".".join(map(str, problem["loc"])) for problem in error.errors()] if hasattr(error, "errors") else []
            raise DecodingError(_misfit(cls, ", ".join(places))) from None
    try:
        return msgspec.convert(data, cls)
    except msgspec.ValidationError as error:
        place = re.search(r" - at `(\$[^`]*)`$", str(error))
        raise DecodingError(_misfit(cls, place.group(1) if place else "")) from None


def _misfit(cls: type, place: str) -> str:
    return f"the stored data does not fit the class {cls.__qualname__}" + (f" at {place}" if place else "")
