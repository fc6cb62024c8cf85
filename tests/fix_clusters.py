"""PostgreSQL clusters that a test may stop, start again, copy and dump."""

import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from eventstore.testing import _postgresql_supervisor as supervisor
from eventstore.testing.postgresql import (
    CAPACITY_SETTINGS,
    PostgreSQLNotFound,
    find_binaries,
)

PROGRAM_TIMEOUT_SECONDS = 60.0


class Cluster:
    """One cluster of databases, always on the same port. Commits are flushed: a crash loses nothing."""

    def __init__(self, binaries: Path, folder: Path, account: supervisor.Account) -> None:
        self.data = folder / "data"
        self.binaries = supervisor.reachable_binaries(binaries, folder, account)
        self._folder = folder
        self.account = account
        self.port = supervisor.free_port()
        self._server: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"postgresql+psycopg://postgres@127.0.0.1:{self.port}/postgres"

    @property
    def address(self) -> list[str]:
        """The options by which PostgreSQL's programs find it."""
        return ["-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres"]

    def create(self) -> None:
        supervisor.create_cluster(self.binaries, self._folder, self.account)

    def run(self, program: str, *arguments: str, **options: Any) -> None:
        """Run one of PostgreSQL's programs, in the cluster's own folder."""
        subprocess.run(
            [self.binaries / program, *arguments],
            check=True,
            stdin=subprocess.DEVNULL,
            cwd=self._folder,
            env=supervisor.environment(),
            timeout=PROGRAM_TIMEOUT_SECONDS,
            **self.account,
            **options,
        )

    def start(self) -> None:
        log = self._folder / "postgres.log"
        settings = {
            "unix_socket_directories": "",
            **CAPACITY_SETTINGS,
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
        }
        with log.open("ab") as output:
            self._server = subprocess.Popen(
                [self.binaries / "postgres", "-D", self.data, *supervisor.options(settings)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=self._folder,
                env=supervisor.environment(),
                **self.account,
            )
        supervisor.wait_until_ready(self._server, self.data, log)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop the server: SIGINT ends sessions and flushes, SIGQUIT is like a crash."""
        server, self._server = self._server, None
        if server is not None:
            server.send_signal(how)
            with suppress(subprocess.TimeoutExpired):
                server.wait(supervisor.STOP_TIMEOUT_SECONDS)
            server.kill()
            server.wait()


@contextmanager
def clusters() -> Iterator[Callable[[], Cluster]]:
    """Yield a maker of clusters, which are neither created nor started; they are gone at the end."""
    try:
        binaries = find_binaries()
    except PostgreSQLNotFound as error:
        pytest.skip(str(error))
    account = supervisor.unprivileged_account()
    with ExitStack() as stack:

        def new() -> Cluster:
            folder = stack.enter_context(supervisor.temporary_folder(account))
            cluster = Cluster(binaries, folder, account)
            stack.callback(cluster.stop, signal.SIGQUIT)
            return cluster

        yield new


@pytest.fixture
def new_cluster() -> Iterator[Callable[[], Cluster]]:
    """Return a maker of clusters, which are neither created nor started; they are gone when the test ends."""
    with clusters() as new:
        yield new


@pytest.fixture
def cluster(new_cluster: Callable[[], Cluster]) -> Cluster:
    """Return a cluster that runs."""
    made = new_cluster()
    made.create()
    made.start()
    return made
