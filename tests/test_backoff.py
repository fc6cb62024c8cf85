from eventstore.common.backoff import Backoff


def test_pauses_double_up_to_the_longest() -> None:
    backoff = Backoff(1, 5)
    assert [backoff.pause() for _ in range(5)] == [1, 2, 4, 5, 5]


def test_after_a_reset_the_shortest_comes_again() -> None:
    backoff = Backoff(1, 5)
    assert [backoff.pause() for _ in range(3)] == [1, 2, 4]
    backoff.reset()
    assert [backoff.pause() for _ in range(2)] == [1, 2]


def test_another_longest_pause_holds_for_one_pause() -> None:
    backoff = Backoff(1, 3)
    assert [backoff.pause(longest) for longest in (10, 10, 10, 1.5, 10, None)] == [1, 2, 4, 1.5, 3, 3]


def test_no_pause_stays_none() -> None:
    backoff = Backoff(0, 1)
    assert [backoff.pause() for _ in range(3)] == [0, 0, 0]
