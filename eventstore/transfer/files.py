"""Files of exports: their formats, and the readers and writers of each."""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import IO, Final, Protocol

from eventstore.codecs.payload import PayloadCodec
from eventstore.errors import DamagedExport, InvalidInput
from eventstore.transfer.json_lines import JSONLinesWriter, read_json_lines
from eventstore.transfer.parquet import ParquetWriter, read_parquet
from eventstore.transfer.records import Record


class Format(Enum):
    """How an export is written."""

    JSON_LINES = "json-lines"
    PARQUET = "parquet"


_SUFFIXES: Final = {".jsonl": Format.JSON_LINES, ".ndjson": Format.JSON_LINES, ".parquet": Format.PARQUET}


class Writer(Protocol):
    """Writes the records of an export."""

    def write(self, record: Record) -> None:
        """Write one."""
        ...

    def flush(self) -> None:
        """Make the records readable to other processes, as far as the format allows."""
        ...

    def close(self) -> None:
        """Finish the file."""
        ...


def format_of(file: str | Path | IO[bytes], explicit: Format | str | None) -> Format:
    """Return the format of a file: the explicit one, or that of its suffix.

    Raises:
        InvalidInput: There is no such format, or the suffix is not known.
    """
    if explicit is not None:
        try:
            return Format(explicit)
        except ValueError:
            names = " or ".join(each.value for each in Format)
            msg = f"format must be {names}, not {explicit!r}"
            raise InvalidInput(msg) from None
    if isinstance(file, str | Path):
        format_ = _SUFFIXES.get(Path(file).suffix)
        if format_ is None:
            msg = f"the suffix of {str(file)!r} names no known format; name it .jsonl or .parquet, or pass format"
            raise InvalidInput(msg)
        return format_
    msg = 'an open file has no suffix that names its format: pass format="json-lines" or format="parquet"'
    raise InvalidInput(msg)


def writer_to(
    target: str | Path | IO[bytes], format_: Format, codec: PayloadCodec, *, keep_bytes: int | None = None
) -> Writer:
    """Return a writer to a file.

    Args:
        target: The file.
        format_: The format of the file.
        codec: The codec of the store that the records come from.
        keep_bytes: How many bytes of an existing file to keep: it is truncated to them and extended. Defaults to
            None: overwrite it.
    """
    if format_ is Format.PARQUET:
        return ParquetWriter(Path(target) if isinstance(target, str) else target, codec)
    if isinstance(target, str | Path):
        return _OwnFile(_opened(Path(target), keep_bytes), codec)
    return JSONLinesWriter(target, codec)


def _opened(path: Path, keep_bytes: int | None) -> IO[bytes]:
    if keep_bytes is None:
        return path.open("wb")
    file = path.open("ab")  # creates it, if the export to resume had not begun
    file.truncate(keep_bytes)
    return file


class _OwnFile(JSONLinesWriter):
    """Writes to a file that was opened here, and so is closed here."""

    def close(self) -> None:
        """Close it."""
        self._file.close()


@contextmanager
def records_of(source: str | Path | IO[bytes], format_: Format, codec: PayloadCodec) -> Iterator[Iterator[Record]]:
    """Open a file, and yield its records. A `DamagedExport` while it is read names the file."""
    try:
        if format_ is Format.PARQUET:
            yield read_parquet(Path(source) if isinstance(source, str) else source)
        elif isinstance(source, str | Path):
            with Path(source).open("rb") as file:
                yield read_json_lines(file, codec)
        else:
            yield read_json_lines(source, codec)
    except DamagedExport as error:
        raise error.of(str(source) if isinstance(source, str | Path) else None) from None
