"""The catalog of SQLite."""

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from eventstore.errors import InvalidTableMap
from eventstore.transfer.sources.catalog import Described
from eventstore.transfer.sources.table_map import TableMap


class SQLiteCatalog:
    """The catalog of SQLite, where one transaction writes at a time, so rows are committed in order."""

    def describe(self, connection: Connection, table_map: TableMap, name: str) -> Described:
        """Return what the catalog says about a table.

        Raises:
            InvalidTableMap: There is none.
        """
        schema, _, plain = table_map.table.rpartition(".")
        given = {"name": plain, "schema": schema or None}
        databases = connection.execute(text("SELECT name FROM pragma_database_list")).scalars().all()
        if schema and schema not in databases:
            raise InvalidTableMap(f"there is no database {schema!r} of which {table_map.table!r} could be a table")
        columns = connection.execute(
            text('SELECT name, type, "notnull", pk FROM pragma_table_xinfo(:name, :schema) WHERE hidden <> 1'), given
        ).all()
        if not columns:
            raise InvalidTableMap(f"there is no table {table_map.table!r}")
        types = {each.name: each.type for each in columns}
        key = frozenset(each.name for each in columns if each.pk)
        unique = [key] if key else []
        unique_indexes = text('SELECT name FROM pragma_index_list(:name, :schema) WHERE "unique" AND NOT partial')
        for index in connection.execute(unique_indexes, given).scalars().all():
            names = (
                connection.execute(
                    text("SELECT name FROM pragma_index_info(:index, :schema)"), {**given, "index": index}
                )
                .scalars()
                .all()
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
