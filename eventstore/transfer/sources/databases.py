"""The database of a table that is imported: what it says about the table, and how far its rows are complete.

This is SQL about tables of other programs, so it is not among the store's own statements. Nothing here writes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol
from urllib.parse import quote

from msgspec import structs
from sqlalchemy import (
    URL,
    ColumnElement,
    Connection,
    Engine,
    Text,
    and_,
    cast,
    column,
    create_engine,
    func,
    literal,
    literal_column,
    make_url,
    or_,
    select,
    table,
    text,
    tuple_,
)
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.sql.selectable import TableClause

from eventstore.backends import check_engine, engine_for
from eventstore.errors import (
    DatabaseMissing,
    InvalidInput,
    InvalidTableMap,
    RowRefused,
    UnsuitableSource,
    UnsupportedDatabase,
)
from eventstore.transfer.sources.rows import Key, Row, Selected, key_value, order_of_key
from eventstore.transfer.sources.table_map import TableMap


@dataclass(frozen=True, slots=True)
class Described:
    """What the catalog says about a table.

    Attributes:
        types: Its columns with their types.
        unique: The sets of columns that are unique.
        nullable: The columns that may be NULL.
        in_order: None if the INSERT itself draws the order column, one value after the other; otherwise why not.
    """

    types: Mapping[str, str]
    unique: Sequence[frozenset[str]]
    nullable: frozenset[str]
    in_order: str | None


@dataclass(frozen=True, slots=True)
class Look:
    """The last row of a table at some time, and who may still insert rows before it.

    Attributes:
        last: The key of the last row; None if there are no rows.
        writers: The transactions that were inserting rows, and so may have drawn lower values.
    """

    last: Key | None
    writers: frozenset[str] = field(default_factory=frozenset)


class Catalog(Protocol):
    """What differs between the databases of sources."""

    def describe(self, connection: Connection, table_map: TableMap, name: str) -> Described:
        """Return what the catalog says about a table; `name` is its quoted name."""
        ...

    def writers(self, connection: Connection, name: str) -> frozenset[str]:
        """Return the transactions that have inserted into the table, or are about to, and have not ended."""
        ...


class SourceTable:
    """A table of another program, for reading.

    Args:
        engine: The engine of its database.
        table_map: The map.

    Raises:
        UnsupportedDatabase: It is neither PostgreSQL nor SQLite.
        InvalidTableMap: There is no such table.
        UnsuitableSource: It can't be read completely.
    """

    def __init__(self, engine: Engine, table_map: TableMap) -> None:
        check_engine(engine)
        catalogs: dict[str, type[Catalog]] = {"postgresql": PostgreSQLCatalog, "sqlite": SQLiteCatalog}
        if engine.dialect.name not in catalogs or engine.dialect.is_async:
            raise UnsupportedDatabase(f"{engine.dialect.name}+{engine.dialect.driver}")
        self._engine = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._catalog = catalogs[engine.dialect.name]()
        self._table = _table_of(table_map.table)
        self._name = engine.dialect.identifier_preparer.format_table(self._table)
        with self._engine.connect() as connection:
            described = self._catalog.describe(connection, table_map, self._name)
            if table_map.order == "notification_id" and "rowid" in described.types:  # of eventsourcing on SQLite
                table_map = structs.replace(table_map, order="rowid")
                described = self._catalog.describe(connection, table_map, self._name)
        self.described = described
        self.table_map = table_map
        self._order: list[ColumnElement[Any]] = [column(name) for name in table_map.order_columns]
        self._where = [column(name) == value for name, value in table_map.where.items()]
        for name in table_map.where:
            if name not in described.types:
                msg = f"table {table_map.table!r} has no column {name!r}; it has {', '.join(sorted(described.types))}"
                raise InvalidTableMap(msg)

    @property
    def has_one_number(self) -> bool:
        """Whether one integer column is the order, so that a gap in it can be seen."""
        return (
            len(self._order) == 1 and self.described.types.get(self.table_map.order_columns[0], "").lower() in _INTEGERS
        )

    def check_order(self, *, follow: bool) -> None:
        """Check that the order is complete and unique.

        Raises:
            UnsuitableSource: Rows could be missed.
        """
        names = self.table_map.order_columns
        shown = ", ".join(names)
        if follow and self.described.in_order is not None:
            raise UnsuitableSource(self.table_map.table, self.described.in_order)
        if any(name in self.described.nullable for name in names):
            is_null = or_(*(each.is_(None) for each in self._order))
            if self._rows(select(func.count().label("rows")).select_from(self._table).where(is_null))[0][0]:
                raise UnsuitableSource(
                    self.table_map.table, f"rows have NULL in {shown}, so they have no place in the order"
                )
        if any(unique <= set(names) for unique in self.described.unique):
            return
        repeated = (
            select(*self._order).select_from(self._table).group_by(*self._order).having(func.count() > 1).limit(1)
        )
        if self._rows(repeated):
            raise UnsuitableSource(
                self.table_map.table,
                f"{shown} is the same in several rows; name more columns in order, until they are unique",
            )

    def first_out_of_order(self, *, contiguous: bool) -> Row | None:
        """Return the key of the first row whose version does not follow that of the row before in its stream.

        It reads the whole table. The columns: those of the order, then the version, and the version before.

        Args:
            contiguous: Whether a gap counts as well, and a first version other than 0 and 1.
        """
        version: ColumnElement[Any] = column(self.table_map.version_column)
        streams: list[ColumnElement[Any]] = [column(name) for name in self.table_map.stream_columns]
        before = func.lag(version).over(partition_by=streams or None, order_by=self._order).label("version_before")
        rows = select(*self._order, version.label("version_of_row"), before).select_from(self._table)
        numbered = rows.where(*self._where).subquery("numbered")
        found, previous = numbered.c.version_of_row, numbered.c.version_before
        wrong = found <= previous
        if contiguous:
            wrong = or_(found != previous + 1, and_(previous.is_(None), found > 1))
        keys = [numbered.c[name] for name in self.table_map.order_columns]
        first = select(*keys, found, previous).where(wrong).order_by(*keys).limit(1)
        return next(iter(self._rows(first)), None)

    def look(self) -> Look:
        """Return the last row, and then who is inserting.

        The last row is read first. So whoever has drawn a lower value, and is not among the writers, has ended before
        this returns, and every statement that starts afterwards sees what it has committed.
        """
        with self._engine.connect() as connection:
            last = self._last(connection)
            return Look(last, self._catalog.writers(connection, self._name))

    def still_writing(self, look: Look) -> frozenset[str]:
        """Return who of those that were inserting then has not ended; all prepared transactions are among them."""
        if not look.writers:
            return look.writers
        with self._engine.connect() as connection:
            now = self._catalog.writers(connection, self._name)
        # a transaction that is prepared goes on under another name, so any prepared one may be one of them
        return frozenset(each for each in now if each in look.writers or each.startswith(_PREPARED))

    def count(self) -> int:
        """Return the number of rows."""
        return int(self._rows(select(func.count()).select_from(self._table).where(*self._where))[0][0])

    def rows(self, selected: Sequence[Selected], *, after: Key | None, up_to: Key, limit: int) -> Sequence[Row]:
        """Return a page of rows in order.

        Raises:
            RowRefused: A value can't be represented in Python.
        """
        columns = [
            cast(column(each.name), Text).label(f"text_{index}") if each.as_text else column(each.name)
            for index, each in enumerate(selected)
        ]
        key = tuple_(*self._order) if len(self._order) > 1 else self._order[0]
        page = select(*columns).select_from(self._table).where(*self._where, key <= self._value(up_to))
        if after is not None:
            page = page.where(key > self._value(after))
        try:
            return self._rows(page.order_by(*self._order).limit(limit))
        except DBAPIError as error:
            if type(error.orig).__name__ not in _VALUE_ERRORS or error.connection_invalidated:
                raise
            place = "the first row" if after is None else f"one of the {limit} rows after {order_of_key(after)}"
            problem = (
                f"the driver can't read it ({type(error.orig).__name__}), as for a time that is infinite, before the "
                "year 1 or after 9999"
            )
            raise RowRefused(place, problem) from None

    def key_of(self, order: Any) -> Key:
        """Return the key for what the metadata of an event has of the order of its row.

        Raises:
            InvalidTableMap: It is not of the same columns.
        """
        key = tuple(order) if isinstance(order, list) else (order,)
        if len(key) != len(self._order):
            msg = (
                f"what was imported from {self.table_map.source_name!r} before was in another order; use the same map "
                "again, or name another source"
            )
            raise InvalidTableMap(msg)
        return key

    def _value(self, key: Key) -> ColumnElement[Any]:
        """Return a key as parameters. What metadata has as text is of the column's type for the database."""
        values = [
            literal(value)
            if not isinstance(value, str) or self._engine.dialect.name == "sqlite"
            else literal(value, Text()).op("::")(literal_column(self.described.types[name]))
            for name, value in zip(self.table_map.order_columns, key, strict=True)
        ]
        return tuple_(*values) if len(values) > 1 else values[0]

    def _last(self, connection: Connection) -> Key | None:
        newest = select(*self._order).select_from(self._table).where(*self._where)
        rows = connection.execute(newest.order_by(*(each.desc() for each in self._order)).limit(1)).all()
        return tuple(map(key_value, rows[0])) if rows else None

    def _rows(self, statement: Any) -> Sequence[Row]:
        with self._engine.connect() as connection:
            return connection.execute(statement).all()


