"""Appending the rows of data frames as events."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import islice
from typing import Any, Final
from uuid import UUID, uuid5

from eventstore.codecs.refusals import NotStorableError
from eventstore.common.notebook_html import thing_html
from eventstore.common.validation import check_function, check_number, check_stream_id
from eventstore.contrib.frames.column_types import json_text
from eventstore.contrib.frames.incoming import DataRow, rows_of
from eventstore.errors import ExtraMissing, InvalidInput
from eventstore.event_types import EventTypes
from eventstore.events import Append, NewEvent
from eventstore.store import EventStore
from eventstore.streams import NO_STREAM

NAMESPACE: Final = UUID("3b0b1f0e-6f0e-5d4c-9a2e-5f6c1f7d9b10")
"""The namespace of derived event ids. It never changes, because an event must have the same id in every run."""


@dataclass(frozen=True, slots=True)
class Appended:
    """The progress of an append of a data frame, and its result in the end.

    Attributes:
        rows: How many rows were read.
        total: How many rows there are; None if the data has no length.
        events: How many events the rows have become.
        repeated: How many of these were stored before, and were not changed.
        position: The global position of the last event; 0 if there is none.
    """

    rows: int = 0
    total: int | None = None
    events: int = 0
    repeated: int = 0
    position: int = 0

    def _repr_html_(self) -> str:
        values = {"rows": self.rows, "events": self.events, "stored before": self.repeated, "position": self.position}
        return thing_html("appended", values)


OnProgress = Callable[[Appended], object]


def append(
    store: EventStore,
    data: Any,
    *,
    stream_id: str | Callable[[DataRow], str],
    event: Callable[[DataRow], Any],
    key: str | Sequence[str] | None,
    expected_version: int | Mapping[str, int] = NO_STREAM,
    metadata: Mapping[str, Any] | None = None,
    namespace: UUID = NAMESPACE,
    batch_size: int = 5000,
    progress: bool | OnProgress = False,
) -> Appended:
    """Append the rows of a data frame as events, in their order, each batch in one transaction.

    It is idempotent and can be run again after an interruption: event ids are derived from the keys of the rows, so
    stored events are recognised and left as they are. The data may have more rows at its end than in an earlier run.

    A row is a dict of column names and Python's values: exactly those of the data, or the append is refused. What a
    data frame holds as missing is None. If a column can't be appended at all, nothing is written; if a value of a later
    row can't, nothing of its batch is. Memory holds one batch.

    Args:
        store: The store; a joined one appends in its transaction.
        data: A data frame of pandas or Polars, a DuckDB relation, another Arrow stream, or mappings.
        stream_id: The name of the column with the stream ids, or a function that returns the stream id of a row.
        event: A function that returns the event of a row: a `NewEvent`, an object of a registered class, a list of
            these, or None for no event. The row is its own to change.
        key: The names of the columns that identify a row within its stream, in every run; or of the one column. None
            keeps the event ids that your function has set.
        expected_version: The version of each stream before its first row. The first event of a stream must become the
            next version, the second one the version after it, and so on. A mapping has versions by stream id, and 0
            for other streams. Defaults to 0: the streams are new.
        metadata: As for `EventStore.append`.
        namespace: The namespace of the event ids, which are derived from it, the stream id, the event type, the index
            among the row's events, and the key. Another namespace gives other ids.
        batch_size: How many rows a transaction has.
        progress: True shows a bar (extra `cli`); a function is called after each batch.

    Returns:
        The result.

    Raises:
        ConcurrencyConflict: A stream has other events than these at their versions. The batches before are stored.
        EventIdReused: The row with this key was stored with other data.
        InvalidInput: An argument is not valid, a column has values that an event can't hold exactly, or a row can't
            become an event. A note on the error names the row.
        EncodingError: A row has a value that can't be stored exactly.
        ExtraMissing: `progress` is True, and rich is not installed.

    Example:
        ```python
        frames.append(
            store,
            orders,
            stream_id=lambda row: f"order-{row['order_id']}",
            event=lambda row: NewEvent("order-placed", row),
            key="order_id",
            progress=True,
        )
        ```
    """
    check_number("batch_size", batch_size, minimum=1)
    check_function("event", event)
    if not isinstance(stream_id, str):
        check_function("stream_id", stream_id)
    maker = _EventMaker(
        event_types=store.event_types,
        stream_id=stream_id,
        event=event,
        key=_columns_of(key),
        namespace=namespace,
        versions=_Versions(expected_version),
        metadata=metadata,
    )
    # first, because DuckDB can't count while reading; asked of the class, because DuckDB 1.2 raises at an instance
    done = Appended(total=len(data) if hasattr(type(data), "__len__") else None)
    rows = enumerate(rows_of(data))
    with _reporting(progress, done) as report:
        while batch := list(islice(rows, batch_size)):
            appends = [each for number, row in batch for each in maker.appends(number, row)]
            with _error_note(f"in the rows {batch[0][0]} to {batch[-1][0]} of the data, counted from 0"):
                results = store.append_many(appends)
            done = replace(
                done,
                rows=done.rows + len(batch),
                events=done.events + len(results),
                repeated=done.repeated + sum(result.duplicate for result in results),
                position=results[-1].position if results else done.position,
            )
            report(done)
    return done


class _Versions:
    """The version that each stream has before its next event."""

    def __init__(self, expected: Any) -> None:
        if isinstance(expected, bool) or not isinstance(expected, int | Mapping):
            msg = (
                f"expected_version is a version, or a mapping of stream ids to versions, not {type(expected).__name__}"
            )
            raise InvalidInput(msg)
        self._first = expected
        self._versions: dict[str, int] = {}

    def take(self, stream_id: str) -> int:
        first = self._first.get(stream_id, 0) if isinstance(self._first, Mapping) else self._first
        version = self._versions.get(stream_id, first)
        self._versions[stream_id] = version + 1
        return version


@dataclass(frozen=True, slots=True)
class _EventMaker:
    """Makes the appends of each row's events."""

    event_types: EventTypes
    stream_id: str | Callable[[DataRow], str]
    event: Callable[[DataRow], Any]
    key: Sequence[str] | None
    namespace: UUID
    versions: _Versions
    metadata: Mapping[str, Any] | None

    def appends(self, number: int, row: DataRow) -> Iterator[Append]:
        """Yield an append for each event, so that each is recognised in another run with other batches."""
        with _error_note(f"in the row {number} of the data, counted from 0"):
            stream_id = _value(row, self.stream_id) if isinstance(self.stream_id, str) else self.stream_id(row)
            check_stream_id(stream_id)
            key = None if self.key is None else [_key_part(row, part) for part in self.key]
            result = self.event(row)
            events = [] if result is None else result if isinstance(result, list | tuple) else [result]
            for index, each in enumerate(events):
                event = each if isinstance(each, NewEvent) else self.event_types.new_event(each)
                if key is not None:
                    event = replace(event, event_id=self._event_id([stream_id, event.event_type, index, *key]))
                yield Append(stream_id, [event], expected_version=self.versions.take(stream_id), metadata=self.metadata)

    def _event_id(self, parts: Sequence[Any]) -> UUID:
        try:
            return uuid5(self.namespace, json_text(parts))
        except (NotStorableError, UnicodeEncodeError):
            msg = "the key has a value of which no event id can be made, because it can't be JSON text; convert it"
            raise InvalidInput(msg) from None


