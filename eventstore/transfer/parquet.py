"""Exports as Parquet: the events, for analysis and for import, which computes the heads from them.

`data` has the bytes as they are stored; an import reads these. `data_json` has the same for other programs.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC
from pathlib import Path
from typing import IO, Any, Final
from uuid import UUID

from eventstore.codecs.payload import PayloadCodec
from eventstore.errors import DamagedExport, ExtraMissing, InvalidInput
from eventstore.rows.mapper import StoredEvent
from eventstore.transfer.checking import checked
from eventstore.transfer.payloads import readable
from eventstore.transfer.records import FORMAT, Beginning, End, Record

_ROWS: Final = 10_000
_BYTES: Final = 64_000_000
"""The size of a row group, which is in memory at a time: this many events, or fewer if their payloads are large."""
_KEY: Final = b"eventstore"


def _arrow() -> tuple[Any, Any]:
    try:
        import pyarrow as pa  # noqa: PLC0415  # an extra
        import pyarrow.parquet as pq  # noqa: PLC0415
    except ImportError:
        raise ExtraMissing("pyarrow", "arrow") from None
    return pa, pq


def _schema(arrow: Any) -> Any:
    fields = [
        ("position", arrow.int64(), False),
        ("stream_id", arrow.string(), False),
        ("version", arrow.int64(), False),
        ("event_id", arrow.string(), False),
        ("event_type", arrow.string(), False),
        ("schema_version", arrow.int32(), False),
        ("recorded_at", arrow.timestamp("us", tz="UTC"), False),
        ("codec", arrow.int16(), False),
        ("data", arrow.binary(), False),
        ("data_json", arrow.string(), True),
        ("metadata", arrow.string(), True),
    ]
    return arrow.schema([arrow.field(name, type_, nullable=nullable) for name, type_, nullable in fields])


class ParquetWriter:
    """Writes records to a Parquet file, which is complete when the writer is closed.

    Args:
        file: The file to write to.
        codec: The codec of the store that the records come from.
    """

    def __init__(self, file: IO[bytes] | Path, codec: PayloadCodec) -> None:
        self._arrow, parquet = _arrow()
        self._codec = codec
        self._schema = _schema(self._arrow)
        self._writer = parquet.ParquetWriter(file, self._schema, compression="zstd")
        self._rows: list[dict[str, Any]] = []
        self._bytes = 0
        self._beginning = Beginning(0)

    def write(self, record: Record) -> None:
        """Write one."""
        match record:
            case StoredEvent():
                text = readable(self._codec, record.codec, record.data)
                self._rows.append(
                    {
                        "position": record.position,
                        "stream_id": record.stream_id,
                        "version": record.version,
                        "event_id": str(record.event_id),
                        "event_type": record.event_type,
                        "schema_version": record.schema_version,
                        "recorded_at": record.recorded_at,
                        "codec": record.codec,
                        "data": record.data,
                        "data_json": None if text is None else text.decode(),
                        "metadata": record.metadata,
                    }
                )
                self._bytes += len(record.data) + len(text or "") + len(record.metadata or "")
                if len(self._rows) == _ROWS or self._bytes >= _BYTES:
                    self._write_rows()
            case Beginning():
                self._beginning = record
            case End():
                footer = {
                    "format": FORMAT,
                    "after_position": self._beginning.after_position,
                    "filters": self._beginning.filters,
                    "position": record.position,
                    "events": record.events,
                }
                self._writer.add_key_value_metadata({_KEY: json.dumps(footer).encode()})

    def flush(self) -> None:
        """Do nothing: a Parquet file can be read only after it is closed."""

    def close(self) -> None:
        """Write the remaining rows and the footer."""
        self._write_rows()
        self._writer.close()

    def _write_rows(self) -> None:
        if self._rows:
            self._writer.write_table(self._arrow.Table.from_pylist(self._rows, schema=self._schema))
            self._rows, self._bytes = [], 0


def read_parquet(file: IO[bytes] | Path) -> Iterator[Record]:
    """Yield the records of a file.

    Raises:
        DamagedExport: It is not a Parquet file that an export has written.
    """
    with _opened(file) as opened:
        footer = _footer(opened)
        yield checked(Beginning(footer["after_position"], footer["filters"]))
        for group in range(opened.num_row_groups):
            yield from _events(opened.read_row_group(group))
        yield checked(End(footer["position"], footer["events"]))


def read_parquet_of_stream(file: Path, stream_id: str) -> Iterator[StoredEvent]:
    """Yield the events of one stream from a file that is sorted by stream. Only the row groups that have some are read.

    Raises:
        DamagedExport: It is not a Parquet file that an export has written.
    """
    with _opened(file) as opened:
        import pyarrow.compute as compute  # noqa: PLC0415, PLR0402  # an extra

        _footer(opened)
        column = opened.schema_arrow.get_field_index("stream_id")
        for group in range(opened.num_row_groups):
            ends = opened.metadata.row_group(group).column(column).statistics
            if ends is not None and ends.has_min_max and not ends.min <= stream_id <= ends.max:
                continue
            table = opened.read_row_group(group)
            yield from _events(table.filter(compute.equal(table.column("stream_id"), stream_id)))


def _events(table: Any) -> Iterator[StoredEvent]:
    for row in table.to_pylist():
        event = _event(row)
        checked(event)
        yield event


@contextmanager
def _opened(file: IO[bytes] | Path) -> Iterator[Any]:
    """Open a file, and raise `DamagedExport` for any damage that is found in the block."""
    _, parquet = _arrow()
    try:
        with parquet.ParquetFile(file) as opened:
            yield opened
    except DamagedExport:
        raise
    except InvalidInput as error:
        raise DamagedExport("some event", f"can't be read: {error}") from None
    except OSError as error:
        if error.errno is not None:  # an error of the file system, not of the content
            raise
        raise DamagedExport("some part", f"can't be read ({type(error).__name__})") from None
    except Exception as error:  # noqa: BLE001  # pyarrow raises errors of many types for a damaged file
        raise DamagedExport("some part", f"can't be read ({type(error).__name__})") from None


def _footer(opened: Any) -> dict[str, Any]:
    footer: dict[str, Any] = json.loads((opened.metadata.metadata or {}).get(_KEY, b"{}"))
    if footer.get("format") != FORMAT:
        raise DamagedExport("the footer", f"does not name format {FORMAT}, the only one that this code knows")
    return footer


def _event(row: dict[str, Any]) -> StoredEvent:
    return StoredEvent(
        row["position"], row["stream_id"], row["version"], UUID(row["event_id"]), row["event_type"],
        row["schema_version"], row["codec"], bytes(row["data"]), row["metadata"], row["recorded_at"].astimezone(UTC),
    )  # fmt: skip
