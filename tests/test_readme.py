"""The README's two commands are what CI and people run."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from hatch_build import for_an_index

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def command_under(heading: str) -> str:
    section = README.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    blocks: list[str] = re.findall(r"```sh\n(.*?)```", section, re.DOTALL)
    assert len(blocks) == 1
    (line,) = blocks[0].strip().splitlines()
    return line


def test_the_two_commands_stand_under_their_headings() -> None:
    assert command_under("Run it").endswith("examples/order_processing.py")
    assert command_under("Test it").endswith(".venv/bin/pytest")


def test_ci_runs_the_same_test_command() -> None:
    assert command_under("Test it") in (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()


@pytest.mark.slow
def test_the_first_example_leaves_no_connection_open() -> None:
    """Since Python 3.13, sqlite3 warns of one, when it is collected; then it can only be printed."""
    code = README.split("```python\n")[1].split("```")[0]
    ended = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", code], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert ended.stderr == ""
    assert ended.stdout == README.split("```text\n")[1].split("```")[0]


def test_the_links_lead_somewhere() -> None:
    links = re.findall(r"\]\(([^)]+)\)", README)
    assert links
    assert [link for link in links if not (ROOT / link).is_file()] == []


def test_on_a_package_index_no_link_leads_to_a_file_that_is_not_there() -> None:
    shown = for_an_index(README)
    assert [link for link in re.findall(r"\]\(([^)]*)\)", shown) if not link.startswith("https://")] == []
    assert "upcasters rename, split, drop" in shown.lower()
    assert "home.svg" not in shown


def test_no_merge_has_left_its_marks() -> None:
    documents = [ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")]
    marked = [path for path in documents if re.search(r"^(<{7}|>{7})", path.read_text(encoding="utf-8"), re.MULTILINE)]
    assert marked == []
