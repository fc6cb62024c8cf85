"""Statements about sizes."""

from sqlalchemy import ColumnElement, Integer, cast, column, func, literal_column, null, select, table
from sqlalchemy.sql import ClauseElement

from eventstore.tables import Tables

_PAGES_OF_SQLITE = table("dbstat", column("name"), column("pgsize"), column("aggregate"))


_OBJECTS_OF_SQLITE = table("sqlite_master", column("type"), column("name"), column("tbl_name"), column("sql"))


def sizes(tables: Tables) -> ClauseElement:
    """Return (table, index or NULL, bytes). It reads every page, and needs an SQLite that was built with `dbstat`."""
    objects, pages = _OBJECTS_OF_SQLITE.c, _PAGES_OF_SQLITE.c
    names: list[ColumnElement[str]] = [literal_column(f"'{each.name}'") for each in tables.metadata.sorted_tables]
    is_index = objects.type == literal_column("'index'")
    return select(objects.tbl_name, func.iif(is_index, objects.name, null()).label("index"), pages.pgsize).where(
        pages.name == objects.name, pages.aggregate == literal_column("1"), objects.tbl_name.in_(names)
    )


def indexes_of_events(tables: Tables) -> ClauseElement:
    """Return (definition) of the indexes of es_events, except those of constraints."""
    objects = _OBJECTS_OF_SQLITE.c
    of_events = objects.tbl_name == literal_column(f"'{tables.events.name}'")
    return select(objects.sql).where(objects.type == literal_column("'index'"), of_events, objects.sql.is_not(None))


def database_size(_: Tables) -> ClauseElement:
    """Return the size of the file, in bytes, without the write-ahead log."""
    pages = func.pragma_page_count().table_valued("page_count").alias("pages")
    size = func.pragma_page_size().table_valued("page_size").alias("size")
    return select(cast(pages.c.page_count * size.c.page_size, Integer).label("bytes"))