class PostgreSQLCatalog:
    """The catalog of PostgreSQL."""

    def describe(self, connection: Connection, table_map: TableMap, name: str) -> Described:
        """Return what the catalog says about a table.

        Raises:
            InvalidTableMap: There is none.
            UnsuitableSource: The server is a standby, where it can't be seen who is inserting.
        """
        kind = connection.execute(_KIND, {"name": name}).first()
        if kind is None or kind.relkind not in "rpvmf":
            raise InvalidTableMap(f"there is no table {table_map.table!r}; name its schema, such as public.events")
        if kind.is_standby:
            problem = "the server is a standby, where it can't be seen who is inserting rows; read from the primary"
            raise UnsuitableSource(table_map.table, problem)
        columns = connection.execute(_COLUMNS, {"name": name}).all()
        unique = connection.execute(_UNIQUE, {"name": name}).scalars()
        return Described(
            {each.name: each.type for each in columns},
            [frozenset(names) for names in unique],
            frozenset(each.name for each in columns if not each.is_not_null),
            self._why_not_in_order(connection, table_map, name, kind),
        )

    def _why_not_in_order(  # noqa: PLR0911  # one line a reason
        self, connection: Connection, table_map: TableMap, name: str, kind: Any
    ) -> str | None:
        if kind.relkind not in "rp":
            return "it is no table but a view or a foreign table, so it can't be seen who is inserting; name the table"
        if kind.is_replicated:
            return (
                "its rows come by logical replication, in another order than their numbers; read where they are written"
            )
        if len(table_map.order_columns) > 1:
            return "to follow its writers, its order must be one column, whose values a sequence draws"
        sequence = connection.execute(_SEQUENCE, {"name": name, "column": table_map.order_columns[0]}).first()
        if sequence is None:
            if table_map.order_is_drawn_by_insert:
                return None
            return (
                f"no sequence draws {table_map.order_columns[0]!r} by default, so rows may come with values drawn long "
                "before; order by such a column, or, if each INSERT itself draws from a sequence, set "
                "order_is_drawn_by_insert = true in the map"
            )
        if sequence.cache > 1:
            return (
                f"each session draws {sequence.cache} values of {sequence.name} at a time, so rows come in another "
                f"order than their values; ALTER SEQUENCE {sequence.name} CACHE 1, and let its writers connect again"
            )
        if sequence.increment < 1 or sequence.cycles:
            return f"its sequence {sequence.name} descends or cycles; choose another order"
        return None

    def writers(self, connection: Connection, name: str) -> frozenset[str]:
        """Return the transactions with the lock that an INSERT takes before it draws a value, until it has ended."""
        return frozenset(connection.execute(_WRITERS, {"name": name}).scalars())


