"""Why a value can't be stored: texts that show nothing of it."""

from typing import Final

NOT_EXACT: Final = "a type that is not stored exactly; convert it to a plain value, or register an event class"
TOO_DEEP: Final = "nested too deeply, or it contains itself"


class NotStorableError(TypeError):
    """A value can't be stored exactly. The text is ours and shows nothing of it."""
