"""Keep one throw-away PostgreSQL server for as long as its owner lives.

`launcher.py` runs this file by its path, in a process and a session of its own. The owner holds the other
end of our standard input and never writes to it: when the owner ends, however it ends, we read the end of the
file, stop the server and remove its folder.

Only the standard library is imported, and nothing of this package: the owner waits for this file to start.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, TypedDict

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

LOCALES = ("C.UTF-8", "C")  # macOS before 15 and musl know no C.UTF-8
PORT_ATTEMPTS = 10
INITDB_TIMEOUT_SECONDS = 120.0
READY_TIMEOUT_SECONDS = 60.0
STOP_TIMEOUT_SECONDS = 15.0
LOG_TAIL_LINES = 30
PORT_TAKEN = "could not create any TCP/IP sockets"


class Account(TypedDict, total=False):
    """The arguments of `subprocess` that choose the user; empty to stay who we are."""

    user: int
    group: int
    extra_groups: list[int]


class StartFailedError(Exception):
    """The server does not run; `log` is the file in which PostgreSQL says why."""

    def __init__(self, message: str, log: Path) -> None:
        super().__init__(message)
        self.log = log


def main() -> int:
    request = json.loads(sys.argv[1])
    for name in ("SIGTERM", "SIGHUP"):  # Windows has no SIGHUP
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), exit_in_order)
    account = unprivileged_account()
    with temporary_folder(account) as folder:
        try:
            binaries = reachable_binaries(Path(request["binaries"]), folder, account)
            data = create_cluster(binaries, folder, account)
            server, port = start(binaries, data, request["settings"], account)
        except StartFailedError as failure:
            answer({"error": str(failure), "log_tail": tail(failure.log)})
            return 1
        try:
            answer({"port": port, "data_directory": str(data)})
            sys.stdin.buffer.read()
        finally:
            stop(server)
    return 0


def exit_in_order(number: int, _frame: object) -> NoReturn:
    sys.exit(128 + number)


def answer(message: Mapping[str, object]) -> None:
    sys.stdout.write(json.dumps(message))
    sys.stdout.flush()
    # The owner reads to the end of the file, which comes when nobody holds the pipe any more.
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, sys.stdout.fileno())
    os.dup2(nothing, sys.stderr.fileno())
    os.close(nothing)


def unprivileged_account() -> Account:
    """PostgreSQL refuses to run as root."""
    if sys.platform == "win32" or os.geteuid() != 0:
        return {}
    import pwd  # noqa: PLC0415  (Windows has none)

    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def give(path: Path, account: Account) -> None:
    if sys.platform != "win32" and account:
        os.chown(path, account["user"], account["group"], follow_symlinks=False)


@contextmanager
def temporary_folder(account: Account) -> Iterator[Path]:
    bases = [Path(tempfile.gettempdir()).resolve(), Path("/tmp"), Path("/var/tmp")]  # noqa: S108  (mkdtemp is below)
    if account:  # root's TMPDIR may lie where nobody else may go
        bases = [base for base in bases if base.is_dir() and others_may_enter(base)] or bases
    folder = Path(tempfile.mkdtemp(prefix="eventstore-postgresql-", dir=bases[0]))
    try:
        give(folder, account)
        yield folder
    finally:
        remove(folder)


def remove(folder: Path) -> None:
    deadline = time.monotonic() + STOP_TIMEOUT_SECONDS
    while True:
        try:
            shutil.rmtree(folder)
        except OSError:  # a backend that outlived its killed postmaster may still write for a moment
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return


def others_may_enter(folder: Path) -> bool:
    return all(path.stat().st_mode & stat.S_IXOTH for path in (folder, *folder.parents))


def reachable_binaries(binaries: Path, folder: Path, account: Account) -> Path:
    """A virtual environment below /root is closed to `nobody`: copy rather than open what is not ours."""
    binaries = binaries.resolve()
    if not account or others_may_enter(binaries):
        return binaries
    # The programs find `lib` and `share` relative to themselves; and so they find the folder `<package>.libs`
    # beside the package, into which auditwheel puts the libraries of a wheel.
    installation = binaries.parent
    package = installation.parent
    copied_package = folder / "binaries" / package.name
    for name in (binaries.name, "lib", "share"):
        if (installation / name).is_dir():
            copy(installation / name, copied_package / installation.name / name)
    bundled_libraries = package.parent / f"{package.name}.libs"
    if bundled_libraries.is_dir():
        copy(bundled_libraries, copied_package.parent / bundled_libraries.name)
    for path in (folder / "binaries", *(folder / "binaries").rglob("*")):
        give(path, account)
    return copied_package / installation.name / binaries.name


def copy(source: Path, target: Path) -> None:
    only_for_building = shutil.ignore_patterns("*.a", "pgxs", "pkgconfig")
    shutil.copytree(source, target, symlinks=True, ignore=only_for_building)


def create_cluster(binaries: Path, folder: Path, account: Account) -> Path:
    data = folder / "data"
    log = folder / "initdb.log"
    for locale in LOCALES:
        arguments = ["-U", "postgres", "-A", "trust", "-E", "UTF8", f"--locale={locale}", "--no-sync"]
        with log.open("ab") as output:
            finished = subprocess.run(
                [binaries / "initdb", "-D", data, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=folder,
                env=environment(),
                timeout=INITDB_TIMEOUT_SECONDS,
                check=False,
                **account,
            )
        if finished.returncode == 0:
            return data
    raise StartFailedError(f"initdb ended with {finished.returncode}", log)


def environment() -> dict[str, str]:
    """Without PG*, which steers the programs; English, to recognise messages; UTC, as in Docker's images."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    return {**inherited, "LC_ALL": "C", "TZ": "UTC"}


