"""The commands below `snapshots`: list, show, delete, coverage."""

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
    """Look at saved states, and delete them: they are a cache, and nothing is lost."""


@snapshots.command("list")
@click.option("--category", help="Of streams of this category.")
@click.option("--after", metavar="STREAM", shell_complete=complete_streams, help="Go on after this stream.")
@click.option("-n", "--limit", type=POSITIVE, default=100, show_default=True, help="At most so many.")
@click.option("--all", "without_limit", is_flag=True, help="All, however many.")
@store_options
def list_(
    *, store: EventStore, as_json: bool, category: str | None, after: str | None, limit: int, without_limit: bool
) -> None:
    """List the snapshots, in order of their streams.

    In a pipe, the lines have: stream id, schema version, version, events after it, bytes, time.
    """
    at_most = None if without_limit else limit
    found = store.snapshots.list(
        category=category,
        after=None if after is None else (after, 2**31 - 1),
        limit=None if at_most is None else at_most + 1,
    )
    shown = Limited(found, at_most)
    rows = ({**asdict(snapshot), "events_after": snapshot.events_after} for snapshot in shown)
    print_rows(_COLUMNS, rows, as_json=as_json, empty="there are no snapshots")
    if shown.has_more and shown.last is not None:
        note(f"there are more: --after {shown.last.stream_id}, or --all")


@snapshots.command()
@click.argument("stream_id", metavar="STREAM", shell_complete=complete_streams)
@click.option("--schema-version", type=POSITIVE, default=1, show_default=True, help="Of the state's shape.")
@store_options
def show(*, store: EventStore, as_json: bool, stream_id: str, schema_version: int) -> None:
    """Print the state that is saved of STREAM, as plain data."""
    snapshot = store.snapshots.load(stream_id, schema_version=schema_version)
    if snapshot is None:
        msg = (
            f"there is no snapshot of {stream_id!r} with schema version {schema_version} that can be loaded; "
            "`eventstore snapshots list` has all"
        )
        raise EventStoreError(msg)
    told = {
        "stream_id": snapshot.stream_id,
        "version": snapshot.version,
        "schema_version": snapshot.schema_version,
        "created_at": snapshot.created_at,
    }
    if as_json:
        print_json({**told, "state": exact(snapshot.state)})
    elif has_person():
        print_record(told, as_json=False)
        click.echo(indented(snapshot.state))
    else:
        print_record({**told, "state": compact(snapshot.state)}, as_json=False)


@snapshots.command()
@click.argument("stream_id", metavar="STREAM", shell_complete=complete_streams)
@click.option("--schema-version", type=POSITIVE, help="Only that of this shape of the state.")
@store_options
def delete(*, store: EventStore, as_json: bool, stream_id: str, schema_version: int | None) -> None:
    """Delete the snapshots of STREAM. Whoever loads it next reads its events."""
    print_record({"deleted": store.snapshots.delete(stream_id, schema_version=schema_version)}, as_json=as_json)


@snapshots.command()
@click.option("--category", help="Of streams of this category.")
@click.option(
    "--min-version", type=POSITIVE, default=1, show_default=True, help="Count streams at this version or a higher one."
)
@store_options
def coverage(*, store: EventStore, as_json: bool, category: str | None, min_version: int) -> None:
    """Say how many streams have a snapshot, and how many events are read in spite of them, by the streams' versions.

    The database looks at every stream.
    """
    print_record(asdict(store.snapshots.coverage(category=category, min_version=min_version)), as_json=as_json)
