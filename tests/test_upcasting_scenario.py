"""Four versions of an application: the newest reads what the first wrote, and still writes beside it."""

import random
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Engine

from eventstore import ConcurrencyConflict, EventStore, EventTypes, RecordedEvent
from tests.processes import clean_processes

STREAMS = tuple(f"order-{number}" for number in range(5))

# --- version 1


@dataclass(frozen=True)
class OrderOpened:
    who: str
    cents: list[int]


@dataclass(frozen=True)
class CustomerRegistered:
    name: str
    email: str


@dataclass(frozen=True)
class OrderPaid:
    amount: str
    card: str


@dataclass(frozen=True)
class OrderNoted:
    text: str


@dataclass(frozen=True)
class OrderShipped:
    parcels: list[str]


def version_1() -> EventTypes:
    event_types = EventTypes(newer="plain")  # during the deployment it meets what version 4 writes
    event_types.register("order-opened", OrderOpened)
    event_types.register("customer-registered", CustomerRegistered)
    event_types.register("order-paid", OrderPaid)
    event_types.register("order-noted", OrderNoted)
    event_types.register("order-shipped", OrderShipped)
    return event_types


def random_event(generator: random.Random) -> Any:
    number = generator.randrange(1000)
    return generator.choice(
        [
            OrderOpened(f"customer {number}", [number, 2 * number]),
            CustomerRegistered(f"Ada Lovelace{number}", f"{number}@example.org" if number % 2 else ""),
            OrderPaid(f"{number}.50", "4000"),
            OrderNoted("hm"),
            OrderShipped([f"parcel {each}" for each in range(number % 4)]),
        ]
    )


def write_as_version_1(url: str, seed: int, appends: int) -> int:
    """Append at the version that was read, as an application does; return how many events."""
    generator = random.Random(seed)  # repeatable, guards nothing
    written = 0
    with EventStore.from_url(url, event_types=version_1()) as store:
        while appends:
            stream_id = generator.choice(STREAMS)
            newest = next(store.read_stream(stream_id, backwards=True), None)
            new = [random_event(generator) for _ in range(generator.randint(1, 3))]
            try:
                store.append(stream_id, new, expected_version=newest.version if newest else 0)
            except ConcurrencyConflict:
                continue
            written += len(new)
            appends -= 1
    return written


# --- version 4


@dataclass(frozen=True)
class OrderPlaced:  # was renamed, and its lines restructured
    customer: str
    lines: list[dict[str, Decimal]]
    currency: str


@dataclass(frozen=True)
class Name:
    first: str
    last: str


@dataclass(frozen=True)
class CustomerNamed:  # was split from customer-registered, and restructured
    name: Name


@dataclass(frozen=True)
class EmailGiven:
    address: str


@dataclass(frozen=True)
class PaymentTaken:  # was renamed twice, and lost a field
    amount: Decimal


@dataclass(frozen=True)
class ParcelShipped:  # was split from order-shipped
    parcel: str


def version_4() -> EventTypes:
    event_types = EventTypes()
    event_types.register("order-placed", OrderPlaced, schema_version=2)
    event_types.register("customer-named", CustomerNamed, schema_version=2)
    event_types.register("email-given", EmailGiven)
    event_types.register("payment-taken", PaymentTaken)
    event_types.register("parcel-shipped", ParcelShipped)
    event_types.drop("order-noted", from_version=1)
    add_order_upcasters(event_types)
    add_customer_upcasters(event_types)
    add_payment_upcasters(event_types)
    return event_types


def add_order_upcasters(event_types: EventTypes) -> None:
    @event_types.upcaster("order-opened", from_version=1)
    def with_currency(data: Any) -> Any:
        return {**data, "currency": "EUR"}

    @event_types.upcaster("order-opened", from_version=2, to=("order-placed", 1))
    def with_customer(data: Any) -> Any:
        return {"customer": data.pop("who"), **data}

    @event_types.upcaster("order-placed", from_version=1)
    def with_lines(data: Any) -> Any:
        data["lines"] = [{"price": Decimal(cents) / 100} for cents in data.pop("cents")]
        return data

    @event_types.splitter("order-shipped", from_version=1, into=[("parcel-shipped", 1)])
    def by_parcel(data: Any) -> Any:
        return [("parcel-shipped", {"parcel": parcel}) for parcel in data["parcels"]]


