"""The command group `eventstore` as a part of `flask`, on the application's own database."""

import copy
from collections.abc import Mapping
from typing import Final, TypeVar

import click

from eventstore.cli import main

Command = TypeVar("Command", bound=click.Command)

_HELP: Final = """The event store of this application.

The database is the application's own, unless --url names another one.

Exit codes: as those of the command eventstore.
"""


def mounted(name: str, settings: Mapping[str, str | None]) -> click.Group:
    """Return our command group under another name, with settings of the application in place of the environment's.

    What the environment says may be meant for another database than the one that the application works with.

    Args:
        name: Of the group.
        settings: Values of options, by the names of their parameters.
    """
    group = _on_application(main, settings)
    group.name = name
    group.help = _HELP
    return group


def _on_application(command: Command, settings: Mapping[str, str | None]) -> Command:
    command = copy.copy(command)
    command.params = [_set(parameter, settings) for parameter in command.params]
    if isinstance(command, click.Group):
        command.commands = {name: _on_application(inner, settings) for name, inner in command.commands.items()}
    return command


def _set(parameter: click.Parameter, settings: Mapping[str, str | None]) -> click.Parameter:
    if parameter.name not in settings:
        return parameter
    parameter = copy.copy(parameter)
    parameter.default = settings[parameter.name]
    parameter.required = False
    parameter.envvar = None
    return parameter
