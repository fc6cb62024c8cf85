"""What logs say of an error: its name and its place, but never its text, which may contain values."""

import sysconfig
import traceback
from pathlib import PurePath
from typing import Final

_LIBRARIES: Final = tuple(sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib"))


def error_type(error: BaseException) -> str:
    """Return the name of an error's class; for an SQLAlchemy error, that of the driver's error."""
    return type(getattr(error, "orig", None) or error).__name__


def place_of(error: BaseException) -> str:
    """Return where an error was raised, such as ` in orders.py, line 7`; empty if that is not known.

    If a library has raised it, it is the line of the application that has called the library.
    """
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not frame.filename.startswith(_LIBRARIES)] or frames
    return f" in {PurePath(own[-1].filename).name}, line {own[-1].lineno}" if own else ""
