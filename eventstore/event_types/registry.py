"""The registry of event classes and upcasters."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, TypeVar, overload
from uuid import UUID

from eventstore.common.validation import check_event_type, check_schema_version, check_tags
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
from eventstore.event_types.schemas import schema_of
from eventstore.event_types.tagging import check_kinds, derived_tags
from eventstore.event_types.upcasting import PlainEvent, Shape, Step, Upcasters, drop_all
from eventstore.events import TOMBSTONE_ERRORS, NewEvent, RecordedEvent

EventClass = TypeVar("EventClass", bound=type)
UpcasterFunction = TypeVar("UpcasterFunction", bound=Callable[[Any], Mapping[str, object] | Sequence[object]])
SplitterFunction = TypeVar("SplitterFunction", bound=Callable[[Any], Iterable[tuple[str, Any]]])


@dataclasses.dataclass(frozen=True, slots=True)
class _Registration:
    event_type: str
    schema_version: int
    cls: type
    oldest_version: int = dataclasses.field(compare=False)
    tags: Mapping[str, str] = dataclasses.field(compare=False)
    build: Callable[[Any], Any] = dataclasses.field(compare=False, repr=False)


def check_registry(event_types: object) -> "EventTypes":
    """Return the value of the parameter `event_types`.

    Raises:
        InvalidInput: It is not an `EventTypes`.
    """
    if not isinstance(event_types, EventTypes):
        msg = f"event_types must be an EventTypes, in which classes are registered, not {type(event_types).__name__}"
        raise InvalidInput(msg)
    return event_types


class EventTypes:
    """Which class belongs to which event type, and how older events are upcast to it.

    Dataclasses, attrs classes, msgspec Structs and pydantic models can be registered. Keep one registry for an
    application, and register at import; after that it may be used from any thread.

    An event is stored as its fields, by their names: by the encoded names of a Struct, not by the aliases of a pydantic
    model, and without private attributes. The annotations restore them. A field annotated `Any` is read back as plain
    values, and one annotated `Sequence` as a list. Values that would be read back changed are refused by the append.

    Args:
        newer: How to read an event with a newer schema version than this registry knows, which newer code must have
            written. `"error"` raises `EventTooNew`, `"plain"` returns the plain data that is stored.
        unregistered: How to read an event whose type this registry does not know: `"plain"` or `"error"`, likewise.

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
                msg = f"{name} must be 'error' or 'plain', not {value!r}"
                raise InvalidInput(msg)
        self._newer = newer
        self._unregistered = unregistered
        self._by_class: dict[type, _Registration] = {}
        self._by_name: dict[str, _Registration] = {}
        self._readers: dict[Shape, Callable[[bytes], Any]] = {}
        self._exact: dict[type, tuple[tuple[str, frozenset[type]], ...]] = {}
        self._unchecked: set[type] = set()
        self._upcasters = Upcasters()
        self.derives_tags = False

    derives_tags: bool
    """Whether a class is registered with tags."""

    @overload
    def register(
        self,
        event_type: str,
        cls: EventClass,
        *,
        schema_version: int = 1,
        oldest_version: int = 1,
        tags: Mapping[str, str] | None = None,
    ) -> EventClass: ...

    @overload
    def register(
        self,
        event_type: str,
        *,
        schema_version: int = 1,
        oldest_version: int = 1,
        tags: Mapping[str, str] | None = None,
    ) -> Callable[[EventClass], EventClass]: ...

    def register(
        self,
        event_type: str,
        cls: type | None = None,
        *,
        schema_version: int = 1,
        oldest_version: int = 1,
        tags: Mapping[str, str] | None = None,
    ) -> Any:
        """Register a class under a name. Without a class, return a decorator.

        Args:
            event_type: The event type that is stored, 1 to 255 characters. Once events are stored, only an upcaster can
                rename it.
            cls: The class.
            schema_version: The version of the structure of the class, from 1. It is stored with each event.
            oldest_version: The oldest schema version that was ever stored. Upcasters must lead from there to this
                class. Defaults to 1.
            tags: For each kind of tag, the field that identifies the thing: with `{"course": "course_id"}`, an event
                whose `course_id` is `c1` gets the tag `course:c1`. A field that is None gives no tag. Defaults to None:
                no tags but those that are given with the event.

        Returns:
            The class, unchanged.

        Raises:
            InvalidEvent: The name, a schema version, or a kind of tag or its field is not valid.
            EventTypeTaken: The class is registered under another name or schema version, or the name for another class.
            UpcasterTaken: An upcaster starts from this schema version.
            EventTypeError: The class is of an unsupported kind, or has a field whose type can't be restored.
        """
        if isinstance(event_type, type):
            name = event_type.__qualname__
            msg = f'register {name} under an event type, for example @event_types.register("order-placed")'
            raise InvalidEvent(msg)
        event_type, schema_version = check_event_type(event_type), check_schema_version(schema_version)
        if check_schema_version(oldest_version) > schema_version:
            msg = f"oldest_version must be at most the schema version, {schema_version}, not {oldest_version}"
            raise InvalidEvent(msg)
        if cls is None:
            return lambda cls: self.register(
                event_type, cls, schema_version=schema_version, oldest_version=oldest_version, tags=tags
            )
        check_class(cls)
        tags = check_kinds(cls, tags or {})
        registration = _Registration(event_type, schema_version, cls, oldest_version, tags, builder(cls))
        self._check_free(registration)
        try:
            self._check(cls)
        except NameError:  # an annotation uses a name that is defined later
            self._unchecked.add(cls)
        before = self._by_name.get(event_type)
        if before is not None:
            self._readers.pop((event_type, before.schema_version), None)
        read = reader(cls)
        if read is not None:
            self._readers[event_type, schema_version] = read
        self._by_name[event_type] = registration
        self._by_class[cls] = registration
        self.derives_tags = self.derives_tags or bool(tags)
        return cls

    def new_event(
        self,
        event: Any,
        *,
        event_id: UUID | None = None,
        metadata: dict[str, Any] | None = None,
        tags: Iterable[str] = (),
    ) -> NewEvent:
        """Return an object of a registered class as a `NewEvent`, to set its id, metadata or tags.

        Args:
            event: The object. It becomes the `data` of the result.
            event_id: Defaults to a new UUIDv7.
            metadata: JSON values by string keys.
            tags: Tags in addition to those that its class is registered with; the append adds these.

        Raises:
            UnregisteredEventType: Its class is not registered.
            EventTypeError: An annotation of its class uses a name that is still not defined.
        """
        shape = self.type_of(event)
        if shape is None:
            raise UnregisteredEventType(type(event).__qualname__)
        event_type, schema_version = shape
        id_argument = {} if event_id is None else {"event_id": event_id}
        return NewEvent(event_type, event, metadata=metadata, schema_version=schema_version, tags=tags, **id_argument)

    def type_of(self, event: Any) -> tuple[str, int] | None:
        """Return event type and schema version of an object of a registered class; None for anything else.

        Raises:
            EventTypeError: An annotation of its class uses a name that is still not defined.
        """
        registration = self._by_class.get(type(event))
        if registration is None:
            return None
        if registration.cls in self._unchecked:
            self._check_now(registration.cls)
        return registration.event_type, registration.schema_version

    def tags_of(self, event: NewEvent | RecordedEvent) -> tuple[str, ...]:
        """Return the tags of an event: those that it has, and those that its class is registered with.

        Raises:
            InvalidEvent: A field holds no string, integer or UUID to make a tag of, or there are too many tags.
        """
        registration = self._by_class.get(type(event.data))
        given = tuple(event.tags)
        if registration is None or not registration.tags:
            return given
        derived = derived_tags(event.data, registration.tags)
        return check_tags((*given, *(tag for tag in derived if tag not in given)))

    def name_of(self, cls: type) -> str | None:
        """Return the event type of a registered class; None for any other."""
        registration = self._by_class.get(cls)
        return None if registration is None else registration.event_type

    def oldest_version_of(self, cls: type) -> int:
        """Return the oldest schema version that was ever stored of a registered class."""
        return self._by_class[cls].oldest_version

    def comes_back(self, event: Any) -> bool:
        """Return whether an object of a registered class is certainly read back exactly, because its fields are simple.

        Other objects have to be encoded and decoded to find out. Which classes have simple fields is determined when
        they are registered.
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
        """Return a decorator that registers an upcaster, a function that turns older data of events into newer data.

        The function takes plain data, which it may change, and returns plain data. It must be pure: it is called
        whenever such an event is read, and its result is never stored.

        Args:
            event_type: The event type of the older events.
            from_version: The schema version of the older events.
            to: The event type and schema version of the result. Defaults to the same event type and the next schema
                version; another event type renames the event.

        Raises:
            InvalidEvent: A name or schema version is not valid.
            UpcasterTaken: The schema version already has an upcaster or a class.
            UpcasterCycle: The upcaster would close a cycle.

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
        """Return a decorator that registers a splitter: a function that turns one event into several, or none.

        The function takes plain data, and returns or yields pairs of an event type and plain data. The resulting events
        are read one after the other, and share the id, version and position of the stored event.

        Args:
            event_type: The event type of the stored events.
            from_version: The schema version of the stored events.
            into: The event types of the results, each with its schema version.

        Raises:
            InvalidEvent: A name or schema version is not valid.
            UpcasterTaken: The schema version already has an upcaster or a class.
            UpcasterCycle: The splitter would close a cycle.

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
            msg = f"into must be a list of pairs (event type, schema version), not {type(into).__name__}"
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
        """Skip the events of one schema version when events are read. They stay stored.

        Args:
            event_type: The event type.
            from_version: The schema version. Older ones need an upcaster to it, or have to be dropped, too.

        Raises:
            InvalidEvent: A name or schema version is not valid.
            UpcasterTaken: The schema version already has an upcaster or a class.
        """
        self._add_step(
            Step((check_event_type(event_type), check_schema_version(from_version)), (), drop_all, splits=True)
        )

    def validate(self) -> None:
        """Check that upcasters lead from every schema version to the newest. `EventStore` does so when it is made.

        If an event type has a class, the newest schema version is that of the class, and upcasters must lead there from
        its `oldest_version`. Otherwise, the newest is the largest that an upcaster names.

        Raises:
            UpcasterMissing: No upcasters lead from a schema version to the newest.
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

    def json_schema(self, *event_types: str) -> dict[str, dict[str, Any]]:
        """Return the JSON Schema (2020-12) of the payloads of each event type, for documentation and other languages.

        A schema describes what `JSONCodec` stores: types that JSON does not have are objects with one key, such as
        `{"$decimal": "1.10"}`. MessagePack has the same structure, with extension types in place of these objects.
        Fields with a default are not required, because older events may lack them. `title` is the event type, and
        `x-schema-version` its schema version, that of the class; older versions have no class, and no schema.

        Args:
            event_types: Which event types. Defaults to all that are registered.

        Returns:
            The schemas by event type, sorted.

        Raises:
            InvalidInput: An event type is not registered.
            EventTypeError: An annotation uses a name that is not defined.

        Example:
            ```python
            schema = event_types.json_schema("order-placed")["order-placed"]
            ```
        """
        missing = [name for name in event_types if name not in self._by_name]
        if missing:
            known = ", ".join(sorted(self._by_name)) or "none"
            msg = f"{missing[0]!r} is not a registered event type; these are: {known}"
            raise InvalidInput(msg)
        return {
            name: schema_of((each.event_type, each.schema_version), each.cls)
            for name, each in sorted(self._by_name.items())
            if not event_types or name in event_types
        }

    @property
    def readers(self) -> Mapping[Shape, Callable[[bytes], Any]]:
        """Functions that make objects from MessagePack in one step, for classes that allow it; see `classes.reader`."""
        return self._readers

    @property
    def steps(self) -> Mapping[Shape, Step]:
        """The upcasters, by the event type and schema version that they start from."""
        return self._upcasters.steps

    @property
    def newest(self) -> Mapping[str, int]:
        """The schema version that events are read with, by event type: that of the class, or of the last upcaster."""
        return {**self._upcasters.newest, **{name: each.schema_version for name, each in self._by_name.items()}}

    def upcast(self, event_type: str, schema_version: int, data: Any) -> list[PlainEvent]:
        """Apply the upcasters to plain data, without classes, for example to test them.

        Raises:
            UpcastingFailed: An upcaster has raised an error, or has returned something that is not an event's data.
        """
        return list(self._upcasters.run(event_type, schema_version, data))

    def from_plain(self, event_type: str, schema_version: int, data: Any) -> Any:
        """Return an object of the class that is registered for the event type, or `data` if there is none.

        Raises:
            EventTooNew: The schema version is newer than that of the class or of any upcaster, or the event type is not
                known, and the options of this registry do not allow it.
            DecodingError: The schema version is older and has no upcaster, or the data does not fit the class.
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
                f"stored with schema version {schema_version}, from which no upcaster leads to {known}, the newest; "
                "register one with EventTypes.upcaster"
            )
        if schema_version > known and self._newer == "error":
            raise EventTooNew(event_type, schema_version, known)
        return data

    def _add_step(self, step: Step) -> None:
        if not callable(step.function):
            msg = f"an upcaster must be a function, not {type(step.function).__name__}"
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
                f"{new.cls.__qualname__} is already registered as {same_class.event_type!r} with schema version "
                f"{same_class.schema_version}, so it can't be {new.event_type!r} with {new.schema_version}, too; "
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
                f"register {new.cls.__qualname__} under another name"
            )
            raise EventTypeTaken(msg)
        del self._by_class[same_name.cls]

    def _check_now(self, cls: type) -> None:
        try:
            self._check(cls)
        except NameError as error:
            msg = f"an annotation of {cls.__qualname__} uses a name that is not defined: {error}"
            raise EventTypeError(msg) from None
        self._unchecked.discard(cls)

    def _check(self, cls: type) -> None:
        check_fields(cls)
        types = exact_types(cls)
        if types is not None:
            self._exact[cls] = types


def _shape(option: str, value: object) -> Shape:
    if not isinstance(value, tuple) or len(value) != 2:  # noqa: PLR2004
        msg = f"{option} must have pairs (event type, schema version), not {type(value).__name__}"
        raise InvalidInput(msg)
    return check_event_type(value[0]), check_schema_version(value[1])


def _is_run_again(old: type, new: type) -> bool:
    """Return whether the new class comes from running a notebook's cell again."""
    return old.__module__ == new.__module__ == "__main__" and old.__qualname__ == new.__qualname__
