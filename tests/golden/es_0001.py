"""Made es_0001.db and es_0001.sql: databases of the first revision with something of everything in them."""

import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import Engine, create_engine

from eventstore import EventStore, EventTypes, NewEvent, migrations
from eventstore.codecs import JSONCodec

HERE = Path(__file__).parent


@dataclass
class Paid:
    """A typed event."""

    amount: Decimal
    at: datetime


def event_types() -> EventTypes:
    """Return the registry of the typed events."""
    types = EventTypes()
    types.register("paid")(Paid)
    return types


PAID = Paid(Decimal("30.10"), datetime(2026, 11, 25, 17, 0, tzinfo=UTC))
EXPECTED: dict[str, list[Any]] = {
    "golden-1": [{"total": 30, "lines": [{"article": "tea"}]}, PAID],
    "golden-ü 2": [{"text": "a\0b"}],
    "golden": [{"number": number, "text": "tea " * number} for number in range(50)],
}
STATE = {"total": Decimal(7)}


def fill(engine: Engine) -> None:
    """Put events and a snapshot into the tables."""
    store = EventStore(engine, event_types=event_types())
    first, second = EXPECTED["golden-1"]
    metadata = {"user": "Ada", "tags": ["a", 1, None]}
    placed = NewEvent("placed", first, event_id=UUID(int=7))
    store.append("golden-1", [placed], expected_version=0, metadata=metadata)
    store.append("golden-1", [second], expected_version=1)
    in_json = EventStore(engine, codec=JSONCodec())
    in_json.append("golden-ü 2", [NewEvent("noted", EXPECTED["golden-ü 2"][0])], expected_version=0)
    compressing = EventStore(engine, compress_above=8)
    compressing.append("golden", [NewEvent("counted", data) for data in EXPECTED["golden"]], expected_version=0)
    store.snapshots.save("golden", version=40, state=STATE, schema_version=2)


def dump(binaries: Path, url: str) -> str:
    """Return what pg_dump writes, without what only a newer psql or server understands."""
    command = [str(binaries / "pg_dump"), "--inserts", "--no-owner", "--no-privileges", "--dbname", url]
    dumped = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    newer = ("\\restrict", "\\unrestrict", "SET transaction_timeout")
    return "".join(line for line in dumped.splitlines(keepends=True) if not line.startswith(newer))


def main(binaries: Path, postgresql_url: str) -> None:
    """Make both files; the PostgreSQL database is to be empty."""
    sqlite = create_engine(f"sqlite:///{HERE / 'es_0001.db'}")
    migrations.upgrade(sqlite, "es_0001")
    fill(sqlite)
    postgresql = create_engine(postgresql_url)
    migrations.upgrade(postgresql, "es_0001")
    fill(postgresql)
    (HERE / "es_0001.sql").write_text(dump(binaries, postgresql_url.replace("+psycopg", "")), encoding="utf-8")
    for engine in (sqlite, postgresql):
        engine.dispose()


if __name__ == "__main__":
    from tests.postgresql.launcher import PostgreSQLServer, find_binaries

    found = find_binaries()
    with PostgreSQLServer(found) as server:
        main(found, server.url)
