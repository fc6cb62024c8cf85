"""A SQLAlchemy engine for a database of Django's, with separate connections, to migrate or to listen."""

from typing import Any

from django.db import connections
from sqlalchemy import URL, Engine, NullPool, create_engine

from eventstore.contrib.django.search_path import path_source, set_path
from eventstore.errors import InvalidInput, UnsupportedDatabase

_DJANGOS_OWN = ("context", "cursor_factory", "prepare_threshold")


def engine_of(using: str = "default") -> Engine:
    """Return an engine that connects as Django does, in addition to Django's connection. It keeps no connection open.

    On PostgreSQL its connections have the search path that this thread's connection of Django's has now, so that the
    engine leads to the tables of the same tenant. Make one for each tenant.

    Args:
        using: The alias of the database.

    Raises:
        UnsupportedDatabase: It is neither PostgreSQL with psycopg 3 nor SQLite.
        InvalidInput: It is in the memory of one connection, so a second connection can't reach it.
    """
    connection = connections[using]
    if connection.vendor == "sqlite":
        return create_engine(
            _sqlite_url(str(connection.settings_dict["NAME"])), poolclass=NullPool, hide_parameters=True
        )
    if connection.vendor != "postgresql" or connection.Database.__name__ != "psycopg":
        raise UnsupportedDatabase(f"{connection.vendor}+{connection.Database.__name__}")
    driver = connection.Database
    path = path_source(using)

    def connect() -> Any:
        parameters = connections[using].get_connection_params()  # for each connection: passwords may be short-lived
        raw = driver.connect(**{name: value for name, value in parameters.items() if name not in _DJANGOS_OWN})
        role = connection.settings_dict["OPTIONS"].get("assume_role")
        if role:
            raw.execute(driver.sql.SQL("SET ROLE {}").format(driver.sql.Identifier(role)))
        set_path(raw, path())
        raw.commit()
        return raw

    settings = connection.settings_dict
    url = URL.create(  # names the database, but is not used to connect
        "postgresql+psycopg",
        username=settings["USER"] or None,
        host=settings["HOST"] or None,
        port=int(settings["PORT"]) if settings["PORT"] else None,
        database=settings["NAME"] or None,
    )
    return create_engine(url, creator=connect, poolclass=NullPool, hide_parameters=True)


def _sqlite_url(name: str) -> str:
    if name == ":memory:":
        msg = (
            "a database in the memory of one connection can't be migrated by another; "
            'use a file, or "file:shop?mode=memory&cache=shared"'
        )
        raise InvalidInput(msg)
    if not name.startswith("file:"):
        return f"sqlite:///{name}"
    return f"sqlite:///{name}{'&' if '?' in name else '?'}uri=true"
