"""The relay: events to elsewhere, at least once, in order within each stream, without an outbox table.

A `Relay` is a projection whose worker sends messages instead of calling handlers: to a function of yours, or to a
`webhook`. A `Message` is a CloudEvent.
"""

from eventstore.relay.messages import Message
from eventstore.relay.relay import Relay, RelayProjection
from eventstore.relay.signatures import is_signed, sign
from eventstore.relay.webhooks import Webhook, webhook

__all__ = ["Message", "Relay", "RelayProjection", "Webhook", "is_signed", "sign", "webhook"]
