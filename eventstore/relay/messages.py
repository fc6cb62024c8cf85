"""Messages: what a relay sends, as CloudEvents 1.0."""

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Final

import msgspec

from eventstore.common.validation import check_event_type, check_text
from eventstore.errors import EncodingError, InvalidInput
from eventstore.events import RecordedEvent

JSON: Final = "application/json"
"""The content type of data that is JSON."""

_SPEC_VERSION: Final = "1.0"
_LONGEST_ATTRIBUTE: Final = 2000
_EXTENSION: Final = re.compile("[a-z0-9]{1,20}")
_CONTEXT: Final = frozenset(
    ["specversion", "id", "source", "type", "subject", "time", "datacontenttype", "dataschema", "partitionkey"]
)
_NAMES_TAKEN: Final = _CONTEXT | {"data", "data_base64"}
_JSON_TYPES: Final = re.compile(r"(?:[\w.+-]+/(?:[\w.+-]+\+)?json)(?:;.*)?", re.IGNORECASE)
_REFUSALS: Final = (TypeError, ValueError, OverflowError, RecursionError, NotImplementedError)


@dataclass(frozen=True, slots=True)
class Message:
    """A message about an event, as a CloudEvent 1.0.

    `publish` makes it with a type and data. The relay fills in what is left empty. A function that a relay sends to
    receives messages that are complete.

    Attributes:
        type: The type of the public event, 1 to 255 characters, such as `com.example.order.placed`.
        data: Values of JSON, or what becomes one: a date, a Decimal, a UUID or an enum a text, bytes a text in base64,
            an object of a dataclass, of attrs, msgspec or pydantic an object. If `datacontenttype` is not JSON: bytes.
        id: Identifies the message, the same each time it is sent. Defaults to the event id; a second message about the
            same event gets `-2` at its end, and so on.
        source: Where it comes from, a URI. Defaults to the relay's.
        subject: What it is about. Defaults to the stream id.
        time: When it happened. Defaults to when the event was stored.
        partitionkey: Messages with the same key keep their order, for brokers that have partitions. Defaults to the
            stream id.
        dataschema: The URI of the schema of the data; None if there is none.
        datacontenttype: The content type of the data.
        extensions: More attributes: texts, integers and booleans by names of 1 to 20 lower-case letters and digits.

    Raises:
        InvalidInput: An attribute is not valid.

    Example:
        ```python
        Message("com.example.order.placed", {"order": event.stream_id, "total": event.data.total})
        ```
    """

    type: str
    data: Any = None
    id: str = field(default="", kw_only=True)
    source: str = field(default="", kw_only=True)
    subject: str | None = field(default=None, kw_only=True)
    time: datetime | None = field(default=None, kw_only=True)
    partitionkey: str = field(default="", kw_only=True)
    dataschema: str | None = field(default=None, kw_only=True)
    datacontenttype: str = field(default=JSON, kw_only=True)
    extensions: Mapping[str, str | int | bool] = field(default_factory=lambda: MappingProxyType({}), kw_only=True)

    def __post_init__(self) -> None:
        check_event_type(self.type)
        for name in ("id", "source", "subject", "partitionkey", "dataschema", "datacontenttype"):
            value = getattr(self, name)
            is_left_out = value is None if name in ("subject", "dataschema") else value == ""
            if not is_left_out or name == "datacontenttype":
                check_text(f"the {name} of a message", value, _LONGEST_ATTRIBUTE)
        if self.time is not None and (not isinstance(self.time, datetime) or self.time.utcoffset() is None):
            msg = "the time of a message must be a datetime with a time zone"
            raise InvalidInput(msg)
        if not self.is_json and not isinstance(self.data, bytes):
            msg = f"the data of a message of type {self.datacontenttype} must be bytes, not {type(self.data).__name__}"
            raise InvalidInput(msg)
        _check_extensions(self.extensions)

    @property
    def is_json(self) -> bool:
        """Whether the data is JSON."""
        return _JSON_TYPES.fullmatch(self.datacontenttype) is not None

    def attributes(self) -> dict[str, str]:
        """Return the attributes of the message, without its data, as texts.

        They are what the binary mode of CloudEvents has as headers: `ce-id` in HTTP, `ce_id` in Kafka, and so on.
        """
        return {name: _text(value) for name, value in self._attributes().items()}

    def data_bytes(self) -> bytes:
        """Return the data alone, in UTF-8 if it is JSON; the body in the binary mode of CloudEvents."""
        data: bytes = _encoded(self.data) if self.is_json else self.data
        return data

    def to_dict(self) -> dict[str, Any]:
        """Return the message as an object of JSON: the structured mode of CloudEvents."""
        whole: dict[str, Any] = {
            name: value if isinstance(value, bool | int) else _text(value) for name, value in self._attributes().items()
        }
        if not self.is_json:
            return whole | {"data_base64": base64.b64encode(self.data).decode()}
        return whole if self.data is None else whole | {"data": self.data}

    def to_json(self) -> bytes:
        """Return `to_dict` as JSON in UTF-8, the body for the content type `application/cloudevents+json`."""
        return _encoded(self.to_dict())

    def _attributes(self) -> dict[str, Any]:
        attributes = {
            "specversion": _SPEC_VERSION,
            "id": self.id,
            "source": self.source,
            "type": self.type,
            "subject": self.subject,
            "time": self.time,
            "datacontenttype": self.datacontenttype,
            "dataschema": self.dataschema,
            "partitionkey": self.partitionkey or None,
            **self.extensions,
        }
        return {name: value for name, value in attributes.items() if value is not None}

    def about(self, event: RecordedEvent, *, number: int, source: str) -> "Message":
        """Return the message with what is left empty filled in, and with plain data.

        Args:
            event: The event.
            number: Which message about the event it is, from 1.
            source: The source of the relay.

        Raises:
            EncodingError: The data can't be JSON.
        """
        return replace(
            self,
            data=_plain(self.data, self.type) if self.is_json else self.data,
            id=self.id or (str(event.event_id) if number == 1 else f"{event.event_id}-{number}"),
            source=self.source or source,
            subject=event.stream_id if self.subject is None else self.subject,
            time=event.recorded_at if self.time is None else self.time,
            partitionkey=self.partitionkey or event.stream_id,
        )


