"""What it costs to know that a typed event comes back as it is, beside the append that it is part of.

`python -m benchmarks.exactness`. In one run, in turns: an append as it is, and the same without the comparison, as it
was before (encode, read back, and don't look at what was read). SQLite in memory, where an append takes least, so the
share is largest. Medians of many rounds; read the ratios.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final
from unittest.mock import patch
from uuid import UUID

import attrs
import msgspec
import pydantic

from eventstore import ANY, Append, EventStore, EventTypes, rows

_ROUNDS: Final = 60
_APPENDS: Final = 50


@dataclass(frozen=True, slots=True)
class Plain:
    """A plain dataclass: of this class it is known beforehand."""

    customer: str
    seats: int
    price: float
    total: Decimal
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """A part of an order."""

    item: str
    price: Decimal


@dataclass(frozen=True, slots=True)
class Order:
    """A dataclass with parts, which has to be compared."""

    customer: str
    order_id: UUID
    placed_at: datetime
    lines: list[Line]


@attrs.frozen
class Parcel:
    """An attrs class with a validator."""

    grams: int = attrs.field(validator=attrs.validators.ge(0))
    to: str = ""


class Paid(msgspec.Struct, frozen=True):
    """A Struct."""

    amount: Decimal
    paid_at: datetime


class Model(pydantic.BaseModel):
    """A pydantic model."""

    customer: str
    amount: Decimal


def main() -> None:
    """Measure, and print the ratios."""
    now = datetime.now(UTC)
    examples = [
        Plain("Ada", 2, 9.5, Decimal("19.00")),
        Order("Ada", UUID(int=1), now, [Line(f"item {number}", Decimal("4.20")) for number in range(5)]),
        Parcel(5, "Bath"),
        Paid(Decimal(1), now),
        Model(customer="Ada", amount=Decimal(1)),
    ]
    event_types = EventTypes()
    for example in examples:
        event_types.register(type(example).__name__, type(example))
    store = EventStore.in_memory(event_types=event_types)
    print(f"{'':10}{'append, us':>12}{'before, us':>12}{'ratio':>8}{'encode ratio':>15}")  # noqa: T201  # a script
    for example in examples:
        appends, encodings = _appending(store, example), _encoding(store, example)
        rates = appends[0] / appends[1], encodings[0] / encodings[1]
        print(f"{type(example).__name__:10}{appends[0]:12.1f}{appends[1]:12.1f}{rates[0]:8.3f}{rates[1]:15.3f}")  # noqa: T201
    store.close()


def _appending(store: EventStore, example: Any) -> tuple[float, float]:
    return _in_turns(lambda: store.append("order-1", [example], expected_version=ANY))


def _encoding(store: EventStore, example: Any) -> tuple[float, float]:
    append: Any = Append("order-1", [example], expected_version=ANY)
    return _in_turns(lambda: store.core.mapper.pending(append))  # what the store does first


def _in_turns(call: Callable[[], object]) -> tuple[float, float]:
    """Return the medians, in microseconds, with the comparison and without."""
    times: tuple[list[float], list[float]] = ([], [])
    for number in range(2 * _ROUNDS):
        if number % 2:
            with (
                patch.object(rows, "difference", lambda *_: None),
                patch.object(EventTypes, "comes_back", lambda *_: False),
            ):
                times[1].append(_time(call))
        else:
            times[0].append(_time(call))
    with_it, without = (statistics.median(each) * 1e6 / _APPENDS for each in times)
    return with_it, without


def _time(call: Callable[[], object]) -> float:
    begun = time.perf_counter()
    for _ in range(_APPENDS):
        call()
    return time.perf_counter() - begun


if __name__ == "__main__":
    main()
