"""Checks that the disk has room for what a migration of SQLite is about to write."""

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from sqlalchemy import Connection

from eventstore.errors import DiskTooSmall
from eventstore.tables import define_tables

_ENTRY_BYTES: Final = 14
"""The overhead of a row in a table or index: lengths, row number, its share of half-empty pages."""
_SORTING: Final = 2
"""The factor of a sort's temporary files, which are merged into another file of the same size."""
_IN_MEMORY: Final = 2
"""The value of PRAGMA temp_store for MEMORY."""


def check_space_for_indexes(connection: Connection, name: str, table: str, columns: Sequence[str]) -> None:
    """Check that an index of a table fits on the disk, with the other missing indexes, which are built next.

    If the disk has several times the size of the file free, the rows are not read, because writers wait meanwhile.

    Raises:
        DiskTooSmall: The indexes don't fit beside the file, or the sort does not fit into SQLite's temporary folder.
    """
    if _has_plenty(connection):
        return
    known = define_tables(position_is_key=True).metadata.tables[table].indexes
    all_columns = {str(index.name): [column.name for column in index.columns] for index in known} | {name: columns}
    existing = set(connection.exec_driver_sql("SELECT name FROM main.sqlite_master WHERE type = 'index'").scalars())
    missing = [columns for index, columns in all_columns.items() if index not in existing]
    if not missing:
        return
    sizes = _sizes(connection, table, missing)
    in_wal = connection.exec_driver_sql("PRAGMA main.journal_mode").scalar() == "wal"
    in_files = connection.exec_driver_sql("PRAGMA temp_store").scalar() != _IN_MEMORY
    # the write-ahead log has them until the commit; then the file grows, too, also by what the log has already
    total = sum(sizes)
    _check(
        connection,
        f"building the indexes of {table}",
        kept=total * (2 if in_wal else 1) + _not_in_file_yet(connection),
        sorting=max(sizes) * _SORTING if in_files else 0,
        sorted_into=total,
    )


def _has_plenty(connection: Connection) -> bool:
    """Return whether there is room for the worst case: the indexes of a table take less than the table."""
    file = _file(connection)
    if file is None:
        return True
    worst_case = (3 + _SORTING) * _length(connection)
    return all(shutil.disk_usage(folder).free > worst_case for folder in (file.parent, temporary_folder()))


def check_space_for_rewriting(connection: Connection, table: str) -> None:
    """Check that the rows of a table fit on the disk a second time, in the write-ahead log or the rollback journal.

    Raises:
        DiskTooSmall: They don't fit.
    """
    columns = [row[1] for row in connection.exec_driver_sql(f"PRAGMA main.table_info({table})")]
    _check(connection, f"rewriting {table}", kept=sum(_sizes(connection, table, [columns])), sorting=0, sorted_into=0)


def _sizes(connection: Connection, table: str, parts: Sequence[Sequence[str]]) -> list[int]:
    """Return about how many bytes the values of each group of columns take in all rows, by one scan."""
    sums = (
        f"sum({' + '.join(f'coalesce(length(CAST({column} AS BLOB)), 0)' for column in columns)})" for columns in parts
    )
    count, *totals = connection.exec_driver_sql(f"SELECT count(*), {', '.join(sums)} FROM main.{table}").one()
    return [count * _ENTRY_BYTES + (total or 0) for total in totals]


def _file(connection: Connection) -> Path | None:
    """Return the file of the main database; None for a database in memory."""
    name = next(row[2] for row in connection.exec_driver_sql("PRAGMA database_list") if row[1] == "main")
    return Path(name) if name and Path(name).exists() else None


def _length(connection: Connection) -> int:
    """Return the size of the file after a commit and a checkpoint, in bytes."""
    pages, page_size = (
        connection.exec_driver_sql(f"PRAGMA main.{name}").scalar_one() for name in ("page_count", "page_size")
    )
    return int(pages * page_size)


def _not_in_file_yet(connection: Connection) -> int:
    file = _file(connection)
    return 0 if file is None else max(_length(connection) - file.stat().st_size, 0)


def _check(connection: Connection, step: str, *, kept: int, sorting: int, sorted_into: int) -> None:
    """Compare free space with the bytes that are kept in the end and, before that, the temporary files of the sort."""
    file = _file(connection)
    if file is None:
        return
    temporary = temporary_folder()
    if temporary.stat().st_dev == file.parent.stat().st_dev:
        kept, sorting = max(kept, sorting + sorted_into), 0
    for folder, needed in ((file.parent, kept), (temporary, sorting)):
        free = shutil.disk_usage(folder).free
        if free < needed:
            raise DiskTooSmall(step, str(folder), needed, free)


def temporary_folder() -> Path:
    """Return the folder of SQLite's temporary files, which is the first that it may write to."""
    return Path(next(filter(_is_writable, _candidates()), tempfile.gettempdir()))


def _candidates() -> Iterator[str]:
    if os.name == "posix":  # see sqlite.org/tempfiles.html, section 5; elsewhere the system decides
        yield from filter(None, map(os.environ.get, ("SQLITE_TMPDIR", "TMPDIR")))
        yield from ("/var/tmp", "/usr/tmp", "/tmp", ".")  # noqa: S108  # we create nothing there


def _is_writable(folder: str) -> bool:
    return Path(folder).is_dir() and os.access(folder, os.W_OK | os.X_OK)
