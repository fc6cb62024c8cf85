"""Waiting until a server shows an event, so that one reads one's own writes on a standby.

The event itself is looked for, not a place in the server's log: no statement on the primary is needed, the wait goes on
if the standby is promoted or follows another primary, and if the event is lost by that, the wait says so. A standby
replays commits in their order, so it shows all that was committed before the event, too.
"""

import time
from typing import Final

from eventstore.common.backoff import Backoff
from eventstore.core.core import Core
from eventstore.errors import EventNotReached
from eventstore.tokens import PositionToken

_SHORTEST_PAUSE_SECONDS: Final = 0.001
_LONGEST_PAUSE_SECONDS: Final = 0.05


def wait_for_event(core: Core, token: PositionToken, *, timeout_seconds: float, settled: bool) -> None:
    """Wait until the server shows an event, and, if `settled`, until the global order is settled up to it.

    Raises:
        EventNotReached: The time is up.
        LogWentBack: The log does not have the event, and never will.
    """
    start, backoff = time.monotonic(), Backoff(_SHORTEST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS)
    while True:
        with core.execution.global_reading() as run:
            is_visible, horizon = core.settling.find(run, token, shares=core.execution.shares_reads)
        if is_visible and (not settled or horizon.settled >= token.position):
            return
        elapsed = time.monotonic() - start
        if elapsed >= timeout_seconds:
            raise EventNotReached(
                token.position,
                token.stream_id,
                token.version,
                newest=horizon.newest,
                settled=horizon.settled,
                is_visible=is_visible,
                waited_seconds=round(elapsed, 3),
            )
        core.driver.waiting.pause(min(backoff.pause(), timeout_seconds - elapsed))
