"""Stores that are broken on purpose, for the adversary to find: our own, with one thing changed."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import event

from eventstore import NewEvent
from eventstore.testing.adversary import Delivered, Write
from eventstore.testing.adversary.ours import Ours


def without_locks(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> tuple[str, Any]:
    """Let the look at the order see no locks; it is the one that reads whose transactions they are."""
    if "virtualtransaction" in statement:
        statement = statement.replace("pg_locks.granted", "pg_locks.granted AND false")
    return statement, parameters


class Blind(Ours):
    """Does not see the appends that are under way."""

    name = "our store, with the look at locks switched off"

    def __init__(self, url: str, schema: str | None) -> None:
        super().__init__(url, schema)
        event.listen(self.store.engine, "before_cursor_execute", without_locks, retval=True)


class Careless(Ours):
    """Appends whatever the version of the stream is."""

    name = "our store, with the conflict check removed"

    def append(self, writes: Sequence[Write]) -> None:
        super().append([replace(write, expected_version=None) for write in writes])


class Forgetful(Ours):
    """Drops one event from whatever it reads."""

    name = "our store, with one event dropped"

    def read(self, reader: str, after: Any) -> Iterable[Delivered]:
        dropped = {("other", 2), ("order-07", 2)}
        return (each for each in super().read(reader, after) if (each.stream, each.version) not in dropped)


class Used(Ours):
    """Has an event when the adversary comes."""

    name = "a store that is in use"

    def prepare(self) -> None:
        super().prepare()
        self.store.append("order-1", [NewEvent("placed")], expected_version=0)
