"""What writers know of their own appends: each attempt is noted before it is made, and its outcome afterwards."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Protocol
from uuid import UUID

from eventstore.testing.adversary.adapter import Event, Write


class Outcome(Enum):
    """What has become of an attempt, as far as its writer knows."""

    STORED = "stored"
    """The store has said so."""

    NOT_STORED = "not stored"
    """It was rolled back, or the store has refused it."""

    UNKNOWN = "unknown"
    """The answer was lost, or the writer was killed. It may be stored or not; readers have to agree on it."""


@dataclass(slots=True)
class Attempt:
    """Writes that are stored all or not at all."""

    writes: tuple[Write, ...]
    outcome: Outcome = Outcome.UNKNOWN


class Notes(Protocol):
    """Where attempts are noted."""

    def begin(self, writes: Sequence[Write]) -> int:
        """Note an attempt before it is made; return its number."""
        ...

    def end(self, number: int, outcome: Outcome) -> None:
        """Note its outcome."""
        ...


@dataclass(slots=True)
class Memory:
    """Notes of this process."""

    attempts: list[Attempt] = field(default_factory=list)

    def begin(self, writes: Sequence[Write]) -> int:
        """Note an attempt."""
        self.attempts.append(Attempt(tuple(writes)))
        return len(self.attempts) - 1

    def end(self, number: int, outcome: Outcome) -> None:
        """Note its outcome."""
        self.attempts[number].outcome = outcome


class File:
    """Notes that outlive their writer: each is in the operating system's hands before the writer goes on."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("ab", buffering=0)
        self._count = 0

    def begin(self, writes: Sequence[Write]) -> int:
        """Note an attempt."""
        plain = [
            [write.stream, write.expected_version, [[event.event_id.hex, event.kind] for event in write.events]]
            for write in writes
        ]
        self._file.write(json.dumps(plain).encode() + b"\n")
        self._count += 1
        return self._count - 1

    def end(self, number: int, outcome: Outcome) -> None:
        """Note its outcome."""
        self._file.write(json.dumps([number, outcome.value]).encode() + b"\n")

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def read_notes(paths: Iterable[Path]) -> Iterator[Attempt]:
    """Yield the attempts of files. The last line of one whose writer was killed may be incomplete: it did nothing."""
    for path in paths:
        attempts: list[Attempt] = []
        for line in path.read_bytes().splitlines(keepends=True):
            if not line.endswith(b"\n"):
                break
            note = json.loads(line)
            if isinstance(note[0], int):
                attempts[note[0]].outcome = Outcome(note[1])
            else:
                attempts.append(Attempt(tuple(map(_write, note))))
        yield from attempts


def _write(note: tuple[str, int | None, list[tuple[str, str]]]) -> Write:
    stream, expected_version, events = note
    return Write(stream, tuple(Event(UUID(hex=id_), kind) for id_, kind in events), expected_version)
