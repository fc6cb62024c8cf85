"""Parts of the one contract on the store of a Django project, outside of atomic blocks."""

from functools import partial
from typing import Any, Final

import pytest
from sqlalchemy import Engine

from eventstore.contrib.django import DjangoEventStore, engine_of
from eventstore.testing._base import MakeStore
from eventstore.testing.append_contract import AppendContract
from eventstore.testing.boundary_contract import BoundaryContract
from eventstore.testing.read_contract import ReadContract
from eventstore.testing.snapshot_contract import SnapshotContract
from eventstore.testing.waiting_contract import WaitingContract

IN_THREADS: Final[Any] = None
"""Its threads would leave Django's connections open; tests/test_django.py has threads that close them."""


class OnDjango(AppendContract, ReadContract, SnapshotContract, WaitingContract, BoundaryContract):
    test_one_writer_wins_and_the_others_get_a_conflict = IN_THREADS
    test_appends_to_many_streams_do_not_deadlock = IN_THREADS
    test_writers_who_expect_nothing_all_succeed = IN_THREADS
    test_of_many_requests_against_one_boundary_one_wins = IN_THREADS
    test_decisions_of_many_writers_are_based_on_all_earlier_events = IN_THREADS

    @pytest.fixture
    def engine(self) -> Engine:
        return engine_of()

    @pytest.fixture
    def make_store(self) -> MakeStore:
        return partial(DjangoEventStore, "default")


class TestDjangoOnSQLite(OnDjango):
    @pytest.fixture(autouse=True)
    def database(self, django_sqlite: dict[str, Any]) -> None:
        """Use it."""


@pytest.mark.slow
class TestDjangoOnPostgreSQL(OnDjango):
    @pytest.fixture(autouse=True)
    def database(self, django_postgresql: dict[str, Any]) -> None:
        """Use it."""


def test_what_is_left_out_is_a_test_of_the_contract() -> None:
    names = [name for name, value in vars(OnDjango).items() if value is IN_THREADS and name.startswith("test_")]
    assert len(names) == 5
    assert all(callable(getattr(super(OnDjango, OnDjango), name, None)) for name in names), names
