"""Events out of data frames, into the store."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import islice
from typing import Any, Final
from uuid import UUID, uuid5

from eventstore.common.notebook_html import thing_html
from eventstore.common.validation import check_number
from eventstore.contrib.frames.incoming import Row, rows_of
from eventstore.contrib.frames.kinds import json_text
from eventstore.errors import ExtraMissing, InvalidInput
from eventstore.event_types import EventTypes
from eventstore.events import Append, NewEvent
from eventstore.store import EventStore
from eventstore.streams import NO_STREAM

NAMESPACE: Final = UUID("3b0b1f0e-6f0e-5d4c-9a2e-5f6c1f7d9b10")
"""What event ids are derived from. Never changed: an event must have the same id in every run."""


@dataclass(frozen=True, slots=True)
class Appended:
    """How far an append of a data frame has come, and in the end what it has done.

    Attributes:
        rows: How many rows were read.
        total: How many there are, None where the data does not say.
        events: How many events they are.
        repeated: How many of these were stored before, and were left alone.
        position: The global position of the last of them, 0 where there is none.
    """

    rows: int = 0
    total: int | None = None
    events: int = 0
    repeated: int = 0
    position: int = 0

    def _repr_html_(self) -> str:
        values = {"rows": self.rows, "events": self.events, "stored before": self.repeated, "position": self.position}
        return thing_html("appended", values)


Report = Callable[[Appended], object]


def append(
    store: EventStore,
    data: Any,
    *,
    stream_id: str | Callable[[Row], str],
    event: str | Callable[[Row], Any],
    key: str | Sequence[str] | None,
    expected_version: int | Mapping[str, int] = NO_STREAM,
    metadata: Mapping[str, Any] | None = None,
    namespace: UUID = NAMESPACE,
    batch_size: int = 5000,
    progress: bool | Report = False,
) -> Appended:
    """Append the rows of a data frame as events, in their order: each batch in one transaction.

    It can be interrupted, and run again: an event's id is made of its row's key, so what is stored already is
    recognised and left alone. So is the beginning of the same data with more rows after it.

    Args:
        store: The store; a joined one appends in its transaction.
        data: A data frame of pandas or Polars, a relation of DuckDB, whatever else is an Arrow stream, or mappings.
        stream_id: The column that has the stream ids, or a function from a row, a mapping, to its stream id.
        event: The event type of every row, whose other columns are its data; or a function from a row to an event: a
            `NewEvent`, an object of a registered class, a list of these, or None for a row that is none.
        key: The column, or columns, that tell a row from all others of its stream, in every run. None leaves the events
            the ids that your function has given them.
        expected_version: The version of the streams before their first row. Of each stream, the first event must
            become the next version, the second the one after it, and so on. A mapping has it by stream ids, 0 for those
            that it does not have. Defaults to 0: the streams are new.
        metadata: As for `EventStore.append`.
        namespace: What ids are derived from, together with stream id, event type, the place among the row's events and
            key. Another one makes other ids.
        batch_size: How many rows are one transaction.
        progress: True shows a bar (extra `cli`); a function is called after each batch.

    Returns:
        What was done.

    Raises:
        ConcurrencyConflict: A stream has other events than these at their versions. The batches before are stored.
        EventIdReused: The row with this key was stored with other data.
        InvalidInput: An argument is not valid, or a row can't be an event. A note on the error says which row.
        EncodingError: A row has a value that can't be stored exactly.
        ExtraMissing: `progress` is True, and rich is not installed.

    Example:
        ```python
        frames.append(
            store,
            orders,
            stream_id=lambda row: f"order-{row['order_id']}",
            event=lambda row: OrderPlaced(customer=row["customer"], total=row["total"]),
            key="order_id",
            progress=True,
        )
        ```
    """
    check_number("batch_size", batch_size, minimum=1)
    maker = _EventMaker(
        event_types=store.event_types,
        stream_id=stream_id,
        event=event,
        key=(key,) if isinstance(key, str) else key,
        namespace=namespace,
        versions=_Versions(expected_version),
        metadata=metadata,
    )
    done = Appended(total=len(data) if hasattr(data, "__len__") else None)  # first: DuckDB does nothing beside a stream
    rows = enumerate(rows_of(data))
    with _reporting(progress, done) as report:
        while batch := list(islice(rows, batch_size)):
            appends = [each for number, row in batch for each in maker.appends(number, row)]
            with _noting(f"in the rows {batch[0][0]} to {batch[-1][0]} of the data, counted from 0"):
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
    """Makes of each row the appends of its events."""

    event_types: EventTypes
    stream_id: str | Callable[[Row], str]
    event: str | Callable[[Row], Any]
    key: Sequence[str] | None
    namespace: UUID
    versions: _Versions
    metadata: Mapping[str, Any] | None

    def appends(self, number: int, row: Row) -> Iterator[Append]:
        """Yield an append for each event: alone, each is recognised in the next run, whatever the batches are then."""
        with _noting(f"in the row {number} of the data, counted from 0"):
            stream_id = self.stream_id(row) if callable(self.stream_id) else _value(row, self.stream_id)
            made = self.event(row) if callable(self.event) else NewEvent(self.event, self._data(row))
            events = [] if made is None else made if isinstance(made, list | tuple) else [made]
            for place, each in enumerate(events):
                event = each if isinstance(each, NewEvent) else self.event_types.new_event(each)
                if self.key is not None:
                    name = json_text([stream_id, event.event_type, place, *(_key_part(row, part) for part in self.key)])
                    event = replace(event, event_id=uuid5(self.namespace, name))
                yield Append(stream_id, [event], expected_version=self.versions.take(stream_id), metadata=self.metadata)

    def _data(self, row: Row) -> dict[str, Any]:
        return {name: value for name, value in row.items() if name != self.stream_id}


def _value(row: Row, column: str) -> Any:
    if column not in row:
        msg = f"there is no column {column!r}; there are {', '.join(map(repr, row))}"
        raise InvalidInput(msg)
    return row[column]


def _key_part(row: Row, column: str) -> Any:
    value = _value(row, column)
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value.astimezone(UTC)  # a data frame has another zone object than a database, for the same time
    return value


@contextmanager
def _noting(note: str) -> Iterator[None]:
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