def _columns_of(key: Any) -> Sequence[str] | None:
    columns = (key,) if isinstance(key, str) else key
    if columns is not None and not (
        isinstance(columns, Sequence) and columns and all(isinstance(column, str) for column in columns)
    ):
        msg = "key must be the name of a column, a list of names, or None"
        raise InvalidInput(msg)
    return columns


def _value(row: DataRow, column: str) -> Any:
    if column not in row:
        msg = f"there is no column {column!r}; the columns are {', '.join(map(repr, row))}"
        raise InvalidInput(msg)
    return row[column]


def _key_part(row: DataRow, column: str) -> Any:
    value = _value(row, column)
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value.astimezone(UTC)  # data frames and databases have different zone objects for the same time
    return value


@contextmanager
def _error_note(note: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        error.add_note(note)
        raise


@contextmanager
def _reporting(
    progress: bool | Callable[[Appended], object], start: Appended
) -> Iterator[Callable[[Appended], object]]:
    if callable(progress):
        yield progress
        return
    if not progress:
        yield lambda _: None
        return
    try:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn  # noqa: PLC0415
    except ImportError:
        raise ExtraMissing("rich", "cli") from None
    columns = (TextColumn("Appending"), BarColumn(), MofNCompleteColumn(), TextColumn("rows"), TimeElapsedColumn())
    with Progress(*columns) as bar:
        task = bar.add_task("Appending", total=start.total)
        yield lambda done: bar.update(task, completed=done.rows)
