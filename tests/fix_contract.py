"""Which tests of the contract are slow. The contract does not say: it runs in projects without such a marker, too."""

from typing import Final

import pytest

SLOW: Final = frozenset(
    {
        *(f"test_backwards_the_same_events_come_the_newest_first[{page_size}]" for page_size in (1, 2, 3)),
        *(f"test_filters_match_by_all_of_their_fields_and_any_of_them[{page_size}]" for page_size in (1, 2, 3)),
        "test_an_append_may_have_any_number_of_tags[20000]",
        "test_decisions_of_many_writers_are_based_on_all_earlier_events",
        "test_two_inline_projections_of_very_many_events[joined]",
        "test_two_inline_projections_of_very_many_events[own transaction]",
    }
)
"""Those of more than 0.3 seconds of CPU. The same with larger pages, or with fewer tags, is quick."""


@pytest.hookimpl(tryfirst=True)  # before `-m` chooses
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.name in SLOW:
            item.add_marker(pytest.mark.slow)
