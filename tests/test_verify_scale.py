"""`verify` of a million events finds nothing, in bounded memory, and its rate is printed: pytest -n 0 -m long -s."""

import json
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from eventstore import EventStore
from eventstore.maintenance import statistics
from tests.fix_migrations import url_of

ROOT = Path(__file__).parent.parent
STREAMS = 10_000
EVENTS = 1_000_000
PAYLOAD = b"\x82\xa3sku\xa6A-1234\xa8quantity\x03"  # {"sku": "A-1234", "quantity": 3}
LARGEST_GROWTH_MEBIBYTES = 60

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]


def rows(count: int) -> Iterator[tuple[str, int, uuid.UUID, str, bytes]]:
    """Yield events of streams that take turns, as in life."""
    for number in range(count):
        version, stream = divmod(number, STREAMS)
        event_type = "item-added" if version else "basket-opened"
        yield f"basket-{stream:05}", version + 1, uuid.UUID(int=number), event_type, PAYLOAD


def fill(engine: Engine, count: int) -> None:
    columns = "stream_id, version, event_id, event_type, data, schema_version, codec"
    with engine.begin() as connection:
        heads = [{"id": f"basket-{stream:05}", "version": count // STREAMS} for stream in range(STREAMS)]
        connection.execute(text("INSERT INTO es_streams (stream_id, version) VALUES (:id, :version)"), heads)
        raw = connection.connection.dbapi_connection
        assert raw is not None
        if engine.dialect.name == "postgresql":
            with raw.cursor().copy(f"COPY es_events ({columns}) FROM STDIN") as copy:
                for row in rows(count):
                    copy.write_row((*row, 1, 1))
        else:
            insert = f"INSERT INTO es_events ({columns}) VALUES (?, ?, ?, ?, ?, 1, 1)"
            raw.executemany(insert, ((*row[:2], row[2].hex, *row[3:]) for row in rows(count)))
        snapshot = (
            "INSERT INTO snapshots (stream_id, schema_version, version, codec, state)"
            " SELECT stream_id, 1, version, codec, data FROM es_events WHERE version = :version"
        )
        connection.execute(text(snapshot), {"version": count // STREAMS})
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("ANALYZE"))


MEASURED = """
import sys
from eventstore.__main__ import main
from tests.memory import peak_bytes
try:
    main()
finally:
    print(peak_bytes(), file=sys.stderr)
"""


def verified(engine: Engine) -> tuple[dict[str, int], float]:
    """Return what the command sums up, and the most memory that its process held, in MiB."""
    command = [sys.executable, "-c", MEASURED, "verify", "--json", "--url", url_of(engine)]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    (summary,) = [json.loads(line) for line in done.stdout.splitlines()]
    return summary, int(done.stderr) / 2**20


def test_a_million_events(any_engine: Engine) -> None:
    _, memory_of_none = verified(any_engine)
    fill(any_engine, EVENTS)
    summary, memory = verified(any_engine)
    print(f"{any_engine.dialect.name}: {summary}, at most {memory:.0f} MiB, {memory_of_none:.0f} for none")
    assert (summary["findings"], summary["streams"], summary["events"]) == (0, STREAMS, EVENTS)
    assert memory - memory_of_none < LARGEST_GROWTH_MEBIBYTES
    counted = statistics(EventStore(any_engine), exact_up_to=10_000)
    print(counted)
    assert abs(counted.events.value - EVENTS) < EVENTS * 0.05
