"""The store of a Django project."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from typing import Any, NoReturn, Unpack

from django.apps import apps
from django.db import connections, router

from eventstore.common.validation import check_flag
from eventstore.contrib.django import configuration
from eventstore.contrib.django.connections import DjangoDriver, announcing
from eventstore.contrib.django.execution import DjangoExecution
from eventstore.core.core import Core
from eventstore.core.options import CoreOptions
from eventstore.errors import InvalidInput, UnsupportedDatabase
from eventstore.store import EventStore


class DjangoEventStore(EventStore):
    """An `EventStore` on Django's connection of the calling thread, in whatever atomic block is open on it.

    Get it by `get_store`. Share it, and keep it as long as you like: it holds no connection. Inside an atomic block it
    is what `EventStore.join` returns, outside of one it works in autocommit, and opens an atomic block of its own where
    an append needs several statements.

    Args:
        using: The alias of the database.
        notify: As for `EventStore`.
        options: As for `EventStore`: `event_types`, `codec`, `also_reads`, `compress_above`, `page_size`.

    Raises:
        UnsupportedDatabase: The database is neither PostgreSQL by psycopg 3 nor SQLite.
        InvalidInput: An option is not valid.
    """

    def __init__(self, using: str = "default", *, notify: bool = False, **options: Unpack[CoreOptions]) -> None:
        self._using = using
        self._own_engine = None
        self._driver = driver = _driver_of(using, notify=notify)
        core = Core.of(driver, driver.dialect, lambda gate: DjangoExecution(using, driver, gate), **options)
        self._use(replace(core, after_append=(announcing(using),)))

    @property
    def using(self) -> str:
        """The alias of the database."""
        return self._using

    @property
    def engine(self) -> NoReturn:
        """Refuse.

        Raises:
            InvalidInput: Always; see `engine_of`.
        """
        msg = (
            "a store on Django's connection has no engine of SQLAlchemy; to migrate, or to subscribe with notify, "
            f"make one: engine_of({self._using!r})"
        )
        raise InvalidInput(msg)

    @property
    def connection(self) -> Any:
        """Django's connection, of the atomic block that is open on it.

        Raises:
            NotInTransaction: None is open.
        """
        return self.core.execution.connection

    def join(self, target: object) -> NoReturn:
        """Refuse.

        Raises:
            InvalidInput: Always: it is in Django's transaction already.
        """
        msg = (
            f"a store on Django's connection can't join {type(target).__name__}: it is in the atomic block that is "
            "open on that connection already; or make an EventStore of an engine, and join with that"
        )
        raise InvalidInput(msg)

    def subscribe(self, *filters: Any, notify: bool = False, **options: Any) -> Any:
        """Subscribe, by polling on Django's connection; see `EventStore.subscribe`.

        Raises:
            InvalidInput: With `notify`: to listen takes a connection of its own. Use `EventStore(engine_of(using))`.
        """
        if notify:
            msg = (
                "a store on Django's connection can't listen for notifications, which takes a connection of its own; "
                f"subscribe with EventStore(engine_of({self._using!r})), or by polling"
            )
            raise InvalidInput(msg)
        return super().subscribe(*filters, **options)

    def health(self, **_: Any) -> NoReturn:
        """Refuse.

        Raises:
            InvalidInput: Always: to look takes a connection of its own. Use `EventStore(engine_of(using)).health()`.
        """
        msg = (
            "a store on Django's connection can't look at it from outside; "
            f"use EventStore(engine_of({self._using!r})).health()"
        )
        raise InvalidInput(msg)

    @contextmanager
    def emptying(self) -> Iterator[None]:
        """Let statements empty our tables, in any order, in the open transaction: for `manage.py flush`, and tests.

        Raises:
            NotInTransaction: No atomic block is open.
            SchemaOutdated: The tables are older than `es_0006`.
        """
        self._driver.defer_foreign_keys(self.connection)
        with self.allow_history_changes():
            yield

    def __repr__(self) -> str:
        return f"<DjangoEventStore using={self._using!r}>"


def _driver_of(using: str, *, notify: bool) -> DjangoDriver:
    connection = connections[using]
    if connection.vendor == "postgresql":
        if connection.Database.__name__ != "psycopg":
            raise UnsupportedDatabase(f"postgresql+{connection.Database.__name__}")
        from eventstore.contrib.django.postgresql import DjangoPostgreSQL  # noqa: PLC0415  # imports the driver

        return DjangoPostgreSQL(using, notify=check_flag("notify", notify))
    if connection.vendor == "sqlite":
        from eventstore.backends.sqlite.connections import NO_NOTIFICATIONS  # noqa: PLC0415  # imports the driver
        from eventstore.contrib.django.sqlite import DjangoSQLite  # noqa: PLC0415

        if notify:
            raise InvalidInput(NO_NOTIFICATIONS)
        return DjangoSQLite(using)
    raise UnsupportedDatabase(connection.vendor)


def get_store(using: str | None = None) -> DjangoEventStore:
    """Return the store of a database, with the options of the setting `EVENTSTORE`.

    Args:
        using: The alias of the database. Defaults to the one that your database routers give for writing events:
            `default`, where there are none.

    Raises:
        ImproperlyConfigured: The setting is wrong.
        UnsupportedDatabase: The database is neither PostgreSQL by psycopg 3 nor SQLite.
        InvalidInput: An option in the setting is not valid.

    Example:
        ```python
        with transaction.atomic():
            order.save()
            get_store().append(order.stream_id, events, expected_version=order.version)
        ```
    """
    return _store_of(using or router.db_for_write(apps.get_model("eventstore", "Event")))


@cache
def _store_of(using: str) -> DjangoEventStore:
    return DjangoEventStore(using, **configuration.store_options())


def forget_stores() -> None:
    """Make stores anew, after a change of settings."""
    _store_of.cache_clear()
