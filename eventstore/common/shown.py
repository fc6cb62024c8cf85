"""Values as text for people, whatever they are: Python has no text for integers of many digits, or for deep nesting."""

from collections.abc import Callable
from typing import Any


def shown(value: Any, write: Callable[[Any], str] = repr) -> str:
    """Return a value as text.

    Args:
        value: The value.
        write: Writes it. If Python refuses that, an integer is written in hexadecimal digits, and of any other value
            only its type.
    """
    try:
        return write(value)
    except (ValueError, RecursionError) as error:  # the former: see sys.set_int_max_str_digits
        if isinstance(value, int):
            return hex(value)
        problem = "nested too deeply" if isinstance(error, RecursionError) else "with an integer of too many digits"
        return f"<{type(value).__name__}, {problem}>"
