"""Unmanaged Django models of the views, as source code."""

import keyword
import re
from collections.abc import Iterable
from typing import Final

from eventstore.event_types.fields import Kind
from eventstore.views.definitions import View

_DECIMAL: Final = "DecimalField(max_digits=1000, decimal_places=500, null=True)"

_ON_POSTGRESQL: Final = {
    Kind.INTEGER: "BigIntegerField(null=True)",
    Kind.FLOAT: "FloatField(null=True)",
    Kind.BOOLEAN: "BooleanField(null=True)",
    Kind.DECIMAL: _DECIMAL,
    Kind.DATETIME: "DateTimeField(null=True)",
    Kind.DATE: "DateField(null=True)",
    Kind.TIMEDELTA: "DurationField(null=True)",
    Kind.UUID: "UUIDField(null=True)",
    Kind.BYTES: "BinaryField(null=True)",
    Kind.NESTED: "JSONField(null=True)",
}
_ON_SQLITE: Final = {kind: _ON_POSTGRESQL[kind] for kind in (Kind.INTEGER, Kind.BOOLEAN, Kind.NESTED)}
_TEXT: Final = "TextField(null=True)"
"""For all other kinds: on SQLite, views have texts."""

_TAKEN: Final = frozenset({"pk", "objects", "check", "clean", "delete", "save"})
"""Names that Django's models have."""

_OF_EVENT: Final = """    position = models.BigIntegerField(primary_key=True)
    stream_id = models.TextField()
    version = models.BigIntegerField()
    event_id = models.UUIDField()
    recorded_at = models.DateTimeField()
    metadata = models.JSONField(null=True)
"""


def models(views: Iterable[View], database: str) -> str:
    """Return the source code of a module with a model for each view."""
    fields = _ON_SQLITE if database == "sqlite" else _ON_POSTGRESQL
    classes = [
        f"class {_class_name(view)}(models.Model):\n{_OF_EVENT}"
        + "".join(_field(column.name, fields.get(column.kind, _TEXT)) for column in view.columns)
        + f'\n    class Meta:\n        managed = False\n        db_table = "{view.name}"\n'
        for view in views
    ]
    return "\n\n".join(["from django.db import models\n", *classes])


def _field(column: str, field: str) -> str:
    """Return the line of a field, by a name that Django allows."""
    name = re.sub("__+", "_", column).strip("_")
    name = f"{name}_value" if keyword.iskeyword(name) or name in _TAKEN else name
    if name != column:
        field = field.replace("(", f"(db_column={column!r}, ", 1)
    return f"    {name} = models.{field}\n"


def _class_name(view: View) -> str:
    return "".join(word.capitalize() for word in view.name.split("_"))
