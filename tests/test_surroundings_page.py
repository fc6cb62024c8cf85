"""docs/reference/surroundings.md: each row of its tables has a test."""

import re
from pathlib import Path
from typing import Final

TESTS: Final = Path(__file__).parent
PAGE: Final = TESTS.parent / "docs/reference/surroundings.md"

SHOWN_BY: Final = {
    "PostgreSQL": {
        "`default_transaction_isolation`": "test_who_has_waited_for_another_writer_succeeds",
        "`default_transaction_deferrable`": "test_settings_of_the_server_change_no_result",
        "`default_transaction_read_only`": "test_a_user_who_may_only_read_reads_and_is_refused_by_name",
        "`DateStyle`, `IntervalStyle`, `TimeZone`": "test_settings_of_the_server_change_no_result",
        "`array_nulls`, `bytea_output`, `extra_float_digits`, `standard_conforming_strings`": (
            "test_settings_of_the_server_change_no_result"
        ),
        "`client_encoding`": "test_an_encoding_that_can_not_hold_every_text_is_refused",
        "encoding of the database": "test_a_database_in_another_encoding_is_refused",
        "`lock_timeout`, `statement_timeout`": (
            "test_what_the_server_refuses_is_told_in_its_words_and_nothing_is_stored"
        ),
        "`synchronous_commit`": "test_settings_of_the_server_change_no_result",
        "`plan_cache_mode`, `quote_all_identifiers`": "test_settings_of_the_server_change_no_result",
        "`row_security`, row level security": (
            "test_under_row_level_security_very_many_events_are_stored_without_copy"
        ),
        "row level security, for an import or a repair": "test_under_row_level_security_an_import_is_refused",
        "`session_replication_role`": "test_settings_of_the_server_change_no_result",
        "`search_path`": "test_each_tenant_has_its_own_log",
        "`search_path`, for a migration": "test_no_schema_to_create_in_is_refused_before_anything_is_made",
        "`default_transaction_read_only`, for a migration": (
            "test_a_user_who_may_only_read_is_refused_by_name_if_there_is_something_to_do"
        ),
        "name of the schema": "test_a_schema_of_any_name_works",
    },
    "psycopg": {
        "`cursor_factory`: psycopg's own (`ClientCursor`, `RawCursor`)": ("test_any_kind_of_cursor_of_psycopgs_works"),
        "`cursor_factory`: your own class": "test_results_as_text_are_the_same_under_other_settings",
        "the same, with a `DateStyle` that is not ISO": "test_cursors_of_the_application_work_or_are_refused",
        "the same, derived from `ClientCursor`, with `array_nulls` off": (
            "test_cursors_of_the_application_work_or_are_refused"
        ),
        "the same, derived from `RawCursor`": "test_cursors_that_take_other_placeholders_are_refused",
        "`row_factory`": "test_a_row_factory_changes_nothing",
        "`autocommit`": "test_connections_in_autocommit_work",
        "`isolation_level`": "test_a_hooks_choices_for_the_drivers_connection_are_kept",
        "`read_only`": "test_a_hook_that_makes_the_drivers_connections_read_only_is_heeded",
        "`prepare_threshold`": "test_when_statements_are_prepared_changes_nothing",
        "pipeline mode of a joined connection": "test_pipeline_mode_of_a_joined_connection_is_refused",
    },
    "SQLAlchemy": {
        "`stream_results`, `yield_per`, `max_row_buffer`": (
            "test_a_joined_connection_that_streams_results_returns_all_rows"
        ),
        "`schema_translate_map` that names the schema of the tables": (
            "test_a_schema_translate_map_set_after_join_is_refused"
        ),
        "`schema_translate_map` of other schemas": (
            "test_a_schema_translate_map_of_other_schemas_is_none_of_our_business"
        ),
        "`isolation_level`": "test_other_options_of_executions_change_nothing",
        "`postgresql_readonly`": "test_an_engine_for_reading_reads_and_refuses_to_write",
        "`postgresql_deferrable`, `no_parameters`, `compiled_cache`, `preserve_rowcount`, "
        "`insertmanyvalues_page_size`, `logging_token`": "test_other_options_of_executions_change_nothing",
        "`pool_pre_ping`, `pool_reset_on_return`, another pool": "test_other_pools_change_nothing",
        "an engine for asyncio, with psycopg or aiosqlite": "test_what_is_no_engine_for_asyncio_is_refused",
        "an event listener (`connect`, `checkout`, `engine_connect`) that leaves a transaction open": (
            "test_a_hook_that_leaves_a_transaction_open_is_refused"
        ),
    },
    "SQLite": {
        "`encoding` UTF-16": "test_a_file_that_is_not_in_utf_8_is_refused_before_tables_are_made",
        "`ignore_check_constraints`, `count_changes`": "test_a_pragma_that_would_break_a_promise_is_refused",
        "`journal_mode` OFF": "test_a_file_without_a_journal_is_refused",
        "`read_uncommitted`, isolation level READ UNCOMMITTED": (
            "test_an_engine_that_reads_what_is_not_committed_is_refused"
        ),
        "`query_only`": "test_a_file_for_reading_refuses_in_sqlites_words",
        "`text_factory`": "test_a_text_factory_is_refused",
        "`row_factory`": "test_a_row_factory_leaves_the_drivers_timeout_alone",
        "`row_factory` of aiosqlite": "test_a_row_factory_of_aiosqlite_is_refused",
        "`detect_types`": "test_converters_of_times_change_nothing",
        "`isolation_level` and `autocommit` of the driver": (
            "test_a_joined_connection_whose_driver_begins_nothing_is_refused"
        ),
        "`stream_results`, `yield_per`, `schema_translate_map`": "test_options_of_executions_change_nothing",
    },
    "Django": {
        "`AUTOCOMMIT` off, `transaction.set_autocommit(False)`": "test_a_database_with_autocommit_off_is_refused",
        "`OPTIONS`: `server_side_binding`, `DateStyle`": "test_how_the_driver_sends_and_reads_changes_nothing",
        "`OPTIONS`: `isolation_level`": "test_another_isolation_level_gives_conflicts",
        "`client_encoding` changed later": "test_another_encoding_is_refused",
        "`row_factory` and `text_factory` of the driver": "test_a_factory_of_the_driver_works_or_is_refused",
        "`search_path` that changes: tenants": "test_each_tenant_has_its_own_log",
        "`search_path` changed by a handler": "test_a_handler_that_leaves_another_search_path_has_failed",
        "`USE_TZ` off, `TIME_ZONE`": "test_without_zones_they_are_local",
    },
}


def rows_of(section: str) -> list[str]:
    rows = re.findall(r"^\| (.+?) \| .+ \|$", section, re.MULTILINE)
    return [row for row in rows if row != "setting"]


def test_each_row_of_the_page_has_a_test() -> None:
    sections = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", PAGE.read_text(), re.MULTILINE | re.DOTALL))
    found = {name: rows_of(text) for name, text in sections.items() if rows_of(text)}
    pragmas = found["SQLite"].pop(4)
    assert {name: set(rows) for name, rows in found.items()} == {name: set(rows) for name, rows in SHOWN_BY.items()}
    written = {name for path in TESTS.glob("test_*.py") for name in re.findall(r"def (test_\w+)", path.read_text())}
    named = {test for rows in SHOWN_BY.values() for test in rows.values()}
    assert named <= written
    listed = set(re.findall(r"`(\w+)`", pragmas))
    tested = set(re.findall(r'^    "(\w+) = ', (TESTS / "test_surroundings_sqlite.py").read_text(), re.MULTILINE))
    assert listed == tested
