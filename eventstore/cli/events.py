"""Printing events: for people in blocks or lines, for programs in JSON or in lines with tabs."""

import base64
from collections.abc import Iterable
from typing import Any, Final

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from eventstore.backends.protocol import Dialect, Row
from eventstore.cli.output import console, has_person, moment, print_json, print_line, printable
from eventstore.cli.payloads import compact, exact, hexdump, indented, one_line, readable
from eventstore.events import RecordedEvent

_WIDE: Final = 120
"""A terminal with at least this many columns has room for event ids."""

_ROOMY: Final = 100
"""A terminal with at least this many columns has room for the date in a line."""

_CODECS: Final = {1: "MessagePack", 2: "JSON"}
_ZSTD: Final = 256


def as_json(event: RecordedEvent) -> dict[str, Any]:
    """Return an event as JSON values, with its data as the JSON codec writes it."""
    return {
        "position": event.position,
        "stream_id": event.stream_id,
        "version": event.version,
        "event_type": event.event_type,
        "schema_version": event.schema_version,
        "event_id": str(event.event_id),
        "recorded_at": event.recorded_at.isoformat(),
        "data": exact(event.data),
        "metadata": dict(event.metadata),
        "tags": list(event.tags),
    }


class EventPrinter:
    """Prints events one by one.

    Args:
        as_json: Whether JSON was asked for.
        in_blocks: Whether people get the whole payload below the event, instead of as much as fits into its line.
    """

    def __init__(self, *, as_json: bool, in_blocks: bool) -> None:
        self._as_json = as_json
        self._in_blocks = in_blocks
        self._console: Console | None = console() if has_person() and not as_json else None
        self._widths = [0, 0]

    def __call__(self, event: RecordedEvent) -> None:
        """Print one event."""
        if self._as_json:
            print_json(as_json(event))
        elif self._console is None:
            print_line(
                event.position, event.stream_id, event.version, event.event_type, event.schema_version,
                event.recorded_at, event.event_id,
                payloads=[compact(event.data), one_line(dict(event.metadata)), compact(list(event.tags))],
            )  # fmt: skip
        elif self._in_blocks:
            self._console.print(self._block(self._console, event), soft_wrap=True)  # by the terminal, at its edge
        else:
            self._console.print(self._line(self._console.width, event), no_wrap=True, overflow="ellipsis", crop=True)

    def _block(self, where: Console, event: RecordedEvent) -> Text:
        block = Text()
        block.append(f"{event.version:>5}  ", "bold cyan")
        block.append(printable(event.event_type), "bold")
        if event.schema_version > 1:
            block.append(f" (schema version {event.schema_version})", "dim")
        block.append(f"  {moment(event.recorded_at)}  position {event.position}", "dim")
        if where.width >= _WIDE:
            block.append(f"  {event.event_id}", "dim")
        block.append(_payload(event.data, where.width))
        if event.metadata:
            block.append("\n       metadata ", "dim").append(readable(dict(event.metadata)), "dim")
        if event.tags:
            block.append(f"\n       tags {_listed(event.tags)}", "dim")
        return block

    def _line(self, width: int, event: RecordedEvent) -> Text:
        """Return the event in one line. Columns become wider for long values, and never narrower."""
        when = moment(event.recorded_at) if width >= _ROOMY else f"{event.recorded_at:%H:%M:%S}"
        stream = self._column(0, f"{printable(event.stream_id)}@{event.version}", width // 3)
        event_type = self._column(1, printable(event.event_type), width // 4)
        line = Text()
        line.append(f"{event.position:>7}  {when}  ", "dim")
        line.append(stream, "cyan").append(event_type, "bold")
        line.append(readable(event.data))
        return line.append(f"  {_listed(event.tags)}", "dim") if event.tags else line

    def _column(self, number: int, text: str, at_most: int) -> str:
        """Return the text padded to its column and two spaces; the middle of a text that is too long is left out."""
        if len(text) > at_most:
            half = (at_most - 1) // 2
            text = f"{text[:half]}…{text[-half:]}"
        self._widths[number] = max(self._widths[number], cell_len(text))
        return text + " " * (self._widths[number] - cell_len(text) + 2)


def _listed(tags: Iterable[str]) -> str:
    return ", ".join(map(printable, tags))


def _payload(data: Any, width: int) -> str:
    """Return the data as lines below its event, in one line if it fits."""
    line = readable(data)
    lines = [line] if len(line) + 7 <= width else indented(data).split("\n")
    return "".join(f"\n       {each}" for each in lines)


class StoredPrinter:
    """Prints rows of events with the stored bytes of their data.

    Args:
        dialect: The store's dialect.
        as_json: Whether JSON was asked for.
    """

    def __init__(self, dialect: Dialect, *, as_json: bool) -> None:
        self._dialect = dialect
        self._as_json = as_json
        self._console: Console | None = console() if has_person() and not as_json else None

    def __call__(self, row: Row) -> None:
        """Print one row of `statements.read_forwards`."""
        position, stream_id, version, event_id, event_type, schema_version, codec, data, metadata, recorded_at = row
        recorded_at = self._dialect.to_time(recorded_at)
        event_id = self._dialect.to_uuid(event_id)
        encoded = base64.b64encode(data).decode()
        if self._as_json:
            row_values = {"position": position, "stream_id": stream_id, "version": version, "event_type": event_type}
            row_values |= {"schema_version": schema_version, "event_id": str(event_id), "recorded_at": recorded_at}
            print_json(row_values | {"codec": codec, "data_base64": encoded, "metadata_text": metadata})
        elif self._console is None:
            print_line(
                position, stream_id, version, event_type, schema_version, recorded_at, event_id, codec, encoded,
                metadata,
            )  # fmt: skip
        else:
            name = _CODECS.get(codec % _ZSTD, "an application's codec") + (", compressed" if codec >= _ZSTD else "")
            block = Text()
            block.append(f"{version:>5}  ", "bold cyan").append(printable(event_type), "bold")
            block.append(f"  {moment(recorded_at)}  position {position}\n       {event_id}\n", "dim")
            block.append(f"       schema version {schema_version}, codec {codec} ({name}), {len(data)} bytes\n", "dim")
            block.append("\n".join(f"       {line}" for line in hexdump(bytes(data)).split("\n")))
            if metadata is not None:
                block.append(f"\n       metadata {printable(metadata)}", "dim")
            self._console.print(block, soft_wrap=True)
