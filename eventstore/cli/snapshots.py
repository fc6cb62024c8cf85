"""The commands of `snapshots`: list, show, delete, coverage."""

from dataclasses import asdict

import click

from eventstore.cli.completion import complete_streams
from eventstore.cli.database import store_options
from eventstore.cli.output import Column, Limited, has_person, note, print_json, print_record, print_rows
from eventstore.cli.payloads import compact, exact, indented
from eventstore.cli.reading import POSITIVE
from eventstore.errors import EventStoreError
from eventstore.store import EventStore

_COLUMNS = (
    Column("stream_id", "stream", "cyan"),
    Column("schema_version", "schema"),
    Column("version", "at version"),
    Column("events_after", "events after"),
    Column("size_bytes", "bytes"),
    Column("created_at", "saved (UTC)"),
)


@click.group()
def snapshots() -> None:
    """List, show and delete snapshots. They are a cache, so deleting them loses nothing."""


@snapshots.command("list")
@click.option("--category", help="Only streams of this category.")
@click.option("--after", metavar="STREAM", shell_complete=complete_streams, help="Continue after this stream.")
@click.option("-n", "--limit", type=POSITIVE, default=100, show_default=True, help="The maximum number.")
@click.option("--all", "without_limit", is_flag=True, help="All of them, without a limit.")
@store_options
def list_(
    *, store: EventStore, as_json: bool, category: str | None, after: str | None, limit: int, without_limit: bool
) -> None:
    """List the snapshots in the order of their stream ids.

    In a pipe, the lines have: stream id, schema version, version, events after it, bytes, time.
    """
    at_most = None if without_limit else limit
    matching = store.snapshots.list(
        category=category,
        after=None if after is None else (after, 2**31 - 1),
        limit=None if at_most is None else at_most + 1,
    )
    page = Limited(matching, at_most)
    rows = ({**asdict(snapshot), "events_after": snapshot.events_after} for snapshot in page)
    print_rows(_COLUMNS, rows, as_json=as_json, empty="there are no snapshots")
    if page.has_more and page.last is not None:
        note(f"there are more: continue with --after {page.last.stream_id}, or use --all")


@snapshots.command()
@click.argument("stream_id", metavar="STREAM", shell_complete=complete_streams)
@click.option("--schema-version", type=POSITIVE, default=1, show_default=True, help="The schema version of the state.")
@store_options
def show(*, store: EventStore, as_json: bool, stream_id: str, schema_version: int) -> None:
    """Print the state in the snapshot of STREAM, as plain data."""
    snapshot = store.snapshots.load(stream_id, schema_version=schema_version)
    if snapshot is None:
        msg = (
            f"there is no snapshot of {stream_id!r} with schema version {schema_version} that can be loaded; "
            "`eventstore snapshots list` lists all snapshots"
        )
        raise EventStoreError(msg)
    record = {
        "stream_id": snapshot.stream_id,
        "version": snapshot.version,
        "schema_version": snapshot.schema_version,
        "created_at": snapshot.created_at,
    }
    if as_json:
        print_json({**record, "state": exact(snapshot.state)})
    elif has_person():
        print_record(record, as_json=False)
        click.echo(indented(snapshot.state))
    else:
        print_record({**record, "state": compact(snapshot.state)}, as_json=False)


@snapshots.command()
@click.argument("stream_id", metavar="STREAM", shell_complete=complete_streams)
@click.option("--schema-version", type=POSITIVE, help="Only the snapshot of this schema version.")
@store_options
def delete(*, store: EventStore, as_json: bool, stream_id: str, schema_version: int | None) -> None:
    """Delete the snapshots of STREAM. The next load reads its events instead."""
    print_record({"deleted": store.snapshots.delete(stream_id, schema_version=schema_version)}, as_json=as_json)


@snapshots.command()
@click.option("--category", help="Only streams of this category.")
@click.option(
    "--min-version", type=POSITIVE, default=1, show_default=True, help="Count streams at this version or a higher one."
)
@store_options
def coverage(*, store: EventStore, as_json: bool, category: str | None, min_version: int) -> None:
    """Print how many streams have a snapshot, and how many events are still read, according to the streams' versions.

    The database reads every stream.
    """
    print_record(asdict(store.snapshots.coverage(category=category, min_version=min_version)), as_json=as_json)
