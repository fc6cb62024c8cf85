"""`manage.py eventstore`: our own group of commands, on a database of the project."""

import sys
from argparse import REMAINDER
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError, connections

from eventstore.contrib.django import configuration
from eventstore.contrib.django.command_errors import command_errors
from eventstore.contrib.django.engines import engine_of
from eventstore.contrib.django.search_path import schema_of_tables
from eventstore.store import EventStore


class Command(BaseCommand):
    """Mounts the group: `manage.py eventstore [--database ALIAS] check --json`."""

    help = "The commands of the event store, on a database of this project. See: manage.py eventstore -- --help"
    requires_system_checks = ()

    def add_arguments(self, parser: Any) -> None:
        """Add the alias of the database, and pass the rest to the group."""
        parser.add_argument(
            "--database",
            default="default",
            choices=tuple(connections),
            help="Alias of the database. Defaults to 'default'.",
        )
        parser.add_argument("arguments", nargs=REMAINDER, help="A command of the group, with its options.")

    def handle(self, *, database: str, arguments: list[str], **_: Any) -> None:
        """Run the command with its exit code.

        Raises:
            CommandError: It has failed, and has printed why; called by `call_command`, which must not end the process.
        """
        if arguments[:1] == ["--"]:
            arguments = arguments[1:]
        with command_errors():
            from eventstore.cli import make_group  # noqa: PLC0415  # needs an extra

        group = make_group(lambda: _store(database))
        try:
            group.main(args=arguments or ["--help"], prog_name="manage.py eventstore")
        except SystemExit as ended:
            if not ended.code:
                return
            if self._called_from_command_line:
                sys.exit(ended.code)
            msg = f"`eventstore {' '.join(arguments)}` has ended with exit code {ended.code}, and has printed why"
            raise CommandError(msg, returncode=ended.code) from None


def _store(using: str) -> EventStore:
    """Return a store on an engine, whose tables are those that the project's own store finds on Django's connection."""
    engine = engine_of(using)
    try:
        schema = schema_of_tables(connections[using])
    except DatabaseError as error:
        raise CommandError(str(error).strip()) from error
    return EventStore(engine, schema=schema, **configuration.store_options())
