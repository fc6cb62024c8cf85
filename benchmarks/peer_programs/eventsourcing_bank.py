"""A small application of `eventsourcing` that fills its table, for tests of imports; it is no contestant.

`python eventsourcing_bank.py write 1000` saves so many pairs of aggregates, where its environment variables say
(`PERSISTENCE_MODULE` and the like), and prints how many events it has stored.
`python eventsourcing_bank.py fixture FILE` writes rows of the table, and what the library reads from them:
`tests/golden/eventsourcing_rows.json`.
"""

import json
import sys
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from importlib.metadata import version
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event


class BankAccount(Aggregate):
    """An aggregate whose events are made by decorators."""

    @event("Opened")
    def __init__(self, owner: str, limit: Decimal) -> None:
        self.owner = owner
        self.limit = limit
        self.balance = Decimal(0)

    @event("Deposited")
    def deposit(self, amount: Decimal, at: datetime, ratio: float) -> None:  # noqa: ARG002  # they are in the event
        """Deposit money."""
        self.balance += amount

    @event("PartnerNamed")
    def name_partner(self, partner: UUID) -> None:
        """Name another aggregate."""
        self.partner = partner


class Dog(Aggregate):
    """An aggregate with an event class that has a version."""

    class Registered(Aggregate.Created):
        """The first event."""

        name: str
        class_version = 2

    @classmethod
    def register(cls, name: str) -> "Dog":
        """Return a new one."""
        return cls._create(cls.Registered, id=uuid4(), name=name)

    @event("TrickAdded")
    def add_trick(self, trick: str) -> None:
        """Teach it a trick."""
        self.trick = trick


def write(application: Application, count: int) -> None:
    """Save so many pairs of aggregates."""
    stored = 0
    at = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=timezone(timedelta(hours=2)))
    for number in range(count):
        account = BankAccount(owner=f"Ünï {number}", limit=Decimal("100.10"))
        dog = Dog.register(f"Rex {number}")
        for step in range(number % 3):
            account.deposit(Decimal("1.50") * step, at, 0.1 * step)
            dog.add_trick(f'roll {step} "quoted" \u2028')
        account.name_partner(dog.id)
        stored += len(application.save(account, dog))
    print(stored)  # noqa: T201


def fixture(application: Application, path: Path) -> None:
    """Write rows, and the fields of the events as the library reads them."""
    write(application, 6)
    rows = []
    for row in application.recorder.select_notifications(1, 1000):
        fields = application.mapper.to_domain_event(row).__dict__
        read_back = {name: _tagged(value) for name, value in fields.items() if not name.startswith("originator_id")}
        read_back.pop("originator_version")
        rows.append(
            {
                "notification_id": row.id, "originator_id": str(row.originator_id),
                "originator_version": row.originator_version, "topic": row.topic, "state": row.state.decode(),
                "read_back": read_back,
            }
        )  # fmt: skip
    content = {"package": "eventsourcing", "version": version("eventsourcing"), "rows": rows}
    path.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", "utf-8")


def _tagged(value: Any) -> Any:
    if isinstance(value, Decimal):
        return {"$decimal": str(value)}
    if isinstance(value, datetime):
        return {"$datetime": value.isoformat()}
    return {"$uuid": str(value)} if isinstance(value, UUID) else value


if __name__ == "__main__":
    if sys.argv[1] == "write":
        write(Application(), int(sys.argv[2]))
    else:
        fixture(Application(), Path(sys.argv[2]))
