"""The protocol of codecs."""

from typing import Any, Protocol


class Codec(Protocol):
    """Turns data into bytes and back. Implement it to add another format.

    Attributes:
        number: The number that is stored in each row. 1 to 63 are reserved for this package, 64 to 255 are free.
    """

    @property
    def number(self) -> int:
        """The number that is stored in each row."""
        ...

    def encode(self, value: Any, *, typed: bool = False) -> bytes:
        """Return the value as bytes.

        Args:
            value: The data of one event, or the state of a snapshot.
            typed: Whether it is the data of a registered class, whose annotations restore enums and nested objects.

        Raises:
            TypeError, ValueError, OverflowError, RecursionError: The value can't be stored exactly.
        """
        ...

    def decode(self, data: bytes) -> Any:
        """Return the value that was encoded, or raise any Exception."""
        ...
