"""Memory holds one batch of a frame, however large the log is."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import Engine

from eventstore import ANY, EventStore, NewEvent
from tests.fix_migrations import url_of

ROOT = Path(__file__).parent.parent
EVENTS, PAYLOAD_BYTES = 2_000, 8_192
ALL_MEBIBYTES = EVENTS * PAYLOAD_BYTES / 2**20

PROCESS = f"""
import json
import sys
import pyarrow as pa
from eventstore import EventFilter, EventStore, NewEvent
from eventstore.contrib import frames
from tests.memory import peak_bytes

store = EventStore.from_url(sys.argv[1])

def rows_read(limit):
    for frame in (
        frames.read_all(store, limit=limit, batch_size=125),
        frames.read_all(store, EventFilter(event_types=["noted"]), limit=limit, batch_size=125),
        frames.read_stream(store, "log-1", fields=["text"], limit=limit, batch_size=125),
    ):
        yield sum(batch.num_rows for batch in frame.reader())

def batches():
    for start in range(0, {EVENTS}, 125):
        if start == 500:
            peaks.append(peak_bytes())
        rows = [{{"number": start + n, "text": f"{{start + n:{PAYLOAD_BYTES}}}"}} for n in range(125)]
        yield pa.RecordBatch.from_pylist(rows)

assert [*rows_read(500)] == [500] * 3
peaks = [peak_bytes()]
for count in rows_read(None):
    assert count == {EVENTS}
    peaks.append(peak_bytes())
appended = frames.append(
    store,
    pa.RecordBatchReader.from_batches(pa.schema({{"number": pa.int64(), "text": pa.string()}}), batches()),
    stream_id=lambda _: "copy-1",
    event=lambda row: NewEvent("copied", row),
    key="number",
    batch_size=125,
)
assert appended.events == {EVENTS}
peaks.append(peak_bytes())
print(json.dumps(peaks))
"""


@pytest.mark.slow
def test_after_the_first_batches_a_process_takes_no_more_memory(any_engine: Engine) -> None:
    store = EventStore(any_engine)
    for start in range(0, EVENTS, 1_000):
        events = [NewEvent("noted", {"text": f"{start + n:{PAYLOAD_BYTES}}"}) for n in range(1_000)]
        store.append("log-1", events, expected_version=ANY)
    command = [sys.executable, "-c", PROCESS, url_of(any_engine)]
    output = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    before, *reads, before_append, after_append = json.loads(output)
    growths = {"reads": [(peak - before) / 2**20 for peak in reads], "append": (after_append - before_append) / 2**20}
    print(f"{any_engine.dialect.name}: {growths} MiB, of {ALL_MEBIBYTES:.0f} in all")
    assert len(reads) == 3
    assert max(*growths["reads"], growths["append"]) < ALL_MEBIBYTES / 4
