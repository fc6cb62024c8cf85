"""Which tests of the contract are slow or long. It does not say: it runs in projects without such markers, too."""

from typing import Final

import pytest

SLOW: Final = frozenset(
    {
        *(f"test_backwards_the_same_events_come_the_newest_first[{page_size}]" for page_size in (1, 3, 1000)),
        *(f"test_filters_match_by_all_of_their_fields_and_any_of_them[{page_size}]" for page_size in (1, 3)),
        *(f"test_the_global_order_is_read_by_time[{page_size}]" for page_size in (3, 1000)),
        "test_a_refusal_leaves_the_callers_transaction_usable",
        "test_an_append_may_have_any_number_of_tags[20000]",
        "test_appends_to_many_streams_do_not_deadlock",
        "test_decisions_of_many_writers_are_based_on_all_earlier_events",
        "test_many_names_are_fine_and_too_many_filters_are_not",
        "test_of_many_requests_against_one_boundary_one_wins",
        "test_tags_come_back_and_metadata_is_read_as_it_was_given",
        "test_two_inline_projections_of_very_many_events[joined]",
        "test_two_inline_projections_of_very_many_events[own transaction]",
    }
)
"""Those of more than 0.2 seconds of CPU. The same with pages of seven, or with fewer tags, is quick."""

LONG: Final = frozenset(
    f"{name}[2]"
    for name in (
        "test_a_limit_counts_events_that_match",
        "test_backwards_the_same_events_come_the_newest_first",
        "test_filters_match_by_all_of_their_fields_and_any_of_them",
    )
)
"""Pages of two: those of one, three, seven and a thousand are read in each run."""


@pytest.hookimpl(tryfirst=True)  # before `-m` chooses
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.name in SLOW:
            item.add_marker(pytest.mark.slow)
        if item.name in LONG:
            item.add_marker(pytest.mark.long)
