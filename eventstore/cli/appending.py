"""The command append: events from JSON, for scripts."""

import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any, Final
from uuid import UUID

import click

from eventstore.cli.completion import complete_streams
from eventstore.cli.database import store_options
from eventstore.cli.output import has_person, print_json, print_line, printable
from eventstore.codecs import JSONCodec, MessagePackCodec
from eventstore.common.validation import check_tags
from eventstore.errors import InvalidInput
from eventstore.event_types import EventTypes
from eventstore.events import NewEvent
from eventstore.store import EventStore
from eventstore.streams import ANY, NO_STREAM, STREAM_EXISTS, ExpectedVersion

_FIELDS: Final = ("event_type", "data", "metadata", "event_id", "schema_version", "tags")
_NAMED: Final[dict[str, ExpectedVersion]] = {"any": ANY, "no-stream": NO_STREAM, "stream-exists": STREAM_EXISTS}
_DECODE: Final = JSONCodec().decode
_ENCODE: Final = MessagePackCodec().encode


def _expected_version(_ctx: click.Context, _parameter: click.Parameter, value: str) -> ExpectedVersion:
    if value in _NAMED:
        return _NAMED[value]
    if not value.isascii() or not value.isdigit():
        msg = f"{value!r} is neither a version nor one of {', '.join(_NAMED)}"
        raise click.BadParameter(msg)
    return int(value)


@click.command()
@click.argument("stream_id", metavar="STREAM", shell_complete=complete_streams)
@click.argument("text", metavar="[JSON]", required=False)
@click.option(
    "--expected-version", required=True, callback=_expected_version, metavar="VERSION",
    help="The version that the stream must have: a number, no-stream, stream-exists, or any (no check).",
)  # fmt: skip
@click.option("--type", "event_type", help="The event type. JSON is then only the data of one event.")
@click.option("--metadata", metavar="JSON", help="An object for all events; the metadata of an event takes precedence.")
@click.option("--tag", "tags", multiple=True, help="A tag of all events, in addition to their own; may be repeated.")
@store_options
def append(
    *, store: EventStore, as_json: bool, stream_id: str, text: str | None, expected_version: ExpectedVersion,
    event_type: str | None, metadata: str | None, tags: tuple[str, ...],
) -> None:  # fmt: skip
    """Append events to STREAM, all of them or none.

    JSON is an event, {"event_type": …, "data": …}, optionally with "metadata", "tags", "event_id" and "schema_version".
    Without it, or with -, the events are read from standard input, one object in each line. An append is idempotent:
    repeated with the same event ids and the same expected version, it stores nothing twice.

    In a pipe, the line has: stream id, version and position of the last event, and whether it was stored before.
    """
    lines: Iterable[str | bytes] = sys.stdin.buffer if text is None or text == "-" else [text]
    check_tags(tags)
    if event_type is None:
        events = list(_events(lines, is_stdin=lines is sys.stdin.buffer))
    else:
        data = b"".join(line if isinstance(line, bytes) else line.encode() for line in lines)
        events = [NewEvent(event_type, _data(_parsed(data, "the data"), "the data"))]
    if tags:
        events = [replace(event, tags=tuple(dict.fromkeys((*event.tags, *tags)))) for event in events]
    shared = None if metadata is None else _parsed(metadata, "--metadata")
    if shared is not None and not isinstance(shared, dict):
        msg = "--metadata must be a JSON object"
        raise InvalidInput(msg)
    result = store.with_core(store.core.with_event_types(EventTypes())).append(
        stream_id, events, expected_version=expected_version, metadata=shared
    )
    if as_json:
        stored = {"stream_id": result.stream_id, "version": result.version, "position": result.position}
        print_json({**stored, "duplicate": result.duplicate})
    elif has_person():
        before = " (stored before)" if result.duplicate else ""
        click.echo(f"{printable(result.stream_id)} is at version {result.version}, position {result.position}{before}")
    else:
        print_line(result.stream_id, result.version, result.position, result.duplicate)


def _events(lines: Iterable[str | bytes], *, is_stdin: bool) -> Iterator[NewEvent]:
    for number, line in enumerate(lines, 1):
        if line.strip():
            where = f"line {number}" if is_stdin else "the event"
            try:
                yield _event(_parsed(line, where), where)
            except InvalidInput as error:
                raise InvalidInput(str(error) if str(error).startswith(where) else f"{where}: {error}") from None


def _event(value: Any, where: str) -> NewEvent:
    if not isinstance(value, dict):
        msg = f'{where} must be a JSON object such as {{"event_type": "order-placed", "data": {{}}}}'
        raise InvalidInput(msg)
    unknown = sorted(set(value) - set(_FIELDS))
    if unknown:
        msg = f"{where} has unknown fields: {', '.join(map(repr, unknown))}; an event has {', '.join(_FIELDS)}"
        raise InvalidInput(msg)
    if "event_type" not in value:
        msg = f"{where} has no event_type; an event has {', '.join(_FIELDS)}"
        raise InvalidInput(msg)
    more = {name: value[name] for name in ("metadata", "schema_version", "tags") if value.get(name) is not None}
    if value.get("event_id") is not None:
        try:
            more["event_id"] = UUID(value["event_id"])
        except (ValueError, TypeError, AttributeError):
            msg = f"{where}: the event_id is not a UUID"
            raise InvalidInput(msg) from None
    return NewEvent(value["event_type"], _data(value.get("data", {}), where), **more)


def _parsed(text: bytes | str, where: str) -> Any:
    try:
        return json.loads(text if isinstance(text, str) else text.decode())
    except UnicodeDecodeError:
        msg = f"{where} is not UTF-8; convert it"
        raise InvalidInput(msg) from None
    except json.JSONDecodeError as error:
        msg = f"{where} is not JSON: {error.msg.removesuffix(' at')}, at character {error.pos + 1}"
        raise InvalidInput(msg) from None
    except RecursionError:
        msg = f"{where} is nested too deep"
        raise InvalidInput(msg) from None


def _data(value: Any, where: str) -> Any:
    """Return the data as the JSON codec decodes it: `{"$decimal": "1.10"}` becomes a Decimal."""
    try:
        data = _DECODE(json.dumps(value).encode())
    except Exception as error:  # noqa: BLE001  # any type's constructor may fail, and its text may contain payload
        msg = f'{where}: the data has an object such as {{"$decimal": …}} that can\'t be read ({type(error).__name__})'
        raise InvalidInput(msg) from None
    try:
        _ENCODE(data)  # newer versions of Python parse JSON that is nested too deep for any codec
    except (RecursionError, ValueError):
        msg = f"{where} is nested too deep"
        raise InvalidInput(msg) from None
    return data
