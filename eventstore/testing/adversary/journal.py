"""Journals of writers: each attempt to append is recorded before it is made, and its outcome afterwards."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Protocol
from uuid import UUID

from eventstore.testing.adversary.adapter import Event, Write


class Outcome(Enum):
    """The outcome of an attempt, as far as its writer knows."""

    STORED = "stored"
    """The store has confirmed it."""

    NOT_STORED = "not stored"
    """It was rolled back, or the store has refused it."""

    UNKNOWN = "unknown"
    """The answer was lost, or the writer was killed. Events may be stored or not, but readers must agree."""


@dataclass(slots=True)
class Attempt:
    """Writes that are stored atomically."""

    writes: tuple[Write, ...]
    outcome: Outcome = Outcome.UNKNOWN


class Journal(Protocol):
    """Records attempts."""

    def begin(self, writes: Sequence[Write]) -> int:
        """Record an attempt before it is made; return its number."""
        ...

    def end(self, number: int, outcome: Outcome) -> None:
        """Record the outcome of an attempt."""
        ...


@dataclass(slots=True)
class Memory:
    """A journal in the memory of this process."""

    attempts: list[Attempt] = field(default_factory=list)

    def begin(self, writes: Sequence[Write]) -> int:
        """Record an attempt."""
        self.attempts.append(Attempt(tuple(writes)))
        return len(self.attempts) - 1

    def end(self, number: int, outcome: Outcome) -> None:
        """Record the outcome of an attempt."""
        self.attempts[number].outcome = outcome


class File:
    """A journal that survives its writer, because each line is passed to the operating system before it continues."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("ab", buffering=0)
        self._count = 0

    def begin(self, writes: Sequence[Write]) -> int:
        """Record an attempt."""
        plain = [
            [write.stream, write.expected_version, [[event.event_id.hex, event.kind] for event in write.events]]
            for write in writes
        ]
        self._file.write(json.dumps(plain).encode() + b"\n")
        self._count += 1
        return self._count - 1

    def end(self, number: int, outcome: Outcome) -> None:
        """Record the outcome of an attempt."""
        self._file.write(json.dumps([number, outcome.value]).encode() + b"\n")

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def read_journals(paths: Iterable[Path]) -> Iterator[Attempt]:
    """Yield the attempts of journals. A killed writer's last line may be incomplete; that attempt was not made."""
    for path in paths:
        attempts: list[Attempt] = []
        for line in path.read_bytes().splitlines(keepends=True):
            if not line.endswith(b"\n"):
                break
            entry = json.loads(line)
            if isinstance(entry[0], int):
                attempts[entry[0]].outcome = Outcome(entry[1])
            else:
                attempts.append(Attempt(tuple(map(_write, entry))))
        yield from attempts


def _write(entry: tuple[str, int | None, list[tuple[str, str]]]) -> Write:
    stream, expected_version, events = entry
    return Write(stream, tuple(Event(UUID(hex=id_), kind) for id_, kind in events), expected_version)
