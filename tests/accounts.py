"""One aggregate, an account, written in every way that a repository takes."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, Generic, Protocol, TypeVar

import attrs
import msgspec
import pydantic

from eventstore import EventStore, EventTypes, RecordedEvent, Repository
from eventstore.repository import SnapshotPolicy, never

event_types = EventTypes()


@event_types.register("opened")
@dataclass(frozen=True)
class Opened:
    owner: str


@event_types.register("deposited")
@dataclass(frozen=True)
class Deposited:
    amount: Decimal


@event_types.register("withdrawn")
@dataclass(frozen=True)
class Withdrawn:
    amount: Decimal


class NotEnough(Exception):
    pass


class Account(Protocol):
    """What all of them have."""

    @property
    def owner(self) -> str: ...
    @property
    def balance(self) -> Decimal: ...
    @property
    def entries(self) -> Any: ...


def deposit(account: Account, amount: Decimal) -> list[Deposited]:
    return [Deposited(amount)]


def withdraw(account: Account, amount: Decimal) -> Iterator[Withdrawn]:
    if amount > account.balance:
        raise NotEnough
    yield Withdrawn(amount)


def open_once(account: Account, owner: str) -> list[Opened] | None:
    return None if account.owner else [Opened(owner)]


def changes(event: RecordedEvent, owner: str, balance: Decimal) -> tuple[str, Decimal]:
    match event.data:
        case Opened(name):
            return name, balance
        case Deposited(amount):
            return owner, balance + amount
        case Withdrawn(amount):
            return owner, balance - amount
    return owner, balance


@dataclass(frozen=True)
class Entry:
    version: int
    balance: Decimal


@dataclass(frozen=True)
class FrozenAccount:
    owner: str = ""
    balance: Decimal = Decimal(0)
    entries: tuple[Entry, ...] = ()

    def after(self, event: RecordedEvent) -> "FrozenAccount":
        owner, balance = changes(event, self.owner, self.balance)
        return replace(self, owner=owner, balance=balance, entries=(*self.entries[-5:], Entry(event.version, balance)))


class Mutates:
    """Shared by those that change themselves: evolve returns the very object."""

    owner: str
    balance: Decimal
    entries: list[Entry]

    def after(self, event: RecordedEvent) -> Any:
        self.owner, self.balance = changes(event, self.owner, self.balance)
        self.entries.append(Entry(event.version, self.balance))
        del self.entries[:-6]
        return self


@dataclass
class MutableAccount(Mutates):
    owner: str = ""
    balance: Decimal = Decimal(0)
    entries: list[Entry] = field(default_factory=list)


@attrs.define
class AttrsAccount(Mutates):
    owner: str = ""
    balance: Decimal = Decimal(0)
    entries: list[Entry] = attrs.field(factory=list)


class StructAccount(msgspec.Struct):
    owner: str = ""
    balance: Decimal = Decimal(0)
    entries: list[Entry] = []  # msgspec copies it

    after = Mutates.after


class PydanticAccount(pydantic.BaseModel):
    owner: str = ""
    balance: Decimal = Decimal(0)
    entries: list[Entry] = []

    after = Mutates.after


class PlainAccount(Mutates):
    """Nothing but Python: a class that no library knows."""

    def __init__(self, owner: str = "", balance: Decimal = Decimal(0), entries: list[Entry] | None = None) -> None:
        self.owner, self.balance, self.entries = owner, balance, entries or []

    def to_plain(self) -> dict[str, Any]:
        entries = [(entry.version, entry.balance) for entry in self.entries]
        return {"owner": self.owner, "balance": self.balance, "entries": entries}

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> "PlainAccount":
        return cls(plain["owner"], plain["balance"], [Entry(*entry) for entry in plain["entries"]])


class ViewOfDict(dict[str, Any]):
    """For the commands, which read attributes; the state itself is a dict."""

    __getattr__ = dict.__getitem__


def empty_dict() -> dict[str, Any]:
    return {"owner": "", "balance": Decimal(0), "entries": []}


def dict_after(state: dict[str, Any], event: RecordedEvent) -> dict[str, Any]:
    owner, balance = changes(event, state["owner"], state["balance"])
    entries = [*state["entries"][-5:], [event.version, balance]]
    return {"owner": owner, "balance": balance, "entries": entries}


State = TypeVar("State")


@dataclass(frozen=True)
class Kind(Generic[State]):
    """One way to write it, and how to look at it."""

    name: str
    initial: Callable[[], State]
    evolve: Callable[[State, RecordedEvent], State]
    view: Callable[[State], Any] = lambda state: state
    to_snapshot: Callable[[State], Any] | None = None
    from_snapshot: Callable[[Any], State] | None = None

    def repository(
        self, store: EventStore, *, snapshots: SnapshotPolicy = never, schema_version: int = 1, **options: Any
    ) -> Repository[State]:
        return Repository(
            store,
            category="account",
            initial=self.initial,
            evolve=self.evolve,
            snapshots=snapshots,
            schema_version=schema_version,
            to_snapshot=self.to_snapshot,
            from_snapshot=self.from_snapshot,
            **options,
        )

    def seen(self, state: State) -> tuple[str, Decimal, list[tuple[int, Decimal]]]:
        """Return what is in a state, in the same form for all kinds."""
        account = self.view(state)
        entries = [
            (entry.version, entry.balance) if isinstance(entry, Entry) else tuple(entry) for entry in account.entries
        ]
        return account.owner, account.balance, entries


KINDS: list[Kind[Any]] = [
    Kind("dataclass", FrozenAccount, FrozenAccount.after),
    Kind("mutable dataclass", MutableAccount, MutableAccount.after),
    Kind("attrs class", AttrsAccount, AttrsAccount.after),
    Kind("msgspec Struct", StructAccount, lambda state, event: state.after(event)),
    Kind("pydantic model", PydanticAccount, lambda state, event: state.after(event)),
    Kind("plain functions", empty_dict, dict_after, view=ViewOfDict),
    Kind(
        "plain class",
        PlainAccount,
        PlainAccount.after,
        to_snapshot=PlainAccount.to_plain,
        from_snapshot=PlainAccount.from_plain,
    ),
]
