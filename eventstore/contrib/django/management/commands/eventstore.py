"""`manage.py eventstore`: our own group of commands, on a database of the project."""

import sys
from argparse import REMAINDER
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from eventstore.contrib.django import configuration
from eventstore.contrib.django.engines import engine_of
from eventstore.errors import ExtraMissing
from eventstore.store import EventStore


class Command(BaseCommand):
    """Mounts the group: `manage.py eventstore [--database ALIAS] check --json`."""

    help = "The commands of the event store, on a database of this project. See: manage.py eventstore -- --help"
    requires_system_checks = ()

    def add_arguments(self, parser: Any) -> None:
        """Add the alias of the database, and pass the rest to the group."""
        parser.add_argument("--database", default="default", help="Alias of the database. Defaults to 'default'.")
        parser.add_argument("arguments", nargs=REMAINDER, help="A command of the group, with its options.")

    def handle(self, *, database: str, arguments: list[str], **_: Any) -> None:
        """Run the command with its exit code."""
        if arguments[:1] == ["--"]:
            arguments = arguments[1:]
        try:
            from eventstore.cli import make_group  # noqa: PLC0415  # needs an extra
        except ExtraMissing as missing:
            raise CommandError(str(missing)) from None
        group = make_group(lambda: EventStore(engine_of(database), **configuration.store_options()))
        try:
            group.main(args=arguments or ["--help"], prog_name="manage.py eventstore")
        except SystemExit as ended:
            if ended.code:
                sys.exit(ended.code)
