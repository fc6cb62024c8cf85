"""Loading: events of another program, stored with their times and numbered anew. It can be repeated."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from eventstore.backends.running import check_positions
from eventstore.common.validation import check_flag, check_number, check_text
from eventstore.core.loading import EventLoader
from eventstore.core.schema_version import REQUIRED_BY_HISTORY_CHANGES, SchemaGate
from eventstore.errors import EventStoreError, InvalidInput, RowRefused
from eventstore.statements.transfer import newest_from_source
from eventstore.store import EventStore, check_store
from eventstore.transfer.incoming import Origin, Prepared, Preparer, SourceEvent
from eventstore.transfer.placing import End, Placing, Refuse

MAX_SOURCE_LENGTH: Final = 255
_SHOWN: Final = 100
_REMEMBERED_STREAMS: Final = 100_000


@dataclass(slots=True)
class Counts:
    """What happened to the records of a source, up to now.

    Attributes:
        events: How many events were stored, by event type.
        repeated: How many were stored before.
        ended: How many were left out because their stream was deleted or archived in the store.
        renumbered: How many of the stored ones have another version than in the source.
        skipped: How many were left out because they can't be stored.
        refusals: The errors of the first 100 of these.
        streams: How many streams were created.
    """

    events: Counter[str] = field(default_factory=Counter)
    repeated: int = 0
    ended: int = 0
    renumbered: int = 0
    skipped: int = 0
    refusals: list[RowRefused] = field(default_factory=list)
    streams: int = 0

    def note(self, error: RowRefused) -> None:
        """Note a record that can't be stored."""
        self.skipped += 1
        if len(self.refusals) < _SHOWN:
            self.refusals.append(error)


def raise_it(error: RowRefused) -> None:
    """Raise the error."""
    raise error


@dataclass(frozen=True, slots=True)
class Loaded:
    """The result of `load`.

    Attributes:
        events: How many events were stored.
        repeated: How many were stored before.
        ended: How many were left out because their stream was deleted or archived in the store: no import restores it.
        renumbered: How many of the stored events have another version than in the source.
        skipped: How many were left out because they can't be stored, with `skip_invalid`.
        refusals: The errors of the first 100 of these.
        by_type: How many events were stored, by event type.
    """

    events: int
    repeated: int = 0
    ended: int = 0
    renumbered: int = 0
    skipped: int = 0
    refusals: tuple[RowRefused, ...] = ()
    by_type: Mapping[str, int] = field(default_factory=dict)


def load(
    store: EventStore,
    records: Iterable[SourceEvent],
    *,
    source: str,
    batch_size: int = 1000,
    skip_invalid: bool = False,
    on_progress: Callable[[Loaded], object] | None = None,
) -> Loaded:
    """Store events of another program, in the order in which they are given, with their times.

    For what `import_table` can't read, such as pickles, encrypted payloads, or another database: your program reads
    them. Each batch is one transaction, which locks the streams in it, and takes positions among those of other
    writers. The call can be repeated with the same records, also with some of them: those that are stored already are
    recognised by stream and version, and left out. Memory holds one batch.

    Args:
        store: The store, on a synchronous engine, not joined to a transaction. Its event types, if it has any, must fit
            the records, and give them tags.
        records: The events. In each stream, versions ascend.
        source: A name for where they come from, 1 to 255 characters, kept in the metadata. Use the same one again.
        batch_size: How many events to store in a transaction, at least 1.
        skip_invalid: Whether to leave out records that can't be stored, instead of raising the error.
        on_progress: Called after each batch.

    Raises:
        RowRefused: A record can't be stored. The batches before it are.
        ImportConflict: A stored event contradicts a record. The batches before it are stored.
        InvalidInput: An argument is not valid.
        SchemaOutdated: The tables are older than `es_0006`.
        GlobalOrderError: As for `EventStore.append`.

    Example:
        ```python
        records = (SourceEvent(f"order-{row.id}", row.version, row.type, unpickled(row)) for row in rows)
        load(store, records, source="shop")
        ```
    """
    check_store(store)
    check_number("batch_size", batch_size, minimum=1)
    check_flag("skip_invalid", skip_invalid)
    if not isinstance(records, Iterable):
        raise InvalidInput(f"records must be SourceEvents, not {type(records).__name__}")
    counts = Counts()
    refuse = counts.note if skip_invalid else raise_it
    preparer, loader = Preparer(store.core, check_source(source)), SourceLoader(store, source, counts, refuse)
    numbered: Iterator[tuple[int, SourceEvent]] = iter(enumerate(records, 1))
    while batch := list(islice(numbered, batch_size)):
        prepared = [found for number, each in batch if (found := _prepared(preparer, each, number, refuse)) is not None]
        loader.store(prepared)
        if on_progress is not None:
            on_progress(_result(counts))
    return _result(counts)


