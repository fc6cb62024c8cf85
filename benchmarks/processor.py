"""The time that processors have worked for a server, as Linux counts it for each process."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, Self

from tests.postgresql.launcher import PostgreSQLServer

_NANOSECONDS: Final = 1e9


class ServerProcessor:
    """The processes of a PostgreSQL server. Those that end while something is measured are not counted."""

    def __init__(self, server: PostgreSQLServer) -> None:
        self._postmaster = int((server.data_directory / "postmaster.pid").read_text().splitlines()[0])

    @classmethod
    def of(cls, server: PostgreSQLServer) -> Self | None:
        """Return it, None if the system does not count: it is not Linux."""
        return cls(server) if Path("/proc/self/schedstat").exists() else None

    def seconds_of(self, work: Callable[[], object]) -> float:
        """Return the seconds that the server's processes have worked while something was done."""
        before = self._processes()
        work()
        after = self._processes()
        return sum(seconds - before.get(process, 0.0) for process, seconds in after.items())

    def _processes(self) -> dict[str, float]:
        children = Path(f"/proc/{self._postmaster}/task/{self._postmaster}/children").read_text().split()
        found = {process: _seconds(process) for process in (str(self._postmaster), *children)}
        return {process: seconds for process, seconds in found.items() if seconds is not None}


def client_seconds_of(work: Callable[[], object]) -> float:
    """Return the seconds that this process, all its threads, has worked while something was done."""
    before = time.process_time()
    work()
    return time.process_time() - before


def _seconds(process: str) -> float | None:
    try:
        return int(Path(f"/proc/{process}/schedstat").read_text().split()[0]) / _NANOSECONDS
    except (OSError, IndexError):  # it has just ended
        return None
