"""The table that is imported: its rows in order, and how far they are complete. Nothing here writes."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from msgspec import structs
from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    Text,
    and_,
    cast,
    column,
    func,
    literal,
    literal_column,
    or_,
    select,
    table,
    tuple_,
)
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql.selectable import TableClause

from eventstore.backends import check_engine
from eventstore.errors import InvalidTableMap, RowRefused, UnsuitableSource, UnsupportedDatabase
from eventstore.transfer.sources.catalog import Catalog
from eventstore.transfer.sources.columns import JSON_TYPES, Row, Selected
from eventstore.transfer.sources.keys import Key, key_value, order_of_key
from eventstore.transfer.sources.postgresql_catalog import PostgreSQLCatalog
from eventstore.transfer.sources.sqlite_catalog import SQLiteCatalog
from eventstore.transfer.sources.table_map import TableMap
from eventstore.transfer.sources.values import NotConvertibleError

_INTEGERS: Final = frozenset({"bigint", "integer", "smallint", "int"})

_PREPARED: Final = "-1/"
"""How the virtual transaction of a prepared transaction begins."""

_COMPARISON_ERRORS: Final = frozenset(
    {"DataError", "UndefinedFunction", "InvalidTextRepresentation", "NumericValueOutOfRange"}
)

_VALUE_ERRORS: Final = frozenset({"DataError", "OperationalError"})


@dataclass(frozen=True, slots=True)
class Look:
    """The last row of a table at some time, and who may still insert rows before it.

    Attributes:
        last: The key of the last row; None if there are no rows.
        writers: The transactions that were inserting rows, and so may have drawn lower values.
    """

    last: Key | None
    writers: frozenset[str] = field(default_factory=frozenset)


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
        self._table = _clause_of(table_map.table)
        # doubled for drivers that look for parameters, which names that are parameters themselves are not
        self._name = engine.dialect.identifier_preparer.format_table(self._table).replace("%%", "%")
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
        self._check_where()

    @property
    def _shown_order(self) -> str:
        return ", ".join(self.table_map.order_columns)

    @property
    def has_one_number(self) -> bool:
        """Whether one integer column is the order, so that a gap in it can be seen."""
        return (
            len(self._order) == 1 and self.described.types.get(self.table_map.order_columns[0], "").lower() in _INTEGERS
        )

    def _check_where(self) -> None:
        for (name, value), condition in zip(self.table_map.where.items(), self._where, strict=True):
            try:
                self._rows(select(column(name)).select_from(self._table).where(condition).limit(1))
            except (DBAPIError, OverflowError) as error:
                if isinstance(error, DBAPIError) and type(error.orig).__name__ not in _COMPARISON_ERRORS:
                    raise
                problem = f"where: {name} is {self.described.types[name]}, to which {value!r} can't be compared"
                raise InvalidTableMap(problem) from None

    def check_order(self, *, follow: bool) -> None:
        """Check that the order is complete and unique.

        Raises:
            UnsuitableSource: Rows could be missed.
        """
        names, shown = self.table_map.order_columns, self._shown_order
        if any(self.described.types.get(name) in JSON_TYPES for name in names):
            raise UnsuitableSource(self.table_map.table, f"{shown} is JSON; order by numbers, text, UUIDs or times")
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

    def check_all_read(self, read: int, rows: int) -> None:
        """Check that as many rows were read in their order as the table had before.

        Raises:
            UnsuitableSource: Some were not.
        """
        if read < rows:
            problem = (
                f"only {read:,} of its {rows:,} rows are found in the order of {self._shown_order}; choose another "
                "order, or, if rows were deleted meanwhile, try again"
            )
            raise UnsuitableSource(self.table_map.table, problem)

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
            if isinstance(value, int) or self._engine.dialect.name == "sqlite"
            else literal(str(value), Text()).op("::")(literal_column(self.described.types[name]))
            for name, value in zip(self.table_map.order_columns, key, strict=True)
        ]
        return tuple_(*values) if len(values) > 1 else values[0]

    def _last(self, connection: Connection) -> Key | None:
        newest = select(*self._order).select_from(self._table).where(*self._where)
        rows = connection.execute(newest.order_by(*(each.desc() for each in self._order)).limit(1)).all()
        try:
            return tuple(map(key_value, rows[0])) if rows else None
        except NotConvertibleError as error:
            raise UnsuitableSource(self.table_map.table, f"{self._shown_order} has no usable order: {error}") from None

    def _rows(self, statement: Any) -> Sequence[Row]:
        with self._engine.connect() as connection:
            return connection.execute(statement).all()


def _clause_of(name: str) -> TableClause:
    schema, _, plain = name.rpartition(".")
    return table(plain, schema=schema or None)
