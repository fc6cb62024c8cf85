"""Notifying those who listen of appends: soon after each, but not for each."""

import logging
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

from eventstore.backends.protocol import Sender
from eventstore.common.after_fork import start_fresh_after_fork
from eventstore.common.backoff import LONGEST_WITHOUT_CONNECTION, Backoff
from eventstore.common.error_type import error_type
from eventstore.common.locks import make_lock
from eventstore.core.core import Appended, AppendHook, Core

_log = logging.getLogger("eventstore.notifications")

_SHORTEST_INTERVAL_SECONDS: Final = 0.005
_SHORTEST_PAUSE_SECONDS: Final = 0.01
_LONGEST_CLOSE_SECONDS: Final = 2.0


class _Sending:
    """The thread that sends, and what it shares with those who append. It does not refer to the notifier."""

    def __init__(self, connect: Callable[[], Sender]) -> None:
        self._connect = connect
        self._sender: Sender | None = None
        self.is_asked = False
        self.woken = threading.Event()
        self._is_ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="eventstore notifier", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Send what is left to send, and close the connection."""
        self._is_ending.set()
        self.woken.set()
        if threading.current_thread() is not self._thread:  # in which the notifier was collected
            self._thread.join(_LONGEST_CLOSE_SECONDS)

    def _run(self) -> None:
        try:
            while self.is_asked or not self._is_ending.is_set():
                self.woken.wait()
                self.woken.clear()
                if self.is_asked:
                    self.is_asked = False  # before it is sent: who appends from now on asks again
                    self._send()
                    time.sleep(_SHORTEST_INTERVAL_SECONDS)
        finally:
            self._disconnect()

    def _send(self) -> None:
        backoff, is_lost = Backoff(_SHORTEST_PAUSE_SECONDS, LONGEST_WITHOUT_CONNECTION), False
        while True:
            try:
                if self._sender is None:
                    self._sender = self._connect()
                self._sender.send()
            except Exception as error:  # noqa: BLE001  # the append is stored, and those who listen also poll
                self._disconnect()
                if not is_lost:
                    kind = error_type(error)
                    _log.warning("appends can't be notified of (%s); retries", kind, extra={"error_type": kind})
                is_lost = True
                if self._is_ending.wait(backoff.pause()):
                    return
            else:
                return

    def _disconnect(self) -> None:
        sender, self._sender = self._sender, None
        if sender is not None:
            with suppress(Exception):  # it is lost
                sender.close()


class Notifier:
    """Sends notifications for one store, in a thread with a connection of its own. Thread-safe.

    A NOTIFY in the transaction of each append would make the commits of all writers queue for one lock of the server.
    This sends one after the commit, and at most one in five milliseconds. If it fails, it retries, and no append fails.
    The thread starts with the first append, also in a process that was forked, and ends with `close`, or the store.

    Args:
        connect: Opens a connection.
    """

    def __init__(self, connect: Callable[[], Sender]) -> None:
        self._connect = connect
        self._end: weakref.finalize[..., Notifier] | None = None
        self.start_fresh()
        start_fresh_after_fork(self)

    def start_fresh(self) -> None:
        """Start another thread at the next append, and leave the parent's connection alone."""
        if self._end is not None:
            self._end.detach()
        self._end = None
        self._lock = make_lock()
        self._sending: _Sending | None = None

    def notify(self) -> None:
        """Notify soon of what has been committed by now. It does not wait, and raises no error."""
        sending = self._sending
        if sending is None:
            sending = self._start()
        if sending is not None and not sending.is_asked:
            sending.is_asked = True
            sending.woken.set()

    def _start(self) -> _Sending | None:
        with self._lock:
            if self._sending is None:
                try:
                    self._sending = _Sending(self._connect)
                except RuntimeError:  # no thread can be started, for want of memory or because the interpreter ends
                    return None
                self._end = weakref.finalize(self, self._sending.end)
            return self._sending

    def close(self) -> None:
        """Send what is left to send, and close the connection. The next append opens another one."""
        with self._lock:
            end, self._end, self._sending = self._end, None, None
        if end is not None:
            end()


def notifying(notifier: Notifier | None) -> AppendHook:
    """Return the hook that notifies of appends: in a transaction by a statement, which takes effect at the commit.

    Args:
        notifier: Notifies of appends outside of transactions; None if a statement does that as well.
    """

    def notify_of(core: Core, _appended: Sequence[Appended]) -> None:
        execution = core.execution
        if execution.is_joined:
            with execution.statement() as run:
                core.dialect.notify(run)
        elif notifier is not None and execution.shares_reads:
            notifier.notify()
        else:
            try:
                with execution.statement() as run:
                    core.dialect.notify(run)
            except Exception as error:  # noqa: BLE001  # the append is stored
                kind = error_type(error)
                _log.warning("an append can't be notified of (%s)", kind, extra={"error_type": kind})

    return AppendHook(notify_of, in_transaction=False)
