"""Stopping appends between the client and the server."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from eventstore.testing.adversary.places import LeftOut, Place
from eventstore.testing.adversary.proxy import Address, NoAddress, Proxy
from eventstore.testing.adversary.setting import Setting

STOPS_SECONDS: Final = 2.0
_WRITES_SECONDS: Final = 0.5
_STAYS_SECONDS: Final = 0.2
_POLL_SECONDS: Final = 0.002


@contextmanager
def proxy_to(place: Place) -> Iterator[Proxy]:
    """Open a proxy to the server of a place.

    Raises:
        LeftOut: A proxy to it is not possible.
    """
    if place.is_sqlite:
        raise LeftOut("SQLite has no network connections that could be stopped")
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
    """Return whether an append is held by the proxy, and its transaction has written.

    The server must show that for a while, because it may still process earlier messages, including a commit.
    """
    if not proxy.wait_until_stopped(STOPS_SECONDS) or not until(lambda: setting.is_writing(place), _WRITES_SECONDS):
        return False
    return not until(lambda: not setting.is_writing(place), _STAYS_SECONDS)
