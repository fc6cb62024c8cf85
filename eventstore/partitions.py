"""Partitions of a projection: which streams are in which, computed alike in Python and in SQL."""

from dataclasses import dataclass
from hashlib import sha256
from typing import Final

MAX_PARTITIONS: Final = 256

HASH_DIGITS: Final = 7
"""How many hexadecimal digits of the SHA-256 of a stream id are its hash; as bits, they fit into a positive INTEGER."""


def partition_of(stream_id: str, partitions: int) -> int:
    """Return the number of the partition that a stream is in, from 1.

    The hash is stored nowhere, but checkpoints depend on it: it must never change. SQL computes the same in
    `statements.postgresql.read_page`.
    """
    return int(sha256(stream_id.encode()).hexdigest()[:HASH_DIGITS], 16) % partitions + 1


@dataclass(frozen=True, slots=True)
class Partition:
    """A partition of a projection.

    Attributes:
        number: Its number, from 1.
        partitions: How many there are.
    """

    number: int
    partitions: int

    def has(self, stream_id: str) -> bool:
        """Return whether a stream is in it."""
        return partition_of(stream_id, self.partitions) == self.number
