"""The registry of event classes and upcasters: stable names and schema versions instead of class names."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, TypeVar, overload
from uuid import UUID

from eventstore.common.validation import check_event_type, check_schema_version
from eventstore.errors import (
    DecodingError,
    EventTooNew,
    EventTypeError,
    EventTypeTaken,
    InvalidEvent,
    InvalidInput,
    UnregisteredEventType,
    UpcasterMissing,
    UpcasterTaken,
)
from eventstore.event_types.classes import builder, check_class, check_fields, exact_types, reader
from eventstore.event_types.upcasting import PlainEvent, Shape, Step, Upcasters, drop_all
from eventstore.events import TOMBSTONE_ERRORS, NewEvent

EventClass = TypeVar("EventClass", bound=type)
UpcasterFunction = TypeVar("UpcasterFunction", bound=Callable[[Any], Mapping[str, object] | Sequence[object]])
SplitterFunction = TypeVar("SplitterFunction", bound=Callable[[Any], Iterable[tuple[str, Any]]])


@dataclasses.dataclass(frozen=True, slots=True)
class _Registration:
    event_type: str
    schema_version: int
    cls: type
    oldest_version: int = dataclasses.field(compare=False)
    build: Callable[[Any], Any] = dataclasses.field(compare=False, repr=False)


def check_registry(event_types: object) -> "EventTypes":
    """Return what was given for the parameter `event_types`.

    Raises:
        InvalidInput: It is something else.
    """
    if not isinstance(event_types, EventTypes):
        msg = f"event_types is an EventTypes, in which classes are registered, not {type(event_types).__name__}"
        raise InvalidInput(msg)
    return event_types


class EventTypes:
    """Which class stands for which event type, and how older events are brought to its shape.

    Dataclasses, attrs classes, msgspec Structs and pydantic models can be registered. Keep one registry for an
    application, and register at import; after that it may be used from any thread.

    What is stored are the fields, by their names: of a Struct by their encoded names, of a pydantic model not by their
    aliases, and without private attributes. The annotations bring them back; a field annotated `Any` takes plain
    values, and one annotated `Sequence` takes lists. What would come back changed is refused when it is appended.

    Args:
        newer: What becomes of an event with a newer schema version than this registry knows, which newer code must have
            written: an `EventTooNew`, or plain data, as it is stored.
        unregistered: What becomes of an event whose type is not known here at all: plain data, or an `EventTooNew`.

    Raises:
        InvalidInput: An option is not one of these.

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

    def __init__(
        self, *, newer: Literal["error", "plain"] = "error", unregistered: Literal["plain", "error"] = "plain"
    ) -> None:
        for name, value in (("newer", newer), ("unregistered", unregistered)):
            if value not in ("error", "plain"):
                msg = f"{name} is 'error' or 'plain', not {value!r}"
                raise InvalidInput(msg)
        self._newer = newer
        self._unregistered = unregistered
        self._by_class: dict[type, _Registration] = {}
        self._by_name: dict[str, _Registration] = {}
        self._readers: dict[Shape, Callable[[bytes], Any]] = {}
        self._exact: dict[type, tuple[tuple[str, frozenset[type]], ...]] = {}
        self._unchecked: set[type] = set()
        self._upcasters = Upcasters()

    @overload
    def register(
        self, event_type: str, cls: EventClass, *, schema_version: int = 1, oldest_version: int = 1
    ) -> EventClass: ...

    @overload
    def register(
        self, event_type: str, *, schema_version: int = 1, oldest_version: int = 1
    ) -> Callable[[EventClass], EventClass]: ...

    def register(
        self, event_type: str, cls: type | None = None, *, schema_version: int = 1, oldest_version: int = 1
    ) -> Any:
        """Register a class under a name; as a decorator if no class is given.

        Args:
            event_type: What is stored as the event's type, 1 to 255 characters. Once events are stored, it can
                be renamed by an upcaster only.
            cls: The class.
            schema_version: The version of the shape of the class, from 1; stored with each event.
            oldest_version: The oldest schema version that was ever stored: upcasters must lead from there to this
                class. Defaults to 1.

        Returns:
            The class, unchanged.

        Raises:
            InvalidEvent: The name or a schema version is not valid.
            EventTypeTaken: The class has another name or schema version already, or the name another class.
            UpcasterTaken: An upcaster starts from this schema version.
            EventTypeError: The class is of no supported kind, or has a field whose type can't be brought back.
        """
        if isinstance(event_type, type):
            name = event_type.__qualname__
            msg = f'{name} is registered under the name that is stored: @event_types.register("order-placed"), say'
            raise InvalidEvent(msg)
        event_type, schema_version = check_event_type(event_type), check_schema_version(schema_version)
        if check_schema_version(oldest_version) > schema_version:
            msg = f"oldest_version is at most the schema version, {schema_version}, not {oldest_version}"
            raise InvalidEvent(msg)
        if cls is None:
            return lambda decorated: self.register(
                event_type, decorated, schema_version=schema_version, oldest_version=oldest_version
            )
        check_class(cls)
        registration = _Registration(event_type, schema_version, cls, oldest_version, builder(cls))
        self._check_free(registration)
        try:
            self._check(cls)
        except NameError:  # an annotation names what is defined later
            self._unchecked.add(cls)
        before = self._by_name.get(event_type)
        if before is not None:
            self._readers.pop((event_type, before.schema_version), None)
        read = reader(cls)
        if read is not None:
            self._readers[event_type, schema_version] = read
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

    def name_of(self, cls: type) -> str | None:
        """Return the event type of a registered class, None for any other."""
        registration = self._by_class.get(cls)
        return None if registration is None else registration.event_type

    def comes_back(self, event: Any) -> bool:
        """Return whether an object of a registered class is sure to come back as it is: simple values in simple fields.

        Of all others it takes a try to know. Which classes are that simple is found out when they are registered.
        """
        fields = self._exact.get(type(event))
        if fields is None:
            return False
        for name, types in fields:  # noqa: SIM110  # `all` takes twice as long
            if type(getattr(event, name, fields)) not in types:
                return False
        return True

    # --- upcasters

    def upcaster(
        self, event_type: str, *, from_version: int, to: Shape | None = None
    ) -> Callable[[UpcasterFunction], UpcasterFunction]:
        """Register a function that makes newer data of older, as a decorator.

        It takes plain data, which it may change, and returns plain data. It must be a pure function: it is called
        whenever such an event is read, and what it returns is never stored.

        Args:
            event_type: The event type that it takes.
            from_version: The schema version that it takes.
            to: The event type and schema version that it returns. Defaults to the same event type and the next schema
                version; another event type renames the event.

        Raises:
            InvalidEvent: A name or schema version is not valid.
            UpcasterTaken: There is an upcaster from this schema version, or it is that of the class.
            UpcasterCycle: It would lead back to where it starts.

        Example:
            ```python
            @event_types.upcaster("order-placed", from_version=1)
            def add_currency(data):
                return {**data, "currency": "EUR"}
            ```
        """
        source = (check_event_type(event_type), check_schema_version(from_version))
        target = (source[0], source[1] + 1) if to is None else _shape("to", to)

        def decorate(function: UpcasterFunction) -> UpcasterFunction:
            self._add_step(Step(source, (target,), function, splits=False))
            return function

        return decorate

    def splitter(
        self, event_type: str, *, from_version: int, into: Iterable[Shape]
    ) -> Callable[[SplitterFunction], SplitterFunction]:
        """Register a function that makes several events of one, or none, as a decorator.

        It takes plain data, and returns or yields pairs of an event type and plain data. The events that it makes are
        read one after the other, and have the id, version and position of the one that is stored.

        Args:
            event_type: The event type that it takes.
            from_version: The schema version that it takes.
            into: The event types that it makes, each with its schema version.

        Raises:
            InvalidEvent: A name or schema version is not valid.
            UpcasterTaken: There is an upcaster from this schema version, or it is that of the class.
            UpcasterCycle: It would lead back to where it starts.

        Example:
            ```python
            @event_types.splitter("order-placed", from_version=2, into=[("order-placed", 3), ("customer-named", 1)])
            def part_customer(data):
                yield "customer-named", {"name": data.pop("customer")}
                yield "order-placed", data
            ```
        """
        source = (check_event_type(event_type), check_schema_version(from_version))
        if isinstance(into, str | bytes) or not isinstance(into, Iterable):
            msg = f"into is a list of pairs (event type, schema version), not {type(into).__name__}"
            raise InvalidInput(msg)
        targets = tuple(_shape("into", each) for each in into)
        if len({name for name, _ in targets}) < len(targets):
            msg = "into names an event type twice; each has one schema version"
            raise InvalidInput(msg)

        def decorate(function: SplitterFunction) -> SplitterFunction:
            self._add_step(Step(source, targets, function, splits=True))
            return function

        return decorate

    def drop(self, event_type: str, *, from_version: int) -> None:
        """Leave out the events of one schema version when streams are read. They stay stored.

        Args:
            event_type: The event type.
            from_version: The schema version. Older ones need an upcaster to it, or are dropped likewise.

        Raises:
            InvalidEvent: A name or schema version is not valid.
            UpcasterTaken: There is an upcaster from this schema version, or it is that of the class.
        """
        self._add_step(
            Step((check_event_type(event_type), check_schema_version(from_version)), (), drop_all, splits=True)
        )

    def validate(self) -> None:
        """Check that upcasters lead from every schema version to the newest. `EventStore` does so when it is made.

        If an event type has a class, the newest is that of the class, and there must be a way from its
        `oldest_version`. If it has none, the newest is the largest that an upcaster names.

        Raises:
            UpcasterMissing: There is a hole.
        """
        for each in self._by_name.values():
            oldest = (each.event_type, each.oldest_version)
            if each.oldest_version < each.schema_version and oldest not in self._upcasters.steps:
                raise UpcasterMissing(*oldest, each.schema_version)
        self._upcasters.check_ends({name: each.schema_version for name, each in self._by_name.items()})

    @property
    def classes(self) -> Mapping[Shape, type]:
        """The registered classes, by their event types and schema versions."""
        return {(each.event_type, each.schema_version): each.cls for each in self._by_name.values()}

    @property
    def readers(self) -> Mapping[Shape, Callable[[bytes], Any]]:
        """What makes objects of MessagePack in one step, where a class allows it; see `event_classes.reader`."""
        return self._readers

    @property
    def steps(self) -> Mapping[Shape, Step]:
        """The upcasters, by the event type and schema version that they start from."""
        return self._upcasters.steps

    @property
    def newest(self) -> Mapping[str, int]:
        """The schema version that events come back with, by event type: that of the class, or of the last upcaster."""
        return {**self._upcasters.newest, **{name: each.schema_version for name, each in self._by_name.items()}}

    def upcast(self, event_type: str, schema_version: int, data: Any) -> list[PlainEvent]:
        """Return what the upcasters make of plain data, before any class exists; to try them out.

        Raises:
            UpcastingFailed: An upcaster has raised an error, or returned what is no event's data.
        """
        return list(self._upcasters.run(event_type, schema_version, data))

    def from_plain(self, event_type: str, schema_version: int, data: Any) -> Any:
        """Return an object of the class registered for the event type, or `data` where there is none.

        Raises:
            EventTooNew: The schema version is newer than that of the class or of any upcaster, or the event type is not
                known, and this registry was not made to let them pass.
            DecodingError: The schema version is an older one, or the data does not fit the class.
        """
        registration = self._by_name.get(event_type)
        if registration is not None and registration.schema_version == schema_version:
            return registration.build(data)
        known = self._upcasters.newest.get(event_type) if registration is None else registration.schema_version
        if known is None:
            if self._unregistered == "error" and event_type not in TOMBSTONE_ERRORS:
                raise EventTooNew(event_type, schema_version, None)
            return data
        if schema_version < known:
            raise DecodingError(
                f"stored with schema version {schema_version}, and no upcaster leads from there to {known}, the newest"
            )
        if schema_version > known and self._newer == "error":
            raise EventTooNew(event_type, schema_version, known)
        return data

    def _add_step(self, step: Step) -> None:
        if not callable(step.function):
            msg = f"an upcaster is a function, not {type(step.function).__name__}"
            raise InvalidInput(msg)
        event_type, schema_version = step.source
        registration = self._by_name.get(event_type)
        if registration is not None and registration.schema_version == schema_version:
            raise UpcasterTaken(event_type, schema_version, f"the class {registration.cls.__qualname__}")
        self._upcasters.add(step)

    def _check_free(self, new: _Registration) -> None:
        same_class, same_name = self._by_class.get(new.cls), self._by_name.get(new.event_type)
        if same_class is not None and same_class != new:
            msg = (
                f"{new.cls.__qualname__} is registered as {same_class.event_type!r} with schema version "
                f"{same_class.schema_version} already; it can't be {new.event_type!r} with {new.schema_version} too; "
                "register another class for that"
            )
            raise EventTypeTaken(msg)
        if (new.event_type, new.schema_version) in self._upcasters.steps:
            raise UpcasterTaken(new.event_type, new.schema_version, "an upcaster")
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
            self._check(cls)
        except NameError as error:
            msg = f"an annotation of {cls.__qualname__} names what can't be found: {error}"
            raise EventTypeError(msg) from None
        self._unchecked.discard(cls)

    def _check(self, cls: type) -> None:
        check_fields(cls)
        types = exact_types(cls)
        if types is not None:
            self._exact[cls] = types


def _shape(option: str, value: object) -> Shape:
    if not isinstance(value, tuple) or len(value) != 2:  # noqa: PLR2004
        msg = f"{option} takes pairs (event type, schema version), not {type(value).__name__}"
        raise InvalidInput(msg)
    return check_event_type(value[0]), check_schema_version(value[1])


def _is_run_again(old: type, new: type) -> bool:
    """Return whether it is the class of a notebook's cell that was run again."""
    return old.__module__ == new.__module__ == "__main__" and old.__qualname__ == new.__qualname__
