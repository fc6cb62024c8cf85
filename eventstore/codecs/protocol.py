"""What a codec is."""

from typing import Any, Protocol


class Codec(Protocol):
    """How data becomes bytes. Implement it to add a format of your own.

    Attributes:
        number: What is stored in the row: 1 to 63 are this package's, 64 to 255 are free.
    """

    @property
    def number(self) -> int:
        """What is stored in the row."""
        ...

    def encode(self, value: Any, *, typed: bool = False) -> bytes:
        """Return the value as bytes.

        Args:
            value: The data of one event, or the state of a snapshot.
            typed: Whether it is the data of a registered class, whose annotations bring enums and nested objects back.

        Raises:
            TypeError, ValueError, OverflowError, RecursionError: The value can't be stored exactly.
        """
        ...

    def decode(self, data: bytes) -> Any:
        """Return the value that was encoded, or raise any Exception."""
        ...