def start(
    binaries: Path, data: Path, settings: Mapping[str, str], account: Account
) -> tuple[subprocess.Popen[bytes], int]:
    log = data.parent / "postgres.log"
    for _ in range(PORT_ATTEMPTS):
        # Another process may take the port between our look and PostgreSQL's bind: then try another.
        port = free_port()
        with log.open("wb") as output:
            server = subprocess.Popen(
                [binaries / "postgres", "-D", data, *options({**settings, "port": str(port)})],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=data.parent,
                env=environment(),
                **account,
            )
        try:
            wait_until_ready(server, data, log)
        except BaseException as failure:
            stop(server)
            if isinstance(failure, StartFailedError) and PORT_TAKEN in tail(log):
                continue
            raise
        return server, port
    raise StartFailedError(f"found no free port in {PORT_ATTEMPTS} attempts", log)


def options(settings: Mapping[str, str]) -> list[str]:
    return [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_until_ready(server: subprocess.Popen[bytes], data: Path, log: Path) -> None:
    deadline = time.monotonic() + READY_TIMEOUT_SECONDS
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise StartFailedError(f"postgres ended with {server.returncode}", log)
        if status(data) == "ready":
            return
        time.sleep(0.01)
    raise StartFailedError(f"postgres was not ready within {READY_TIMEOUT_SECONDS:.0f} seconds", log)


def status(data: Path) -> str:
    """Read the line of postmaster.pid by which pg_ctl, too, knows that the server accepts connections."""
    try:
        lines = (data / "postmaster.pid").read_text().splitlines()
    except OSError:
        return ""
    return "".join(lines[7:8]).strip()


def stop(server: subprocess.Popen[bytes]) -> None:
    if hasattr(signal, "SIGQUIT"):
        server.send_signal(signal.SIGQUIT)  # an immediate shutdown: nothing is worth a checkpoint
    else:
        server.terminate()
    try:
        server.wait(STOP_TIMEOUT_SECONDS)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


def tail(log: Path) -> str:
    if not log.exists():
        return ""
    return "\n".join(log.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:])


if __name__ == "__main__":
    sys.exit(main())
