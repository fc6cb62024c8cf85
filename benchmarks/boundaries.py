"""Appends on condition that two queries by tags match no more events: through the drivers, and by pgbench.

Each append of pgbench has other tags.
"""

import re
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final
from uuid import uuid4

from benchmarks import raw
from benchmarks.pgbench import PgBench, pgbench
from benchmarks.servers import Database
from eventstore import NO_STREAM, EventFilter, EventStore, NewEvent
from eventstore.backends.postgresql.dialect import PostgreSQLDialect
from eventstore.statements.postgresql.append_tagged import append_tagged
from eventstore.statements.postgresql.tag_locks import lock_tags
from eventstore.streams import Expectation
from tests.postgresql.launcher import PostgreSQLServer

ENROLLED: Final = "student-enrolled"
DATA: Final = raw.rows("", 1)[0][6]
"""The same bytes for all contestants."""

_TIMEOUT_SECONDS: Final = 120.0


def queries(course: str, student: str) -> list[EventFilter]:
    """Return what a decision depends on."""
    return [EventFilter(tags=[course]), EventFilter(tags=[student], event_types=[ENROLLED])]


def enrolled(*tags: str) -> NewEvent:
    """Return the event that is appended."""
    return NewEvent(ENROLLED, DATA, tags=tags)


def in_threads(store: EventStore, writers: int, count: int) -> Callable[[], float]:
    """Return us, with threads that share a store, each with tags of its own; the time is that of an append, over all.

    The boundaries are read beforehand.
    """

    def run() -> float:
        barrier = threading.Barrier(writers + 1)

        def write() -> None:
            work = []
            for _ in range(count):
                course, student = f"course:{uuid4()}", f"student:{uuid4()}"
                boundary = store.read_boundary(*queries(course, student))
                work.append((f"enrolment-{uuid4()}", enrolled(course, student), boundary))
            barrier.wait(_TIMEOUT_SECONDS)
            for stream_id, event, boundary in work:
                store.append(stream_id, event, expected_version=NO_STREAM, condition=boundary)

        with ThreadPoolExecutor(writers) as threads:
            running = [threads.submit(write) for _ in range(writers)]
            barrier.wait(_TIMEOUT_SECONDS)
            begun = time.perf_counter()
            for each in running:
                each.result()
            return (time.perf_counter() - begun) / (writers * count)

    return run


def deciding(store: EventStore, tag: str, count: int) -> Callable[[], float]:
    """Return us, who read a boundary and append on it; one of the tags is common to all."""

    def decide(student: str) -> None:
        boundary = store.read_boundary(EventFilter(tags=[tag, student]))
        store.append(f"enrolment-{uuid4()}", enrolled(tag, student), expected_version=NO_STREAM, condition=boundary)

    return lambda: raw.seconds_of(decide, [f"student:{uuid4()}" for _ in range(count)])


_COURSE: Final = "'course:' || CAST(:n AS TEXT)"
_STUDENT: Final = "'student:' || CAST(:n AS TEXT)"
_TAGS: Final = f"ARRAY[{_COURSE}, {_STUDENT}]"
_ITEMS: Final = (
    """'[{"number": 0, "types": null, "position": 0, "event_id": null, "tags": ["course:' || CAST(:n AS TEXT) ||"""
    """ '"], "pivot": "course:' || CAST(:n AS TEXT) || '"}, {"number": 1, "types": ["student-enrolled"],"""
    """ "position": 0, "event_id": null, "tags": ["student:' || CAST(:n AS TEXT) || '"], "pivot": "student:'"""
    """ || CAST(:n AS TEXT) || '"}]'"""
)
_LOCK: Final = {
    "number": "2",
    "tags": f"ARRAY['', {_COURSE}, {_STUDENT}]",
    "are_shared": "ARRAY[true, false, false]",
    "name_of_es_event_tags": "'es_event_tags'",
}
_APPEND: Final = {
    "items": f"({_ITEMS})",
    "generation": "0",
    "stream_id": "('enrolment-' || CAST(:n AS TEXT))",
    "count": "1",
    "event_ids": "ARRAY[gen_random_uuid()]",
    "event_types": f"ARRAY['{ENROLLED}']",
    "schema_versions": "ARRAY[1]",
    "codecs": "ARRAY[1]",
    "data": f"ARRAY['\\x{DATA.hex()}'::bytea]",
    "metadata": """ARRAY['{"$tags": ["course:' || CAST(:n AS TEXT) || '", "student:' || CAST(:n AS TEXT) || '"]}']""",
    "tag_ordinals": "ARRAY[1, 1]",
    "tags": _TAGS,
    "tag_types": f"ARRAY['{ENROLLED}', '{ENROLLED}']",
}


