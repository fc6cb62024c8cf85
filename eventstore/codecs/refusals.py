"""Why a value can't be stored, in texts that do not show the value."""

from typing import Final

NOT_EXACT: Final = "a type that is not stored exactly; convert it to a plain value, or register an event class"
TOO_DEEP: Final = "nested too deeply, or it contains itself"


class NotStorableError(TypeError):
    """A value can't be stored exactly. The text does not show the value."""
