"""`manage.py flush`, which Django's test cases also use to empty the tables, including our events."""

from typing import Any

from django.core.management.commands import flush
from django.db import connections

from eventstore.contrib.django.command_errors import command_errors
from eventstore.contrib.django.connections import refuse_manual_transactions
from eventstore.contrib.django.models import Event
from eventstore.contrib.django.store import get_store


class Command(flush.Command):
    """Django's command, with permission to empty our tables in the same transaction."""

    def handle(self, **options: Any) -> None:
        """Empty the tables.

        Raises:
            CommandError: The tables can't be emptied.
        """
        connection = connections[options["database"]]
        if Event._meta.db_table not in connection.introspection.table_names():  # noqa: SLF001  # Django's own API
            super().handle(**options)
            return
        with command_errors():
            refuse_manual_transactions(connection)
        store = get_store(connection.alias)
        is_ours = False

        def allowed(execute: Any, sql: str, parameters: Any, many: bool, context: Any) -> Any:  # Django's
            """Wrap the statements of the transaction, and only these: before it, the command may ask for input."""
            nonlocal is_ours
            if is_ours or not connection.in_atomic_block:
                return execute(sql, parameters, many, context)
            is_ours = True
            try:
                with store.emptying():
                    return execute(sql, parameters, many, context)
            finally:
                is_ours = False

        with connection.execute_wrapper(allowed):
            super().handle(**options)
