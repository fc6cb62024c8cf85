"""What one append keeps processors busy with: the server's, and the client's."""

from collections.abc import Callable, Iterator
from typing import Final

from benchmarks import raw
from benchmarks.bench import OURS, Bench
from benchmarks.peers import FUNCTIONS, racer
from benchmarks.processor import ServerProcessor, client_seconds_of
from benchmarks.race import Contestant
from benchmarks.results import Comparison
from benchmarks.servers import Database
from benchmarks.workloads.append_one import to_new

MORE_CHECKS: Final = "eventstore, constraints as before es_0008"

_OLD_CHECKS: Final = {
    "es_events": {
        "es_events_position_check": "position >= 1",
        "es_events_schema_version_check": "schema_version >= 1",
        "es_events_codec_check": "codec >= 0",
        "es_events_event_type_check": "length(event_type) BETWEEN 1 AND 255",
    },
    "es_streams": {
        "es_streams_stream_id_check": "length(stream_id) BETWEEN 1 AND 255",
        "es_streams_deleted_version_check": "version = deleted_version",
        "es_streams_archived_version_check": "version = archived_version",
    },
}
"""What each append was checked by before revision es_0008."""


def run(bench: Bench) -> Iterator[Comparison]:
    """Measure the processors' time of one append: of the server, and of the client."""
    count = bench.choose(40, 1000)
    database, before = bench.database(durable=False), bench.database(durable=False)
    add_old_checks(before)
    plain, functions = (bench.database(durable=False, tables=False) for _ in range(2))
    peer = bench.eventsourcing("processor", plain.environment)
    bench.eventsourcing("processor, functions", functions.environment | FUNCTIONS)
    server = ServerProcessor.of(bench.server)
    with database.raw() as connection:
        contestants: dict[str, Contestant | None] = {
            "psycopg INSERT": raw.insert_one(connection, count),
            OURS: to_new(database.store(), count),
            MORE_CHECKS: to_new(before.store(), count),
            "eventsourcing": racer(peer, "append_to_new", name="processor", count=count),
            "eventsourcing, functions": racer(peer, "append_to_new", name="processor, functions", count=count),
        }
        yield bench.race(
            "processor_server",
            "append 1 event: time that the server's processors work",
            {
                name: _measured(server.seconds_of, work, count) if server else "this system does not count it"
                for name, work in contestants.items()
                if work
            },
            per="append",
            reference="psycopg INSERT",
            durable=False,
        )
        yield bench.race(
            "processor_client",
            "append 1 event: time that the client's processors work",
            {
                name: _measured(client_seconds_of, work, count)
                for name, work in contestants.items()
                if name in {"psycopg INSERT", OURS} and work
            },
            per="append",
            reference="psycopg INSERT",
            durable=False,
        )


def add_old_checks(database: Database) -> None:
    """Put back the constraints that revision es_0008 took off."""
    with database.raw() as connection:
        for table, checks in _OLD_CHECKS.items():
            for name, condition in checks.items():
                connection.execute(
                    f"ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {name}, ADD CONSTRAINT {name} CHECK ({condition})"
                )


def _measured(seconds_of: Callable[[Callable[[], object]], float], work: Contestant, count: int) -> Contestant:
    return lambda: seconds_of(work) / count
