"""`manage.py flush`, by which Django's test cases empty the tables too: events are among what it deletes."""

from typing import Any

from django.core.management.commands import flush
from django.db import connections

from eventstore.contrib.django.store import get_store


class Command(flush.Command):
    """Django's own, with what our tables ask for in the same transaction."""

    def handle(self, **options: Any) -> None:
        """Empty the tables."""
        connection = connections[options["database"]]
        store = get_store(connection.alias)
        is_ours = False

        def allowed(execute: Any, sql: str, parameters: Any, many: bool, context: Any) -> Any:  # Django's
            """Come around each statement of the transaction: not before, as a human may be asked before it."""
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
