"""Ctrl-C leaves no lock locked, in whichever instruction of a `with` statement it comes."""

import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from eventstore.common.locks import make_lock


@pytest.fixture
def alarms() -> Iterator[None]:
    """Let the alarm raise KeyboardInterrupt, as Ctrl-C does."""
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this system has no alarms")
@pytest.mark.usefixtures("alarms")
def test_a_lock_is_released_whenever_the_signal_comes() -> None:
    """On Python 3.14 an ordinary lock is left locked by more than half of these signals."""
    lock, count = make_lock(), 0

    def take_it_again_and_again() -> None:
        while True:
            with lock:
                pass

    def is_free() -> bool:
        is_taken = lock.acquire(blocking=False)
        if is_taken:
            lock.release()
        return bool(is_taken)

    with ThreadPoolExecutor(1) as threads:
        for number in range(1000):
            try:
                signal.setitimer(signal.ITIMER_REAL, 0.00005 + number % 37 * 1e-6)
                take_it_again_and_again()
            except KeyboardInterrupt:
                count += 1
            assert threads.submit(is_free).result(60), f"at signal {count}"
    assert count == 1000
