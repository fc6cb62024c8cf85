"""The search path of Django's connection, by which a project may have tenants, each with its own tables (PostgreSQL).

The tables belong where the project's `django_migrations` is, which says what was migrated there.
"""

from collections.abc import Callable, Hashable, Iterator
from contextlib import closing, contextmanager
from functools import cache
from typing import Any, Final, NamedTuple
from weakref import WeakSet

from django.db import connections, router
from django.db.backends.signals import connection_created

from eventstore.errors import SchemaMissing, TablesElsewhere, TablesPlace, UnsuitableSetting

_APP: Final = "eventstore"
_SHOW: Final = "SELECT current_setting('search_path')"
_SET: Final = "SELECT set_config('search_path', %s, false) WHERE current_setting('search_path') <> %s"
_PLACE: Final = """
SELECT
    tables.schema,
    project.schema,
    to_regclass(quote_ident(tables.schema) || '.django_migrations') IS NOT NULL,
    current_schema()::text,
    current_setting('search_path')
FROM (SELECT) AS one
LEFT JOIN (
    SELECT n.nspname::text AS schema FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.oid IN (to_regclass('es_schema'), to_regclass('es_alembic_version'))
    ORDER BY c.oid = to_regclass('es_schema') DESC LIMIT 1
) AS tables ON true
LEFT JOIN (
    SELECT n.nspname::text AS schema FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.oid = to_regclass('django_migrations')
) AS project ON true"""


class _Place(NamedTuple):
    """What unqualified names find on a connection.

    Attributes:
        tables: The schema in which they find our tables.
        project: The schema in which they find `django_migrations`.
        is_projects: Whether the schema of our tables has `django_migrations`, too, so that a project migrated it.
        first: The first existing schema of the path, in which new tables are created.
        path: The search path.
    """

    tables: str | None
    project: str | None
    is_projects: bool
    first: str | None
    path: str

    @property
    def expected(self) -> str | None:
        """The schema that the project at hand has its tables in, or will have."""
        return self.project or self.first


def known_path(connection: Any) -> Hashable:
    """Return what is known of a connection's search path without asking the server.

    It is the name of the tenant, with a backend such as that of django-tenants. Otherwise it is what the server reports
    when the path changes, which it does from PostgreSQL 18 on; None with an older one.
    """
    tenant: str | None = getattr(connection, "schema_name", None)
    if tenant is not None:
        return tenant
    raw = connection.connection
    return None if raw is None or raw.closed else raw.pgconn.parameter_status(b"search_path")


def path_source(using: str) -> Callable[[], str]:
    """Return a function that returns the search path of Django's connection of this thread, as it is now.

    If the connection is not open, it is not opened, because a process may fork later: then the function connects as
    Django does, and closes the connection again.
    """
    connection = connections[using]
    if connection.connection is not None:
        path = _ask(connection)
        return lambda: path
    tenant = getattr(connection, "tenant", None)

    @cache
    def ask() -> str:
        with closing(connections[using].copy()) as other:
            if tenant is not None:
                other.set_tenant(tenant)
            return _ask(other)

    return ask


def set_path(raw: Any, path: str) -> None:
    """Set the search path of a connection of psycopg's, unless it has it already; outside of a transaction."""
    raw.execute(_SET, (path, path))


def _ask(connection: Any) -> str:
    (path,) = _row(connection, _SHOW)
    return str(path)


def _row(connection: Any, sql: str) -> tuple[Any, ...]:
    with connection.cursor() as cursor:
        cursor.cursor.row_factory = connection.Database.rows.tuple_row  # whatever the connection's is
        cursor.execute(sql)
        row: tuple[Any, ...] = cursor.fetchone()
    return row


@contextmanager
def kept_in_threads(using: str) -> Iterator[Callable[[], None]]:
    """Yield a function that prepares a thread's own connection: it gets the search path of this thread's connection.

    It gets it whenever it connects, until the block ends. If this thread's connection is not open, nothing has set its
    path but what sets it on other connections, too.

    Raises:
        UnsuitableSetting: By the function: something sets another path on the thread's connection.
    """
    connection = connections[using]
    tenant: Any = getattr(connection, "tenant", None)
    is_set = connection.vendor == "postgresql" and connection.connection is not None
    path, prepared = _ask(connection) if is_set else None, WeakSet[Any]()

    def on_connect(connection: Any, **_: Any) -> None:
        if connection in prepared:
            with connection.cursor() as cursor:
                cursor.execute(_SET, (path, path))

    def prepare() -> None:
        own = connections[using]
        if tenant is not None:
            own.set_tenant(tenant)
        if path is not None:
            prepared.add(own)
            found = _ask(own)
            if found != path:
                problem = f"is {found!r} on a worker's connection, and {path!r} on that of the command"
                raise UnsuitableSetting("search_path", problem, "name each tenant's database by an alias of its own")

    connection_created.connect(on_connect)
    try:
        yield prepare
    finally:
        connection_created.disconnect(on_connect)


def schema_of_tables(connection: Any) -> str | None:
    """Return the schema that has the tables of the project on a connection, or will have them; None on SQLite."""
    place = _place(connection)
    if place is None or place.tables is None:
        return None if place is None else place.expected
    return place.expected if _are_anothers(place, connection) else place.tables


def schema_to_migrate(connection: Any) -> str | None:
    """Return the schema to migrate: the one with the project's `django_migrations`; None on SQLite.

    Raises:
        TablesElsewhere: The tables were created in another schema, by another way to migrate.
    """
    place = _place(connection)
    if place is None:
        return None
    if place.tables not in {None, place.expected} and not _are_anothers(place, connection):
        raise TablesElsewhere(str(place.tables), str(place.expected), place.path)
    return place.expected


def refuse_tables_of_another(connection: Any, tables: TablesPlace) -> None:
    """Refuse the tables that unqualified names find, if they are those of another tenant, or of all tenants.

    Raises:
        SchemaMissing: The project's own schema does not have them yet.
    """
    place = _place(connection)
    if place is not None and place.tables is not None and _are_anothers(place, connection):
        raise SchemaMissing(TablesPlace(tables.database, place.project, tables.remedy))


def _are_anothers(place: _Place, connection: Any) -> bool:
    """Return whether our tables were migrated by another project or tenant, although this one has them, too.

    Routers say whether it has: an app may be the tenants' own, or shared by all of them.
    """
    is_elsewhere = place.project not in {None, place.tables} and place.is_projects
    return is_elsewhere and bool(router.allow_migrate(connection.alias, _APP))


def _place(connection: Any) -> _Place | None:
    return _Place(*_row(connection, _PLACE)) if connection.vendor == "postgresql" else None
