"""The rules of settling, look by look, without a database: what real transactions can hardly be steered to."""

import random
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from eventstore.backends.postgresql.log_views import PrimaryView, StandbyView
from eventstore.backends.protocol import Following, LogView, Server
from eventstore.core.settling import Settling
from eventstore.tokens import PositionToken

SERVER = Server(1, datetime(2026, 1, 1, tzinfo=UTC), in_recovery=False)
RESTARTED = SERVER._replace(started_at=datetime(2026, 1, 2, tzinfo=UTC))
STANDBY = SERVER._replace(in_recovery=True)


def token(position: int, *, event: int | None = None) -> PositionToken:
    return PositionToken(position, UUID(int=event or position), "order-1", position)


class Log(dict[int, UUID]):
    """Which event stands at each position: the one of its number, up to the newest, unless another is named."""

    def __init__(self, newest: int, others: dict[int, int | None]) -> None:
        numbers = {position: position for position in range(1, newest + 1)} | others
        super().__init__({position: UUID(int=number) for position, number in numbers.items() if number is not None})


def primary(
    newest: int, *appenders: str, server: Server = SERVER, others: dict[int, int | None] | None = None
) -> PrimaryView:
    return PrimaryView(
        server, token(newest) if newest else None, Log(newest, others or {}), newest, frozenset(appenders)
    )


def unread(newest: int, others: dict[int, int | None] | None = None) -> PrimaryView:
    """Return a look that had no reason to read the locks."""
    return PrimaryView(SERVER, token(newest), Log(newest, others or {}), newest, None)


def standby(newest: int, *, oldest: int, next_id: int) -> StandbyView:
    return StandbyView(STANDBY, token(newest), Log(newest, {}), newest, oldest, next_id)


class FakeBackend:
    """Answers with the look that is given; everything after what is settled begins with a gap."""

    def __init__(self) -> None:
        self.next_view: Callable[[], LogView] = lambda: primary(0)

    def view_log(self, *_: Any, **__: Any) -> LogView:
        return self.next_view()

    def following(self, *_: Any, **__: Any) -> Following:
        return Following(SERVER, None, None)


def run(*_: Any, **__: Any) -> Sequence[tuple[Any, ...]]:
    raise NotImplementedError


class Reader:
    def __init__(self) -> None:
        self.backend = FakeBackend()
        self.settling = Settling(self.backend)  # type: ignore[arg-type]  # as much of a backend as it needs

    def settled(self, view: LogView | Callable[[], LogView]) -> int:
        self.backend.next_view = view if callable(view) else lambda: view
        return self.settling.horizon(run).settled  # type: ignore[arg-type]  # as much of a Run as it needs


@pytest.fixture
def reader() -> Reader:
    return Reader()


def test_without_appends_under_way_the_newest_is_settled(reader: Reader) -> None:
    assert [reader.settled(primary(position)) for position in (3, 3, 8)] == [3, 3, 8]


def test_what_a_look_has_seen_is_settled_when_all_have_ended_that_it_has_seen(reader: Reader) -> None:
    assert reader.settled(primary(5, "1/1", "1/2")) == 0
    assert reader.settled(primary(6, "1/2", "1/3")) == 0
    assert reader.settled(primary(7, "1/3", "1/4")) == 5
    assert reader.settled(primary(8, "1/4", "1/5")) == 6


def test_of_looks_that_wait_for_the_same_the_one_that_has_seen_most_counts(reader: Reader) -> None:
    for newest in range(5, 50):
        assert reader.settled(primary(newest, "1/1")) == 0
    assert reader.settled(primary(60, "1/2")) == 49


@pytest.mark.slow
def test_no_more_looks_are_kept_than_there_are_appends_under_way(reader: Reader) -> None:
    generator = random.Random(1)  # guards nothing
    appenders: list[str] = []
    for turn in range(500):
        if generator.random() < 0.5:
            appenders.append(f"1/{turn}")
        elif appenders:
            appenders.remove(generator.choice(appenders))
        reader.settled(primary(turn + 1, *appenders))
        assert len(reader.settling._pending) <= len(appenders)


def test_it_does_not_go_down(reader: Reader) -> None:
    assert reader.settled(primary(9)) == 9
    assert reader.settled(primary(12, "1/1")) == 9
    assert reader.settled(primary(12, "1/1")) == 9


def test_a_look_tells_nothing_about_one_that_another_thread_has_taken_meanwhile(reader: Reader) -> None:
    """The slow look was taken before the appender began that the quick one has seen: it can't say that it has ended."""

    def slow() -> LogView:
        answer = primary(4)
        assert reader.settled(primary(7, "1/1")) == 0
        return answer

    assert reader.settled(slow) == 4
    assert reader.settled(primary(7, "1/1")) == 4
    assert reader.settled(primary(7)) == 7


