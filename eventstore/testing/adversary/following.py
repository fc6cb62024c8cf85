"""Followers: readers that keep only their position and the events that they got."""

import math
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from eventstore.testing.adversary.adapter import Adapter, Reader
from eventstore.testing.adversary.judging import Deliveries

_ERRORS_IN_SEQUENCE: Final = 25
_PAUSE_SECONDS: Final = 0.002
_QUIET_PASSES: Final = 3
_QUIET_PAUSE_SECONDS: Final = 0.1

LONGEST_SECONDS: Final = 60.0
"""How long a reader may go on after the last write, if there were few."""

_ENDLESS: Final = "no end, long after the last write"

MakeAdapter = Callable[[], Adapter]


class Follower:
    """Follows the log with one of the store's readers. One thread uses it.

    Args:
        reader: The reader.
        make: Creates the adapter, at the first use and after it was closed.
        pause_after_error_seconds: How long it waits before it reads again after an error. Defaults to 0.1, for faults
            that last.
    """

    def __init__(self, reader: Reader, make: MakeAdapter, pause_after_error_seconds: float = 0.1) -> None:
        self.reader = reader
        self.deliveries = Deliveries()
        self.position: Any = None
        self.stopped: str | None = None
        self._make = make
        self._pause_after_error_seconds = pause_after_error_seconds
        self._adapter: Adapter | None = None
        self._errors = 0
        self._end = math.inf

    def read(self) -> bool:
        """Read from the last position until there are no more events.

        Returns:
            Whether it got events; True also after an error, unless there were too many and it has `stopped`.
        """
        before = len(self.deliveries)
        try:
            adapter = self._opened()
            result = adapter.read(self.reader.name, self.position)
            if not self.reader.keeps_position:
                for event in result:
                    self.deliveries.add(event)
                    self.position = event.position
                    if time.monotonic() > self._end:
                        self.stopped = _ENDLESS
                        break
        except Exception as error:  # noqa: BLE001  # any error of the store or its driver
            self._note(error)
            return self.stopped is None
        self._errors = 0
        return len(self.deliveries) > before

    def finish(self, longest_seconds: float) -> None:
        """Read until several passes get no events, or until there are too many errors in sequence.

        A reader that still gets events after so many seconds counts as stopped, too.
        """
        self._end = time.monotonic() + longest_seconds
        quiet = 0
        while quiet < _QUIET_PASSES and self.stopped is None:
            if quiet:
                time.sleep(_QUIET_PAUSE_SECONDS)
            quiet = 0 if self.read() else quiet + 1
            if quiet == 0 and time.monotonic() > self._end:
                self.stopped = _ENDLESS
        while self.reader.keeps_position and self.stopped is None:
            try:
                self.deliveries = Deliveries(self._opened().read(self.reader.name, None))
            except Exception as error:  # noqa: BLE001  # any error of the store or its driver
                self._note(error)
            else:
                return

    def reopen(self) -> None:
        """Close the adapter, as at the end of a process: only the position is kept."""
        self.close()
        self._errors, self.stopped = 0, None

    def close(self) -> None:
        """Close the adapter."""
        adapter, self._adapter = self._adapter, None
        if adapter is not None:
            with suppress(Exception):
                adapter.close()

    def _opened(self) -> Adapter:
        if self._adapter is None:
            self._adapter = self._make()
        return self._adapter

    def _note(self, error: Exception) -> None:
        self._errors += 1
        if self._errors >= _ERRORS_IN_SEQUENCE:
            self.stopped = type(error).__name__
        time.sleep(self._pause_after_error_seconds)


class FollowerThread:
    """A follower that reads continuously in a separate thread until it is asked to finish."""

    def __init__(self, follower: Follower) -> None:
        self.follower = follower
        self._finish = threading.Event()
        self._longest_seconds = LONGEST_SECONDS
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def finish(self, longest_seconds: float) -> None:
        """Ask the follower to read to the end, within so many seconds."""
        self._longest_seconds = longest_seconds
        self._finish.set()

    def join(self, seconds: float) -> None:
        """Wait for the follower to end; after the timeout it counts as stopped."""
        self._thread.join(seconds)
        if self._thread.is_alive():
            self.follower.stopped = _ENDLESS

    def _run(self) -> None:
        while not self._finish.is_set():
            if self.follower.stopped is not None:  # because of the faults of the attack: retry
                self.follower.reopen()
            if not self.follower.read():
                time.sleep(_PAUSE_SECONDS)
        self.follower.finish(self._longest_seconds)
        self.follower.close()
