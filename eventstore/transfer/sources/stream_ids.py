"""The stream ids of rows: a column, a constant, or a template such as `order-{order_id}`."""

import re
from functools import lru_cache
from string import Formatter
from typing import Any, Final
from uuid import UUID

from eventstore.errors import InvalidTableMap
from eventstore.transfer.sources.columns import Columns, Read, Row
from eventstore.transfer.sources.table_map import AGGREGATE, Constant, TableMap, placeholders
from eventstore.transfer.sources.values import Convert, NotConvertibleError, id_text

_OF_ORIGINATOR: Final = "{aggregate}-{originator_id}"
_HEX: Final = re.compile("[0-9a-f]{32}")
_WORD: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def stream_reader(columns: Columns, table_map: TableMap) -> Read:
    """Return what reads the stream id of a row.

    Raises:
        InvalidTableMap: The table lacks a column of the template, or it names the aggregate without a column of types.
    """
    template = table_map.stream
    if isinstance(template, Constant):
        stream_id = str(template.value)
        return lambda _row, _fields: stream_id
    if "{" not in template:
        return columns.plain(template, _id_reader(template))
    readers: dict[str, Read] = {}
    for name in placeholders(template):
        if name == AGGREGATE and AGGREGATE not in columns.types:
            if isinstance(table_map.type, Constant):
                raise InvalidTableMap("{aggregate} is taken from the type, so the type must be a column")
            readers[name] = columns.plain(table_map.type, _aggregate_of)
        else:
            readers[name] = columns.plain(name, _id_reader(name))
    # not by str.format, for which a name such as "a.b" is an attribute, and "0" a position
    parts = [(text, None if name is None else readers[name]) for text, name, _, _ in Formatter().parse(template)]

    def filled(row: Row, _: object) -> str:
        return "".join([text if read is None else text + read(row, None) for text, read in parts])

    if template != _OF_ORIGINATOR:
        return filled
    # ids that are text name their category themselves
    is_bare = columns.plain("originator_id", lambda value: isinstance(value, str) and not _HEX.fullmatch(value))
    id_only = readers["originator_id"]
    return lambda row, _: id_only(row, None) if is_bare(row, None) else filled(row, None)


def _id_reader(name: str) -> Convert:
    return _originator_id if name == "originator_id" else id_text


def _originator_id(value: Any) -> str:
    """Return the id as text: SQLite has UUIDs as 32 hexadecimal digits."""
    return str(UUID(value)) if isinstance(value, str) and _HEX.fullmatch(value) else id_text(value)


def _aggregate_of(topic: object) -> str:
    """Return the category for a topic such as `shop.orders:PurchaseOrder.Placed`: `purchase_order`."""
    return _category(topic if isinstance(topic, str) else "")


@lru_cache(maxsize=1024)
def _category(topic: str) -> str:
    """Read a topic only once: there are few, and many events of each."""
    class_, _, event = topic.partition(":")[2].rpartition(".")
    if not class_ or event == "Snapshot":
        problem = "it is a snapshot" if event == "Snapshot" else "it has no class of an aggregate"
        raise NotConvertibleError(f'{problem}; say what streams are called, such as stream = "order-{{originator_id}}"')
    return _WORD.sub("_", class_.rpartition(".")[2]).lower()
