"""Values as text for people, whatever they are: Python has no text for integers of many digits, or for deep nesting."""

from typing import Any


def shown_number(value: float) -> str:
    """Return a number in decimal digits; an integer that is too long for Python to do so, in hexadecimal ones."""
    try:
        return repr(value)
    except ValueError:  # see sys.set_int_max_str_digits
        return hex(int(value))


def shown(value: Any) -> str:
    """Return the representation of a value; only its type, if it has none."""
    if isinstance(value, int | float):
        return shown_number(value)
    try:
        return repr(value)
    except (ValueError, RecursionError) as error:
        problem = "nested too deeply" if isinstance(error, RecursionError) else "with an integer of too many digits"
        return f"<{type(value).__name__}, {problem}>"
