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
from eventstore.core.notifier import notifying
from eventstore.core.options import CoreOptions
from eventstore.errors import InvalidInput, UnsupportedDatabase
from eventstore.observer import DatabaseAddress, configured_address
from eventstore.store import EventStore


class DjangoEventStore(EventStore):
    """An `EventStore` on Django's connection of the calling thread, in the atomic block that is open on it, if any.

    Get it by `get_store`. Threads can share it and keep it, because it holds no connection. Inside an atomic block it
    works as a store returned by `EventStore.join`. Outside of one it works in autocommit, and opens an atomic block if
    an append needs several statements.

    Args:
        using: The alias of the database.
        notify: As for `EventStore`.
        options: As for `EventStore`: `event_types`, `codec`, `also_reads`, `compress_above`, `page_size`.

    Raises:
        UnsupportedDatabase: The database is neither PostgreSQL with psycopg 3 nor SQLite.
        InvalidInput: An option is not valid.
    """

    def __init__(self, using: str = "default", *, notify: bool = False, **options: Unpack[CoreOptions]) -> None:
        self._using = using
        self._own_engine = self._notifier = None
        self._idle_readers = {}
        self._driver = driver = _driver_of(using, notify=notify)
        core = Core.of(
            driver, driver.dialect, lambda gate: DjangoExecution(using, driver, driver.gate(gate)), **options
        )
        hooks = (notifying(None), announcing(using)) if notify else (announcing(using),)
        self._use(replace(core, after_append=hooks))

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
            "a store on Django's connection has no SQLAlchemy engine; to migrate, or to subscribe with notify, "
            f"create one: engine_of({self._using!r})"
        )
        raise InvalidInput(msg)

    @property
    def address(self) -> DatabaseAddress:
        """Where the database is, for observers."""
        connection = connections[self._using]
        settings = connection.settings_dict
        return configured_address(
            connection.vendor,
            database=settings["NAME"],
            schema=None,
            host=settings["HOST"],
            port=settings["PORT"],
        )

    @property
    def connection(self) -> Any:
        """Django's connection, on which an atomic block is open.

        Raises:
            NotInTransaction: No atomic block is open.
        """
        return self.core.execution.connection

    def join(self, target: object) -> NoReturn:
        """Refuse.

        Raises:
            InvalidInput: Always, because it is in Django's transaction already.
        """
        msg = (
            f"a store on Django's connection can't join {type(target).__name__}, because it takes part in the open "
            "atomic block already; to join another transaction, use an EventStore on an engine"
        )
        raise InvalidInput(msg)

    def subscribe(self, *filters: Any, notify: bool = False, **options: Any) -> Any:
        """Subscribe, by polling on Django's connection; see `EventStore.subscribe`.

        Raises:
            InvalidInput: With `notify`, because listening needs a dedicated connection. Use
                `EventStore(engine_of(using))`.
        """
        if notify:
            msg = (
                "a store on Django's connection can't listen for notifications, which needs a dedicated connection; "
                f"subscribe with EventStore(engine_of({self._using!r})), or without notify"
            )
            raise InvalidInput(msg)
        return super().subscribe(*filters, **options)

    def health(self, **_: Any) -> NoReturn:
        """Refuse.

        Raises:
            InvalidInput: Always, because the check needs a separate connection. Use
                `EventStore(engine_of(using)).health()`.
        """
        msg = (
            "a store on Django's connection has no separate connection to check it; "
            f"use EventStore(engine_of({self._using!r})).health()"
        )
        raise InvalidInput(msg)

    def archive_stream(self, *_: Any, **__: Any) -> NoReturn:
        """Refuse.

        Raises:
            InvalidInput: Always, because the archive is compared with this database by the engines. Use
                `EventStore(engine_of(using)).archive_stream(…)`.
        """
        msg = f"a store on Django's connection archives no streams; use EventStore(engine_of({self._using!r}))"
        raise InvalidInput(msg)

    @contextmanager
    def emptying(self) -> Iterator[None]:
        """Allow statements to empty our tables in any order, in the open transaction, for `manage.py flush` and tests.

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
    check_flag("notify", notify)
    if connection.vendor == "postgresql":
        if connection.Database.__name__ != "psycopg":
            raise UnsupportedDatabase(f"postgresql+{connection.Database.__name__}")
        from eventstore.contrib.django.postgresql import DjangoPostgreSQL  # noqa: PLC0415  # imports the driver

        return DjangoPostgreSQL(using)
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
        using: The alias of the database. Defaults to the one that your database routers choose for writing events, or
            `default` if there are no routers.

    Raises:
        ImproperlyConfigured: The setting is wrong.
        UnsupportedDatabase: The database is neither PostgreSQL with psycopg 3 nor SQLite.
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
    """Forget the stores, so that the next use creates them with the present settings."""
    _store_of.cache_clear()
