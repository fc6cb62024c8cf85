"""CONTRIBUTING.md, the hooks of pre-commit and the picture of the layers are what they say they are."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from sqlalchemy import Engine

from tests.fix_migrations import url_of
from tests.trips import trip_of_append, trip_of_batch

ROOT = Path(__file__).parent.parent
LAYOUT = ROOT / "docs" / "explanation" / "layout.md"
FOLDERS = ("eventstore", "tests", "docs", "docs_build", "examples", "benchmarks", "alembic")


def files() -> set[str]:
    """Return the paths of all files and folders of the project."""
    found = {path for path in ROOT.iterdir() if path.is_file()}
    found |= {path for folder in FOLDERS for path in [ROOT / folder, *(ROOT / folder).rglob("*")]}
    return {path.relative_to(ROOT).as_posix() for path in found}


@pytest.mark.parametrize("page", [ROOT / "CONTRIBUTING.md", LAYOUT], ids=lambda page: page.stem)
def test_files_that_are_named_are_there(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    named = {name.strip("/") for name in re.findall(r"`([\w./*-]+(?:\.py|\.md|\.toml|/))`", text)}
    known = files()
    assert len(named) > 5
    missing = {
        name for name in named if not any(("/" + each).endswith("/" + name.replace("*", "append")) for each in known)
    }
    assert missing == set()


def test_the_hooks_run_what_ci_runs() -> None:
    ci = (ROOT / ".ci" / "run").read_text().partition("'.[dev]'")[2]
    hooks = (ROOT / ".pre-commit-config.yaml").read_text()
    commands = {line for line in ci.splitlines() if line}
    assert len(commands) == 5
    entries = {entry.removeprefix("env ") for entry in re.findall(r"entry: (.+)", hooks)}
    assert entries - commands == {'.venv/bin/pytest -m "not slow"'}
    assert commands <= entries


def layers() -> list[str]:
    config: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    found: list[str] = config["contracts"][0]["layers"]
    return found


def test_the_picture_shows_the_layers() -> None:
    picture = LAYOUT.read_text().partition("```text\n")[2].partition("```")[0]
    assert picture.splitlines() == [layer.replace(" | ", " · ") for layer in layers()]


def test_the_table_has_each_layer_once_from_the_top_down() -> None:
    table = re.findall(r"^\| `(\w+)` \|", LAYOUT.read_text().partition("## Tables")[0], re.MULTILINE)
    assert table == [name for layer in layers() for name in layer.split(" | ")]


@pytest.mark.slow
@pytest.mark.parametrize(("heading", "measure"), [("An append", trip_of_append), ("A batch", trip_of_batch)])
def test_a_walk_goes_where_the_call_goes(heading: str, measure: Any, postgres_engine: Engine) -> None:
    section = LAYOUT.read_text().partition(f"### {heading}")[2].partition("\n## ")[0].partition("\n### ")[0]
    walk = re.findall(r"^\d+\. `([\w/]+\.py)`", section, re.MULTILINE)
    way = measure(url_of(postgres_engine)).way
    only_by_2_0 = {"backends/postgresql/autocommit.py"} if sqlalchemy.__version__.startswith("2.0.") else set()
    assert walk == [file for file in way if file not in only_by_2_0]
