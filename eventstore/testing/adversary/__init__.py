"""A program that tries to make the readers of an event store miss, double or invert events.

`python -m eventstore.testing.adversary --url postgresql://…` attacks our store; `--adapter module:Class` any other, by
an `Adapter` of a few methods. It works in a schema, a database or a file of its own, which it makes and removes.
"""

from eventstore.testing.adversary.adapter import Adapter, Conflict, Delivered, Event, OpenAppend, Reader, Write

__all__ = ["Adapter", "Conflict", "Delivered", "Event", "OpenAppend", "Reader", "Write"]
