"""SQL that both databases understand."""

from typing import Final

from eventstore.codecs import JSONCodec
from eventstore.event_types.fields import Kind
from eventstore.views.definitions import View

TAGS: Final = {
    Kind.FLOAT: "$float",
    Kind.DECIMAL: "$decimal",
    Kind.DATETIME: "$datetime",
    Kind.DATE: "$date",
    Kind.TIME: "$time",
    Kind.TIMEDELTA: "$timedelta",
    Kind.UUID: "$uuid",
    Kind.BYTES: "$bytes",
}
"""The kinds whose values may be texts in an object with one key, and that key.

Floats have one for infinities and NaN only. Of the other kinds, a writer without the class may have stored plain texts
or numbers, which the class reads as well.
"""


def literal(text: str) -> str:
    """Return a text in quotes. Definitions of views have no bind parameters."""
    return "'" + text.replace("'", "''") + "'"


def is_shown(view: View) -> str:
    """Return the condition for events of the view's type whose payload SQL can read: JSON, not compressed."""
    return f"event_type = {literal(view.event_type)} AND codec = {JSONCodec.number}"


def has_version(view: View) -> str:
    """Return the condition for the schema versions that the view shows."""
    if view.oldest == view.newest:
        return f"schema_version = {view.newest}"
    return f"schema_version BETWEEN {view.oldest} AND {view.newest}"
