"""PostgreSQL clusters that a test may stop, start again, copy and dump."""

import atexit
import functools
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.postgresql import supervisor
from tests.postgresql.launcher import (
    CAPACITY_SETTINGS,
    FOLDER_SETTINGS,
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

    @property
    def log(self) -> str:
        """What the server has logged."""
        return (self._folder / "postgres.log").read_text(errors="replace")

    def create(self) -> None:
        """Create the files, with a thirteenth of the work of `initdb`: all clusters have the same system identifier."""
        self._copy(_files_of_new_cluster(), self.data)

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

    def start(self, **settings: str) -> None:
        log = self._folder / "postgres.log"
        settings = {
            **FOLDER_SETTINGS,
            **CAPACITY_SETTINGS,
            **settings,
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

    def kill(self) -> None:
        """Kill the server with all of its processes, as the loss of the machine does."""
        server, self._server = self._server, None
        assert server is not None
        processes = self.query("SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
        # A session whose server has gone ends its wait for a standby, and shows others a commit that no standby has.
        server.send_signal(signal.SIGSTOP)
        for (process,) in processes:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        server.kill()
        server.wait()

    def query(self, sql: str) -> list[Any]:
        """Run a statement as the superuser, in autocommit; return its rows, if it has any."""
        with psycopg.connect(self._conninfo, autocommit=True) as connection:
            cursor = connection.execute(sql)
            return cursor.fetchall() if cursor.description is not None else []

    @property
    def _conninfo(self) -> str:
        return f"host=127.0.0.1 port={self.port} user=postgres dbname=postgres"

    # --- files

    def copy_data(self, name: str) -> Path:
        """Copy the files of the cluster, which has to be stopped."""
        target = self._folder / name
        self._copy(self.data, target)
        return target

    def bring_back(self, copied: Path) -> None:
        """Put files that were copied in the place of those of the cluster, which has to be stopped."""
        supervisor.remove(self.data)
        self._copy(copied, self.data)

    def _copy(self, source: Path, target: Path) -> None:
        subprocess.run(["cp", "-a", source, target], check=True, timeout=PROGRAM_TIMEOUT_SECONDS)

    # --- standbys

    def follow(self, primary: "Cluster") -> None:
        """Become a standby of another cluster, and start."""
        primary.run(
            "pg_basebackup", *primary.address, "-D", str(self.data), "-R", "-X", "stream", "-c", "fast", "--no-sync"
        )
        self.start()

    def catch_up(self, primary: "Cluster") -> None:
        """Wait until this standby has replayed all that the primary has written by now."""
        ((written,),) = primary.query("SELECT pg_create_restore_point('caught up')")
        primary.query("SELECT pg_switch_wal()")  # flushes what was written without a commit
        self.wait_until(f"SELECT pg_last_wal_replay_lsn() >= '{written}'::pg_lsn")

    def stop_receiving(self) -> None:
        """Let this standby lag: what the primary writes from now on does not reach it."""
        self.query("ALTER SYSTEM SET primary_conninfo = ''")
        self.query("SELECT pg_reload_conf()")
        self.wait_until("SELECT count(*) = 0 FROM pg_stat_wal_receiver")

    def promote(self) -> None:
        """Make a primary of this standby, as it runs."""
        self.query("SELECT pg_promote(false)")
        self.wait_until("SELECT NOT pg_is_in_recovery()")

    def wait_until(self, sql: str) -> None:
        """Wait until a statement returns true."""
        deadline = time.monotonic() + PROGRAM_TIMEOUT_SECONDS
        while True:
            with suppress(psycopg.errors.SerializationFailure):  # a standby that replays what the query sees removed
                if self.query(sql) == [(True,)]:
                    return
            assert time.monotonic() < deadline, sql
            time.sleep(0.005)

    # --- commits that a crash loses

    def hold_commits_back(self) -> None:
        """From now on, what is committed with synchronous_commit = off stays in the server's memory."""
        for process in self._writers():
            os.kill(process, signal.SIGSTOP)

    def crash(self) -> None:
        """Kill one process of the server, which ends all sessions, recovers, and goes on as the same run."""
        started_at = "SELECT pg_postmaster_start_time()"
        ((started,),) = self.query(started_at)
        with psycopg.connect(self._conninfo, autocommit=True) as witness, suppress(psycopg.OperationalError):
            for process in self._writers():
                os.kill(process, signal.SIGKILL)
            witness.execute("SELECT pg_sleep(%s)", [PROGRAM_TIMEOUT_SECONDS])
        deadline = time.monotonic() + PROGRAM_TIMEOUT_SECONDS
        while True:
            try:
                ((restarted,),) = self.query(started_at)
                break
            except psycopg.OperationalError:
                assert time.monotonic() < deadline
                time.sleep(0.01)
        assert restarted == started

    def _writers(self) -> list[int]:
        """Return the ids of the processes that write what sessions have left in memory."""
        writers = "'walwriter', 'background writer'"
        return [pid for (pid,) in self.query(f"SELECT pid FROM pg_stat_activity WHERE backend_type IN ({writers})")]


@functools.cache
def _files_of_new_cluster() -> Path:
    """Return a folder that `initdb` has filled: once in a process, which removes it at its end."""
    account = supervisor.unprivileged_account()
    stack = ExitStack()
    atexit.register(stack.close)
    folder = stack.enter_context(supervisor.temporary_folder(account))
    return supervisor.create_cluster(supervisor.reachable_binaries(find_binaries(), folder, account), folder, account)


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
