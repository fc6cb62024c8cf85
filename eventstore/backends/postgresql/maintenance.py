"""Maintenance of a store on PostgreSQL."""

from collections.abc import Sequence
from typing import Final

from sqlalchemy import Engine

from eventstore.backends.maintenance import Lookup, OpenAppend, Positions, Size, TagChange
from eventstore.backends.postgresql.diagnosis import diagnose
from eventstore.backends.postgresql.positions import positions_of
from eventstore.backends.protocol import Row, Run
from eventstore.errors import UnsuitableSetting
from eventstore.findings import Finding
from eventstore.statements.postgresql.copy import row_security
from eventstore.statements.postgresql.diagnosis import prepared_transactions, unfinished_appends
from eventstore.statements.postgresql.lock_table import lock_events
from eventstore.statements.postgresql.positions import set_last_position
from eventstore.statements.postgresql.statistics import database_size, estimated_rows, indexed_expressions, sizes
from eventstore.statements.postgresql.tag_rows import (
    delete_superfluous_tags,
    missing_tags,
    page_of_tags,
    restore_tags,
    set_tags,
)

_LOG: Final = "es_events"

_INDEXED: Final = {
    "category": Lookup.CATEGORY,
    "event_id": Lookup.EVENT_ID,
    "metadata ->> 'correlation_id'::text": Lookup.CORRELATION_ID,
    "metadata ->> 'causation_id'::text": Lookup.CAUSATION_ID,
}
"""The first column or expression of an index, as the server prints it, and what it leads to."""

_IN_METADATA: Final = frozenset({Lookup.CORRELATION_ID, Lookup.CAUSATION_ID})


class PostgreSQLMaintenance:
    """How maintenance uses PostgreSQL."""

    def positions(self, run: Run) -> Positions | None:
        """Read the sequence; None if the column `position` has none."""
        return positions_of(run)

    def advance_positions(self, run: Run) -> bool:
        """Set the sequence while es_events is locked, or it could go back behind a position that is drawn meanwhile."""
        run(lock_events)
        positions = self.positions(run)
        if positions is None or positions.last_drawn >= positions.newest:
            return False
        run(set_last_position, position=positions.newest)
        return True

    def estimate_rows(self, run: Run) -> dict[str, int]:
        """Read the catalog and the statistics. The rows of a partitioned log are those of its parts."""
        rows: dict[str, int] = {}
        for table, number in run(estimated_rows):
            name = _LOG if table.startswith(f"{_LOG}_") else table
            rows[name] = rows.get(name, 0) + number
        return rows

    def sizes(self, run: Run, *, quickly: bool) -> list[Size]:  # noqa: ARG002  # it is always quick
        """Read the catalog."""
        return [Size(*row) for row in run(sizes)]

    def database_bytes(self, run: Run) -> int:
        """Return the size of the database."""
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
        """Ask the server whether policies apply to the role."""
        if run(row_security)[0][0]:
            raise UnsuitableSetting(
                "row level security",
                "is in force on es_events for this role, so a repair would take the events that a policy hides for "
                "events that are gone, and delete what belongs to them",
                "repair as the owner of the tables, or as a role with BYPASSRLS",
            )

    def restore_tags(self, run: Run, positions: Sequence[int]) -> None:
        """Store in one statement."""
        run(restore_tags, positions=list(positions))

    def set_tags(self, run: Run, changes: Sequence[TagChange]) -> list[int]:
        """Update in one statement."""
        texts = [change.as_json for change in changes]
        rows = run(
            set_tags,
            positions=[change.position for change in changes],
            event_ids=[change.event_id for change in changes],
            tags_before=[before for before, _ in texts],
            tags=[tags for _, tags in texts],
        )
        return [position for (position,) in rows]

    def diagnose(self, engine: Engine, run: Run) -> list[Finding]:
        """Check settings, unfinished transactions, upkeep, and whether there is a connection pooler."""
        return diagnose(engine, run)

    def open_appends(self, run: Run) -> list[OpenAppend]:
        """Read the sessions and the prepared transactions of this database."""
        found = [OpenAppend(pid, None, *others) for pid, *others in run(unfinished_appends)]
        found += [OpenAppend(None, name, user, None, None, age) for name, user, age in run(prepared_transactions)]
        return sorted(found, key=lambda each: -1 if each.seconds is None else -each.seconds)

    def lookups(self, run: Run) -> frozenset[Lookup]:
        """Read the catalog. A policy must see a row before an expression on it, so that its index is not used."""
        expressions = {text.strip("()") for (text,) in run(indexed_expressions)}
        found = frozenset(lookup for text, lookup in _INDEXED.items() if text in expressions)
        return found - _IN_METADATA if run(row_security)[0][0] else found
