"""Where, on its way to the server, an append can be stopped so that it is open: found by trying."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Final

from eventstore.testing.adversary.adapter import Write
from eventstore.testing.adversary.places import LeftOut, Place
from eventstore.testing.adversary.proxy import Address, NoAddress, Proxy
from eventstore.testing.adversary.setting import Setting
from eventstore.testing.adversary.writing import new_event

STOPS_SECONDS: Final = 2.0
_WRITES_SECONDS: Final = 0.5
_STAYS_SECONDS: Final = 0.2
_PATIENCE_SECONDS: Final = 30.0
_POLL_SECONDS: Final = 0.002

_found: Final[dict[str, int]] = {}


@contextmanager
def proxy_to(place: Place) -> Iterator[Proxy]:
    """Open a proxy to the server of a place.

    Raises:
        LeftOut: There can be none.
    """
    if place.is_sqlite:
        raise LeftOut("SQLite has no connections that could be stopped")
    try:
        address = Address.of(place.url)
    except NoAddress as error:
        raise LeftOut(f"no proxy: {error}") from error
    with Proxy(address) as proxy:
        yield proxy


def until(condition: Callable[[], bool], seconds: float) -> bool:
    """Wait until a condition holds, and return whether it does."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(_POLL_SECONDS)
    return True


def is_open(setting: Setting, place: Place, proxy: Proxy) -> bool:
    """Return whether an append is stopped in the proxy, and the server says that its transaction has written.

    It has to say so for a while: the server may be in the midst of what was sent before, the commit included.
    """
    if not proxy.wait_until_stopped(STOPS_SECONDS) or not until(lambda: setting.is_writing(place), _WRITES_SECONDS):
        return False
    return not until(lambda: not setting.is_writing(place), _STAYS_SECONDS)


def last_message(setting: Setting) -> int:
    """Return the number of the last message of an append before which the server has its events, not committed.

    Raises:
        LeftOut: There is none: an append is one message, which commits by itself.
    """
    name = setting.adapter_name
    if name not in _found:
        with setting.ground.place() as place, setting.prepared(place):
            count, _ = _try(setting, place, 0)
            numbers = (number for number in range(count, 0, -1) if _try(setting, place, number)[1])
            _found[name] = next(numbers, 0)
    if not _found[name]:
        raise LeftOut("an append of this store is one message, which can't be held open")
    return _found[name]


def _try(setting: Setting, place: Place, number: int) -> tuple[int, bool]:
    """Append by a fresh connection, stopped before a message, 0 for none.

    Returns:
        How many messages there were, and whether the append was open meanwhile.
    """
    write = Write(f"try-{number}", (new_event(setting.generator("try")),), None)
    with proxy_to(place) as proxy, ThreadPoolExecutor(1) as thread:
        adapter = setting.opener(place, proxy.url)()
        adapter.version("order-0")  # opens the connection
        proxy.start_counting(stop_before=number)
        future = thread.submit(adapter.append, [write])
        was_open = number > 0 and is_open(setting, place, proxy)
        proxy.go_on()
        future.result(_PATIENCE_SECONDS)
        messages = proxy.messages
        adapter.close()
    return messages, was_open