def test_a_prepared_transaction_that_is_renamed_is_waited_for(reader: Reader) -> None:
    assert reader.settled(primary(5, "3/45")) == 0
    assert reader.settled(primary(5, "-1/700")) == 0
    assert reader.settled(primary(6, "-1/700", "-1/800")) == 0
    assert reader.settled(primary(6, "-1/800")) == 5


def test_a_renamed_one_that_the_look_knows_already_is_not_waited_for_on_account_of_another(reader: Reader) -> None:
    assert reader.settled(primary(5, "3/45")) == 0
    assert reader.settled(primary(6, "3/45", "-1/700")) == 0
    assert reader.settled(primary(7, "-1/700", "-1/800")) == 0  # 700 or 800 may be what 3/45 has become
    assert reader.settled(primary(7, "-1/700")) == 0
    assert reader.settled(primary(7)) == 7


def test_transactions_prepared_one_after_another_do_not_hold_readers_back_for_ever(reader: Reader) -> None:
    assert reader.settled(primary(1, "-1/1")) == 0
    for number in range(2, 50):
        assert reader.settled(primary(number, f"-1/{number}")) == number - 1


def test_what_is_known_of_one_server_is_forgotten_at_another(reader: Reader) -> None:
    assert reader.settled(primary(9)) == 9
    assert reader.settled(primary(12, "1/1")) == 9
    assert reader.settled(primary(12, "1/7", server=RESTARTED)) == 0
    assert reader.settled(primary(12, server=RESTARTED)) == 12


def test_what_is_known_is_forgotten_if_another_event_stands_where_all_was_settled(reader: Reader) -> None:
    """The log went back to 4 and has been filled again since: nothing else tells that it is another run."""
    assert reader.settled(primary(9)) == 9
    assert reader.settled(primary(12, "1/1", others={9: 900})) == 0
    assert reader.settled(primary(12)) == 12


def test_what_is_known_is_forgotten_if_no_event_stands_where_all_was_settled(reader: Reader) -> None:
    assert reader.settled(primary(9)) == 9
    assert reader.settled(primary(12, "1/1", others={9: None})) == 0


def test_an_earlier_look_whose_newest_event_is_gone_settles_nothing(reader: Reader) -> None:
    assert reader.settled(primary(3)) == 3
    assert reader.settled(primary(9, "1/1")) == 3
    assert reader.settled(primary(12, "1/2", others={9: 900})) == 3  # 1/1 has ended, but in another history
    assert reader.settled(primary(12)) == 12


def test_locks_that_were_not_read_are_not_taken_for_locks_that_nobody_holds(reader: Reader) -> None:
    assert reader.settled(primary(5)) == 5
    assert reader.settled(primary(9, "1/1")) == 5
    assert reader.settled(unread(5)) == 5  # the newer ones are gone; an append is still open
    assert reader.settled(primary(9, "1/1")) == 5


def test_a_database_that_has_lost_events_is_looked_at_anew(reader: Reader) -> None:
    assert reader.settled(primary(9)) == 9
    assert reader.settled(primary(4, "1/1")) == 0
    assert reader.settled(primary(6)) == 6


def test_a_log_view_during_a_promotion_does_not_say_that_the_log_went_back(reader: Reader) -> None:
    """It has the snapshot of the standby, from before the last commits were replayed, but the server is a primary."""
    views = iter([primary(5), primary(6)])
    reader.backend.next_view = lambda: next(views)
    found, horizon = reader.settling.find(run, token(6), shares=False)  # type: ignore[arg-type]  # as above
    assert (found, horizon.settled) == (True, 6)


def test_what_a_standby_has_and_what_is_settled_there_are_two_things(reader: Reader) -> None:
    def find(view: LogView) -> tuple[bool, int]:
        reader.backend.next_view = lambda: view
        found, horizon = reader.settling.find(run, token(6), shares=False)  # type: ignore[arg-type]  # as above
        return found, horizon.settled

    assert find(standby(5, oldest=100, next_id=103)) == (False, 0)
    assert find(standby(6, oldest=102, next_id=104)) == (True, 0)
    assert find(standby(6, oldest=103, next_id=104)) == (True, 5)
    assert find(standby(7, oldest=104, next_id=105)) == (True, 6)


def test_a_standby_waits_until_the_oldest_transaction_is_newer_than_all_that_were_known(reader: Reader) -> None:
    assert reader.settled(standby(5, oldest=100, next_id=103)) == 0
    assert reader.settled(standby(6, oldest=102, next_id=104)) == 0
    assert reader.settled(standby(7, oldest=103, next_id=105)) == 5
    assert reader.settled(standby(7, oldest=105, next_id=105)) == 7
