"""Damage made on purpose, of every kind that `verify` finds."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, Engine, text

from eventstore import Append, EventStore, NewEvent
from eventstore.maintenance import FindingKind
from eventstore.statements.projections import add_dead_letter, create_checkpoint
from tests.fix_leaks import SECRET

COUNTS: Final = {"order-1": 5, "order-2": 3, "order-3": 4, "user-1": 2}
_UNIQUE: Final = r"CONSTRAINT es_events_stream_id_version_key UNIQUE \(stream_id, version\),\s*"


def fill(engine: Engine) -> EventStore:
    """Store four streams, whose events take turns, two snapshots, a checkpoint and a dead letter."""
    store = EventStore(engine)
    appends = [
        Append(stream_id, [NewEvent("noted" if version else "opened", {"card": SECRET})], expected_version=version)
        for version in range(max(COUNTS.values()))
        for stream_id, count in COUNTS.items()
        if version < count
    ]
    store.append_many(appends)
    store.snapshots.save("order-1", version=3, state={"card": SECRET})
    store.snapshots.save("order-2", version=2, state=[1, 2])
    with store.core.execution.transaction() as run:
        run(create_checkpoint, name="totals", position=len(appends))
        run(add_dead_letter, projection="totals", attempts=1, error="ValueError", position=3)
    return store


@contextmanager
def unchecked(engine: Engine) -> Iterator[Connection]:
    """Open a transaction in which events can be changed, and rows may refer to what is not there."""
    if engine.dialect.name == "postgresql":
        with engine.begin() as connection:
            connection.execute(text("SET LOCAL session_replication_role = replica"))
            yield connection
        return
    with engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA foreign_keys = OFF")
        connection.exec_driver_sql("INSERT INTO es_history_permission VALUES (1)")
        yield connection
        connection.exec_driver_sql("DELETE FROM es_history_permission")
        connection.commit()
        connection.exec_driver_sql("PRAGMA foreign_keys = ON")


@dataclass(frozen=True)
class Damage:
    """Statements that do it, and what `verify` calls it."""

    kinds: set[FindingKind]
    postgresql: str
    sqlite: str | None = None
    """None where they are the same."""

    mended: bool = False
    """Whether `repair` mends all of it."""

    def __call__(self, engine: Engine) -> None:
        sql = self.postgresql if engine.dialect.name == "postgresql" else self.sqlite or self.postgresql
        with unchecked(engine) as connection:
            for statement in filter(None, map(str.strip, sql.split(";"))):
                if statement == "DROP UNIQUE KEY":
                    _make_anew(connection)
                else:
                    connection.execute(text(statement.replace(":", "\\:")))


def _make_anew(connection: Connection) -> None:
    """Make es_events without its unique key, which SQLite can't drop."""
    rows = connection.execute(text("SELECT sql FROM sqlite_master WHERE tbl_name = 'es_events' AND sql IS NOT NULL"))
    table, *indexes = rows.scalars().all()
    columns = "position, version, recorded_at, event_id, schema_version, codec, stream_id, event_type, data, metadata"
    without = re.sub(_UNIQUE, "", re.sub(r"\bes_events\b", "es_events_anew", table, count=1))
    assert without.count("UNIQUE") == 0
    for statement in (
        without,
        f"INSERT INTO es_events_anew ({columns}) SELECT {columns} FROM es_events",
        "DROP TABLE es_events",
        "ALTER TABLE es_events_anew RENAME TO es_events",
        *indexes,
    ):
        connection.exec_driver_sql(statement)


_COPIED = "recorded_at, event_id, schema_version, codec, event_type, data, metadata"
_MORE_OF_ORDER_1 = f"SELECT 900, 'order-1', 5, {_COPIED} FROM es_events WHERE stream_id = 'order-1' AND version = 5"

