"""Making the views, and comparing them with those that are there."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from sqlalchemy import Connection, Engine, func, select, text
from sqlalchemy.exc import DBAPIError

from eventstore.backends import check_engine
from eventstore.codecs import JSONCodec
from eventstore.common.validation import check_schema_name
from eventstore.errors import InvalidInput, ViewTaken
from eventstore.event_types import EventTypes
from eventstore.event_types.registry import check_registry
from eventstore.migrations.partitioning.indexes import build_index
from eventstore.migrations.refusals import refusals
from eventstore.tables import Tables, define_tables
from eventstore.views import django_models, on_postgresql, on_sqlite
from eventstore.views.definitions import Renamed, View, ViewColumn, define_views

_MARK: Final = "sqlalchemy-eventstore, views:"
"""The beginning of the comment by which a view is known as one of these (PostgreSQL)."""
_DEPENDENTS: Final = "2BP01"
_NO_PARAMETERS: Final = {"no_parameters": True}
_run: Final = partial(Connection.exec_driver_sql, execution_options=_NO_PARAMETERS)


@dataclass(frozen=True, slots=True)
class ViewChange:
    """A view or an index that is not there as it should be.

    Attributes:
        name: The name of the view or index.
        event_type: The type of the events that it shows.
        sql: The statement that creates it.
        is_index: Whether it is an index.
        replaces: Whether there is an older definition of it.
    """

    name: str
    event_type: str
    sql: str
    is_index: bool
    replaces: bool


@dataclass(frozen=True, slots=True)
class Counted:
    """How many events of a type a view shows, and how many it can't show.

    Attributes:
        name: The name of the view.
        event_type: The type of the events.
        shown: How many it shows.
        other_codec: How many have a payload that SQL can't read: MessagePack, compressed, or of a codec of yours.
        other_version: How many have another schema version than the view shows.
    """

    name: str
    event_type: str
    shown: int
    other_codec: int
    other_version: int


class EventViews:
    """The views of an application's event types: one for each registered class, with a column for each field.

    A view shows events whose payload is JSON and not compressed (`EventStore(…, codec=JSONCodec())`), and which have
    the schema version of the class: SQL can't apply upcasters. `count` counts the others.

    Args:
        event_types: The registry.
        schema: The PostgreSQL schema of the tables, where the views are made, too. Defaults to None: the first of the
            search path.
        prefix: What the names of the views begin with, such as `shop_`.
        renamed: Event types whose older schema versions are shown, too, each with the older keys of fields that were
            renamed: `{"order-placed": {"customer": "client"}}`. Fields that an older version does not have are NULL.
        indexes: Fields to have an index on, as `event type.field`. An index makes appends of this type dearer, and a
            value that the type of the column can't hold, such as an integer of more than 64 bits, lets them fail.
        readers: Roles that may read the views (PostgreSQL). They need no rights on es_events.

    Raises:
        InvalidInput: An argument is not valid, or two views would have the same name.
    """

    def __init__(
        self,
        event_types: EventTypes,
        *,
        schema: str | None = None,
        prefix: str = "",
        renamed: Renamed | None = None,
        indexes: Iterable[str] = (),
        readers: Iterable[str] = (),
    ) -> None:
        self._tables = define_tables(schema=check_schema_name(schema))
        self._views = define_views(check_registry(event_types), prefix=prefix, renamed=renamed)
        self._indexes = [self._index(each) for each in indexes]
        self._indexed = {
            _index_name(view, column): on_postgresql.indexed(view, column, self._tables)
            for view, column in self._indexes
        }
        self._readers = list(readers)

    def sql(self, database: str = "postgresql") -> str:
        """Return all statements for a new database, as a script.

        Args:
            database: `"postgresql"` or `"sqlite"`.
        """
        return "\n".join(f"{statement};\n" for statement in self._statements(_checked(database)))

    def django_models(self, database: str = "postgresql") -> str:
        """Return the source code of unmanaged Django models of the views.

        Args:
            database: As for `sql`.
        """
        return django_models.models(self._views, _checked(database))

    def check(self, engine: Engine) -> list[ViewChange]:
        """Return the views and indexes that are not there, or differ from the classes; empty if all is as it should be.

        Raises:
            ViewTaken: A name belongs to an object that was not made by this class.
        """
        check_engine(engine)
        with engine.connect() as connection:
            return [*self._changed_views(connection), *self._missing_indexes(connection)]

    def apply(self, engine: Engine) -> list[ViewChange]:
        """Make the views and indexes that are not there, and replace views that differ.

        Views are made in one transaction, indexes one by one after it, on PostgreSQL without blocking appends; an index
        waits for all transactions that began before it.

        Returns:
            What was made.

        Raises:
            ViewTaken: A name belongs to an object that was not made by this class, or an object of yours depends on a
                view that has to be replaced. Nothing was done.
            PermissionDenied: The database user may not do this.
            TableLocked: The log is partitioned, and its locks were not free in ten minutes. The views are made.
        """
        with refusals(engine, self._tables.metadata.schema):
            with engine.begin() as connection:
                changes = self._make_views(connection)
            with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                missing = self._missing_indexes(connection)
                if not self._is_partitioned(connection):
                    for change in missing:
                        if change.replaces:
                            _run(connection, f"DROP INDEX CONCURRENTLY {self._in_schema(change.name)}")
                        _run(connection, change.sql)
                    return [*changes, *missing]
            for change in missing:
                build_index(engine, change.name, self._indexed[change.name], schema=self._tables.metadata.schema)
        return [*changes, *missing]

    def count(self, engine: Engine) -> list[Counted]:
        """Return how many events each view shows, and how many it can't show. Reads all events of these types."""
        check_engine(engine)
        events = self._tables.events.c
        query = select(events.event_type, events.codec, events.schema_version, func.count().label("number"))
        types = [view.event_type for view in self._views]
        query = query.where(events.event_type.in_(types)).group_by(*list(query.selected_columns)[:3])
        with engine.connect() as connection:
            rows = connection.execute(query).all()
        return [
            _counted(view, [tuple(row) for row in rows if row.event_type == view.event_type]) for view in self._views
        ]

    def _statements(self, database: str) -> Iterator[str]:
        if database == "postgresql":
            yield from on_postgresql.functions(self._tables)
        for view in self._views:
            yield self._create(view, database)
            if database == "postgresql":
                yield from self._notes(view)
        for view, column in self._indexes:
            yield self._create_index(view, column, database)

    def _create(self, view: View, database: str) -> str:
        return on_sqlite.create_view(view) if database == "sqlite" else on_postgresql.create_view(view, self._tables)

    def _create_index(self, view: View, column: ViewColumn, database: str) -> str:
        name = _index_name(view, column)
        if database == "sqlite":
            return on_sqlite.create_index(name, view, column)
        return on_postgresql.create_index(name, view, column, self._tables)

    def _notes(self, view: View) -> Iterator[str]:
        yield on_postgresql.comment(view, _mark(view, self._tables), self._tables)
        for role in self._readers:
            yield on_postgresql.grant(view, role, self._tables)

    def _index(self, name: str) -> tuple[View, ViewColumn]:
        event_type, _, field = name.rpartition(".")
        for view in self._views:
            if view.event_type == event_type:
                return view, view.column(field)
        msg = f"{name!r} is not of the form event type.field, or no class is registered for {event_type!r}"
        raise InvalidInput(msg)

    def _in_schema(self, name: str) -> str:
        return on_postgresql.name_of(name, self._tables)

    # --- what is there

    def _changed_views(self, connection: Connection) -> list[ViewChange]:
        is_sqlite = connection.dialect.name == "sqlite"
        found = _found_on_sqlite(connection) if is_sqlite else self._found_on_postgresql(connection)
        changes = []
        for view in self._views:
            sql = self._create(view, connection.dialect.name)
            kind, definition = found.get(view.name, (None, None))
            if kind not in {None, "view"} or (not is_sqlite and kind and not (definition or "").startswith(_MARK)):
                raise ViewTaken(view.name, f"there is a {kind} of that name that is not one of these views")
            if kind is None or definition != (sql if is_sqlite else _mark(view, self._tables)):
                changes.append(ViewChange(view.name, view.event_type, sql, is_index=False, replaces=kind is not None))
        return changes

    def _found_on_postgresql(self, connection: Connection) -> dict[str, tuple[str, str | None]]:
        names = {view.name: self._in_schema(view.name) for view in self._views}
        rows = connection.execute(
            text(
                "SELECT wanted.name, CASE c.relkind WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' "
                "WHEN 'i' THEN 'index' WHEN 'S' THEN 'sequence' ELSE 'table' END, obj_description(c.oid, 'pg_class') "
                "FROM unnest(CAST(:names AS text[]), CAST(:qualified AS text[])) AS wanted(name, qualified) "
                "JOIN pg_class AS c ON c.oid = to_regclass(wanted.qualified)"
            ),
            {"names": list(names), "qualified": list(names.values())},
        )
        return {name: (kind, comment) for name, kind, comment in rows}

    def _missing_indexes(self, connection: Connection) -> list[ViewChange]:
        changes = []
        for view, column in self._indexes:
            name = _index_name(view, column)
            state = self._state_of_index(connection, name)
            if state != "valid":
                sql = self._create_index(view, column, connection.dialect.name)
                changes.append(ViewChange(name, view.event_type, sql, is_index=True, replaces=state == "invalid"))
        return changes

    def _state_of_index(self, connection: Connection, name: str) -> str | None:
        if connection.dialect.name == "sqlite":
            query, parameter = "SELECT 'valid' FROM sqlite_master WHERE type = 'index' AND name = :name", name
        else:
            query = (
                "SELECT CASE WHEN indisvalid THEN 'valid' ELSE 'invalid' END "
                "FROM pg_index WHERE indexrelid = to_regclass(:name)"
            )
            parameter = self._in_schema(name)
        state: str | None = connection.execute(text(query), {"name": parameter}).scalar()
        return state

    def _is_partitioned(self, connection: Connection) -> bool:
        if connection.dialect.name == "sqlite":
            return False
        query = "SELECT relkind = 'p' FROM pg_class WHERE oid = to_regclass(:name)"
        return bool(connection.execute(text(query), {"name": self._in_schema("es_events")}).scalar())

    # --- making them

    def _make_views(self, connection: Connection) -> list[ViewChange]:
        is_sqlite = connection.dialect.name == "sqlite"
        if not is_sqlite:
            connection.execute(text("SELECT pg_advisory_xact_lock(hashtext(:name))"), {"name": _MARK})
        changes = self._changed_views(connection)
        if changes and not is_sqlite:
            for sql in on_postgresql.functions(self._tables):
                _run(connection, sql)
        by_name = {view.name: view for view in self._views}
        for change in changes:
            view = by_name[change.name]
            if change.replaces:
                self._drop(connection, view)
            _run(connection, change.sql)
        if not is_sqlite:
            for view in self._views:
                for sql in self._notes(view):
                    _run(connection, sql)
        return changes

    def _drop(self, connection: Connection, view: View) -> None:
        if connection.dialect.name == "sqlite":
            _run(connection, on_sqlite.drop_view(view))
            return
        try:
            _run(connection, f"DROP VIEW {self._in_schema(view.name)}")
        except DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) != _DEPENDENTS:
                raise
            raise ViewTaken(view.name, "an object of yours depends on it, so it can't be replaced") from error


def _checked(database: str) -> str:
    if database not in {"postgresql", "sqlite"}:
        msg = f"database must be 'postgresql' or 'sqlite', not {database!r}"
        raise InvalidInput(msg)
    return database


def _mark(view: View, tables: Tables) -> str:
    digest = hashlib.sha256(on_postgresql.create_view(view, tables).encode()).hexdigest()[:16]
    return f"{_MARK} events of type {view.event_type}, definition {digest}"


def _index_name(view: View, column: ViewColumn) -> str:
    return f"{view.name}_{column.name}_idx"


def _found_on_sqlite(connection: Connection) -> dict[str, tuple[str, str | None]]:
    rows: Sequence[Any] = connection.execute(text("SELECT name, type, sql FROM sqlite_master")).all()
    return {name: (kind, sql) for name, kind, sql in rows}


def _counted(view: View, rows: list[tuple[Any, ...]]) -> Counted:
    shown = other_codec = other_version = 0
    for _, codec, version, number in rows:
        if codec != JSONCodec.number:
            other_codec += number
        elif not view.oldest <= version <= view.newest:
            other_version += number
        else:
            shown += number
    return Counted(view.name, view.event_type, shown, other_codec, other_version)
