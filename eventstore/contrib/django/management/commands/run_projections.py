"""`manage.py run_projections`: the workers of a project."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import connections

from eventstore.common.exit_codes import exit_code
from eventstore.contrib.django import configuration
from eventstore.contrib.django.command_errors import command_errors
from eventstore.contrib.django.search_path import kept_in_threads
from eventstore.contrib.django.store import get_store
from eventstore.errors import EventStoreError
from eventstore.projections import Projection, Worker, Workers


class Command(BaseCommand):
    """Runs projections, each in a separate thread with a separate connection of Django's."""

    help = "Run the projections of the setting EVENTSTORE until SIGTERM or Ctrl-C."

    def add_arguments(self, parser: Any) -> None:
        """Add the names, the alias of the database, and the options of workers."""
        parser.add_argument("names", nargs="*", metavar="NAME", help="The projections to run. Defaults to all.")
        parser.add_argument(
            "--database",
            default=None,
            choices=tuple(connections),
            help="Alias of the database. Defaults to the store's own.",
        )
        parser.add_argument(
            "--once", action="store_true", help="Handle the events stored by now and return, without waiting for more."
        )
        parser.add_argument("--batch-size", type=int, help="How many events a transaction has at most.")

    def handle(self, *, names: list[str], database: str | None, once: bool, batch_size: int | None, **_: Any) -> None:
        """Run them. If one fails, stop the others and fail, so that the process supervisor can restart the command.

        Raises:
            CommandError: A projection has failed, or an argument is not valid.
        """
        with command_errors():
            store = get_store(database)
            workers = [Worker(store, projection, batch_size=batch_size) for projection in _chosen(names)]
            with kept_in_threads(store.using) as prepare:
                together = Workers(
                    *workers, stop_on_failure=True, thread_context=lambda: _connections_of_thread(prepare)
                )
                in_main_thread = threading.current_thread() is threading.main_thread()
                run = together.run_until_caught_up if once else together.run_forever
                try:
                    run(handle_signals=in_main_thread)
                except Exception:
                    if not together.failures:
                        raise
        failures = together.failures
        if failures:
            lines = [f"{name}: {_description(error)}" for name, error in failures.items()]
            first = next(iter(failures.values()))
            raise CommandError("\n".join(lines), returncode=exit_code(first)) from first


@contextmanager
def _connections_of_thread(prepare: Callable[[], None]) -> Iterator[None]:
    """Give a thread connections of its own, for the tenant that the command is at work for, and close them."""
    try:
        prepare()
        yield
    finally:
        connections.close_all()


def _description(error: Exception) -> str:
    """Return the text of an error of ours; only the name of another one, whose text may contain payload."""
    return str(error) if isinstance(error, EventStoreError) else type(error).__name__


def _chosen(names: list[str]) -> list[Projection]:
    known = {projection.name: projection for projection in configuration.projections()}
    unknown = [name for name in names if name not in known]
    if unknown or not known:
        there_are = ", ".join(known) or "none"
        msg = (
            f"{configuration.NAME}['PROJECTIONS'] has no {', '.join(unknown) or 'projections'}; there are: {there_are}"
        )
        raise CommandError(msg)
    return [known[name] for name in names] or list(known.values())
