"""Comparing the events that readers got with the writers' journals and with the log at the end."""

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from eventstore.testing.adversary.adapter import Delivered, Reader
from eventstore.testing.adversary.journal import Attempt, Outcome

LOG: Final = "the log at the end"
_EXAMPLES: Final = 3
_KEY_MASK: Final = 2**64 - 1


def key_of(event_id: UUID) -> int:
    """Return half of an event id, which identifies an event among millions in a quarter of the memory."""
    return event_id.int & _KEY_MASK


class Deliveries:
    """The events that one reader got, in order."""

    def __init__(self, delivered: Iterable[Delivered] = ()) -> None:
        self.keys = array("Q")
        self.versions = array("q")
        for event in delivered:
            self.add(event)

    def add(self, event: Delivered) -> None:
        """Add an event."""
        self.keys.append(key_of(event.event_id))
        self.versions.append(event.version)

    def __len__(self) -> int:
        return len(self.keys)


@dataclass(frozen=True, slots=True)
class Score:
    """The result of one reader in one attack.

    Attributes:
        reader: The name of the reader, or `LOG`.
        written: How many events it should have got.
        delivered: How many events it got.
        missed: How many events it did not get.
        doubled: How many events it got again.
        inverted: How many events came after one that is later in the log or in their stream.
        unwritten: How many events it got although they were rolled back or refused.
        unchecked: How many appends were stored although their stream had another version than expected; only for the
            log.
        stopped: The error with which it stopped permanently; None if it did not.
        examples: Descriptions of some of these events.
    """

    reader: str
    written: int
    delivered: int
    missed: int = 0
    doubled: int = 0
    inverted: int = 0
    unwritten: int = 0
    unchecked: int = 0
    stopped: str | None = None
    examples: tuple[str, ...] = ()

    @property
    def is_clean(self) -> bool:
        """Whether no fault was found."""
        faults = self.missed + self.doubled + self.inverted + self.unwritten + self.unchecked
        return not faults and self.stopped is None


@dataclass(frozen=True, slots=True)
class _Written:
    """An event in the journal of its writer."""

    event_id: UUID
    stream: str
    kind: str
    outcome: Outcome


@dataclass(slots=True)
class Judge:
    """Compares the events that readers got with those that were written, in the order of the log.

    Args:
        attempts: The journals of the writers.
        log: The events that the first reader of the store gets from the beginning, after the last write.
        only_log: Whether only events that are in the log at the end count, for a log that went back.
    """

    attempts: Sequence[Attempt]
    log: Deliveries
    only_log: bool = False
    _written: dict[int, _Written] = field(init=False, default_factory=dict)
    _ranks: dict[int, int] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        for attempt in self.attempts:
            for write in attempt.writes:
                for event in write.events:
                    written = _Written(event.event_id, write.stream, event.kind, attempt.outcome)
                    self._written[key_of(event.event_id)] = written
        for rank, key in enumerate(self.log.keys):
            self._ranks.setdefault(key, rank)

    def score(self, reader: Reader, deliveries: Deliveries, *, stopped: str | None = None) -> Score:
        """Compare the events that a reader got."""
        expected = self._expected(reader.kind)
        return self._compare(reader.name, expected, deliveries, stopped=stopped)

    def score_log(self) -> Score:
        """Compare the log itself."""
        unchecked, examples = self._unchecked()
        return self._compare(LOG, self._expected(None), self.log, unchecked=unchecked, examples=examples)

    def _expected(self, kind: str | None) -> set[int]:
        """Return the confirmed events, and those in the log whose writer does not know the outcome."""
        return {
            key
            for key, written in self._written.items()
            if (kind is None or written.kind == kind)
            and (key in self._ranks or (written.outcome is Outcome.STORED and not self.only_log))
        }

    def _compare(
        self,
        name: str,
        expected: set[int],
        deliveries: Deliveries,
        *,
        stopped: str | None = None,
        unchecked: int = 0,
        examples: Sequence[str] = (),
    ) -> Score:
        delivered: set[int] = set()
        newest: dict[str, int] = {}
        highest = -1
        doubled = inverted = unwritten = 0
        examples = list(examples)
        for key, version in zip(deliveries.keys, deliveries.versions, strict=True):
            written = self._written.get(key)
            if key in delivered:
                doubled += 1
                examples.append(f"doubled: {self._name(key)}")
                continue
            delivered.add(key)
            if written is None or (written.outcome is Outcome.NOT_STORED and not self.only_log):
                unwritten += 1
                examples.append(f"delivered though it was not stored: {self._name(key)}")
                continue
            rank = self._ranks.get(key, highest + 1 if not self.only_log else -1)
            if self.only_log and rank < 0:
                continue  # lost when the log went back, which no reader could know
            if rank < highest or version <= newest.get(written.stream, 0):
                inverted += 1
                examples.append(f"came after a later one: {self._name(key)}, version {version}")
            highest = max(highest, rank)
            newest[written.stream] = max(version, newest.get(written.stream, 0))
        missed = expected - delivered
        examples[:0] = [f"missed: {self._name(key)}" for key in sorted(missed, key=self._rank_of)[:_EXAMPLES]]
        return Score(
            name,
            len(expected),
            len(deliveries),
            missed=len(missed),
            doubled=doubled,
            inverted=inverted,
            unwritten=unwritten,
            unchecked=unchecked,
            stopped=stopped,
            examples=tuple(examples[:_EXAMPLES]),
        )

    def _unchecked(self) -> tuple[int, list[str]]:
        """Return the number of appends at another version than expected, and descriptions of some."""
        versions = dict(zip(reversed(self.log.keys), reversed(self.log.versions), strict=True))
        examples = []
        for attempt in self.attempts:
            streams: set[str] = set()
            for write in attempt.writes:
                version = versions.get(key_of(write.events[0].event_id))
                is_first = write.stream not in streams
                streams.add(write.stream)
                if version is None or write.expected_version is None or not is_first:
                    continue
                if version != write.expected_version + 1:
                    examples.append(
                        f"stored as version {version} of stream {write.stream}, "
                        f"though its writer expected version {write.expected_version}"
                    )
        return len(examples), examples[:_EXAMPLES]

    def _rank_of(self, key: int) -> int:
        return self._ranks.get(key, len(self._ranks))

    def _name(self, key: int) -> str:
        written = self._written.get(key)
        if written is None:
            return "an event that the adversary has not written"
        rank = self._ranks.get(key)
        place = "not in the log" if rank is None else f"number {rank + 1} of the log"
        return f"event {written.event_id} of stream {written.stream} ({place})"
