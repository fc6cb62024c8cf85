"""The core: what all parts of a store share."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Self

from eventstore.backends.protocol import Dialect, Driver
from eventstore.codecs import Codec, MessagePackCodec
from eventstore.codecs.payload import PayloadCodec
from eventstore.common.validation import check_number
from eventstore.core.execution import Execution
from eventstore.core.group_commit import GroupCommit
from eventstore.core.schema_version import REQUIRED_BY_TAGS, SchemaGate
from eventstore.core.settling import Settling
from eventstore.event_types import EventTypes
from eventstore.event_types.registry import check_registry
from eventstore.observer import SharedObserver
from eventstore.rows.mapper import EventMapper


@dataclass(frozen=True, slots=True)
class Appended:
    """Events of one stream that were appended together.

    Attributes:
        stream_id: The stream.
        after_version: The version of the stream before them.
        version: The version of the last of them.
        position: The position of the last of them; None if it was not read.
    """

    stream_id: str
    after_version: int
    version: int
    position: int | None


@dataclass(frozen=True, slots=True)
class AppendHook:
    """A function that is called after events were appended, imported, or replaced by a tombstone.

    Attributes:
        call: Takes the core, with its execution in the transaction of the append if there is one, and what was
            appended, in order. Its error becomes that of the append, which is undone if both share a transaction.
        in_transaction: Whether it must run in the transaction of the append, to be rolled back with it.
    """

    call: Callable[["Core", Sequence[Appended]], None]
    in_transaction: bool


@dataclass(frozen=True, slots=True)
class Core:
    """The inner parts of one store. A store that is joined to a transaction shares them, with another `execution`.

    Attributes:
        driver: The meaning of the database's errors, and the state of its connections.
        dialect: The SQL of the database.
        execution: Runs statements, on the store's own connections or in a joined transaction.
        mapper: Converts between events and rows.
        settling: Finds how far the global order is settled, for all readers of the store.
        gate: Checks that the tables fit this code.
        tags_gate: Checks that there is a table of tags; called when tags are used.
        page_size: How many events a read fetches at a time.
        group_commit: Stores appends of several threads together; None if each is stored alone.
        observer: Is called for each operation.
        after_append: The hooks, which are called after each append, in this order.
        loaded_streams: Where the streams of loaded aggregates are noted, for a retry to lock; None if there is none.
    """

    driver: Driver
    dialect: Dialect
    execution: Execution
    mapper: EventMapper
    settling: Settling
    gate: SchemaGate
    tags_gate: SchemaGate
    page_size: int
    group_commit: GroupCommit | None = None
    observer: SharedObserver = field(default_factory=SharedObserver)
    after_append: tuple[AppendHook, ...] = ()
    loaded_streams: set[str] | None = None

    @classmethod
    def of(
        cls,
        driver: Driver,
        dialect: Dialect,
        execution: Callable[[SchemaGate], Execution],
        *,
        event_types: EventTypes | None = None,
        codec: Codec | None = None,
        also_reads: Iterable[Codec] = (),
        compress_above: int | None = None,
        page_size: int = 1000,
        group_commit: GroupCommit | None = None,
    ) -> Self:
        """Return the core of a new store, from its `CoreOptions`, with `group_commit` if its threads share connections.

        Raises:
            InvalidInput: An option is not valid.
            UpcasterMissing: No upcasters lead from a schema version to the newest.
        """
        check_number("page_size", page_size, minimum=1)
        event_types = EventTypes() if event_types is None else check_registry(event_types)
        event_types.validate()
        payloads = PayloadCodec(
            MessagePackCodec() if codec is None else codec, compress_above=compress_above, also_reads=also_reads
        )
        gate = SchemaGate(suit=dialect.suit, check_server=dialect.check_server)
        return cls(
            driver=driver,
            dialect=dialect,
            execution=execution(gate),
            mapper=EventMapper(event_types, payloads),
            settling=Settling(dialect),
            gate=gate,
            tags_gate=SchemaGate(REQUIRED_BY_TAGS),
            page_size=page_size,
            group_commit=group_commit,
        )

    @contextmanager
    def begin(self) -> Iterator[Self]:
        """Open a transaction, or a savepoint in the joined one; yield the core of a store that is joined to it."""
        with self.execution.begin() as execution:
            yield replace(self, execution=execution)

    def with_event_types(self, event_types: EventTypes) -> Self:
        """Return this core with other event types. With an empty registry, data is read as plain values, not upcast."""
        event_types.validate()
        return replace(self, mapper=EventMapper(event_types, self.mapper.codec))

    def call_hooks(self, appended: Sequence[Appended]) -> None:
        """Call the hooks after an append, if it has stored anything."""
        if appended:
            for hook in self.after_append:
                hook.call(self, appended)