_NUMBER: Final = "\\set n random(1, 1000000000000000)\n"


def appending(server: PostgreSQLServer, database: Database, folder: Path) -> PgBench | None:
    """Return pgbench with our statements, as a store sends them in one pipeline; None where the program is missing."""
    lock, append = _sql(lock_tags, _LOCK), _sql(append_tagged(Expectation.NEW), _APPEND)
    begin = "BEGIN ISOLATION LEVEL READ COMMITTED"
    text = f"{_NUMBER}\\startpipeline\n{begin};\n{lock};\n{append};\nCOMMIT;\n\\endpipeline\n"
    return pgbench(server, database, folder / "ours.sql", text)


_UNCHECKED: Final = f"""WITH
    head AS (
        INSERT INTO es_streams (stream_id, version) VALUES ('unchecked-' || CAST(:n AS TEXT), 1) RETURNING version
    ),
    stored AS (
        INSERT INTO es_events (stream_id, version, event_id, event_type, schema_version, codec, data, metadata)
        SELECT
            'unchecked-' || CAST(:n AS TEXT), head.version, gen_random_uuid(), '{ENROLLED}', 1, 1,
            '\\x{DATA.hex()}'::bytea, ({_APPEND["metadata"]}::TEXT[])[1]::JSONB
        FROM head
        RETURNING position
    ),
    tagged AS (
        INSERT INTO es_event_tags (position, tag, event_type)
        SELECT stored.position, tag.name, '{ENROLLED}' FROM stored JOIN unnest({_TAGS}) AS tag(name) ON true
    )
SELECT position FROM stored"""


def storing(server: PostgreSQLServer, database: Database, folder: Path) -> PgBench | None:
    """Return the limit: the same locks and rows, with nothing that could refuse them; None if pgbench is missing."""
    locks = ["_shared(0)", *(f"(hashtextextended({tag}, 0))" for tag in (_COURSE, _STUDENT))]
    lock = f"SELECT {', '.join(f'pg_advisory_xact_lock{each}' for each in locks)}"
    text = f"{_NUMBER}\\startpipeline\n{lock};\n{' '.join(_UNCHECKED.split())};\n\\endpipeline\n"
    return pgbench(server, database, folder / "unchecked.sql", text)


def calling(server: PostgreSQLServer, database: Database, folder: Path) -> PgBench | None:
    """Return pgbench with the function of `eventsourcing`, whose recorder has made it; None where it is missing."""
    text = f"""SELECT * FROM dcb_conditional_append_tt(
    ARRAY[
        ROW(CAST(ARRAY[] AS TEXT[]), ARRAY[{_COURSE}]),
        ROW(ARRAY['{ENROLLED}'], ARRAY[{_STUDENT}])
    ]::dcb_query_item_tt[],
    0,
    ARRAY[ROW('{ENROLLED}', '\\x{DATA.hex()}'::bytea, {_TAGS})]::dcb_event_tt[]
);
"""
    return pgbench(server, database, folder / "theirs.sql", _NUMBER + text.replace("\n", " ") + "\n")


def _sql(statement: object, values: dict[str, str]) -> str:
    """Return a statement of the store in one line, with expressions in place of its parameters."""
    sql, _ = PostgreSQLDialect().sql(statement)  # type: ignore[arg-type]  # a statement
    return re.sub(r"%\((\w+)\)b", lambda found: values[found[1]], " ".join(sql.split()))
