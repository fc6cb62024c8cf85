"""Consistency boundaries: appends on condition, a tag of a million events, and what it costs who uses no tags."""

from collections.abc import Iterator
from typing import Final

from benchmarks.bench import OURS, UMADB, Bench
from benchmarks.boundaries import DATA, appending, calling, deciding, in_threads, storing
from benchmarks.peers import PeerMissing, racer
from benchmarks.race import Contestant
from benchmarks.results import Comparison
from benchmarks.servers import MANY_CONNECTIONS, Database
from benchmarks.workloads.append_one import to_new
from benchmarks.writers import in_threads as plain_in_threads
from eventstore import migrations

THEIRS: Final = "eventsourcing, recorder for DCB"
UNCHECKED: Final = "the same locks and rows, unchecked"
PLAIN: Final = "eventstore, no tags and no condition"
HOT: Final = "eventstore, a tag of a million events"
WITHOUT_TABLE: Final = "eventstore, tables at es_0008"
_BY_PGBENCH: Final = 500
"""Appends of each client, which has a new connection: PostgreSQL plans each of the first five executions."""


def run(bench: Bench) -> Iterator[Comparison]:
    """Append on condition, with fresh tags for each append; then beside a hot tag; then without tags."""
    database, other = bench.database(), bench.database(tables=False)
    store = database.store()
    peer = bench.eventsourcing("boundaries", bench.database(tables=False).environment)
    if peer is not None:
        try:
            peer.call("use_boundaries", name="boundaries", environment=other.environment | MANY_CONNECTIONS)
        except PeerMissing as missing:
            bench.peer_errors["eventsourcing"] = str(missing)
            peer = None
    uma = bench.umadb()
    ours = appending(bench.server, database, bench.folder())
    theirs = calling(bench.server, other, bench.folder()) if peer else None
    limit = storing(bench.server, database, bench.folder())
    for writers in (1, 8, 16):
        count = max(bench.choose(16, 320) // writers, 2)
        what = f"{writers} writer{'s' * (writers > 1)}"
        contestants: dict[str, Contestant | str | None] = {
            OURS: in_threads(store, writers, count),
            THEIRS: racer(peer, "decide_together", name="boundaries", writers=writers, count=count, data=DATA.hex()),
            UMADB: uma.deciding(writers, count) if uma else None,
            PLAIN: plain_in_threads(store, writers, count),
        }
        yield bench.race(
            f"boundaries_{writers}",
            f"{what}: append 1 event with 2 tags on condition that 2 queries match no other",
            contestants,
            per="append",
            reference=OURS,
            durable=True,
        )
        many = bench.choose(2, _BY_PGBENCH)
        yield bench.race(
            f"boundaries_pgbench_{writers}",
            f"{what}: the statements of the same, sent by pgbench",
            {
                OURS: ours.racer(many, writers) if ours else None,
                THEIRS: theirs.racer(many, writers) if theirs else None,
                UNCHECKED: limit.racer(many, writers) if limit else None,
            },
            per="append",
            reference=OURS,
            durable=True,
        )
    yield _hot_tag(bench)
    yield _without_tags(bench)


def _hot_tag(bench: Bench) -> Comparison:
    events, count = bench.choose(20_000, 1_000_000), bench.choose(10, 200)
    database = bench.loaded(events)
    _tag_all(database)
    store = database.store()
    return bench.race(
        "boundaries_hot",
        "read a boundary of 2 tags, and append on it: one tag has a million events, or is as cold as the other",
        {OURS: deciding(store, "cold", count), HOT: deciding(store, "hot", count)},
        per="append",
        reference=OURS,
        durable=False,
    )


def _tag_all(database: Database) -> None:
    with database.raw() as connection:
        connection.execute(
            "INSERT INTO es_event_tags (position, tag, event_type) SELECT position, 'hot', event_type FROM es_events"
        )
        connection.execute("VACUUM (ANALYZE) es_event_tags")


def _without_tags(bench: Bench) -> Comparison:
    count = bench.choose(40, 1000)
    newer, older = bench.database(durable=False), bench.database(durable=False)
    migrations.downgrade(older.engine(), "es_0008")
    return bench.race(
        "boundaries_unused",
        "append 1 event without tags, with the table of tags and without it",
        {OURS: to_new(newer.store(), count), WITHOUT_TABLE: to_new(older.store(), count)},
        per="append",
        reference=WITHOUT_TABLE,
        durable=False,
    )