def _check_extensions(extensions: object) -> None:
    if not isinstance(extensions, Mapping):
        msg = f"the extensions of a message must be a mapping, not {type(extensions).__name__}"
        raise InvalidInput(msg)
    for name, value in extensions.items():
        if not isinstance(name, str) or not _EXTENSION.fullmatch(name) or name in _NAMES_TAKEN:
            msg = (
                f"{name!r} can't be an extension of a message: a name has 1 to 20 lower-case letters and digits, and "
                "is none of the attributes"
            )
            raise InvalidInput(msg)
        if not isinstance(value, str | int):
            msg = f"the extension {name!r} must be a string, an integer or a boolean, not {type(value).__name__}"
            raise InvalidInput(msg)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return str(value)


def _plain(data: Any, event_type: str) -> Any:
    """Return data as values of JSON.

    Raises:
        EncodingError: It has a value that is none.
    """
    try:
        # The encoder refuses NaN, and halves of surrogate pairs. What comes back has lists in place of tuples.
        return json.loads(_encoded(msgspec.to_builtins(data, str_keys=True, enc_hook=_builtins_of)))
    except _REFUSALS as error:
        problem = f"which is no JSON ({type(error).__name__}); let publish return plain values"
        raise EncodingError(
            path="$", value_type=type(data).__name__, problem=problem, index=0, event_type=event_type
        ) from None


def _builtins_of(value: Any) -> Any:
    if hasattr(value, "model_dump"):  # pydantic
        return value.model_dump(mode="json")
    raise NotImplementedError


def _encoded(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
