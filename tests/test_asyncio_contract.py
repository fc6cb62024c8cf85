"""The contract on engines for asyncio: each test is synchronous code that a task awaits."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine
from sqlalchemy.ext.asyncio import create_async_engine

from eventstore.testing.contract import EventStoreContract
from tests.fix_asyncio import async_url
from tests.fix_engines import empty, migrated_sqlite

pytestmark = [pytest.mark.in_a_task, pytest.mark.long]


class TasksContract(EventStoreContract):
    """All but what takes threads (`test_asyncio.py` has races of tasks), and imports, which are refused."""

    test_one_writer_wins_and_the_others_get_a_conflict = None  # type: ignore[assignment]
    test_writers_who_expect_nothing_all_succeed = None  # type: ignore[assignment]
    test_appends_to_many_streams_do_not_deadlock = None  # type: ignore[assignment]
    test_of_many_requests_against_one_boundary_one_wins = None  # type: ignore[assignment]
    test_decisions_of_many_writers_are_based_on_all_earlier_events = None  # type: ignore[assignment]
    test_wait_for_is_exact = None  # type: ignore[assignment]
    test_two_inline_projections_are_right_after_an_import = None  # type: ignore[assignment]
    test_a_handler_that_fails_undoes_its_batch_of_an_import = None  # type: ignore[assignment]


class TestAiosqlite(TasksContract):
    @pytest.fixture
    def engine(self, tmp_path: Path) -> Iterator[Engine]:
        engine = create_async_engine(f"sqlite+aiosqlite:///{migrated_sqlite(tmp_path)}").sync_engine
        yield engine
        engine.dispose()


class TestPsycopg(TasksContract):
    @pytest.fixture
    def engine(self, shared_postgres_url: str) -> Iterator[Engine]:
        engine = create_async_engine(async_url(shared_postgres_url)).sync_engine
        yield engine
        engine.dispose()
        empty(shared_postgres_url)
