"""How a command that follows ends: after what it is doing, not in the middle of it."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


@contextmanager
def ended_by_ctrl_c(stop: Callable[[], object]) -> Iterator[None]:
    """Call `stop` on the first Ctrl-C or SIGTERM; a second one acts as usual, in case the database hangs."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = (signal.SIGINT, signal.SIGTERM)
    before: dict[int, Any] = {number: signal.getsignal(number) for number in numbers}

    def end(_number: int, _frame: FrameType | None) -> None:
        stop()
        restore()

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    for number in numbers:
        signal.signal(number, end)
    try:
        yield
    finally:
        restore()
