"""The manifest of an exported part: what its files have, and how to check them."""

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Self, TypeVar
from uuid import UUID

from eventstore.errors import DamagedExport

_Manifest = TypeVar("_Manifest", bound="Manifest")

FORMAT: Final = 1
"""The version of the format of manifests. A manifest of a higher one is refused, because newer code has written it."""

MANIFEST: Final = "manifest.json"
BY_POSITION: Final = "events.parquet"
BY_STREAM: Final = "events-by-stream.parquet"

_CHUNK: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class PartFile:
    """One file of an exported part, with all of its events.

    Attributes:
        name: The name of the file, in the folder of the manifest.
        order: How its events are sorted: `position`, or `stream` for stream id and version.
        size: Its size in bytes.
        sha256: The SHA-256 of its content, in hexadecimal digits.
    """

    name: str
    order: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """What an exported part has.

    Attributes:
        part: The name of the partition.
        first_position: The position of its first event.
        last_position: The position of its last event.
        events: How many events it has, at least 1.
        first_event_id: The id of its first event.
        last_event_id: The id of its last event.
        schema_version: The version of the store's tables, such as 11 for `es_0011`.
        files: Its files. Each has all events.
    """

    part: str
    first_position: int
    last_position: int
    events: int
    first_event_id: UUID
    last_event_id: UUID
    schema_version: int
    files: tuple[PartFile, ...]

    def file(self, order: str) -> PartFile | None:
        """Return the file that is sorted like this; None if there is none."""
        return next((file for file in self.files if file.order == order), None)

    @property
    def text(self) -> str:
        """The content of the file `manifest.json`."""
        record = {"format": FORMAT, **asdict(self)}
        ids = {name: str(record[name]) for name in ("first_event_id", "last_event_id")}
        return json.dumps({**record, **ids}, indent=2) + "\n"

    @property
    def sha256(self) -> str:
        """The SHA-256 of the manifest. The manifest has those of the files, so it identifies the whole export."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @classmethod
    def read(cls, folder: str | Path) -> Self:
        """Return the manifest in a folder.

        Raises:
            DamagedExport: There is none, or it can't be read.
        """
        path = Path(folder) / MANIFEST
        try:
            record = json.loads(path.read_text("utf-8"))
        except FileNotFoundError:
            raise DamagedExport(f"the part in {str(folder)!r}", f"has no {MANIFEST}") from None
        except ValueError:
            raise DamagedExport(str(path), "is not JSON") from None
        if not isinstance(record, dict) or record.pop("format", None) != FORMAT:
            raise DamagedExport(str(path), f"is not of format {FORMAT}, the only one that this code knows")
        try:
            manifest = _manifest(cls, record)
        except (KeyError, TypeError, ValueError, AttributeError):
            raise DamagedExport(str(path), "is not a manifest of a part") from None
        if manifest.text != path.read_text("utf-8"):
            raise DamagedExport(str(path), "was changed")
        return manifest


def _manifest(cls: type[_Manifest], record: dict[str, Any]) -> _Manifest:
    files = tuple(PartFile(**file) for file in record.pop("files"))
    if any(Path(file.name).name != file.name for file in files):
        raise ValueError
    first_id, last_id = (UUID(record.pop(name)) for name in ("first_event_id", "last_event_id"))
    return cls(first_event_id=first_id, last_event_id=last_id, files=files, **record)


def file_of(path: Path, order: str) -> PartFile:
    """Return the description of a file, by reading it."""
    size, sha256 = digest(path)
    return PartFile(path.name, order, size, sha256)


def digest(path: Path) -> tuple[int, str]:
    """Return the size of a file and its SHA-256, by reading it."""
    size, sha256 = 0, hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            size += len(chunk)
            sha256.update(chunk)
    return size, sha256.hexdigest()


def to_disk(path: Path) -> None:
    """Let what was written to a file, or the entries of a folder, survive a crash of the machine."""
    if path.is_dir() and os.name == "nt":
        return  # Windows opens no folders
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
