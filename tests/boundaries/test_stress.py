"""Decisions of 16 writers for a minute, judged by the oracle; and the two wrong variants, which it has to find."""

import random
from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, create_engine

from eventstore import EventStore
from eventstore.backends.postgresql import dialect as postgresql
from eventstore.testing.boundary_oracle import Courses
from tests.boundaries.test_oracle import highest_position, no_locks
from tests.fix_engines import empty

pytestmark = pytest.mark.long

SECONDS = 60


@pytest.fixture
def engine(shared_postgres_url: str) -> Iterator[Engine]:
    engine = create_engine(shared_postgres_url, pool_size=20)
    yield engine
    engine.dispose()
    empty(shared_postgres_url)


@pytest.fixture
def seed() -> int:
    seed = random.randrange(10**6)
    print("seed", seed)
    return seed


@pytest.mark.timeout(600)
@pytest.mark.parametrize("any_url", ["postgresql", "sqlite"], indirect=True)
def test_no_decision_is_blind(any_engine: Engine, seed: int) -> None:
    courses = Courses(EventStore(any_engine), seed=seed)
    courses.run(writers=16, seconds=SECONDS)
    print(courses.counts)
    assert courses.counts["stored"] > 500
    assert courses.counts["refused"] > 50
    courses.judge()


@pytest.mark.timeout(600)
def test_without_locks_decisions_are_blind(engine: Engine, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgresql, "lock_parameters", no_locks)
    courses = Courses(EventStore(engine), seed=seed)
    courses.run(writers=16, seconds=SECONDS / 3)
    with pytest.raises(AssertionError, match=r"blindly|overbooked|courses"):
        courses.judge()


@pytest.mark.timeout(600)
def test_with_the_highest_position_as_boundary_decisions_are_blind(engine: Engine, seed: int) -> None:
    courses = Courses(EventStore(engine), seed=seed, read=highest_position)
    courses.run(writers=16, seconds=SECONDS / 3)
    with pytest.raises(AssertionError, match=r"blindly|overbooked|courses"):
        courses.judge()
