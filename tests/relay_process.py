"""A relay of the tests, to be run in a process of its own, and killed."""

from typing import Final

from eventstore import EventStore
from eventstore.backends import engine_for
from eventstore.relay import Relay, webhook
from tests.webhook_receiver import SECRET

EVENTS_AT_ONCE: Final = 5


def run(url: str, port: int) -> None:
    """Send to a receiver on a port, until killed."""
    to = webhook(f"http://127.0.0.1:{port}/", SECRET, allow_http=True, timeout_seconds=60)
    store = EventStore(engine_for(url))
    Relay(store, "out", to=to, events_at_once=EVENTS_AT_ONCE, attempts=1, backoff_seconds=0.01).run_forever()