_KIND: Final = text("""
    SELECT
        pg_class.relkind::text AS relkind,
        pg_is_in_recovery() AS is_standby,
        EXISTS (SELECT FROM pg_catalog.pg_subscription_rel WHERE srrelid = pg_class.oid) AS is_replicated
    FROM pg_catalog.pg_class
    WHERE pg_class.oid = to_regclass(:name)
""")
_COLUMNS: Final = text("""
    SELECT attname AS name, format_type(atttypid, NULL) AS type, attnotnull AS is_not_null
    FROM pg_catalog.pg_attribute
    WHERE attrelid = to_regclass(:name) AND attnum > 0 AND NOT attisdropped
    ORDER BY attnum
""")
_UNIQUE: Final = text("""
    SELECT (
        SELECT array_agg(pg_attribute.attname::text)
        FROM pg_catalog.pg_attribute
        WHERE pg_attribute.attrelid = pg_index.indrelid
            AND pg_attribute.attnum = any((pg_index.indkey::smallint[])[0:pg_index.indnkeyatts - 1])
    ) AS names
    FROM pg_catalog.pg_index
    WHERE pg_index.indrelid = to_regclass(:name)
        AND pg_index.indisunique AND pg_index.indisvalid AND pg_index.indpred IS NULL AND pg_index.indexprs IS NULL
""")
_SEQUENCE: Final = text("""
    SELECT
        pg_sequence.seqrelid::regclass::text AS name,
        pg_sequence.seqcache AS cache,
        pg_sequence.seqincrement AS increment,
        pg_sequence.seqcycle AS cycles
    FROM pg_catalog.pg_attribute
    JOIN pg_catalog.pg_sequence ON pg_sequence.seqrelid IN (
        SELECT pg_depend.refobjid
        FROM pg_catalog.pg_attrdef
        JOIN pg_catalog.pg_depend ON pg_depend.classid = 'pg_attrdef'::regclass AND pg_depend.objid = pg_attrdef.oid
        WHERE pg_attrdef.adrelid = pg_attribute.attrelid AND pg_attrdef.adnum = pg_attribute.attnum
            AND pg_depend.refclassid = 'pg_class'::regclass
        UNION
        SELECT pg_depend.objid
        FROM pg_catalog.pg_depend
        WHERE pg_depend.classid = 'pg_class'::regclass AND pg_depend.deptype = 'i'
            AND pg_depend.refobjid = pg_attribute.attrelid AND pg_depend.refobjsubid = pg_attribute.attnum
    )
    WHERE pg_attribute.attrelid = to_regclass(:name) AND pg_attribute.attname = :column
    ORDER BY pg_sequence.seqcache DESC
    LIMIT 1
""")
_WRITERS: Final = text("""
    WITH RECURSIVE parts (relation) AS (
        SELECT to_regclass(:name)::oid AS relation
        UNION
        SELECT pg_inherits.inhrelid
        FROM parts
        JOIN pg_catalog.pg_inherits ON pg_inherits.inhparent = parts.relation
    )
    SELECT pg_locks.virtualtransaction
    FROM pg_catalog.pg_locks
    WHERE pg_locks.locktype = 'relation'
        AND pg_locks.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())
        AND pg_locks.relation IN (SELECT parts.relation FROM parts)
        AND pg_locks.mode = 'RowExclusiveLock'
        AND pg_locks.granted
""")
_INTEGERS: Final = frozenset({"bigint", "integer", "smallint", "int"})

