"""Golden files: an example of every released event, as it was stored and as the present code reads it.

Example:
    ```python
    golden_files = GoldenFiles(Path(__file__).parent / "golden_events", event_types)

    def test_every_event_ever_released_is_read_as_before():
        golden_files.check()

    if __name__ == "__main__":  # before a release: python tests/test_events.py, then review and commit the new files
        golden_files.write([OrderPlaced(customer="Ada", total=Decimal("4.20"))])
    ```
"""

import base64
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from eventstore.codecs import Codec, JSONCodec, MessagePackCodec
from eventstore.codecs.payload import PayloadCodec
from eventstore.errors import DecodingError, EncodingError
from eventstore.event_types import EventTypes
from eventstore.events import Append
from eventstore.rows.mapper import EventMapper

_TO_JSON: Final = PayloadCodec(JSONCodec())
_ADD: Final = "pass an example to GoldenFiles.write, run it, review and commit the new file"


@dataclass(frozen=True)
class GoldenFiles:
    """A folder of golden files, to be kept under version control.

    Each file has one event: `stored` is its plain data as readable JSON; `codec` and `bytes` (in base64) are what was
    stored; `read` has the events that it is read as. Only `read` ever changes.

    Attributes:
        folder: The folder of the files. `write` creates it.
        event_types: The present registry.
        codec: The codec that `write` encodes with. Defaults to MessagePack.
        also_reads: Your codecs that earlier files were written with.
    """

    folder: Path
    event_types: EventTypes
    codec: Codec = field(default_factory=MessagePackCodec, kw_only=True)
    also_reads: Iterable[Codec] = field(default=(), kw_only=True)

    def write(self, examples: Iterable[Any], *, accept_changes: bool = False) -> list[Path]:
        """Write a file for each example that has none yet.

        Give the examples fixed values, because one with a new UUID or the present time would get a new file each time.

        Args:
            examples: Objects of registered classes, or `NewEvent`s. An event type may have several.
            accept_changes: Whether to update `read` in the existing files as the present code reads their events.
                Review the difference.

        Returns:
            The files that were written.

        Raises:
            UnregisteredEventType: An example is neither a `NewEvent` nor of a registered class.
            EncodingError: An example can't be stored.
            DecodingError: The present code can't read an example.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        contents = {path: _load(path) for path in self._paths()}
        written = []
        for path, content in contents.items() if accept_changes else ():
            read = self._read(content)
            if read != content["read"]:
                _save(path, {**content, "read": read})
                written.append(path)
        known = [_identity(content) for content in contents.values()]
        for example in examples:
            content = self._content(example)
            if _identity(content) not in known:
                known.append(_identity(content))
                path = self._free_path(content)
                _save(path, content)
                written.append(path)
        return written

    def check(self) -> None:
        """Check that the present code reads each file as before, and that each class and each upcaster has a file.

        Raises:
            AssertionError: A check fails; the message names the file, the problem, and what to do.
        """
        problems = []
        shapes = set()
        for path in self._paths():
            try:
                content = _load(path)
                shapes.add((content["event_type"], content["schema_version"]))
                problem = self._problem(content)
            except (KeyError, TypeError, ValueError) as error:
                problem = f"is not a golden file, or was edited ({type(error).__name__}): restore it"
            if problem:
                problems.append(f"{path.name} {problem}")
        for event_type, schema_version in sorted({*self.event_types.classes, *self.event_types.steps} - shapes):
            problems.append(f"no file has {event_type!r} with schema version {schema_version}: {_ADD}")
        if problems:
            raise AssertionError("\n- ".join([f"golden files in {self.folder}:", *problems]))

    def _problem(self, content: dict[str, Any]) -> str | None:
        try:
            if (
                _json(self._mapper().codec.decode(content["codec"], base64.b64decode(content["bytes"])))
                != content["stored"]
            ):
                return "has other bytes than `stored`: restore the file or the codec"
            read = self._read(content)
        except (DecodingError, EncodingError) as error:
            return (
                f"can't be read any more: {error.problem}. Stored events never change, so change the code: give the "
                "new shape a new schema version, and add an upcaster to it"
            )
        if read != content["read"]:
            return (
                f"is read differently. It was {json.dumps(content['read'])}, it is {json.dumps(read)}. If that is "
                "intended, run GoldenFiles.write(…, accept_changes=True), review and commit. Otherwise give the new "
                "shape a new schema version, and add an upcaster to it"
            )
        return None

    def _content(self, example: Any) -> dict[str, Any]:
        mapper = self._mapper()
        pending = mapper.pending(Append("golden", [example], expected_version=0))
        codec, data = pending.codecs[0], pending.data[0]
        content = {
            "event_type": pending.event_types[0],
            "schema_version": pending.schema_versions[0],
            "stored": _json(mapper.codec.decode(codec, data)),
            "codec": codec,
            "bytes": base64.b64encode(data).decode(),
        }
        return {**content, "read": self._read(content)}

    def _read(self, content: dict[str, Any]) -> list[dict[str, Any]]:
        """Return the event as a store reads it."""
        shape = (content["event_type"], content["schema_version"])
        data = base64.b64decode(content["bytes"])
        row = (1, "golden", 1, UUID(int=0), *shape, content["codec"], data, None, datetime.now(UTC))
        return [
            {
                "event_type": event.event_type,
                "schema_version": event.schema_version,
                "is_object": self.event_types.type_of(event.data) is not None,
                "data": _json(event.data, typed=True),
            }
            for event in self._mapper().recorded([row], lambda value: value, lambda value: value)
        ]

    def _mapper(self) -> EventMapper:
        return EventMapper(self.event_types, PayloadCodec(self.codec, also_reads=self.also_reads))

    def _paths(self) -> list[Path]:
        return sorted(self.folder.glob("*.json"))

    def _free_path(self, content: dict[str, Any]) -> Path:
        """Return a path with a readable name; only the content of a file counts."""
        name = f"{re.sub(r'[^A-Za-z0-9.-]', '_', content['event_type'])[:100]}.{content['schema_version']}"
        number = 1
        path = self.folder / f"{name}.json"
        while path.exists():
            number += 1
            path = self.folder / f"{name}.{number}.json"
        return path


def _json(value: Any, *, typed: bool = False) -> Any:
    """Return the value as JSON values."""
    return json.loads(_TO_JSON.encode(value, typed=typed)[1])


def _identity(content: dict[str, Any]) -> tuple[Any, ...]:
    """Return what identifies an example. The bytes do not, because sets have no order in them."""
    return content["event_type"], content["schema_version"], content["codec"], content["stored"]


def _load(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def _save(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8", newline="\n")
