"""Options that name an object of the application: `module:attribute`."""

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click


def imported(class_: type | None, what: str) -> Callable[[click.Context, click.Parameter, str | None], Any]:
    """Return a callback for an option whose value is `package.module:attribute`. The current folder is searched, too.

    Args:
        class_: The class of the object; a function that returns one is called. None: the object is a function that is
            called later.
        what: What the object must be, for the error.
    """

    def import_it(_ctx: click.Context, _parameter: click.Parameter, value: str | None) -> Any:
        if value is None:
            return None
        target = _imported(value)
        if class_ is not None and callable(target) and not isinstance(target, class_):
            target = _made(target, value)
        if not (callable(target) if class_ is None else isinstance(target, class_)):
            msg = f"{value!r} is not {what}, but {type(target).__name__}"
            raise click.BadParameter(msg)
        return target

    return import_it


def _made(function: Callable[[], Any], name: str) -> Any:
    try:
        return function()
    except TypeError as error:
        if error.__traceback__ is None or error.__traceback__.tb_next is not None:
            raise  # the function was called, and has failed itself
        msg = f"{name!r} is called without arguments, but needs some: {error}"
        raise click.BadParameter(msg) from None


def _imported(name: str) -> Any:
    module_name, _, path = name.partition(":")
    if not module_name or not path:
        msg = f"{name!r} is not of the form package.module:attribute"
        raise click.BadParameter(msg)
    folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        target: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise  # the module exists, but imports a module that does not
        msg = f"there is no module {module_name!r}, neither installed nor in {folder}"
        raise click.BadParameter(msg) from None
    for attribute in path.split("."):
        if not hasattr(target, attribute):
            msg = f"module {module_name!r} has no attribute {path!r}"
            raise click.BadParameter(msg)
        target = getattr(target, attribute)
    return target
