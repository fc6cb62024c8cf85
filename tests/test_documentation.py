"""What the documentation says of the tests."""

import re
from pathlib import Path

import pytest

from eventstore import EventStore

TESTS = Path(__file__).parent
PAGES = sorted((TESTS.parent / "docs").rglob("*.md"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_tests_that_a_page_names_are_there(page: Path) -> None:
    named = set(re.findall(r"\btest_\w+\.py\b", page.read_text()))
    assert named - {"test_events.py"} <= {path.name for path in TESTS.glob("test_*.py")}


def test_the_glossary_is_in_alphabetical_order() -> None:
    text = (TESTS.parent / "docs" / "reference" / "glossary.md").read_text()
    words = [line.split("|")[1].strip() for line in text.splitlines() if line.startswith("| ")][1:]
    assert len(words) > 40
    assert words == sorted(words)


def test_the_page_of_the_store_has_every_method_once() -> None:
    text = (TESTS.parent / "docs" / "reference" / "store.md").read_text()
    named = re.findall(r"^::: eventstore\.EventStore\.(\w+)$", text, re.MULTILINE)
    public = {name for name in vars(EventStore) if not name.startswith("_")}
    assert sorted(named) == sorted(public - {"core", "with_core"})  # those two are for the package itself
