"""Which views there are, and their columns, before any SQL."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from eventstore.errors import InvalidInput
from eventstore.event_types import EventTypes
from eventstore.event_types.fields import Kind, StoredField, stored_fields
from eventstore.event_types.upcasting import Shape

_MAX_NAME: Final = 63
"""PostgreSQL's limit for a name, in bytes."""

EVENT_COLUMNS: Final = ("position", "stream_id", "version", "event_id", "recorded_at", "metadata")
"""The columns of es_events that each view begins with."""

Renamed = Mapping[str, Mapping[str, str | Sequence[str]]]


@dataclass(frozen=True, slots=True)
class ViewColumn:
    """A column of a view.

    Attributes:
        name: Its name: that of the field, or `data_…` if es_events has a column of that name.
        keys: Where its value is stored: the newest key, then older ones.
        kind: The kind of its values.
    """

    name: str
    keys: tuple[str | int, ...]
    kind: Kind


@dataclass(frozen=True, slots=True)
class View:
    """One view.

    Attributes:
        name: Its name.
        event_type: The type of the events that it shows.
        oldest: The oldest schema version that it shows.
        newest: The newest one, that of the class.
        columns: Its columns, after those of es_events.
    """

    name: str
    event_type: str
    oldest: int
    newest: int
    columns: tuple[ViewColumn, ...]

    def column(self, name: str) -> ViewColumn:
        """Return a column by the name of its field.

        Raises:
            InvalidInput: There is none.
        """
        for column in self.columns:
            if name in (column.name, column.name.removeprefix("data_")):
                return column
        msg = f"{name!r} is not a field of the class of {self.event_type!r}, whose fields are {_listed(self.columns)}"
        raise InvalidInput(msg)


def define_views(event_types: EventTypes, *, prefix: str = "", renamed: Renamed | None = None) -> tuple[View, ...]:
    """Return a view for each registered class, in the order of their names.

    Args:
        event_types: The registry.
        prefix: What the names of the views begin with.
        renamed: The event types whose older schema versions are shown, too, each with the older keys of its fields.

    Raises:
        InvalidInput: An event type is not registered, or a field is not one of its class, or the names of two views, or
            of two columns, are the same, or one is too long.
        NameError: An annotation uses a name that is not defined.
    """
    older = dict(renamed or {})
    views = [
        _view(event_types, shape, cls, prefix + view_name(shape[0]), older.pop(shape[0], None))
        for shape, cls in event_types.classes.items()
    ]
    for event_type in older:
        msg = f"renamed has {event_type!r}, for which no class is registered"
        raise InvalidInput(msg)
    names: dict[str, str] = {}
    for view in views:
        if names.setdefault(view.name, view.event_type) != view.event_type:
            msg = f"the event types {names[view.name]!r} and {view.event_type!r} would have the same view, {view.name}"
            raise InvalidInput(msg)
    return tuple(sorted(views, key=lambda view: view.name))


def _view(
    event_types: EventTypes, shape: Shape, cls: type, name: str, older: Mapping[str, str | Sequence[str]] | None
) -> View:
    event_type, version = shape
    if len(name.encode()) > _MAX_NAME:
        msg = f"the view of {event_type!r} would be named {name}, which is longer than {_MAX_NAME} bytes"
        raise InvalidInput(msg)
    keys = {field: _keys(was) for field, was in (older or {}).items()}
    columns = tuple(_column(field, keys.pop(field.name, ())) for field in stored_fields(cls))
    oldest = version if older is None else event_types.oldest_version_of(cls)
    view = View(name, event_type, oldest, version, columns)
    for field in keys:
        view.column(field)  # it raises
    if len({column.name for column in columns}) < len(columns):
        msg = f"two fields of the class of {event_type!r} would have the same column; rename one that begins with data_"
        raise InvalidInput(msg)
    return view


def _column(field: StoredField, older_keys: tuple[str, ...]) -> ViewColumn:
    name = f"data_{field.name}" if field.name in EVENT_COLUMNS else field.name
    return ViewColumn(name, (field.key, *older_keys), field.kind)


def _keys(keys: str | Sequence[str]) -> tuple[str, ...]:
    return (keys,) if isinstance(keys, str) else tuple(keys)


def view_name(event_type: str) -> str:
    """Return the name of the view of an event type: `OrderPlaced`, `order-placed` and `order.placed` give the same."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", event_type)
    return re.sub(r"\W+", "_", words).strip("_").lower()


def _listed(columns: Iterable[ViewColumn]) -> str:
    return ", ".join(column.name for column in columns) or "none"
