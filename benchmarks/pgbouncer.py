"""A PgBouncer of our own in transaction mode, where the program is installed."""

import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Final, Self

_READY_TIMEOUT_SECONDS: Final = 15.0


def find_pgbouncer() -> str | None:
    """Return the path of the program, None where it is not installed; Debian keeps it off some users' PATH."""
    return shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin:/usr/local/sbin")


class PgBouncer:
    """PgBouncer on a free port of 127.0.0.1, before a server where everybody is `postgres`; a context manager."""

    def __init__(self, program: str, folder: Path, server_port: int) -> None:
        self._program, self._folder = program, folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port: int = free.getsockname()[1]
        (folder / "pgbouncer.ini").write_text(
            "[databases]\n"
            f"* = host=127.0.0.1 port={server_port} user=postgres\n"
            "[pgbouncer]\n"
            f"listen_addr = 127.0.0.1\nlisten_port = {self._port}\nunix_socket_dir =\n"
            "auth_type = any\npool_mode = transaction\ndefault_pool_size = 20\nmax_client_conn = 200\n"
        )

    def url(self, database: str) -> str:
        """Return the URL of a database through it."""
        return f"postgresql://postgres@127.0.0.1:{self._port}/{database}"

    def __enter__(self) -> Self:
        as_nobody = ["-u", "nobody"] if sys.platform != "win32" and os.geteuid() == 0 else []  # it refuses to be root
        self._process = subprocess.Popen(
            [self._program, "-q", *as_nobody, str(self._folder / "pgbouncer.ini")],
            stdin=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + _READY_TIMEOUT_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.__exit__(None, None, None)
                raise RuntimeError("PgBouncer does not start")
            time.sleep(0.05)
        return self

    def _answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self._port)) == 0

    def __exit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._process.kill()  # it has no state, and would wait for its clients
        self._process.wait(30)
