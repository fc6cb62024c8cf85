"""A program that tries to make the readers of an event store miss, double or invert events.

`python -m eventstore.testing.adversary --url postgresql://…` attacks our store; `--adapter module:Class` another one,
through an `Adapter`. It works only in schemas, databases or files that it creates and removes itself.
"""

from eventstore.testing.adversary.adapter import Adapter, Conflict, Delivered, Event, OpenAppend, Reader, Write

__all__ = ["Adapter", "Conflict", "Delivered", "Event", "OpenAppend", "Reader", "Write"]