def last_loaded(store: EventStore, source: str) -> Origin | None:
    """Return where the last event that was loaded from a source stood there; None if there is none.

    Your program continues after its `order`. The search goes backwards in the log, so it takes long only if there are
    many newer events from elsewhere.

    Raises:
        InvalidInput: The name of the source is not valid.
    """
    check_store(store)
    with store.core.execution.statement() as run:
        rows = run(newest_from_source, source=check_source(source))
    return Origin.of(rows[0][0]) if rows else None


def _result(counts: Counts) -> Loaded:
    return Loaded(
        counts.events.total(), counts.repeated, counts.ended, counts.renumbered, counts.skipped, tuple(counts.refusals),
        dict(counts.events),
    )  # fmt: skip


def _prepared(preparer: Preparer, event: object, number: int, refuse: Refuse) -> Prepared | None:
    if not isinstance(event, SourceEvent):
        msg = f"records must be SourceEvents, and record {number} is {type(event).__name__}"
        raise InvalidInput(msg)
    place = f"record {number}, version {event.version} of stream {event.stream_id!r},"
    try:
        return preparer.prepare(event, place)
    except EventStoreError as error:
        refuse(RowRefused(place, str(error)))
        return None


def check_source(source: object) -> str:
    """Return the name of a source.

    Raises:
        InvalidInput: It is not a string of 1 to 255 characters, or contains NUL.
    """
    return check_text("source", source, MAX_SOURCE_LENGTH)


class SourceLoader:
    """Stores batches of one source.

    Args:
        store: The store.
        source: The name of the source.
        counts: Counts what happens.
        refuse: Called for what can't be stored.
        contiguous: Whether each stream has all versions from 0 or 1 on, so that a gap is an error.
    """

    def __init__(
        self, store: EventStore, source: str, counts: Counts, refuse: Refuse, *, contiguous: bool = False
    ) -> None:
        if store.engine.dialect.is_async:
            msg = "an import needs a store on a synchronous engine, made by sqlalchemy.create_engine"
            raise InvalidInput(msg)
        self._core = store.core
        self._source = source
        self._counts = counts
        self._refuse = refuse
        self._contiguous = contiguous
        self._ends: dict[str, End] = {}
        with self._core.execution.statement() as run:
            SchemaGate(REQUIRED_BY_HISTORY_CHANGES, suit=self._core.dialect.suit)(run)

    def store(self, batch: Sequence[Prepared]) -> None:
        """Store a batch in one transaction.

        Raises:
            RowRefused: An event does not fit the order of its stream, unless `refuse` notes it.
            ImportConflict: An event contradicts what is stored.
        """
        if not batch:
            return
        with self._core.begin() as core, core.execution.statement() as run:
            check_positions(run, core.dialect)
            loader = EventLoader(core, positions=False, in_order=True)
            heads = loader.lock(run, [each.stored for each in batch])
            placing = Placing(core, run, self._source, self._refuse, contiguous=self._contiguous)
            placed = placing.place(batch, heads, self._ends)
            loader.store(run, placed.events, heads)
        if len(self._ends) + len(placed.ends) > _REMEMBERED_STREAMS:
            self._ends.clear()
        self._ends |= placed.ends
        counts = self._counts
        counts.events.update(placed.new_types)
        counts.repeated += placed.repeated
        counts.ended += placed.ended
        counts.renumbered += placed.renumbered
        counts.streams += placed.streams
