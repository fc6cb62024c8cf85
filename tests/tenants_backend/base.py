from typing import Any

from django.db.backends.postgresql.base import DatabaseWrapper as PostgreSQL


class DatabaseWrapper(PostgreSQL):
    """Sets the search path of `tenant` before each cursor, and not before; `schema_name` tells which one."""

    tenant: str | None = None
    schema_name = "public"

    def set_tenant(self, tenant: str) -> None:
        self.tenant = self.schema_name = tenant

    def cursor(self) -> Any:
        self.ensure_connection()
        with self._cursor() as cursor:
            cursor.execute(f"SET search_path TO {self.schema_name}, public")
        return self._cursor()
