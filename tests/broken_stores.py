"""Stores that are broken on purpose, for the adversary to find: our own, with one thing changed."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import islice
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


class Twice(Ours):
    """Delivers an event again."""

    name = "our store, with one event delivered twice"

    def read(self, reader: str, after: Any) -> Iterable[Delivered]:
        for each in super().read(reader, after):
            yield from [each] * (2 if each.version == 1 else 1)


class Backwards(Ours):
    """Delivers the events of a page in the wrong order."""

    name = "our store, with events in the wrong order"

    def read(self, reader: str, after: Any) -> Iterable[Delivered]:
        found = list(super().read(reader, after))
        return [replace(each, position=found[-1].position) for each in reversed(found)]


class Bare(Ours):
    """Keeps positions as bare numbers."""

    name = "our store, by bare positions"

    def read(self, reader: str, after: Any) -> Iterable[Delivered]:
        return (
            replace(each, position=int(getattr(each.position, "position", each.position)))
            for each in super().read(reader, after)
        )


class LogHasGoneBack(Exception):
    """The event at a position is another one than before."""


class Honest(Ours):
    """Keeps positions with their events, and stops if another event is there."""

    name = "our store, by positions that know their events"

    def read(self, reader: str, after: Any) -> Iterable[Delivered]:
        if self._is_stored(reader):
            return super().read(reader, after)
        position, event_id = after or (0, None)
        before = [] if event_id is None else list(self.store.read_all(after_position=position - 1, limit=1))
        if event_id is not None and (not before or before[0].event_id != event_id):
            raise LogHasGoneBack
        return (
            replace(each, position=(int(getattr(each.position, "position", each.position)), each.event_id))
            for each in super().read(reader, position or None)
        )

    def _is_stored(self, name: str) -> bool:
        return any(each.keeps_position for each in self.readers if each.name == name)


class Endless(Ours):
    """Forgets where a reader is, and delivers the first event again and again."""

    name = "our store, with a reader that does not get on"

    def read(self, reader: str, after: Any) -> Iterable[Delivered]:  # noqa: ARG002  # this is its fault
        return islice(super().read(reader, None), 1)
