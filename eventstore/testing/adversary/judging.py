"""The verdict: what readers were given, compared with what writers know and with the log as it is in the end."""

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from eventstore.testing.adversary.adapter import Delivered, Reader
from eventstore.testing.adversary.journal import Attempt, Outcome

LOG: Final = "the log in the end"
_EXAMPLES: Final = 3
_KEY_MASK: Final = 2**64 - 1


def key_of(event_id: UUID) -> int:
    """Return half of an event id: enough to tell a million events apart, in a quarter of the memory."""
    return event_id.int & _KEY_MASK


class Deliveries:
    """What one reader was given, in order."""

    def __init__(self, delivered: Iterable[Delivered] = ()) -> None:
        self.keys = array("Q")
        self.versions = array("q")
        for event in delivered:
            self.add(event)

    def add(self, event: Delivered) -> None:
        """Note an event."""
        self.keys.append(key_of(event.event_id))
        self.versions.append(event.version)

    def __len__(self) -> int:
        return len(self.keys)


@dataclass(frozen=True, slots=True)
class Score:
    """What one reader has made of one attack.

    Attributes:
        reader: Its name; or `LOG`.
        written: How many events it should have been given.
        delivered: How many it was given.
        missed: Events that it was not given.
        doubled: Events that it was given again.
        inverted: Events that came after one that is later in the log or in their stream.
        unwritten: Events that it was given though they were rolled back or refused.
        unchecked: Appends that were stored though the stream had another version than expected. Of the log only.
        stopped: The error with which it stopped for good, if it did.
        examples: Some of what was found, in words.
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
        """Whether nothing was found."""
        faults = self.missed + self.doubled + self.inverted + self.unwritten + self.unchecked
        return not faults and self.stopped is None


@dataclass(frozen=True, slots=True)
class _Known:
    """An event as its writer knows it."""

    event_id: UUID
    stream: str
    kind: str
    outcome: Outcome


@dataclass(slots=True)
class Judge:
    """Knows what was written, and in which order the log has it.

    Args:
        attempts: What the writers have noted.
        log: What the first reader of the store is given at the end, from the beginning, when all writing is over.
        only_log: Ask for what is in the log in the end, and for nothing else: for a log that went back.
    """

    attempts: Sequence[Attempt]
    log: Deliveries
    only_log: bool = False
    _known: dict[int, _Known] = field(init=False, default_factory=dict)
    _ranks: dict[int, int] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        for attempt in self.attempts:
            for write in attempt.writes:
                for event in write.events:
                    known = _Known(event.event_id, write.stream, event.kind, attempt.outcome)
                    self._known[key_of(event.event_id)] = known
        for rank, key in enumerate(self.log.keys):
            self._ranks.setdefault(key, rank)

    def score(self, reader: Reader, given: Deliveries, *, stopped: str | None = None) -> Score:
        """Compare what a reader was given."""
        expected = self._expected(reader.kind)
        return self._compare(reader.name, expected, given, stopped=stopped)

    def score_log(self) -> Score:
        """Compare the log itself."""
        unchecked, examples = self._unchecked()
        return self._compare(LOG, self._expected(None), self.log, unchecked=unchecked, examples=examples)

    def _expected(self, kind: str | None) -> set[int]:
        """What was acknowledged, and what is in the log though its writer does not know."""
        return {
            key
            for key, known in self._known.items()
            if (kind is None or known.kind == kind)
            and (key in self._ranks or (known.outcome is Outcome.STORED and not self.only_log))
        }

    def _compare(
        self,
        name: str,
        expected: set[int],
        given: Deliveries,
        *,
        stopped: str | None = None,
        unchecked: int = 0,
        examples: Sequence[str] = (),
    ) -> Score:
        seen: set[int] = set()
        newest: dict[str, int] = {}
        highest = -1
        doubled = inverted = unwritten = 0
        found = list(examples)
        for key, version in zip(given.keys, given.versions, strict=True):
            known = self._known.get(key)
            if key in seen:
                doubled += 1
                found.append(f"doubled: {self._name(key)}")
                continue
            seen.add(key)
            if known is None or (known.outcome is Outcome.NOT_STORED and not self.only_log):
                unwritten += 1
                found.append(f"delivered though it was not stored: {self._name(key)}")
                continue
            rank = self._ranks.get(key, highest + 1 if not self.only_log else -1)
            if self.only_log and rank < 0:
                continue  # lost when the log went back: no reader could know
            if rank < highest or version <= newest.get(known.stream, 0):
                inverted += 1
                found.append(f"came after a later one: {self._name(key)}, version {version}")
            highest = max(highest, rank)
            newest[known.stream] = max(version, newest.get(known.stream, 0))
        missed = expected - seen
        found[:0] = [f"missed: {self._name(key)}" for key in sorted(missed, key=self._rank_of)[:_EXAMPLES]]
        return Score(
            name,
            len(expected),
            len(given),
            missed=len(missed),
            doubled=doubled,
            inverted=inverted,
            unwritten=unwritten,
            unchecked=unchecked,
            stopped=stopped,
            examples=tuple(found[:_EXAMPLES]),
        )

    def _unchecked(self) -> tuple[int, list[str]]:
        """Find appends at another version than their writer has decided on."""
        versions = dict(zip(reversed(self.log.keys), reversed(self.log.versions), strict=True))
        found = []
        for attempt in self.attempts:
            written: set[str] = set()
            for write in attempt.writes:
                version = versions.get(key_of(write.events[0].event_id))
                is_first = write.stream not in written
                written.add(write.stream)
                if version is None or write.expected_version is None or not is_first:
                    continue
                if version != write.expected_version + 1:
                    found.append(
                        f"stored as version {version} of stream {write.stream}, "
                        f"though its writer has expected version {write.expected_version}"
                    )
        return len(found), found[:_EXAMPLES]

    def _rank_of(self, key: int) -> int:
        return self._ranks.get(key, len(self._ranks))

    def _name(self, key: int) -> str:
        known = self._known.get(key)
        if known is None:
            return "an event that the adversary has not written"
        rank = self._ranks.get(key)
        place = "not in the log" if rank is None else f"number {rank + 1} of the log"
        return f"event {known.event_id} of stream {known.stream} ({place})"
