"""How commands of manage.py fail: a CommandError in one line, with an exit code, in place of a traceback."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.core.management import CommandError
from sqlalchemy.exc import SQLAlchemyError

from eventstore.common.exit_codes import exit_code
from eventstore.errors import EventStoreError


@contextmanager
def command_errors() -> Iterator[None]:
    """Raise a CommandError in place of our errors, and of those of the engine that commands use.

    Its `returncode` is that of the [command line](../reference/command-line.md), and its cause is the error.
    """
    try:
        yield
    except (EventStoreError, SQLAlchemyError) as error:
        text = str(getattr(error, "orig", None) or error).strip()  # without SQL, parameters and links
        raise CommandError(text, returncode=exit_code(error)) from error
