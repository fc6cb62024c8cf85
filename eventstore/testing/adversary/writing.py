"""A writer, which is a separate process so that it can be killed. It appends in every way that its store offers."""

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from eventstore.testing.adversary.adapter import KINDS, Adapter, Conflict, Event, Write
from eventstore.testing.adversary.journal import File, Journal, Outcome
from eventstore.testing.adversary.loading import load_adapter

STREAMS: Final = 25
_SIZES: Final = (1, 1, 1, 2, 20)
_LARGE: Final = 300
_RARELY: Final = 0.002
_ROLLED_BACK: Final = 0.3
_PAUSES_SECONDS: Final = (0, 0, 0.001, 0.005, 0.03)
_RETRIES: Final = 3
_ERRORS_IN_SEQUENCE: Final = 5
_PAUSE_AFTER_ERROR_SECONDS: Final = 0.05


@dataclass(frozen=True, slots=True)
class Orders:
    """The orders of a writer.

    Attributes:
        adapter: The name of the adapter's class, `module:Class`.
        url: The URL for the adapter.
        schema: The schema for the adapter.
        seed: The seed of the run.
        number: The number of the writer, which with the seed determines what it does.
        threads: How many threads it has. Each has an adapter and a journal of its own.
        seconds: How long it writes.
        journal: The path of its journal. Those of further threads have a number appended.
    """

    adapter: str
    url: str
    schema: str | None
    seed: int
    number: int
    threads: int
    seconds: float
    journal: str


def start(orders: Orders) -> subprocess.Popen[bytes]:
    """Start a writer. Its orders go through a pipe: a URL may have a password, and command lines are visible."""
    command = [sys.executable, "-m", "eventstore.testing.adversary.writing"]
    writer = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    if writer.stdin is not None:  # always: it is a pipe
        writer.stdin.write(json.dumps(asdict(orders)).encode())
        writer.stdin.close()
    return writer


class Writer:
    """Makes random appends, determined by a seed."""

    def __init__(self, adapter: Adapter, journal: Journal, generator: random.Random) -> None:
        self._adapter = adapter
        self._journal = journal
        self._random = generator
        self._open: Any = getattr(adapter, "open", None)

    def write(self) -> None:
        """Make one attempt in a random way, then pause.

        Raises:
            Exception: The attempt failed, and it is unknown whether it was stored.
        """
        ways: list[tuple[Callable[[], None], int]] = [
            (self._append_to_one, 30),
            (self._append_to_several if self._adapter.spans_streams else self._append_to_one, 15),
            (self._append_at_version, 20),
            (self._append_to_one if self._open is None else self._append_in_transaction, 35),
        ]
        (way,) = self._random.choices([way for way, _ in ways], [weight for _, weight in ways])
        way()
        self._pause()

    def _append_to_one(self) -> None:
        self._attempt(self._writes(1))

    def _append_to_several(self) -> None:
        self._attempt(self._writes(4))

    def _append_at_version(self) -> None:
        """Append at the current version of a stream; after a lost answer, retry the same append."""
        stream = self._stream()
        write = Write(stream, self._events(), self._adapter.version(stream))
        self._pause()
        number = self._journal.begin([write])
        for attempt in range(_RETRIES):
            try:
                self._adapter.append([write])
            except Conflict:
                if attempt == 0:  # on a retry, the conflict may come from the first attempt
                    self._journal.end(number, Outcome.NOT_STORED)
                return
            except Exception:
                if attempt == _RETRIES - 1:
                    raise
                time.sleep(_PAUSE_AFTER_ERROR_SECONDS)
            else:
                self._journal.end(number, Outcome.STORED)
                return

    def _append_in_transaction(self) -> None:
        """Append once or twice in a transaction that stays open for a while; commit it, or roll it back."""
        writes = self._writes(self._random.choice([1, 1, 2]))
        number = self._journal.begin(writes)
        outcome = Outcome.NOT_STORED
        transaction = self._open()
        try:
            for write in writes:
                transaction.append([write])
                self._pause()
            if self._random.random() < _ROLLED_BACK:
                transaction.rollback()
            else:
                outcome = Outcome.UNKNOWN
                transaction.commit()
                outcome = Outcome.STORED
        except Conflict:
            pass
        finally:
            self._journal.end(number, outcome)
            transaction.close()

    def _attempt(self, writes: Sequence[Write]) -> None:
        number = self._journal.begin(writes)
        try:
            self._adapter.append(writes)
        except Conflict:
            self._journal.end(number, Outcome.NOT_STORED)
        else:
            self._journal.end(number, Outcome.STORED)

    def _writes(self, streams: int) -> list[Write]:
        names = sorted({self._stream() for _ in range(streams)})  # sorted, to prevent deadlocks
        return [Write(name, self._events(), None) for name in names]

    def _stream(self) -> str:
        return f"order-{self._random.randrange(STREAMS):02}"

    def _events(self) -> tuple[Event, ...]:
        count = _LARGE if self._random.random() < _RARELY else self._random.choice(_SIZES)
        return tuple(new_event(self._random) for _ in range(count))

    def _pause(self) -> None:
        time.sleep(self._random.choice(_PAUSES_SECONDS) * self._random.random())


def new_event(generator: random.Random, kind: str | None = None) -> Event:
    """Return an event with a random id and, unless a kind is given, a random kind."""
    return Event(UUID(int=generator.getrandbits(128), version=4), kind or generator.choice(KINDS))


def main() -> None:
    """Write until the time in the orders is over, or the adversary has ended."""
    arguments: dict[str, Any] = json.load(sys.stdin)
    orders = Orders(**arguments)
    make = load_adapter(orders.adapter)  # importing takes a second or more
    with ThreadPoolExecutor(orders.threads) as threads:
        for each in [threads.submit(_write, orders, make, thread) for thread in range(orders.threads)]:
            each.result()


def _write(orders: Orders, make: type[Adapter], thread: int) -> None:
    adversary = os.getppid()
    adapter, errors = make(orders.url, orders.schema), 0
    name = f"/{thread}" if thread else ""
    generator = random.Random(f"{orders.seed}/{orders.number}{name}")
    journal = File(Path(orders.journal + name.replace("/", ".")))  # the adversary waits for this file
    end = time.monotonic() + orders.seconds
    while time.monotonic() < end and os.getppid() == adversary:
        try:
            Writer(adapter, journal, generator).write()
        except Exception:  # noqa: BLE001  # cut connections and the like, which the attack causes
            errors += 1
            time.sleep(_PAUSE_AFTER_ERROR_SECONDS)
            if errors % _ERRORS_IN_SEQUENCE == 0:
                adapter.close()
                adapter = make(orders.url, orders.schema)
        else:
            errors = 0
    adapter.close()
    journal.close()


if __name__ == "__main__":
    main()
