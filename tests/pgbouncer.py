"""PgBouncer itself, between a client and one server after another."""

import os
import shutil
import subprocess
import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, Final, Self

import psycopg
import pytest
from sqlalchemy import URL, make_url

from tests.postgresql import supervisor

_TIMEOUT_SECONDS: Final = 20.0


def program() -> str:
    """Return the path of PgBouncer; skip the test if it is not installed."""
    found = shutil.which("pgbouncer", path=os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin"]))
    if found is None:
        pytest.skip("needs the program pgbouncer on PATH or in /usr/sbin: apt-get install pgbouncer")
    return found


class PgBouncer:
    """Runs a PgBouncer for one database; a context manager.

    A server that was not there is tried again at once: by default PgBouncer waits for 15 seconds.

    Args:
        server: A URL of the database.
        pool_mode: "transaction" or "session".
        settings: More lines of its configuration.

    Attributes:
        engine_options: What an engine needs to work through it.
    """

    def __init__(self, server: str | URL, pool_mode: str, *settings: str) -> None:
        self._program = program()
        self._server = make_url(server)
        self._settings = (f"pool_mode = {pool_mode}", *settings)
        self._stack = ExitStack()
        self._port: int = supervisor.free_port()
        connect_args = {"prepare_threshold": None} if pool_mode == "transaction" else {}
        self.engine_options: Mapping[str, Any] = {"pool_pre_ping": True, "connect_args": connect_args}

    def url(self, server: str | URL) -> URL:
        """Return the URL of a server with our port in it."""
        return make_url(server).set(host="127.0.0.1", port=self._port)

    def switch_to(self, port: int | None) -> None:
        """Lead to another server on this machine: it is configured, and PgBouncer reloads its configuration.

        A connection to the server before ends when it is given back. None changes nothing.
        """
        if port is not None:
            self._server = self._server.set(port=port)
            self._configure()
            self.command("RELOAD")

    def wait_for_server(self) -> None:
        """Wait until it has a connection to the server that it leads to."""
        url = self.url(self._server).set(drivername="postgresql").render_as_string(hide_password=False)
        deadline = time.monotonic() + _TIMEOUT_SECONDS
        while True:
            with suppress(psycopg.OperationalError), psycopg.connect(url) as connection:
                connection.execute("SELECT")
                return
            assert time.monotonic() < deadline, self._read_log()
            time.sleep(0.01)

    def command(self, command: str) -> None:
        """Run a command of its console, such as PAUSE, which returns when it is done."""
        with self._console() as console:
            console.execute(command)

    def __enter__(self) -> Self:
        account = supervisor.unprivileged_account()  # PgBouncer, too, refuses to run as root
        self._folder = self._stack.enter_context(supervisor.temporary_folder(account))
        self._configure()
        log = (self._folder / "pgbouncer.log").open("ab")
        self._stack.callback(log.close)
        process = subprocess.Popen(
            [self._program, self._configuration], stdin=subprocess.DEVNULL, stdout=log, stderr=log, **account
        )
        self._stack.callback(process.wait)
        self._stack.callback(process.kill)
        deadline = time.monotonic() + _TIMEOUT_SECONDS
        while True:
            try:
                self._console().close()
            except psycopg.OperationalError:
                assert process.poll() is None, self._read_log()
                assert time.monotonic() < deadline, self._read_log()
                time.sleep(0.01)
            else:
                return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _read_log(self) -> str:
        return (self._folder / "pgbouncer.log").read_text(errors="replace")

    @property
    def _configuration(self) -> Path:
        return self._folder / "pgbouncer.ini"

    def _configure(self) -> None:
        server = self._server
        password = f" password={server.password}" if server.password else ""
        lines = [
            "[databases]",
            f"{server.database} = host={server.host} port={server.port} user={server.username}{password}",
            "[pgbouncer]",
            "listen_addr = 127.0.0.1",
            f"listen_port = {self._port}",
            "unix_socket_dir =",
            "auth_type = any",
            "admin_users = pgbouncer",
            "server_login_retry = 0.05",
            *self._settings,
        ]
        written = self._folder / "written.ini"
        written.write_text("\n".join(lines) + "\n", encoding="utf-8")
        written.chmod(0o644)
        written.replace(self._configuration)

    def _console(self) -> "psycopg.Connection[tuple[object, ...]]":
        console = URL.create("postgresql", "pgbouncer", database="pgbouncer")
        return psycopg.connect(self.url(console).render_as_string(), autocommit=True)
