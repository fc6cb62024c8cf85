"""The versions of imported events: what follows a stream's last event is new, and anything else was stored before."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from eventstore.backends.protocol import EventKey, Row, Run
from eventstore.core.core import Core
from eventstore.errors import ImportConflict, RowRefused
from eventstore.events import TOMBSTONE_ERRORS
from eventstore.rows.mapper import StoredEvent
from eventstore.transfer.incoming import Origin, Prepared

Refuse = Callable[[RowRefused], None]
"""Called for what can't be imported: raises the error, or notes it, and the import continues without it."""

_EVENT_TYPE, _METADATA = 3, 8
"""The indexes of these columns in a row of `Loader.find`."""


@dataclass(frozen=True, slots=True)
class End:
    """The last imported event of a stream.

    Attributes:
        version: Its version in the store.
        source_version: Its version in the source; -1 if the stream has no event yet.
        is_closed: Whether the stream ends with a tombstone, so nothing of it is stored again.
    """

    version: int
    source_version: int
    is_closed: bool = False


@dataclass(slots=True)
class Placed:
    """A batch with its versions in the store, and what it means for the counts."""

    events: list[StoredEvent] = field(default_factory=list)
    new_types: list[str] = field(default_factory=list)
    ends: dict[str, End] = field(default_factory=dict)
    repeated: int = 0
    ended: int = 0
    renumbered: int = 0
    streams: int = 0


class Placing:
    """Finds the versions of a batch whose streams are locked.

    Args:
        core: The core, in the transaction.
        run: Runs statements in it.
        source: The name of the source.
        refuse: Called for what can't be imported.
        contiguous: Whether each stream has all versions from 0 or 1 on in the source.
    """

    def __init__(self, core: Core, run: Run, source: str, refuse: Refuse, *, contiguous: bool) -> None:
        self._core = core
        self._run = run
        self._source = source
        self._refuse = refuse
        self._contiguous = contiguous

    def place(self, batch: Sequence[Prepared], heads: Mapping[str, int], known: Mapping[str, End]) -> Placed:
        """Return the events with their versions: those that are new follow the heads.

        Raises:
            RowRefused: An event does not fit the order of its stream, unless `refuse` notes it.
            ImportConflict: A stream has events from elsewhere, or an event was changed in the source.
        """
        before = self._ends({each.stored.stream_id for each in batch}, heads, known)
        placed = Placed(ends=dict(before))
        repeated: list[Prepared] = []
        for each in batch:
            stream_id = each.stored.stream_id
            end = placed.ends[stream_id]
            if end.is_closed:
                placed.ended += 1
            elif each.source_version > end.source_version:
                if self._contiguous and not _follows(each, end):
                    self._refuse(RowRefused(each.place, _gap(each, end)))
                    continue
                version = end.version + 1
                placed.ends[stream_id] = End(version, each.source_version)
                is_same = version == each.stored.version
                placed.events.append(each.stored if is_same else replace(each.stored, version=version))
                placed.new_types.append(each.stored.event_type)
                placed.renumbered += version != each.source_version
                placed.streams += version == 1
            elif each.source_version > before[stream_id].source_version:
                self._refuse(RowRefused(each.place, _late(each)))
            else:
                repeated.append(each)
        for each, version in self._located(repeated, before):
            placed.events.append(replace(each.stored, version=version))
            placed.repeated += 1
        return placed

    def _ends(self, stream_ids: set[str], heads: Mapping[str, int], known: Mapping[str, End]) -> dict[str, End]:
        ends: dict[str, End] = {}
        to_read: list[EventKey] = []
        for stream_id in stream_ids:
            head = heads.get(stream_id, 0)
            if head == 0:
                ends[stream_id] = End(0, -1)
            elif (end := known.get(stream_id)) is not None and end.version == head and not end.is_closed:
                ends[stream_id] = end
            else:
                to_read.append((stream_id, head))
        rows = self._find(to_read)
        for stream_id, head in to_read:
            row = rows.get((stream_id, head))
            if row is not None and row[_EVENT_TYPE] in TOMBSTONE_ERRORS:
                ends[stream_id] = End(head, -1, is_closed=True)
            else:
                ends[stream_id] = End(head, self._origin(stream_id, head, row).version)
        return ends

    def _located(self, events: Sequence[Prepared], ends: Mapping[str, End]) -> list[tuple[Prepared, int]]:
        """Return events that were stored before with their versions, in their order.

        Without gaps in the source, the first guess is right. Otherwise they are found by bisection, all at once.
        """
        found: dict[int, int] = {}
        todo: list[tuple[int, int, int, int]] = []
        for index, event in enumerate(events):
            end = ends[event.stored.stream_id]
            guess = max(1, end.version - (end.source_version - event.source_version))
            todo.append((index, guess, 1, end.version))
        while todo:
            rows = self._find([(events[index].stored.stream_id, guess) for index, guess, _, _ in todo])
            further: list[tuple[int, int, int, int]] = []
            for index, guess, low, high in todo:
                event = events[index]
                stream_id = event.stored.stream_id
                there = self._origin(stream_id, guess, rows.get((stream_id, guess)))
                if there.version == event.source_version:
                    if there.order == event.order:
                        found[index] = guess
                    else:
                        self._refuse(RowRefused(event.place, _twice(event)))
                    continue
                is_later = there.version < event.source_version
                first, last = (guess + 1, high) if is_later else (low, guess - 1)
                if first > last:
                    self._refuse(RowRefused(event.place, _late(event)))
                else:
                    further.append((index, (first + last) // 2, first, last))
            todo = further
        return [(events[index], version) for index, version in sorted(found.items())]

    def _find(self, keys: Sequence[EventKey]) -> dict[EventKey, Row]:
        if not keys:
            return {}
        return {(row[0], row[1]): row for row in self._core.dialect.loader.find(self._run, list(dict.fromkeys(keys)))}

    def _origin(self, stream_id: str, version: int, row: Row | None) -> Origin:
        origin = None if row is None else Origin.of(row[_METADATA])
        if origin is None or origin.source != self._source:
            what = "is missing" if row is None else "is not from this import"
            msg = (
                f"the stream has an event that {what}, at version {version}; until the cut-over, only the import may "
                "append to its streams"
            )
            raise ImportConflict(stream_id, version, msg)
        return origin


def _follows(event: Prepared, end: End) -> bool:
    if end.source_version < 0:
        return event.source_version <= 1
    return event.source_version == end.source_version + 1


def _gap(event: Prepared, end: End) -> str:
    after = "as its first" if end.source_version < 0 else f"after version {end.source_version}"
    return (
        f"stream {event.stored.stream_id!r} has version {event.source_version} {after}, so rows are missing, or two "
        "streams of the source have the same name here; if gaps are normal there, set gaps = true in the map"
    )


def _late(event: Prepared) -> str:
    return (
        f"version {event.source_version} of stream {event.stored.stream_id!r} comes after a higher one, and is not "
        "stored; the versions of a stream must ascend in the order of the source, so choose another order or version"
    )


def _twice(event: Prepared) -> str:
    return (
        f"stream {event.stored.stream_id!r} has version {event.source_version} twice in the source; "
        "choose columns that tell them apart"
    )
