"""Going on with an export that is there: how far it goes, read from its end, before anything is written to it."""

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
        size: How many bytes its whole lines have; what follows them is half of a line.
        position: Everything up to here that matches is in it: go on after this.
        filters: What it was exported with, in words; None if it has no whole line yet.
        last: The last event that it has, as far as that is recorded at its end; None if it has none.
    """

    size: int = 0
    position: int = 0
    filters: str | None = None
    last: PositionToken | None = None

    @property
    def after(self) -> After:
        """Where to go on."""
        return After(self.position, self.last)


def read_end(path: Path) -> FileEnd:
    """Return how far the export in a file goes. Nothing is written. A file that is not there is an empty one.

    The first line is read, and backwards from the end as much as it takes: one line, or those of streams, snapshots and
    checkpoints if it was broken off among them. What is in between is not looked at; an import does that.

    Raises:
        DamagedExport: It is no export in JSON Lines, or its end is none.
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
            case Beginning(after_position=position):  # of a part that was broken off at once: its end is before it
                reached = position if reached is None else reached
    return FileEnd(size, reached or 0, beginning.filters)


def _place(line: bytes, place: str) -> Beginning | PositionToken | End | None:
    try:
        return read_place(line)
    except (msgspec.MsgspecError, InvalidInput):
        raise DamagedExport(place, f"is no record of one; {_WAYS_OUT}") from None
    except DecodingError as error:
        raise DamagedExport(place, f"can't be read: {error}") from None


def _size_of_whole_lines(file: IO[bytes]) -> int:
    """Return up to where the file has whole lines.

    Raises:
        DamagedExport: What follows them is not half of a record, so that it is not ours to cut off.
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
                    "what follows the last line", "is not half of a record, so it was left alone; cut it off yourself"
                )
            return start + newline + 1
    return 0


def _lines_backwards(file: IO[bytes], end: int) -> Iterator[bytes]:
    """Yield the whole lines before `end`, the last one first. Memory holds the longest of them."""
    tail, end = b"", end - 1  # without the newline of the last one
    while end > 0:
        start = max(0, end - max(_CHUNK_BYTES, len(tail)))
        file.seek(start)
        lines = (file.read(end - start) + tail).split(b"\n")
        tail, end = lines[0], start
        yield from reversed(lines[1:])
    yield tail
