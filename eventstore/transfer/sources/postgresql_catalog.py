"""The catalog of PostgreSQL: SQL about tables of other programs, so it is not among the store's own statements."""

from typing import Any, Final

from sqlalchemy import Connection, text

from eventstore.errors import InvalidTableMap, UnsuitableSource
from eventstore.transfer.sources.catalog import Described
from eventstore.transfer.sources.table_map import TableMap


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
# With -1 in place of NULL, a type without a length is one of any length: CHARACTER would be of one character.
_COLUMNS: Final = text("""
    SELECT attname AS name, format_type(atttypid, -1) AS type, attnotnull AS is_not_null
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
