"""The example of the page on audit trails and logs of agents."""

import os
import re
from pathlib import Path

import pytest

from tests.processes import run_python

pytestmark = pytest.mark.slow

EXAMPLE = Path(__file__).parent.parent / "examples" / "agent_log.py"


def run(folder: Path, **environment: str) -> str:
    inherited = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
    return run_python(str(EXAMPLE), cwd=folder, env=inherited | environment, check=True).stdout


def check(output: str, *, tokens: int) -> None:
    assert [int(version) for version in re.findall(r"^  (\d)  [a-z-]+ ", output, re.MULTILINE)] == [1, 2, 3, 4]
    assert "taxis booked: 1" in output
    assert "has seen version 2" in output
    assert "refused: the other agent expected version 5, it is 6" in output
    assert "ada travel-2.1 tool-called" in output
    assert f"4 events counted: {tokens} tokens for ada so far" in output


def test_it_runs_on_an_embedded_file_and_counts_each_run_once(tmp_path: Path) -> None:
    check(run(tmp_path), tokens=358)
    check(run(tmp_path), tokens=716)
    assert [path.name for path in tmp_path.iterdir()] == ["agent.db"]


def test_it_runs_on_postgresql(tmp_path: Path, postgres_url: str) -> None:
    check(run(tmp_path, DATABASE_URL=postgres_url), tokens=358)
    assert list(tmp_path.iterdir()) == []
