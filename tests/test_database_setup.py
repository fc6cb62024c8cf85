"""The guide to setting up the database: all of its commands, queries and programs, in their order, on one cluster."""

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from eventstore import errors
from tests.fix_clusters import Cluster
from tests.postgresql import supervisor
from tests.postgresql.launcher import CAPACITY_SETTINGS
from tests.processes import eventstore_for_shells

GUIDE = Path(__file__).parent.parent / "docs" / "how-to" / "database-setup.md"
WRITES_FILES_OF_A_CLUSTER = ("pg_ctl", "pg_basebackup", "$BACKUPS/recovered")
"""Commands that the account of the server has to run: PostgreSQL refuses to be started by root."""


@dataclass(frozen=True)
class Block:
    """A block of the guide."""

    language: str
    line: int
    text: str
    printed: str | None
    section: str


def blocks() -> Iterator[Block]:
    found = list(
        re.finditer(r"^```(\w+)\n(.*?)^```\n(?:\n```text\n(.*?)^```\n)?", GUIDE.read_text(), re.MULTILINE | re.DOTALL)
    )
    for match in found:
        language, text, printed = match.groups()
        line = GUIDE.read_text()[: match.start()].count("\n") + 1
        section = GUIDE.read_text()[: match.start()].rpartition("\n## ")[2].partition("\n")[0]
        yield Block(language, line, text, printed, section)


class Guide:
    """Runs the blocks of the guide, one after the other, as somebody would who follows it."""

    def __init__(self, cluster: Cluster, folder: Path, backups: Path) -> None:
        self._cluster = cluster
        self._folder = folder
        self._recovered_port = supervisor.free_port()
        self._namespace: dict[str, Any] = {}
        self._engines: set[Engine] = set()
        self._opened = ExitStack()
        scripts = self._opened.enter_context(eventstore_for_shells())
        self._environment = {
            **os.environ,
            "PATH": f"{scripts}{os.pathsep}{cluster.binaries}{os.pathsep}{os.environ['PATH']}",
            "PGHOST": "127.0.0.1",
            "PGPORT": str(cluster.port),
            "PGDATA": str(cluster.data),
            "BACKUPS": str(backups),
            "RECOVERED_PORT": str(self._recovered_port),
        }

    def run(self, block: Block) -> None:
        match block.language:
            case "sql":
                self._run_sql(block)
            case "sh":
                self._run([shutil.which("bash") or "bash", "-euo", "pipefail", "-c", block.text], block)
            case "python":
                self._run_python(block)
            case _:
                assert block.language == "text", block

    def _run_sql(self, block: Block) -> None:
        told = re.match(r"-- as (\w+)(?:, in (\w+))?\n", block.text)
        assert told, f"line {block.line} does not say who runs it"
        user, database = told[1], told[2] or "postgres"
        # one statement after the other: CREATE DATABASE and ALTER SYSTEM stand alone
        self._run(["psql", "-X", "-v", "ON_ERROR_STOP=1", "-U", user, "-d", database, "-f", "-"], block, block.text)

    def _run_python(self, block: Block) -> None:
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(StringIO()) as printed:
            patch.setenv("SHOP_URL", f"postgresql://shop_writer@127.0.0.1:{self._cluster.port}/shop")
            patch.setenv("WORKER_URL", f"postgresql://shop_worker@127.0.0.1:{self._cluster.port}/shop")
            patch.setenv("RECOVERED_URL", f"postgresql://shop_worker@127.0.0.1:{self._recovered_port}/shop")
            patch.chdir(self._folder)
            exec(compile(block.text, f"{GUIDE.name}:{block.line}", "exec"), self._namespace)  # noqa: S102  # our own page
        if isinstance(engine := self._namespace.get("engine"), Engine):
            self._engines.add(engine)
        if block.printed is not None:
            assert printed.getvalue() == block.printed, block.line

    def close(self) -> None:
        """Close what the programs have opened, and the program `eventstore`."""
        for engine in self._engines:
            engine.dispose()
        self._opened.close()

    def _run(self, command: list[str], block: Block, given: str = "") -> str:
        is_servers = any(word in block.text for word in WRITES_FILES_OF_A_CLUSTER)
        done = subprocess.run(
            command,
            input=given,
            capture_output=True,
            text=True,
            check=False,
            cwd=self._folder,
            env=self._environment,
            timeout=100,
            **(self._cluster.account if is_servers else {}),
        )
        assert done.returncode == 0, f"line {block.line}: {done.stdout}\n{done.stderr}"
        return done.stdout


@pytest.fixture
def guide(new_cluster: Callable[[], Cluster], tmp_path: Path) -> Iterator[Guide]:
    cluster = new_cluster()
    cluster.create()
    with (cluster.data / "postgresql.conf").open("a") as settings:  # where a base backup finds them
        settings.writelines(f"{name} = {value}\n" for name, value in CAPACITY_SETTINGS.items())
    cluster.start()
    backups = cluster.data.parent / "backups"
    backups.mkdir(mode=0o777)
    backups.chmod(0o777)
    guide = Guide(cluster, tmp_path, backups)
    try:
        yield guide
    finally:
        guide.close()
        for data in (backups / "recovered", cluster.data):  # servers that the guide has started
            if (data / "postmaster.pid").exists():
                cluster.run("pg_ctl", "-D", str(data), "-m", "immediate", "-w", "stop")


@pytest.mark.slow
def test_the_guide_works_from_an_empty_cluster_to_a_restored_backup(guide: Guide) -> None:
    found = list(blocks())
    assert {block.language for block in found} == {"sql", "sh", "python", "text"}
    for block in found:
        guide.run(block)


def test_only_installing_and_what_is_printed_is_not_run() -> None:
    not_run = [block.text for block in blocks() if block.language == "text"]
    assert all(re.match(r"sudo |brew |docker ", text) for text in not_run), not_run


def test_the_guide_helps_with_every_error_that_is_raised() -> None:
    kinds = {
        kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.EventStoreError)
    }
    bases = {base for kind in kinds for base in kind.__bases__} - {errors.InvalidInput, errors.DecodingError}
    explained = set(re.findall(r"`(\w+)`", GUIDE.read_text().split("## Troubleshooting")[1].split("## SQLite")[0]))
    assert {kind.__name__ for kind in kinds - bases} <= explained
