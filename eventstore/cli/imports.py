"""Objects of the application that commands are given by name: `module:attribute`."""

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click


def imported(wanted: type | None, what: str) -> Callable[[click.Context, click.Parameter, str | None], Any]:
    """Return a callback for an option whose value is `package.module:attribute`, looked for in the current folder, too.

    Args:
        wanted: The class that the object is of; a function that makes one will do, and is called. None: it is a
            function that is called later.
        what: What it is, for the error.
    """

    def import_it(_ctx: click.Context, _parameter: click.Parameter, value: str | None) -> Any:
        if value is None:
            return None
        found = _imported(value)
        if wanted is not None and callable(found) and not isinstance(found, wanted):
            found = found()
        if not (callable(found) if wanted is None else isinstance(found, wanted)):
            msg = f"{value!r} is not {what}, but {type(found).__name__}"
            raise click.BadParameter(msg)
        return found

    return import_it


def _imported(name: str) -> Any:
    module_name, _, path = name.partition(":")
    if not module_name or not path:
        msg = f"{name!r} is not of the form package.module:attribute"
        raise click.BadParameter(msg)
    folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise  # the module is there, and imports another one that is not
        msg = f"there is no module {module_name!r}, neither installed nor in {folder}"
        raise click.BadParameter(msg) from None
    for attribute in path.split("."):
        if not hasattr(found, attribute):
            msg = f"{module_name!r} has no {path!r}"
            raise click.BadParameter(msg)
        found = getattr(found, attribute)
    return found