DAMAGES: Final = {
    "a head that is behind": Damage(
        {FindingKind.HEAD_BEHIND}, "UPDATE es_streams SET version = 2 WHERE stream_id = 'order-2'", mended=True
    ),
    "a head that is ahead": Damage(
        {FindingKind.HEAD_AHEAD}, "UPDATE es_streams SET version = 7 WHERE stream_id = 'user-1'", mended=True
    ),
    "a head that is gone": Damage(
        {FindingKind.HEAD_MISSING}, "DELETE FROM es_streams WHERE stream_id = 'order-3'", mended=True
    ),
    "a head that is gone, of the last stream": Damage(
        {FindingKind.HEAD_MISSING}, "DELETE FROM es_streams WHERE stream_id = 'user-1'", mended=True
    ),
    "a head without events": Damage(
        {FindingKind.HEAD_WITHOUT_EVENTS},
        "INSERT INTO es_streams (stream_id, version) VALUES ('order-99', 3);"
        "INSERT INTO snapshots (stream_id, schema_version, version, codec, state)"
        " SELECT 'order-99', 1, 2, codec, state FROM snapshots WHERE stream_id = 'order-1'",
        mended=True,
    ),
    "a hole": Damage(
        {FindingKind.VERSIONS_MISSING}, "DELETE FROM es_events WHERE stream_id = 'order-1' AND version IN (2, 3)"
    ),
    "a stream that begins late": Damage(
        {FindingKind.VERSIONS_MISSING}, "DELETE FROM es_events WHERE stream_id = 'order-2' AND version = 1"
    ),
    "a tail that is lost": Damage(
        {FindingKind.HEAD_AHEAD}, "DELETE FROM es_events WHERE stream_id = 'order-2' AND version > 1", mended=True
    ),
    "a version that is doubled": Damage(
        {FindingKind.VERSION_DOUBLED, FindingKind.CONSTRAINT_MISSING},
        "ALTER TABLE es_events DROP CONSTRAINT es_events_pkey;"
        f"INSERT INTO es_events (position, stream_id, version, {_COPIED}) OVERRIDING SYSTEM VALUE {_MORE_OF_ORDER_1};"
        "ALTER TABLE es_events ALTER position RESTART WITH 901",
        f"DROP UNIQUE KEY; INSERT INTO es_events (position, stream_id, version, {_COPIED}) {_MORE_OF_ORDER_1}",
    ),
    "positions out of order": Damage(
        {FindingKind.POSITIONS_OUT_OF_ORDER},
        "UPDATE es_events SET version = 100 + version WHERE stream_id = 'order-1' AND version IN (2, 3);"
        "UPDATE es_events SET version = 105 - version WHERE stream_id = 'order-1' AND version > 100",
    ),
    "a codec below 0": Damage(
        {FindingKind.VALUE_OUT_OF_BOUNDS, FindingKind.EVENT_UNREADABLE},
        "UPDATE es_events SET codec = -1 WHERE stream_id = 'order-2' AND version = 2",
    ),
    "bytes that are none of a codec": Damage(
        {FindingKind.EVENT_UNREADABLE},
        "UPDATE es_events SET data = '\\xc1c1' WHERE stream_id = 'order-2' AND version = 2",
        "UPDATE es_events SET data = x'c1c1' WHERE stream_id = 'order-2' AND version = 2",
    ),
    "a codec that nobody knows": Damage(
        {FindingKind.EVENT_UNREADABLE}, "UPDATE es_events SET codec = 77 WHERE stream_id = 'user-1' AND version = 1"
    ),
    "metadata that is no object": Damage(
        {FindingKind.EVENT_UNREADABLE},
        "UPDATE es_events SET metadata = '[1]' WHERE stream_id = 'order-3' AND version = 2",
    ),
    "a snapshot beyond its head": Damage(
        {FindingKind.SNAPSHOT_BEYOND_HEAD}, "UPDATE snapshots SET version = 9 WHERE stream_id = 'order-1'", mended=True
    ),
    "a snapshot of no stream": Damage(
        {FindingKind.SNAPSHOT_WITHOUT_STREAM},
        "UPDATE snapshots SET stream_id = 'order-77' WHERE stream_id = 'order-1'",
        mended=True,
    ),
    "a snapshot that can't be read": Damage(
        {FindingKind.SNAPSHOT_UNREADABLE}, "UPDATE snapshots SET codec = 77 WHERE stream_id = 'order-2'", mended=True
    ),
    "positions that begin again": Damage(
        {FindingKind.POSITIONS_BEHIND},
        "ALTER TABLE es_events ALTER position RESTART WITH 3",
        "UPDATE sqlite_sequence SET seq = 2 WHERE name = 'es_events'",
        mended=True,
    ),
    "a checkpoint beyond the log": Damage(
        {FindingKind.CHECKPOINT_BEYOND_LOG}, "UPDATE es_checkpoints SET position = 1000"
    ),
    "a dead letter of no event": Damage(
        {FindingKind.DEAD_LETTER_WITHOUT_EVENT},
        "UPDATE es_dead_letters SET version = version + 10, stream_id = 'order-66' WHERE version = 1",
    ),
    "an index that is gone": Damage(
        {FindingKind.INDEX_MISSING}, "DROP INDEX es_events_category_position_idx", mended=True
    ),
    "the version of the schema": Damage(
        {FindingKind.SCHEMA_VERSION_WRONG}, "UPDATE es_schema SET version = version + 1"
    ),
    "a column that is not ours": Damage({FindingKind.SCHEMA_DIFFERS}, "ALTER TABLE es_streams ADD tenant text"),
}  # fmt: skip

ON_POSTGRESQL_ONLY: Final = {
    "a position that is doubled": Damage(
        {FindingKind.POSITION_DOUBLED, FindingKind.CONSTRAINT_MISSING},
        "ALTER TABLE es_events DROP CONSTRAINT es_events_position_key;"
        "UPDATE es_events SET position = DEFAULT WHERE stream_id = 'user-1' AND version = 2;"
        f"INSERT INTO es_events (position, stream_id, version, {_COPIED}) OVERRIDING SYSTEM VALUE"
        f" SELECT (SELECT max(position) FROM es_events), 'order-1', 6, {_COPIED} FROM es_events WHERE position = 1;"
        "UPDATE es_streams SET version = 6 WHERE stream_id = 'order-1'",
    ),
    "a sequence that hands out many": Damage(
        {FindingKind.POSITIONS_CACHED}, "ALTER SEQUENCE es_events_position_seq CACHE 20", mended=True
    ),
    "an index that is invalid": Damage(
        {FindingKind.INDEX_INVALID},
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'es_events_category_position_idx'::regclass",
        mended=True,
    ),
    "a foreign key that is gone": Damage(
        {FindingKind.CONSTRAINT_MISSING},
        "ALTER TABLE es_events DROP CONSTRAINT es_events_stream_id_fkey",
        mended=True,
    ),
}
