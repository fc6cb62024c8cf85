"""Partitions of es_events by position, on PostgreSQL: appends change small indexes, and old parts can be detached.

`enable` makes the log that is there the first part, online, and copies nothing. Run `add` regularly, so that there is
always a part for the next events. (docs/how-to/partitions.md)
"""

from eventstore.migrations.partitioning.adding import Added, add
from eventstore.migrations.partitioning.enabling import enable
from eventstore.migrations.partitioning.parts import parts, runway
from eventstore.parts import Detached, Part, PartState, Runway

__all__ = ["Added", "Detached", "Part", "PartState", "Runway", "add", "enable", "parts", "runway"]
