"""Maintenance of a store on SQLite."""

import json
import sqlite3
from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError

from eventstore.backends.maintenance import Lookup, OpenAppend, Positions, Size, TagChange
from eventstore.backends.protocol import Row, Run
from eventstore.findings import Finding, Level
from eventstore.statements.global_order import newest_position
from eventstore.statements.sqlite.positions import add_last_drawn, forget_last_drawn, last_drawn_position
from eventstore.statements.sqlite.settings import setting
from eventstore.statements.sqlite.statistics import database_size, indexes_of_events, sizes
from eventstore.statements.sqlite.tag_rows import (
    delete_superfluous_tags,
    missing_tags,
    page_of_tags,
    restore_tags,
    set_tags,
)
from eventstore.statements.statistics import count_rows

_COUNTED: Final = ("streams", "snapshots", "checkpoints", "dead_letters", "schema")
_SYNCHRONOUS: Final = {0: "OFF", 1: "NORMAL", 2: "FULL", 3: "EXTRA"}
_NORMAL: Final = 1
_INDEXED: Final = {
    "category": Lookup.CATEGORY,
    "event_id": Lookup.EVENT_ID,
    "CAST(json_extract(metadata, '$.correlation_id') AS TEXT)": Lookup.CORRELATION_ID,
    "CAST(json_extract(metadata, '$.causation_id') AS TEXT)": Lookup.CAUSATION_ID,
}
"""The first column or expression of an index, as SQLite must have it to use the index, and what it leads to."""


class SQLiteMaintenance:
    """How maintenance uses SQLite."""

    def positions(self, run: Run) -> Positions:
        """Read sqlite_sequence, which has no row before the first event."""
        ((newest, last_drawn),) = run(last_drawn_position)
        return Positions(newest, last_drawn or 0)

    def advance_positions(self, run: Run) -> bool:
        """Set sqlite_sequence. The transaction keeps all other writers out."""
        positions = self.positions(run)
        if positions.last_drawn >= positions.newest:
            return False
        run(forget_last_drawn)
        run(add_last_drawn, position=positions.newest)
        return True

    def estimate_rows(self, run: Run) -> dict[str, int]:
        """Count the rows of all tables but es_events, whose newest position is the estimate."""
        rows = {f"es_{name}": run(count_rows(name))[0][0] for name in _COUNTED}
        rows["snapshots"] = rows.pop("es_snapshots")
        return {**rows, "es_events": run(newest_position)[0][0]}

    def sizes(self, run: Run, *, quickly: bool) -> list[Size]:
        """Read all pages of the file; empty if SQLite was built without `dbstat`."""
        if quickly:
            return []
        try:
            return [Size(*row) for row in run(sizes)]
        except OperationalError as error:
            if "no such table: dbstat" not in str(error.orig):
                raise
            return []

    def database_bytes(self, run: Run) -> int:
        """Return the size of the file."""
        return int(run(database_size)[0][0])

    def missing_tags(self, run: Run, *, after_position: int, up_to_position: int) -> Sequence[Row]:
        """Read the events in a range."""
        return run(missing_tags, after_position=after_position, up_to_position=up_to_position)

    def page_of_tags(self, run: Run, *, after_tag: str, after_position: int, page_size: int) -> Sequence[Row]:
        """Read a page of the primary key."""
        return run(page_of_tags, after_tag=after_tag, after_position=after_position, page_size=page_size)

    def delete_superfluous_tags(self, run: Run) -> None:
        """Delete in one statement."""
        run(delete_superfluous_tags)

    def check_sees_all_rows(self, run: Run) -> None:
        """Return: SQLite has no row level security."""

    def restore_tags(self, run: Run, positions: Sequence[int]) -> None:
        """Store in one statement."""
        run(restore_tags, positions=json.dumps(list(positions)))

    def set_tags(self, run: Run, changes: Sequence[TagChange]) -> list[int]:
        """Update event by event."""
        changed = []
        for change in changes:
            before, tags = change.as_json
            parameters = {"event_id": change.event_id, "tags_before": before, "tags": tags}
            changed += [position for (position,) in run(set_tags, at_position=change.position, **parameters)]
        return changed

    def diagnose(self, engine: Engine, run: Run) -> list[Finding]:
        """Check the version, and the settings of each connection."""
        return [
            Finding(Level.OK, "connection", repr(engine.url)),
            Finding(Level.OK, "server", f"SQLite {sqlite3.sqlite_version}"),
            _journal(self._setting(run, "journal_mode"), str(engine.url.database)),
            _foreign_keys(self._setting(run, "foreign_keys")),
            _synchronous(int(self._setting(run, "synchronous"))),
        ]

    def open_appends(self, run: Run) -> list[OpenAppend]:  # noqa: ARG002  # readers wait for none
        """Return none: an append is committed before the next one begins."""
        return []

    def lookups(self, run: Run) -> frozenset[Lookup]:
        """Read the definitions of the indexes, except those of a part of the rows."""
        indexed = {" ".join(sql.partition("(")[2].split()) for (sql,) in run(indexes_of_events)}
        whole = {text for text in indexed if " WHERE " not in text.upper()}
        return frozenset(
            lookup
            for text, lookup in _INDEXED.items()
            if any(each.startswith((f"{text})", f"{text},")) for each in whole)
        )

    def _setting(self, run: Run, name: str) -> Any:
        return run(setting(name))[0][0]


def _journal(mode: str, database: str) -> Finding:
    if mode == "wal" or "memdb" in database or database == ":memory:":
        return Finding(Level.OK, "journal_mode", mode)
    message = f"{mode}: readers and writers wait for each other"
    return Finding(Level.WARNING, "journal_mode", message, "PRAGMA journal_mode = WAL, once; the file keeps it")


def _foreign_keys(value: int) -> Finding:
    if value:
        return Finding(Level.OK, "foreign_keys", "on")
    advice = "PRAGMA foreign_keys = ON on each connection, or EventStore.from_url, which does so"
    return Finding(Level.WARNING, "foreign_keys", "off: rows can refer to streams that do not exist", advice)


def _synchronous(value: int) -> Finding:
    name = _SYNCHRONOUS.get(value, str(value))
    if value > _NORMAL:
        return Finding(Level.OK, "synchronous", name)
    if value == _NORMAL:
        message = "NORMAL: a power failure can undo the last appends, although they were confirmed"
        return Finding(Level.WARNING, "synchronous", message, "PRAGMA synchronous = FULL on each connection")
    message = "OFF: a power failure can destroy the database"
    return Finding(Level.ERROR, "synchronous", message, "PRAGMA synchronous = FULL on each connection")
