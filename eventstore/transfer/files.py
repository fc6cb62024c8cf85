"""Files of exports: which format they have, and what reads and writes it."""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import IO, Final, Protocol

from eventstore.codecs import PayloadCodec
from eventstore.errors import InvalidInput
from eventstore.rows import StoredEvent
from eventstore.tokens import START, After, PositionToken
from eventstore.transfer.json_lines import JSONLinesWriter, read_json_lines
from eventstore.transfer.parquet import ParquetWriter, read_parquet
from eventstore.transfer.records import Beginning, End, Record


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
        """Let others see what was written, as far as the format allows."""
        ...

    def close(self) -> None:
        """Finish the file."""
        ...


def format_of(file: str | Path | IO[bytes], given: Format | str | None) -> Format:
    """Return the format of a file: the one that is given, or what its suffix says.

    Raises:
        InvalidInput: There is no such format, or the suffix says nothing.
    """
    if given is not None:
        try:
            return Format(given)
        except ValueError:
            names = " or ".join(each.value for each in Format)
            msg = f"format is {names}, not {given!r}"
            raise InvalidInput(msg) from None
    if isinstance(file, str | Path):
        found = _SUFFIXES.get(Path(file).suffix)
        if found is None:
            msg = f"the suffix of {str(file)!r} says nothing of its format; name it .jsonl or .parquet, or pass format"
            raise InvalidInput(msg)
        return found
    msg = "of an open file the format has to be given"
    raise InvalidInput(msg)


def writer_to(target: str | Path | IO[bytes], format_: Format, codec: PayloadCodec, *, append: bool = False) -> Writer:
    """Return what writes to a file."""
    if format_ is Format.PARQUET:
        return ParquetWriter(Path(target) if isinstance(target, str) else target, codec)
    if isinstance(target, str | Path):
        return _OwnFile(Path(target).open("ab" if append else "wb"), codec)
    return JSONLinesWriter(target, codec)


class _OwnFile(JSONLinesWriter):
    """A file that was opened here."""

    def close(self) -> None:
        """Close it."""
        self._file.close()


@contextmanager
def records_of(source: str | Path | IO[bytes], format_: Format, codec: PayloadCodec) -> Iterator[Iterator[Record]]:
    """Open a file, and yield its records."""
    if format_ is Format.PARQUET:
        yield read_parquet(Path(source) if isinstance(source, str) else source)
    elif isinstance(source, str | Path):
        with Path(source).open("rb") as file:
            yield read_json_lines(file, codec)
    else:
        yield read_json_lines(source, codec)


def last_place(path: Path, codec: PayloadCodec) -> After:
    """Return up to where a file of JSON Lines goes, the start if there is none; cut off the rest of a broken line.

    Raises:
        DamagedExport: It is something else.
    """
    if not path.exists():
        return START
    with path.open("r+b") as file:
        whole, place = 0, START
        for line in file:
            if not line.endswith(b"\n"):
                break
            whole += len(line)
        file.truncate(whole)
        file.seek(0)
        for record in read_json_lines(file, codec):
            match record:
                case StoredEvent():
                    token = PositionToken(record.position, record.event_id, record.stream_id, record.version)
                    place = After(token.position, token)
                case Beginning(after_position=found) | End(position=found):
                    place = After(found, place.token)
        return place
