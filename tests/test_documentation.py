"""What the documentation says of the tests, and tutorials as a reader types them."""

import re
from pathlib import Path

import pytest

from eventstore import EventStore
from tests.processes import run_python

TESTS = Path(__file__).parent
PAGES = sorted((TESTS.parent / "docs").rglob("*.md"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_tests_that_a_page_names_are_there(page: Path) -> None:
    named = set(re.findall(r"\b(?:boundaries/)?test_\w+\.py\b", page.read_text()))
    there = {path.relative_to(TESTS).as_posix() for path in TESTS.rglob("test_*.py")}
    assert named - {"test_events.py"} <= there


def test_the_glossary_is_in_alphabetical_order() -> None:
    text = (TESTS.parent / "docs" / "reference" / "glossary.md").read_text()
    words = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert len(words) > 40
    assert words == sorted(words, key=str.casefold)


def test_the_page_of_the_store_has_every_method_once() -> None:
    text = (TESTS.parent / "docs" / "reference" / "store.md").read_text()
    named = re.findall(r"^::: eventstore\.EventStore\.(\w+)$", text, re.MULTILINE)
    public = {name for name in vars(EventStore) if not name.startswith("_")}
    assert sorted(named) == sorted(public - {"core", "with_core"})  # those two are for the package itself


@pytest.mark.parametrize("page", [page for page in PAGES if page.parent.name == "how-to"], ids=lambda page: page.stem)
def test_a_how_to_begins_with_when_it_is_needed_and_ends_with_what_next(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert text.split("\n\n")[1].startswith("You need this ")
    assert re.findall(r"^## (.+)$", text, re.MULTILINE)[-1] == "What next"


def blocks(text: str) -> list[tuple[str, str]]:
    return re.findall(r"^```(\w+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


TUTORIAL = """
import runpy, warnings
warnings.simplefilter("error")
runpy.run_path("tutorial.py", run_name="__main__")
"""


@pytest.mark.slow
def test_the_tutorial_typed_into_a_file_prints_what_it_says_at_each_run(tmp_path: Path) -> None:
    found = blocks((TESTS.parent / "docs" / "tutorial.md").read_text(encoding="utf-8"))
    (tmp_path / "tutorial.py").write_text("".join(block for language, block in found if language == "python"), "utf-8")
    expected = "".join(block for language, block in found if language == "text")
    for run in (1, 2):
        done = run_python("-c", TUTORIAL, cwd=tmp_path, check=True)
        assert done.stdout == expected.replace("runs: 1", f"runs: {run}")


def test_the_shop_says_how_many_tests_pass() -> None:
    text = (TESTS.parent / "docs" / "tutorial-shop.md").read_text(encoding="utf-8")
    said = list(re.finditer(r"`(\d+) passed`", text))
    assert len(said) == 2
    assert [int(each[1]) for each in said] == [text.count("\ndef test_", 0, each.start()) for each in said]
