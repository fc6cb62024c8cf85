"""Processes that run functions of tests, and programs in Python, without importing what takes most of the time."""

import json
import multiprocessing
import os
import runpy
import socket
import socketserver
import subprocess
import sys
import tempfile
import textwrap
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext
from pathlib import Path
from types import ModuleType
from typing import IO, Final, Self

_IMPORTED: Final = [
    "alembic.command",
    "alembic.config",
    "eventstore",
    "eventstore.cli",
    "eventstore.migrations.environment",
    "eventstore.projections",
    "eventstore.repository",
    "psycopg",
    "pytest",
    "rich.progress",
    "sqlalchemy.dialects.postgresql.psycopg",
    "sqlalchemy.dialects.sqlite.pysqlite",
]


def clean_processes() -> ForkServerContext:
    """Return a context whose processes inherit nothing of the tests' own: no connection, no thread, no lock.

    They are forked from one process that has imported what takes most of the time, a second of CPU for each.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_IMPORTED)
    return context


class Python:
    """A process that runs `python` with these arguments, used like a `subprocess.Popen` with pipes for its output.

    It is such a clean process: of its own, with its own connections, to be killed and waited for. For tests of what a
    program does; those of how it starts, of what is imported, or of an end by Ctrl-C, start Python itself.

    Args:
        arguments: `-m MODULE`, `-c CODE` or the path of a script, then the program's own.
        cwd: Its folder. Defaults to that of the test.
        env: All of its environment. Defaults to that of the test.
        stderr_to_stdout: Whether there is one pipe for both. Defaults to False.
        with_stdin: Whether it reads from a pipe, `stdin`; else there is nothing to read. Defaults to False.
    """

    def __init__(
        self,
        *arguments: str,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        stderr_to_stdout: bool = False,
        with_stdin: bool = False,
    ) -> None:
        context = clean_processes()
        read_out, write_out = context.Pipe(duplex=False)
        read_err, write_err = (read_out, write_out) if stderr_to_stdout else context.Pipe(duplex=False)
        read_in, write_in = context.Pipe(duplex=False) if with_stdin else (None, None)
        self._process = context.Process(
            target=_run,
            args=(list(arguments), str(cwd or Path.cwd()), dict(os.environ if env is None else env)),
            kwargs={"out": write_out, "err": write_err, "given": read_in},
        )
        self._process.start()
        self.stdin = None
        if read_in is not None and write_in is not None:
            read_in.close()
            self.stdin = _text(write_in, "w")
        self.args = arguments
        self.stdout = _text(read_out)
        self.stderr = self.stdout if stderr_to_stdout else _text(read_err)
        write_out.close()
        if not stderr_to_stdout:
            write_err.close()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """As of a `Popen`: the number of the signal, negative, if one has ended it. None while it runs."""
        return self._process.exitcode

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        if (code := self._process.exitcode) is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0)
        return code

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Return what it prints until it ends, once; the second is empty if there is one pipe for both."""
        if self.stdout.closed:
            return "", ""
        with ThreadPoolExecutor(2) as threads:
            out = threads.submit(self.stdout.read)
            err = None if self.stderr is self.stdout else threads.submit(self.stderr.read)
            try:
                printed = out.result(timeout), err.result(timeout) if err else ""
            except TimeoutError:
                self.kill()
                raise subprocess.TimeoutExpired(self.args, timeout or 0) from None
        self.wait(timeout)
        self._close()
        return printed

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self._process.terminate()

    def kill(self) -> None:
        self._process.kill()

    def _close(self) -> None:
        if self.stdin is not None:
            self.stdin.close()
        self.stdout.close()
        self.stderr.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()
        self.wait()


def run_python(
    *arguments: str,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    check: bool = False,
    timeout: float = 120,
) -> "subprocess.CompletedProcess[str]":
    """Run such a process to its end, within so many seconds.

    Raises:
        subprocess.CalledProcessError: It has ended with another code than 0, and `check` was asked for.
        subprocess.TimeoutExpired: The time is over; it was killed.
    """
    with Python(*arguments, cwd=cwd, env=env) as process:
        output, errors = process.communicate(timeout)
    done = subprocess.CompletedProcess(list(arguments), process.wait(), output, errors)
    if check:
        done.check_returncode()
    return done


_COMMAND: Final = textwrap.dedent("""\
    #!{python} -IS
    import json, os, socket, sys

    with socket.socket(socket.AF_UNIX) as asked:
        asked.connect({address!r})
        socket.send_fds(asked, [b"-"], [1, 2])
        asked.sendall(json.dumps([sys.argv[1:], os.getcwd(), dict(os.environ)]).encode())
        asked.shutdown(socket.SHUT_WR)
        code = int(asked.makefile().read())
    sys.exit(code if code >= 0 else 128 - code)
    """)


@contextmanager
def eventstore_for_shells() -> Iterator[Path]:
    """Yield a folder for the PATH of a shell, with a program `eventstore`: it runs in such a process, without input."""
    with tempfile.TemporaryDirectory() as folder:
        program, address = Path(folder, "eventstore"), str(Path(folder, "socket"))
        program.write_text(_COMMAND.format(python=sys.executable, address=address))
        program.chmod(0o755)
        with socketserver.ThreadingUnixStreamServer(address, _ForShells) as server:
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
            thread.start()
            try:
                yield Path(folder)
            finally:
                server.shutdown()
                thread.join()


class _ForShells(socketserver.StreamRequestHandler):
    """Runs one command of a shell, and answers with its exit code."""

    def handle(self) -> None:
        _, (out, err), *_ = socket.recv_fds(self.request, 1, 2)
        arguments, where, environment = json.load(self.rfile)
        with Connection(out) as write_out, Connection(err) as write_err:
            process = clean_processes().Process(
                target=_run,
                args=(["-m", "eventstore", *arguments], where, environment),
                kwargs={"out": write_out, "err": write_err},
            )
            process.start()
        process.join()
        self.wfile.write(str(process.exitcode).encode())


def _text(end: Connection, mode: str = "r") -> IO[str]:
    with end:
        return os.fdopen(os.dup(end.fileno()), mode, encoding="utf-8")


def _run(
    arguments: list[str],
    folder: str,
    environment: dict[str, str],
    *,
    out: Connection,
    err: Connection,
    given: Connection | None = None,
) -> None:
    os.dup2(out.fileno(), 1)
    os.dup2(err.fileno(), 2)
    out.close()
    err.close()
    if given is not None:
        os.dup2(given.fileno(), 0)
        given.close()
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115  # to the end of the process
    sys.stderr = open(2, "w", encoding="utf-8", closefd=False, buffering=1)  # noqa: SIM115
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    if arguments[0] == "-m":
        sys.path.insert(0, folder)
        sys.argv = arguments[1:]
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
    elif arguments[0] == "-c":
        sys.argv = ["-c", *arguments[2:]]
        program = sys.modules["__main__"] = ModuleType("__main__")
        exec(compile(arguments[1], "<string>", "exec"), vars(program))  # noqa: S102  # the test's own program
    else:
        sys.path.insert(0, str(Path(arguments[0]).parent))
        sys.argv = arguments
        runpy.run_path(arguments[0], run_name="__main__")
