"""`verify` of a million events finds nothing, in bounded memory, and its rate is printed: pytest -n 0 -m long -s."""

import json
import os
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, text

from eventstore import EventStore
from eventstore.maintenance import statistics
from tests.fix_migrations import url_of

STREAMS = 10_000
EVENTS = 1_000_000
PAYLOAD = b"\x82\xa3sku\xa6A-1234\xa8quantity\x03"  # {"sku": "A-1234", "quantity": 3}
LARGEST_GROWTH_KIB = 60 * 1024

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


def verified(engine: Engine) -> tuple[dict[str, int], int]:
    """Return what the command sums up, and the most memory that its process took, in KiB."""
    command = [sys.executable, "-m", "eventstore", "verify", "--json", "--url", url_of(engine)]
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(command, stdout=output)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0
        output.seek(0)
        (summary,) = [json.loads(line) for line in output]
    return summary, usage.ru_maxrss


def test_a_million_events(any_engine: Engine) -> None:
    _, memory_of_none = verified(any_engine)
    fill(any_engine, EVENTS)
    summary, memory = verified(any_engine)
    print(
        f"{any_engine.dialect.name}: {summary}, at most {memory / 1024:.0f} MiB, {memory_of_none / 1024:.0f} for none"
    )
    assert (summary["findings"], summary["streams"], summary["events"]) == (0, STREAMS, EVENTS)
    assert memory - memory_of_none < LARGEST_GROWTH_KIB
    counted = statistics(EventStore(any_engine), exact_up_to=10_000)
    print(counted)
    assert abs(counted.events.value - EVENTS) < EVENTS * 0.05
