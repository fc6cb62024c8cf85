"""Storing payloads again by another codec."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from eventstore.codecs.payload import PayloadCodec
from eventstore.common.validation import check_event_type, check_number
from eventstore.errors import DecodingError, EncodingError
from eventstore.statements.global_order import newest_position
from eventstore.statements.recoding import payloads_of_other_codecs, write_payload
from eventstore.store import EventStore, check_store


@dataclass(frozen=True, slots=True)
class Recoded:
    """How far the payloads of a store were stored again.

    Attributes:
        position: Up to which position.
        recoded: How many were stored again.
        left: How many have a value that the codec can't store, or can't be read, and stay as they are.
    """

    position: int
    recoded: int
    left: int


def recode(
    store: EventStore,
    *,
    event_types: Iterable[str] | None = None,
    batch_size: int = 1000,
    on_progress: Callable[[Recoded], object] | None = None,
) -> Recoded:
    """Store payloads again as the store's codec writes them, such as in JSON for SQL views.

    Each event keeps its value, which is compared, and everything else, such as its position; readers see no difference.
    Each batch is a transaction that may change history. Other processes may append and read meanwhile. A run that was
    interrupted can be repeated. The table grows by what is stored again, until it is vacuumed.

    Args:
        store: The application's store with the new codec, not joined.
        event_types: The types of the events to store again. Defaults to None: all.
        batch_size: How many payloads to read at a time.
        on_progress: Called after each batch.

    Returns:
        How many were stored again. Events that are appended meanwhile are left alone.

    Raises:
        InvalidInput: The store is joined to a transaction, or an argument is not valid.
        PermissionDenied: The database user may not update es_events.
    """
    check_store(store)
    store.engine  # noqa: B018  # a store without one says what to use instead
    types = None if event_types is None else {check_event_type(each) for each in event_types}
    check_number("batch_size", batch_size, minimum=1)
    with store.core.execution.statement() as run:
        ((newest,),) = run(newest_position)
    done = Recoded(0, 0, 0)
    while done.position < newest:
        with store.transaction() as tx, tx.allow_history_changes(), tx.core.execution.statement() as run:
            rows = run(
                payloads_of_other_codecs,
                after_position=done.position,
                up_to_position=newest,
                codec=store.core.mapper.codec.codec.number,
                page_size=batch_size,
            )
            recoded = left = 0
            for position, event_type, number, data in rows:
                if types is not None and event_type not in types:
                    continue
                new = _recoded(store.core.mapper.codec, number, data)
                if new is None:
                    left += 1
                elif new != (number, bytes(data)):
                    parameters = {"at_position": position, "old_codec": number, "new_codec": new[0], "new_data": new[1]}
                    recoded += len(run(write_payload, **parameters))
        position = rows[-1][0] if len(rows) == batch_size else newest
        done = Recoded(position, done.recoded + recoded, done.left + left)
        if on_progress is not None:
            on_progress(done)
    return done


def _recoded(codec: PayloadCodec, number: int, data: bytes) -> tuple[int, bytes] | None:
    """Return the codec number and bytes of the same value by the store's codec; None if there are none."""
    try:
        new = codec.encode(codec.decode(number, data))
        return new if codec.holds_same_value((number, data), new) else None
    except (DecodingError, EncodingError):
        return None
