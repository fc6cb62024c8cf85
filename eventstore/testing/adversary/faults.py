"""The faults of the random attack: killed writers, cut connections, terminated sessions."""

import random
import subprocess
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Final, Self

from sqlalchemy import Connection, text

from eventstore.testing.adversary.places import Place
from eventstore.testing.adversary.proxy import Address, NoAddress, Proxy
from eventstore.testing.adversary.setting import Setting
from eventstore.testing.adversary.stopping import until
from eventstore.testing.adversary.writing import Orders, start

_TOO_LATE_SECONDS: Final = 1.0
_PATIENCE_SECONDS: Final = 30.0

_TERMINATE: Final = text(
    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE client_port = :port "
    "AND usename = current_user AND datname = current_database() AND pid <> pg_backend_pid() "
    "AND client_addr IS NOT DISTINCT FROM inet_client_addr()"
)


class Writers:
    """The writers, each in a separate process.

    Args:
        setting: The setting of the run.
        place: The place of the store.
        folder: The folder for their journals.
        proxy: The proxy that every other writer uses; None if no writer does.
        seconds: How long they write.
    """

    def __init__(self, setting: Setting, place: Place, folder: Path, proxy: Proxy | None, seconds: float) -> None:
        self._setting = setting
        self._place = place
        self._folder = folder
        self._proxy = proxy
        self._seconds = seconds
        self._end = 0.0
        self._started = 0
        self._processes: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        self._end = time.monotonic() + self._seconds
        self._processes = [self._start() for _ in range(self._setting.writers)]
        until(lambda: len(list(self._folder.iterdir())) >= self._setting.writers, _PATIENCE_SECONDS)
        self._end = time.monotonic() + self._seconds  # again, as starting takes seconds on a busy machine
        return self

    def __exit__(self, *error: object) -> None:
        for process in self._processes:
            _end(process, 0 if any(error) else _PATIENCE_SECONDS)

    @property
    def seconds_left(self) -> float:
        """How long they will still write."""
        return self._end - time.monotonic()

    def kill_one(self, generator: random.Random) -> bool:
        """Kill a writer and start another, except in the last second, which would be too short for it."""
        if self.seconds_left < _TOO_LATE_SECONDS:
            return False
        number = generator.randrange(len(self._processes))
        _end(self._processes[number], 0)
        self._processes[number] = self._start()
        return True

    def _start(self) -> subprocess.Popen[bytes]:
        number = self._started
        self._started += 1
        url = self._place.url if self._proxy is None or number % 2 else self._proxy.url(self._place.url)
        return start(
            Orders(
                adapter=self._setting.adapter_name,
                url=url.render_as_string(hide_password=False),
                schema=self._place.schema,
                seed=self._setting.seed,
                number=number,
                threads=self._setting.threads,
                seconds=self.seconds_left,
                journal=str(self._folder / f"{number:06}"),
            )
        )


class Faults:
    """Causes faults, and counts them.

    Args:
        setting: The setting of the run.
        place: The place of the store.
        stack: Closes the proxies and connections that are opened here.
    """

    def __init__(self, setting: Setting, place: Place, stack: ExitStack) -> None:
        self.notes: list[str] = []
        self.for_writers: Proxy | None = None
        self.for_readers: Proxy | None = None
        self._random = setting.generator("faults")
        self._counts = {"writers killed": 0, "connections cut": 0, "sessions terminated": 0}
        self._connection: Connection | None = None
        if place.is_sqlite:
            return
        try:
            address = Address.of(place.url)
        except NoAddress as error:
            self.notes.append(f"no connections were cut and no sessions terminated: {error}")
            return
        self.for_writers = stack.enter_context(Proxy(address))
        self.for_readers = stack.enter_context(Proxy(address))
        connection = stack.enter_context(setting.ground.connect(place.direct_url))
        if _shows_ports(setting, place, self.for_writers):
            self._connection = connection
        else:  # a pooler, whose sessions may be those of other clients
            self.notes.append("no sessions were terminated: behind a pooler the server can't identify them")

    def __str__(self) -> str:
        return ", ".join(f"{count} {what}" for what, count in self._counts.items())

    def make(self, writers: Writers) -> None:
        """Cause one fault of a random kind."""
        for_writers, for_readers = self.for_writers, self.for_readers
        faults: list[tuple[str, Callable[[], int], int]] = [
            ("writers killed", lambda: writers.kill_one(self._random), 25)
        ]
        if for_writers is not None and for_readers is not None:
            faults += [
                ("connections cut", lambda: for_writers.cut_one(self._random), 35),
                ("connections cut", lambda: for_readers.cut_one(self._random), 10),
                ("sessions terminated", lambda: self._terminate(for_writers), 20),
                ("sessions terminated", lambda: self._terminate(for_readers), 10),
            ]
        ((what, make, _),) = self._random.choices(faults, [weight for _, _, weight in faults])
        self._counts[what] += make()

    def _terminate(self, proxy: Proxy) -> int:
        """Terminate the session of one of our own connections, which the server identifies by the proxy's port."""
        ports = sorted(proxy.ports - {-1})
        if not ports or self._connection is None:
            return 0
        return self._connection.scalar(_TERMINATE, {"port": self._random.choice(ports)}) or 0


def _shows_ports(setting: Setting, place: Place, proxy: Proxy) -> bool:
    with setting.ground.connect(proxy.url(place.url)) as connection:
        return connection.scalar(text("SELECT inet_client_port()")) in proxy.ports


def _end(process: subprocess.Popen[bytes], seconds: float) -> None:
    """Wait for a writer to end; kill it after a timeout."""
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
