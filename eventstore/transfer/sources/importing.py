"""Import of a table of another program, also while its writers go on."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy import Engine

from eventstore.common.validation import check_flag, check_number, check_seconds
from eventstore.errors import InvalidInput, InvalidTableMap, RowRefused
from eventstore.store import EventStore, check_store
from eventstore.transfer.incoming import Order, Preparer
from eventstore.transfer.loading import Counts, SourceLoader, last_loaded, raise_it
from eventstore.transfer.placing import Refuse
from eventstore.transfer.sources.columns import Row
from eventstore.transfer.sources.keys import Key, order_of_key
from eventstore.transfer.sources.rows import RowReader
from eventstore.transfer.sources.source_table import Look, SourceTable
from eventstore.transfer.sources.table_map import TableMap

_POLL_SECONDS: Final = 0.05


@dataclass(frozen=True, slots=True)
class TableProgress:
    """How far an import has come.

    Attributes:
        phase: `checking`, `importing`, `waiting` (for transactions of the source) or `following` (caught up).
        rows: How many rows were checked or imported in this phase.
        order: The place of the last of them in the order of the table; None before the first.
        end: The place of the last row of the table, when it was last looked at; None if there is none.
        writers: For how many transactions of the source it waits.
    """

    phase: str
    rows: int
    order: Order | None
    end: Order | None
    writers: int = 0


@dataclass(frozen=True, slots=True)
class TableImported:
    """The result of an import of a table.

    Attributes:
        events: How many events were stored.
        repeated: How many of the rows read were stored before. Rows before `resumed_after` were not read again.
        by_type: How many events were stored, by event type.
        streams: How many streams were created.
        renumbered: How many of the stored events have another version than in the table.
        left_out: How many rows the map leaves out.
        ended: How many rows are of streams that were deleted or archived in the store; no import restores them.
        skipped: How many rows can't be stored, with `skip_invalid` or `dry_run`.
        refusals: The errors of the first 100 of these.
        resumed_after: Where an earlier import had ended; None if there was none.
        order: The place of the last row read; None if there was none.
        is_complete: Whether every row that was there at the beginning was read. If not, a transaction that inserts rows
            had not ended in time.
    """

    events: int = 0
    repeated: int = 0
    by_type: Mapping[str, int] = field(default_factory=dict)
    streams: int = 0
    renumbered: int = 0
    left_out: int = 0
    ended: int = 0
    skipped: int = 0
    refusals: tuple[RowRefused, ...] = ()
    resumed_after: Order | None = None
    order: Order | None = None
    is_complete: bool = True


def import_table(
    store: EventStore,
    source: Engine,
    table_map: TableMap,
    *,
    follow: bool = False,
    stop: threading.Event | None = None,
    skip_invalid: bool = False,
    dry_run: bool = False,
    batch_size: int = 1000,
    wait_seconds: float = 60.0,
    poll_seconds: float = 1.0,
    on_progress: Callable[[TableProgress], object] | None = None,
) -> TableImported:
    """Store the rows of another program's table as events, in the order of the table.

    First all rows are checked, and nothing is written if one can't be stored. Then each batch is one transaction. After
    an interruption, call it again: it continues after the last row that is stored, which the metadata of the events
    says; nothing else is remembered. Events have deterministic ids, their times, and the place and version of their row
    in the metadata, under `$imported`.

    Rows that are committed late are not missed: a row is read only after all transactions have ended that could still
    insert rows before it. On PostgreSQL these hold a lock from before their INSERT draws a value until after they have
    committed. Nothing is locked or written in the source. With `follow`, rows are read as they are committed, until
    `stop` is set.

    Args:
        store: The store, on a synchronous engine, not joined to a transaction. Its event types, if it has any, must fit
            the rows, and give them tags. Only this import may append to the streams of the table.
        source: The engine of the table's database, PostgreSQL or SQLite; see `open_source`.
        table_map: How rows become events.
        follow: Whether to go on until `stop` is set.
        stop: Set this to end the import after the present batch.
        skip_invalid: Whether to leave out rows that can't be stored, instead of raising the error.
        dry_run: Whether to check only, and write nothing. Rows that can't be stored are counted.
        batch_size: How many rows to read and to store at a time, at least 1.
        wait_seconds: How long to wait, in all, for transactions of the source that insert rows. After that, the import
            ends before the first gap that they may fill. With `follow` it waits as long as it takes.
        poll_seconds: How often to look for new rows with `follow`.
        on_progress: Called after each batch, and while waiting.

    Raises:
        RowRefused: A row can't be stored. If it was there at the beginning, nothing was written.
        ImportConflict: A stored event contradicts a row. The batches before it are stored.
        InvalidTableMap: The map does not fit the table.
        UnsuitableSource: Rows could be missed, or read out of order.
        InvalidInput: An argument is not valid.
        UnsupportedDatabase: The source is neither PostgreSQL nor SQLite.
        SchemaOutdated: The tables are older than `es_0006`.
        GlobalOrderError: As for `EventStore.append`.
    """
    check_store(store)
    for name, flag in (("follow", follow), ("skip_invalid", skip_invalid), ("dry_run", dry_run)):
        check_flag(name, flag)
    if follow and dry_run:
        raise InvalidInput("dry_run only checks, so it can't follow")
    check_number("batch_size", batch_size, minimum=1)
    check_seconds("wait_seconds", wait_seconds)
    check_seconds("poll_seconds", poll_seconds)
    if not isinstance(table_map, TableMap):
        msg = f"table_map must be a TableMap, not {type(table_map).__name__}"
        raise InvalidTableMap(msg)
    table = SourceTable(source, table_map)
    reader = RowReader(table.table_map, table.described.types)
    table.check_order(follow=follow)
    importing = _TableImport(
        store, table, reader, stop or threading.Event(),
        batch_size=batch_size, skip_invalid=skip_invalid or dry_run, on_progress=on_progress,
    )  # fmt: skip
    if not skip_invalid or dry_run:
        importing.check()
    if not dry_run:
        importing.run(follow=follow, wait_seconds=wait_seconds, poll_seconds=poll_seconds)
    return importing.result()


class _TableImport:
    def __init__(
        self,
        store: EventStore,
        table: SourceTable,
        reader: RowReader,
        stop: threading.Event,
        *,
        batch_size: int,
        skip_invalid: bool,
        on_progress: Callable[[TableProgress], object] | None,
    ) -> None:
        self._store = store
        self._table = table
        self._reader = reader
        self._stop = stop
        self._batch_size = batch_size
        self._on_progress = on_progress
        self._counts = Counts()
        self._refuse: Refuse = self._counts.note if skip_invalid else raise_it
        self._is_strict = not table.table_map.gaps and not table.table_map.leaves_rows_out
        source = table.table_map.source_name
        self._loader = SourceLoader(
            store, source, self._counts, self._refuse, contiguous=self._is_strict and not skip_invalid
        )
        before = last_loaded(store, source)
        if before is not None and before.order is None:
            msg = f"{source!r} was loaded by a program, not from a table; name another source in the map"
            raise InvalidTableMap(msg)
        self._resumed_after = None if before is None else before.order
        self._after: Key | None = None if before is None else table.key_of(before.order)
        self._order: Order | None = None
        self._rows = 0
        self._is_complete = True

    def result(self) -> TableImported:
        """Return what was done."""
        counts = self._counts
        return TableImported(
            counts.events.total(), counts.repeated, dict(sorted(counts.events.items())), counts.streams,
            counts.renumbered, self._reader.left_out, counts.ended, counts.skipped, tuple(counts.refusals),
            self._resumed_after, self._order, self._is_complete,
        )  # fmt: skip

    def check(self) -> None:
        """Refuse the import if a row that is there can't be stored."""
        is_first = self._after is None
        counted = self._table.count() if is_first else 0
        last = self._table.look().last
        if last is None:
            return
        if is_first:
            self._check_versions()
        rows = 0
        for page in self._pages(self._after, last):
            preparer = self._preparer()
            for row in page:
                self._reader.prepare(row, preparer, self._refuse)
            rows += len(page)
            self._report("checking", last, rows=rows, order=self._reader.order_of(page[-1]))
        self._table.check_all_read(rows, counted)

    def _check_versions(self) -> None:
        if self._table.table_map.version is None:
            return
        found = self._table.first_out_of_order(contiguous=self._is_strict)
        if found is None:
            return
        *key, version, before = found
        if before is None:
            problem = f"its stream begins with version {version}, so rows are missing"
        elif version <= before:
            problem = f"it has version {version}, and a row before it in its stream has version {before}"
        else:
            problem = f"it has version {version}, but the row before it in its stream has version {before}"
        ways_out = "choose another order or version, or columns of stream that tell streams apart"
        if before is None or version > before:
            ways_out = "if gaps are normal there, set gaps = true in the map"
        columns = zip(self._table.table_map.order_columns, key, strict=True)
        place = f"row {', '.join(f'{name}={value}' for name, value in columns)}"
        self._refuse(RowRefused(place, f"{problem}; {ways_out}", column=self._table.table_map.version_column))

    def run(self, *, follow: bool, wait_seconds: float, poll_seconds: float) -> None:
        """Import up to the end, or until it is stopped."""
        self._reader.left_out = 0
        deadline = time.monotonic() + wait_seconds
        look: Look | None = None
        while True:
            if look is None:
                look = self._table.look()
            writers = self._table.still_writing(look)
            if look.last is not None:
                self._import(look.last, without_gaps=bool(writers))
            if not writers:
                if not follow:
                    return
                self._report("following", look.last)
                look = None
            elif not follow and time.monotonic() > deadline:
                self._is_complete = False
                return
            else:
                self._report("waiting", look.last, writers=len(writers))
            if self._stop.wait(_POLL_SECONDS if writers else poll_seconds):
                self._is_complete = not writers
                return

    def _import(self, last: Key, *, without_gaps: bool) -> None:
        """Store the rows up to `last`; `without_gaps`, only those before the first value that may still come."""
        if without_gaps and (not self._table.has_one_number or self._after is None):
            return
        for page in self._pages(self._after, last):
            rows = page
            if without_gaps:
                rows = self._before_gap(page)
            self._store_page(rows)
            if rows:
                self._report("importing", last)
            if len(rows) < len(page) or self._stop.is_set():
                return

    def _store_page(self, rows: list[Row]) -> None:
        if not rows:
            return
        preparer, batch = self._preparer(), []
        for row in rows:
            prepared = self._reader.prepare(row, preparer, self._refuse)
            if prepared is not None:
                batch.append(prepared)
        self._loader.store(batch)
        self._order = self._reader.order_of(rows[-1])
        self._after = self._table.key_of(self._order)
        self._rows += len(rows)

    def _before_gap(self, rows: list[Row]) -> list[Row]:
        """Return the rows that follow the last stored one without a gap: no other row can come between them."""
        before = int(self._after[0]) if self._after else 0
        for index, row in enumerate(rows):
            if self._reader.order_of(row) != before + index + 1:
                return rows[:index]
        return rows

    def _pages(self, after: Key | None, last: Key) -> Iterator[list[Row]]:
        while page := list(self._table.rows(self._reader.selected, after=after, up_to=last, limit=self._batch_size)):
            yield page
            after = self._table.key_of(self._reader.order_of(page[-1]))
            if len(page) < self._batch_size:
                return

    def _preparer(self) -> Preparer:
        return Preparer(self._store.core, self._table.table_map.source_name)

    def _report(
        self, phase: str, last: Key | None, *, rows: int | None = None, order: Order | None = None, writers: int = 0
    ) -> None:
        if self._on_progress is not None:
            end = None if last is None else order_of_key(last)
            rows = self._rows if rows is None else rows
            self._on_progress(TableProgress(phase, rows, self._order if order is None else order, end, writers))
