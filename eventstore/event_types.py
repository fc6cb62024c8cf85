"""The registry of event classes: stable names and schema versions instead of class names."""

import dataclasses
import re
from collections.abc import Callable, Iterator
from typing import Any, Final, TypeVar, overload
from uuid import UUID

import msgspec
from msgspec import inspect

from eventstore.errors import DecodingError, EventTypeError, EventTypeTaken, UnregisteredEventType
from eventstore.events import NewEvent, check_event_type, check_schema_version

EventClass = TypeVar("EventClass", bound=type)

_PYDANTIC: Final = "__pydantic_validator__"
_NO_KEYS: Final = (inspect.DataclassType, inspect.StructType, inspect.TypedDictType, inspect.CustomType)


@dataclasses.dataclass(frozen=True, slots=True)
class _Registration:
    event_type: str
    schema_version: int
    cls: type


class EventTypes:
    """Which class stands for which event type.

    Dataclasses, attrs classes, msgspec Structs and pydantic models can be registered. Keep one registry for an
    application, and register at import; after that it may be used from any thread.

    What is stored are the fields, by their names: of a Struct by their encoded names, of a pydantic model not by their
    aliases, and without private attributes. The annotations bring them back; a field annotated `Any` comes back as
    plain values, and one annotated `Sequence` as a list.

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
        self._unchecked: set[type] = set()

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
            EventTypeTaken: The class has another name or schema version already, or the name another class.
            EventTypeError: The class is of no supported kind, or has a field whose type can't be brought back.
        """
        check_event_type(event_type)
        check_schema_version(schema_version)
        if cls is None:
            return lambda decorated: self.register(event_type, decorated, schema_version=schema_version)
        _check_class(cls)
        registration = _Registration(event_type, schema_version, cls)
        self._check_free(registration)
        try:
            _check_fields(cls)
        except NameError:  # an annotation names what is defined later
            self._unchecked.add(cls)
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
            EventTypeError: An annotation of its class still names what is not defined.
        """
        registered = self.type_of(event)
        if registered is None:
            raise UnregisteredEventType(type(event).__qualname__)
        event_type, schema_version = registered
        extra = {} if event_id is None else {"event_id": event_id}
        return NewEvent(event_type, event, metadata=metadata, schema_version=schema_version, **extra)

    def type_of(self, event: Any) -> tuple[str, int] | None:
        """Return event type and schema version of an object of a registered class, None for anything else.

        Raises:
            EventTypeError: An annotation of its class still names what is not defined.
        """
        registration = self._by_class.get(type(event))
        if registration is None:
            return None
        if registration.cls in self._unchecked:
            self._check_now(registration.cls)
        return registration.event_type, registration.schema_version

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

    def _check_free(self, new: _Registration) -> None:
        same_class, same_name = self._by_class.get(new.cls), self._by_name.get(new.event_type)
        if same_class is not None and same_class != new:
            msg = (
                f"{new.cls.__qualname__} is registered as {same_class.event_type!r} with schema version "
                f"{same_class.schema_version} already; it can't be {new.event_type!r} with {new.schema_version} too"
            )
            raise EventTypeTaken(msg)
        if same_name is None or same_name.cls is new.cls:
            return
        if not _is_run_again(same_name.cls, new.cls):
            msg = (
                f"the event type {new.event_type!r} belongs to {same_name.cls.__qualname__}; "
                f"{new.cls.__qualname__} needs another name"
            )
            raise EventTypeTaken(msg)
        del self._by_class[same_name.cls]

    def _check_now(self, cls: type) -> None:
        try:
            _check_fields(cls)
        except NameError as error:
            msg = f"an annotation of {cls.__qualname__} names what can't be found: {error}"
            raise EventTypeError(msg) from None
        self._unchecked.discard(cls)


def _is_run_again(old: type, new: type) -> bool:
    """Return whether it is the class of a notebook's cell that was run again."""
    return old.__module__ == new.__module__ == "__main__" and old.__qualname__ == new.__qualname__


def _check_class(cls: Any) -> None:
    marks = ("__dataclass_fields__", "__attrs_attrs__", "__struct_fields__", _PYDANTIC)
    if not isinstance(cls, type) or not any(hasattr(cls, mark) for mark in marks):
        msg = f"{cls!r} is not a dataclass, attrs class, msgspec Struct or pydantic model"
        raise EventTypeError(msg)


def _check_fields(cls: type) -> None:
    """Check that the annotations bring back what is stored of an object.

    Raises:
        EventTypeError: They can't.
        NameError: One of them names what is not defined.
    """
    if hasattr(cls, _PYDANTIC):
        import pydantic  # noqa: PLC0415  # no dependency of ours; here it is loaded anyway

        if tuple(map(int, pydantic.VERSION.split(".")[:2])) < (2, 11):
            msg = f"{cls.__qualname__} needs pydantic 2.11 or newer; this is {pydantic.VERSION}"
            raise EventTypeError(msg)
        return
    try:
        for node in _nodes(inspect.type_info(cls)):
            _check_node(node)
        _convert(None, cls)
    except msgspec.ValidationError:  # of course: None is no event
        return
    except NameError:
        raise
    except Exception as error:
        msg = f"{cls.__qualname__} has a field whose type can't be brought back: {error}"
        raise EventTypeError(msg) from error


def _check_node(node: inspect.Type) -> None:
    """Refuse what msgspec takes for a field's type, but does not make of plain values."""
    if isinstance(node, inspect.CustomType) and not hasattr(node.cls, _PYDANTIC):
        msg = f"{node.cls.__qualname__} is not supported"
        raise TypeError(msg)
    if isinstance(node, inspect.DictType) and any(isinstance(key, _NO_KEYS) for key in _nodes(node.key_type)):
        msg = "the keys of a dict can't be objects with fields"
        raise TypeError(msg)


def _nodes(info: inspect.Type) -> Iterator[inspect.Type]:
    """Yield a type and all that it is made of."""
    todo: list[Any] = [info]
    seen: set[int] = set()
    while todo:
        node = todo.pop()
        if isinstance(node, tuple):
            todo.extend(node)
        elif isinstance(node, inspect.Field):
            todo.append(node.type)
        elif isinstance(node, inspect.Type) and id(node) not in seen:
            seen.add(id(node))
            yield node
            todo.extend(getattr(node, name) for name in node.__struct_fields__)


def _build(cls: Any, data: Any) -> Any:
    """Return an object of the class. The texts of errors here can show values: they go no further."""
    try:
        return _nested(cls, data) if hasattr(cls, _PYDANTIC) else _convert(data, cls)
    except Exception as error:  # noqa: BLE001  # the class's own code is run, too
        place = _place(error)
        where = f" at {place}" if place else f" ({type(error).__name__})"
        raise DecodingError(f"the stored data does not fit the class {cls.__qualname__}{where}") from None


def _convert(data: Any, cls: Any) -> Any:
    return msgspec.convert(data, cls, dec_hook=_nested)


def _nested(cls: Any, data: Any) -> Any:
    """Return what msgspec does not make: a pydantic model of its data, anything else as it is."""
    if not hasattr(cls, _PYDANTIC):
        return data
    return getattr(cls, _PYDANTIC).validate_python(data, strict=False, by_alias=False, by_name=True)


def _place(error: Any) -> str:
    if hasattr(error, "errors"):  # pydantic's
        places = [problem["loc"] for problem in error.errors(include_url=False, include_input=False)]
        return ", ".join(
            "$" + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in place)
            for place in places[:3]
        )
    found = re.search(r" - at (?:`key` in )?`(\$[^`]*)`$", str(error))
    return found.group(1) if found else ""
