"""Run the examples with flights, as their users run them."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.processes import Python

_EXAMPLES = Path(__file__).parents[1] / "examples"
IMPORT = str(_EXAMPLES / "flights.py")
PROJECTION = str(_EXAMPLES / "flights_projection.py")
REPORT = str(_EXAMPLES / "flights_report.py")

posix = pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")


@contextmanager
def started(url: str, *arguments: str) -> Iterator[Python]:
    environment = {**os.environ, "DATABASE_URL": url, "COLUMNS": "100"}
    with Python(*arguments, env=environment, stderr_to_stdout=True) as process:
        try:
            yield process
        finally:
            process.kill()  # where the test has failed before it ended


def finish(process: Python) -> tuple[int, str]:
    output, _ = process.communicate(timeout=120)
    return process.wait(), output


def run(url: str, *arguments: str) -> str:
    with started(url, *arguments) as process:
        exit_code, output = finish(process)
    assert exit_code == 0, output
    assert "✗" not in output
    return output
