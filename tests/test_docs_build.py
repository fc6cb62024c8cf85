"""What the hooks of the documentation make of its pages."""

import pytest

from docs_build.summaries import first_sentence, heading, line

PAGE = """# Retry

`append` is [idempotent](append.md): repeat it. Nothing is **stored** twice.

More.
"""


def test_a_page_is_described_by_its_first_sentence() -> None:
    assert heading(PAGE) == "Retry"
    assert line("Retry", "how-to/retry.html", PAGE) == "- [Retry](how-to/retry.html): append is idempotent: repeat it."


@pytest.mark.parametrize(
    ("markdown", "sentence"),
    [
        ("# T\n\n```python\nx = 1\n```\n\nOne\ntwo. Three.", "One two."),
        ("# T\n\n| a |\n|---|\n\n- item\n\n1. first\n\n![picture](x.svg)\n\nIt is 2.0. And", "It is 2.0."),
        ("# T\n\n**Bold** [link](x.md#y) text", "Bold link text"),
        ("# T\n\n::: eventstore.EventStore", ""),
    ],
)  # fmt: skip
def test_code_tables_lists_and_pictures_are_no_sentences(markdown: str, sentence: str) -> None:
    assert first_sentence(markdown) == sentence


def test_a_page_of_docstrings_is_described_by_what_they_document() -> None:
    page = "# Repositories\n\n::: eventstore.Repository\n\n::: eventstore.repository.never\n    options:\n"
    listed = line("Repositories", "reference/repository.html", page)
    assert listed == "- [Repositories](reference/repository.html): eventstore.Repository, eventstore.repository.never"
