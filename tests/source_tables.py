"""Tables of other programs, for imports: their definitions, and writers that fill them."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, Engine, text

from eventstore.transfer import TableMap

OF_EVENTSOURCING: Final = json.loads((Path(__file__).parent / "golden" / "eventsourcing_rows.json").read_text("utf-8"))
"""What a real application has written into its table, and what its library reads; see golden/README.md."""

DEFINITIONS: Final[dict[str, dict[str, str]]] = {
    "postgresql": {
        "table": """
            CREATE TABLE events (
                id bigserial PRIMARY KEY, kind text NOT NULL, entity integer NOT NULL, version integer NOT NULL,
                name text NOT NULL, payload jsonb, context jsonb, created_at timestamptz NOT NULL
            )""",
        "eventsourcing": """
            CREATE TABLE stored_events (
                originator_id uuid NOT NULL, originator_version bigint NOT NULL, topic text, state bytea,
                notification_id bigserial, PRIMARY KEY (originator_id, originator_version)
            );
            CREATE UNIQUE INDEX stored_events_notification_id_idx ON stored_events (notification_id)""",
        "message-db": """
            CREATE SCHEMA message_store;
            CREATE TABLE message_store.messages (
                global_position bigserial PRIMARY KEY, position bigint NOT NULL,
                time timestamp NOT NULL DEFAULT (now() AT TIME ZONE 'utc'), stream_name text NOT NULL,
                type text NOT NULL, data jsonb, metadata jsonb, id uuid NOT NULL DEFAULT gen_random_uuid()
            );
            CREATE UNIQUE INDEX messages_stream ON message_store.messages (stream_name, position)""",
    },
    "sqlite": {
        "table": """
            CREATE TABLE events (
                id INTEGER PRIMARY KEY, kind TEXT NOT NULL, entity INTEGER NOT NULL, version INTEGER NOT NULL,
                name TEXT NOT NULL, payload TEXT, context TEXT, created_at TEXT NOT NULL
            )""",
        "eventsourcing": """
            CREATE TABLE stored_events (
                originator_id TEXT, originator_version INTEGER, topic TEXT, state BLOB,
                PRIMARY KEY (originator_id, originator_version)
            )""",
    },
}
"""The tables, by database and reader; several statements are separated by semicolons."""

MAP: Final = {
    "table": "events",
    "stream": "{kind}-{entity}",
    "order": "id",
    "version": "version",
    "type": "name",
    "data": "payload",
    "metadata": "context",
    "time": "created_at",
}
"""The map of the table `events`, as in TOML."""

_BEGIN: Final = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)


def create_source(engine: Engine, reader: str) -> TableMap:
    """Create the table of a reader; return its map."""
    with engine.begin() as connection:
        for statement in DEFINITIONS[engine.dialect.name][reader].split(";"):
            connection.execute(text(statement))
    return TableMap.of(MAP if reader == "table" else {}, reader=reader)  # type: ignore[arg-type]  # one of them


def insert(connection: Connection, reader: str, number: int) -> None:
    """Insert the row with a number: the next version of one of seven streams."""
    stream, version = number % 7, number // 7
    at = _BEGIN + timedelta(seconds=number)
    statement, row = _ROWS[reader](connection.dialect.name, stream, version, number, at)
    connection.execute(text(statement), row)


def _of_table(dialect: str, stream: int, version: int, number: int, at: datetime) -> tuple[str, dict[str, Any]]:
    values = "'order', :entity, :version, :name, :payload, :context, :at"
    if dialect == "postgresql":
        values = (
            "'order', :entity, :version, :name, CAST(:payload AS jsonb), CAST(:context AS jsonb),"
            " CAST(:at AS timestamptz)"
        )
    return (
        f"INSERT INTO events (kind, entity, version, name, payload, context, created_at) VALUES ({values})",
        {
            "entity": stream, "version": version * 2, "name": f"type-{number % 3}", "at": at.isoformat(" "),
            "payload": json.dumps({"number": number, "price": 1.1, "text": "ünï", "list": [None, True]}),
            "context": json.dumps({"user": number % 5, "nested": {"a": [1.5]}}) if number % 2 else None,
        },
    )  # fmt: skip


def _of_eventsourcing(dialect: str, stream: int, version: int, number: int, at: datetime) -> tuple[str, dict[str, Any]]:
    stream_id = UUID(int=stream + 1)
    state = {
        "timestamp": {"_type_": "datetime_iso", "_data_": at.isoformat()},
        "amount": {"_type_": "decimal_str", "_data_": f"{number}.10"},
        "by": {"_type_": "uuid_hex", "_data_": UUID(int=number).hex},
    }
    columns = "originator_id, originator_version, topic, state"
    return (
        f"INSERT INTO stored_events ({columns}) VALUES (:id, :version, :topic, :state)",
        {
            "id": stream_id if dialect == "postgresql" else stream_id.hex, "version": version + 1,
            "topic": "bank.domain:BankAccount.Opened" if version == 0 else "bank.domain:BankAccount.Deposited",
            "state": json.dumps(state, separators=(",", ":")).encode(),
        },
    )  # fmt: skip


def _of_message_db(_dialect: str, stream: int, version: int, number: int, at: datetime) -> tuple[str, dict[str, Any]]:
    columns = "position, time, stream_name, type, data, metadata, id"
    values = ":position, :at, :stream, :type, CAST(:data AS jsonb), CAST(:metadata AS jsonb), :id"
    return (
        f"INSERT INTO message_store.messages ({columns}) VALUES ({values})",
        {
            "position": version, "at": at.replace(tzinfo=None), "stream": f"account-{stream}",
            "id": UUID(int=number + 1), "type": ("Deposited", "Withdrawn")[number % 2],
            "data": json.dumps({"amount": number}),
            "metadata": json.dumps({"correlationStreamName": f"transfer-{number}"}) if number % 2 else None,
        },
    )  # fmt: skip


_ROWS: Final = {"table": _of_table, "eventsourcing": _of_eventsourcing, "message-db": _of_message_db}