def add_customer_upcasters(event_types: EventTypes) -> None:
    @event_types.upcaster("customer-registered", from_version=1)
    def with_two_names(data: Any) -> Any:
        first, last = data["name"].split(" ")
        return {"first": first, "last": last, "email": data["email"]}

    @event_types.splitter("customer-registered", from_version=2, into=[("customer-named", 1), ("email-given", 1)])
    def part_email(data: Any) -> Iterator[tuple[str, Any]]:
        yield "customer-named", {"first": data["first"], "last": data["last"]}
        if data["email"]:
            yield "email-given", {"address": data["email"]}

    @event_types.upcaster("customer-named", from_version=1)
    def with_name(data: Any) -> Any:
        return {"name": data}


def add_payment_upcasters(event_types: EventTypes) -> None:
    @event_types.upcaster("order-paid", from_version=1)
    def without_card(data: Any) -> Any:
        return {"amount": data["amount"]}

    @event_types.upcaster("order-paid", from_version=2, to=("money-received", 1))
    def renamed(data: Any) -> Any:
        return data

    @event_types.upcaster("money-received", from_version=1, to=("payment-taken", 1))
    def in_decimals(data: Any) -> Any:
        return {"amount": Decimal(data["amount"])}


def expected(event: RecordedEvent) -> list[Any]:
    """Return what version 4 must read, from what version 1 reads: written down once more, on its own."""
    match event.data:
        case OrderOpened(who, cents):
            return [OrderPlaced(who, [{"price": Decimal(each) / 100} for each in cents], "EUR")]
        case CustomerRegistered(name, email):
            named = CustomerNamed(Name(*name.split(" ")))
            return [named, EmailGiven(email)] if email else [named]
        case OrderPaid(amount, _):
            return [PaymentTaken(Decimal(amount))]
        case OrderNoted():
            return []
        case OrderShipped(parcels):
            return [ParcelShipped(parcel) for parcel in parcels]
    assert event.event_type in ("order-placed", "payment-taken"), event.event_type
    return [ANY_OBJECT]  # version 4's own, plain for version 1


ANY_OBJECT = object()


def same_for_both(old: EventStore, new: EventStore, stream_id: str) -> int:
    """Check that version 4 reads what version 1 reads, up to the version that the stream has now; return that."""
    version = new.stream_version(stream_id)
    as_written = list(old.read_stream(stream_id, up_to_version=version))
    assert [event.version for event in as_written] == list(range(1, version + 1))
    by_hand = [(event, data) for event in as_written for data in expected(event)]
    read = list(new.read_stream(stream_id, up_to_version=version))
    assert [(event.version, event.position, event.event_id) for event in read] == [
        (event.version, event.position, event.event_id) for event, _ in by_hand
    ]
    for event, (_, data) in zip(read, by_hand, strict=True):
        assert event.data == data or (data is ANY_OBJECT and isinstance(event.data, OrderPlaced | PaymentTaken))
    assert list(new.read_stream(stream_id, up_to_version=version, backwards=True)) == read[::-1]
    return version


@pytest.mark.slow
def test_version_4_reads_what_version_1_wrote_and_still_writes_beside_it(any_url: str, any_engine: Engine) -> None:
    seed = random.SystemRandom().randrange(10**6)
    print("seed:", seed)
    generator = random.Random(seed)  # repeatable, guards nothing
    written = write_as_version_1(any_url, seed, 100)
    old = EventStore(any_engine, event_types=version_1(), page_size=7)
    new = EventStore(any_engine, event_types=version_4(), page_size=5)
    rounds = appended = 0
    with ProcessPoolExecutor(1, mp_context=clean_processes()) as writers:
        beside = writers.submit(write_as_version_1, any_url, seed + 1, 150)
        while not beside.done() or rounds < 5:
            stream_id = generator.choice(STREAMS)
            version = same_for_both(old, new, stream_id)
            events = [OrderPlaced("Ada", [{"price": Decimal(1)}], "GBP"), PaymentTaken(Decimal(1))]
            try:
                new.append(stream_id, events, expected_version=version)
                appended += 2
            except ConcurrencyConflict:
                pass
            rounds += 1
        written += beside.result()
    print("rounds:", rounds, "by version 1:", written, "by version 4:", appended)
    assert sum(same_for_both(old, new, stream_id) for stream_id in STREAMS) == written + appended
    findings = new.check_event_types()
    assert [finding.failures for finding in findings if finding.failed] == []
    assert {(finding.event_type, finding.schema_version) for finding in findings} == {
        *version_1().classes,
        ("order-placed", 2),
        ("payment-taken", 1),
    }
