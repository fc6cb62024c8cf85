"""What takes minutes is left out of a run, so it must not be forgotten: tests/README.md lists it."""

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_each_file_with_long_tests_is_on_the_page() -> None:
    found = {
        path.relative_to(ROOT).as_posix()
        for folder in ("tests", "examples")
        for path in (ROOT / folder).rglob("test_*.py")
        if re.search(r"\bmark\.long\b|\blong\b\)|sqlite_when_there_is_time", path.read_text(encoding="utf-8"))
    }
    listed = set(
        re.findall(r"`((?:tests|examples)/[\w/]+\.py)`", (ROOT / "tests/README.md").read_text(encoding="utf-8"))
    )
    assert found - {"tests/test_long_tests.py"} == listed
