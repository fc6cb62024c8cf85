"""Resuming an export: how far an existing file goes, read from its end before anything is written."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

import msgspec

from eventstore.errors import DamagedExport, DecodingError, InvalidInput
from eventstore.tokens import After, PositionToken
from eventstore.transfer.json_lines import read_place
from eventstore.transfer.records import Beginning, End

_CHUNK_BYTES: Final = 65_536
_BEGINNING: Final = b'{"kind":"export"'
_RECORD: Final = b'{"kind":"'
_WAYS_OUT: Final = "nothing was written; name another file, or export all of it without resume"


@dataclass(frozen=True, slots=True)
class FileEnd:
    """Where a file of JSON Lines ends, as an export.

    Attributes:
        size: How many bytes its complete lines have; an incomplete line follows them.
        position: Every matching event up to here, inclusive, is in the file; the export continues after it.
        filters: The filters of the export as text; None if the file has no complete line yet.
        last: The last event, as far as it is recorded at the end of the file; None if there is none.
    """

    size: int = 0
    position: int = 0
    filters: str | None = None
    last: PositionToken | None = None

    @property
    def after(self) -> After:
        """The place after which the export continues."""
        return After(self.position, self.last)


def read_end(path: Path) -> FileEnd:
    """Return how far the export in a file goes. Writes nothing. A missing file counts as an empty one.

    It reads the first line, and backwards from the end as far as needed: one line, or those of streams, snapshots and
    checkpoints if the export was interrupted among them. The lines between are checked only by an import.

    Raises:
        DamagedExport: The file is not an export in JSON Lines, or does not end as one.
    """
    if not path.exists():
        return FileEnd()
    with path.open("rb") as file:
        try:
            return _read_end(file)
        except DamagedExport as error:
            raise error.of(str(path)) from None


def _read_end(file: IO[bytes]) -> FileEnd:
    begins_with = file.read(len(_BEGINNING))
    if not _BEGINNING.startswith(begins_with):
        raise DamagedExport("the first line", f"is not the beginning of one; {_WAYS_OUT}")
    size = _size_of_whole_lines(file)
    if not size:
        return FileEnd()
    file.seek(0)
    beginning = _place(file.readline(), "the first line")
    if not isinstance(beginning, Beginning):
        raise DamagedExport("the first line", f"is not the beginning of one; {_WAYS_OUT}")
    reached: int | None = None
    for line in _lines_backwards(file, size):
        match _place(line, "the last line"):
            case PositionToken() as last:
                return FileEnd(size, last.position if reached is None else reached, beginning.filters, last)
            case End(position=position, last=last):
                return FileEnd(size, position if reached is None else reached, beginning.filters, last)
            case Beginning(after_position=position):  # of a part without records: the end of the export is before it
                reached = position if reached is None else reached
    return FileEnd(size, reached or 0, beginning.filters)


def _place(line: bytes, place: str) -> Beginning | PositionToken | End | None:
    try:
        return read_place(line)
    except (msgspec.MsgspecError, InvalidInput):
        raise DamagedExport(place, f"is not a record of one; {_WAYS_OUT}") from None
    except DecodingError as error:
        raise DamagedExport(place, f"can't be read: {error}") from None


def _size_of_whole_lines(file: IO[bytes]) -> int:
    """Return how many bytes the complete lines of a file have.

    Raises:
        DamagedExport: What follows them is not an incomplete record, so it must not be cut off.
    """
    end = file.seek(0, os.SEEK_END)
    start, size = end, _CHUNK_BYTES
    while start > 0:
        start = max(0, end - size)
        size *= 2
        file.seek(start)
        tail = file.read(end - start)
        newline = tail.rfind(b"\n")
        if newline >= 0:
            rest = tail[newline + 1 : newline + 1 + len(_RECORD)]
            if not _RECORD.startswith(rest):
                raise DamagedExport(
                    "what follows the last line",
                    "is not an incomplete record, so the file was left unchanged; cut that off yourself",
                )
            return start + newline + 1
    return 0


def _lines_backwards(file: IO[bytes], end: int) -> Iterator[bytes]:
    """Yield the complete lines before `end`, the last one first. Memory holds the longest of them."""
    tail, end = b"", end - 1  # without the newline of the last one
    while end > 0:
        start = max(0, end - max(_CHUNK_BYTES, len(tail)))
        file.seek(start)
        lines = (file.read(end - start) + tail).split(b"\n")
        tail, end = lines[0], start
        yield from reversed(lines[1:])
    yield tail
