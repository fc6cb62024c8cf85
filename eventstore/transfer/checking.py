"""Validation of the records of an export, before they reach a database."""

from datetime import UTC, datetime

from eventstore.codecs.metadata import decode_metadata, encode_metadata, pop_tags
from eventstore.common.validation import (
    MAX_CODEC,
    MAX_SCHEMA_VERSION,
    MAX_VERSION,
    check_event_type,
    check_projection_name,
    check_stream_id,
    check_tags,
)
from eventstore.errors import InvalidInput
from eventstore.rows.mapper import StoredEvent
from eventstore.transfer.records import Beginning, Checkpoint, End, Record, SavedSnapshot, StreamTimes


def checked(record: Record) -> Record:
    """Validate a record, and return it.

    Raises:
        InvalidInput: A value is of the wrong type or out of bounds.
        DecodingError: Its metadata is not a JSON object.
    """
    match record:
        case StoredEvent():
            check_stream_id(record.stream_id)
            check_event_type(record.event_type)
            _check_number("position", record.position, 1)
            _check_number("version", record.version, 1)
            _check_number("schema version", record.schema_version, 1, MAX_SCHEMA_VERSION)
            _check_number("codec", record.codec, 0, MAX_CODEC)
            _check_times(record.recorded_at)
            metadata = decode_metadata(record.metadata)
            encode_metadata(metadata, check_tags(pop_tags(metadata), InvalidInput))
        case StreamTimes():
            check_stream_id(record.stream_id)
            _check_number("version", record.version, 0)
            _check_times(record.created_at, record.updated_at)
        case SavedSnapshot():
            check_stream_id(record.stream_id)
            _check_number("version", record.version, 1)
            _check_number("schema version", record.schema_version, 1, MAX_SCHEMA_VERSION)
            _check_number("codec", record.codec, 0, MAX_CODEC)
            _check_times(record.created_at)
        case Checkpoint():
            check_projection_name(record.name)
            _check_number("position", record.position, 0)
        case Beginning(after_position=position) | End(position=position):
            _check_number("position", position, 0)
    return record


def _check_number(name: str, value: object, minimum: int, maximum: int = MAX_VERSION) -> None:
    if type(value) is not int or not minimum <= value <= maximum:
        msg = f"its {name} must be an integer between {minimum} and {maximum}"
        raise InvalidInput(msg)


def _check_times(*times: datetime) -> None:
    for time in times:
        try:
            time.astimezone(UTC)
        except OverflowError:  # in the first or last hours of the calendar, converted to UTC
            msg = "its time in UTC is outside of the years 1 to 9999"
            raise InvalidInput(msg) from None
