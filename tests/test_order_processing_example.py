"""The main job of the README."""

import os
import re
from pathlib import Path

import pytest

from tests.processes import run_python

pytestmark = pytest.mark.slow

EXAMPLE = Path(__file__).parent.parent / "examples" / "order_processing.py"


def run(folder: Path, **environment: str) -> str:
    inherited = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
    return run_python(str(EXAMPLE), cwd=folder, env=inherited | environment, check=True).stdout


def check(output: str) -> None:
    assert [line[0] for line in output.splitlines() if re.match(r"\d  \w", line)] == ["1", "2", "3", "4"]
    assert re.search(r"Ann takes the pencils off +stored: version 4", output)
    assert re.search(r"Ben books 22.00 EUR +refused: expected 3, is 4", output)
    assert re.search(r"Ben looks again, books 14.00 EUR +stored: version 5", output)
    assert "At version 3 it was: 4 x notebook, 10 x pencil = 22.00 EUR, not paid" in output
    assert re.search(r"all events +59,997 points at version 20,000 +20,000 events read", output)
    assert re.search(r"with a snapshot +60,097 points at version 20,001 +1 events read", output)
    assert "\x1b" not in output, "colours belong in a terminal"


def test_it_runs_on_an_embedded_file_again_and_again(tmp_path: Path) -> None:
    check(run(tmp_path))
    check(run(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["orders.db"]


def test_it_runs_on_postgresql(tmp_path: Path, postgres_url: str) -> None:
    output = run(tmp_path, DATABASE_URL=postgres_url)
    check(output)
    assert "An event store on postgresql" in output
    assert list(tmp_path.iterdir()) == []