_PREPARED: Final = "-1/"
"""How the virtual transaction of a prepared transaction begins."""

_VALUE_ERRORS: Final = frozenset({"DataError", "OperationalError"})


class SQLiteCatalog:
    """The catalog of SQLite, where one transaction writes at a time, so rows are committed in order."""

    def describe(self, connection: Connection, table_map: TableMap, name: str) -> Described:
        """Return what the catalog says about a table.

        Raises:
            InvalidTableMap: There is none.
        """
        given = {"name": table_map.table}
        columns = connection.execute(
            text('SELECT name, type, "notnull", pk FROM pragma_table_xinfo(:name) WHERE hidden <> 1'), given
        ).all()
        if not columns:
            raise InvalidTableMap(f"there is no table {table_map.table!r}")
        types = {each.name: each.type for each in columns}
        key = frozenset(each.name for each in columns if each.pk)
        unique = [key] if key else []
        unique_indexes = text('SELECT name FROM pragma_index_list(:name) WHERE "unique" AND NOT partial')
        for index in connection.execute(unique_indexes, given).scalars().all():
            names = (
                connection.execute(text("SELECT name FROM pragma_index_info(:index)"), {"index": index}).scalars().all()
            )
            if None not in names:
                unique.append(frozenset(names))
        row_ids = {name for name in key if len(key) == 1 and types[name].upper() == "INTEGER"}
        if "rowid" not in types and self._has_row_ids(connection, name):
            types["rowid"] = "INTEGER"
            unique.append(frozenset({"rowid"}))
            row_ids.add("rowid")
        is_null = {each.name for each in columns if not each.notnull} - row_ids
        in_order = table_map.order_is_drawn_by_insert or set(table_map.order_columns) <= row_ids
        problem = "to follow its writers, its order must be its INTEGER PRIMARY KEY, or rowid"
        return Described(types, unique, frozenset(is_null), None if in_order else problem)

    def writers(self, connection: Connection, name: str) -> frozenset[str]:  # noqa: ARG002  # for PostgreSQL
        """Return nothing: a transaction that can still commit has drawn higher values than all committed ones."""
        return frozenset()

    def _has_row_ids(self, connection: Connection, name: str) -> bool:
        try:
            connection.exec_driver_sql(f"SELECT rowid FROM {name} LIMIT 0")
        except DBAPIError:
            return False
        return True


def _table_of(name: str) -> TableClause:
    schema, _, plain = name.rpartition(".")
    return table(plain, schema=schema or None)


def open_source(url: str | URL) -> Engine:
    """Return an engine to read a source with; the caller disposes of it.

    A file of SQLite is opened for reading only.

    Raises:
        DatabaseMissing: There is no such file.
        InvalidInput: It is no URL.
    """
    try:
        parsed = make_url(url)
    except ArgumentError:
        msg = "the source is not a URL of a database, such as postgresql://user@host/database or sqlite:///file.db"
        raise InvalidInput(msg) from None
    if parsed.get_backend_name() != "sqlite":
        return engine_for(url)
    path = Path(parsed.database or "")
    if not parsed.database or not path.exists():
        raise DatabaseMissing(str(path), f"sqlite:///{path}")
    name = f"file:{quote(str(path.absolute()))}"
    return create_engine(URL.create("sqlite", database=name, query={"mode": "ro", "uri": "true"}))
