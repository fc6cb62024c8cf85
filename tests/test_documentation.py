"""What the documentation says of the tests."""

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
PAGES = sorted((TESTS.parent / "docs").rglob("*.md"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_tests_that_a_page_names_are_there(page: Path) -> None:
    named = set(re.findall(r"\btest_\w+\.py\b", page.read_text()))
    assert named - {"test_events.py"} <= {path.name for path in TESTS.glob("test_*.py")}
