"""The command fill-tags: tags for events that were stored without them."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import click

from eventstore import maintenance
from eventstore.cli.database import store_options
from eventstore.cli.imports import imported
from eventstore.cli.output import counted, note, print_json
from eventstore.cli.progress import counting_events
from eventstore.common.exit_codes import FAILED
from eventstore.event_types import EventTypes
from eventstore.maintenance import FilledTags
from eventstore.store import EventStore


@click.command("fill-tags")
@click.option(
    "--event-types", metavar="MODULE:ATTRIBUTE", callback=imported(EventTypes, "an EventTypes registry"),
    help="The application's event types, whose classes give tags. Old events are upcast first.",
)  # fmt: skip
@click.option(
    "--tags-of", metavar="MODULE:FUNCTION", callback=imported(None, "a function"),
    help="A function that returns the tags of an event, for events without a class.",
)  # fmt: skip
@click.option(
    "--after", type=click.IntRange(min=0), default=0, metavar="POSITION", help="Continue after this position."
)
@click.option(
    "--batch-size", type=click.IntRange(min=1), default=1000, show_default=True, metavar="N",
    help="How many events to read at a time.",
)  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Only count the events that would get tags.")
@store_options
def fill_tags(
    *, store: EventStore, as_json: bool, event_types: EventTypes | None, tags_of: Callable[..., Any] | None, after: int,
    batch_size: int, dry_run: bool,
) -> None:  # fmt: skip
    """Give stored events the tags that they would get if they were appended now.

    Deploy the code that gives new events their tags first. Tags are added to the metadata of events and to
    es_event_tags; no tag is removed. Without options, es_event_tags is filled from the metadata only.

    Other processes may append in the meantime; decisions are repeated. You can interrupt and repeat it.
    """
    target = store if event_types is None else store.with_core(store.core.with_event_types(event_types))
    if tags_of is None and not target.event_types.derives_tags:
        note("no class gives tags (see --event-types and --tags-of): only the tags in metadata are stored")
    reached = after
    with counting_events("read", quiet=as_json) as report:

        def on_progress(step: FilledTags) -> None:
            nonlocal reached
            reached = step.position
            if report is not None:
                report(step.events, step.position, step.end)

        try:
            done = maintenance.fill_tags(
                target, tags_of=tags_of, after_position=after, batch_size=batch_size, dry_run=dry_run,
                on_progress=on_progress,
            )  # fmt: skip
        except BaseException:
            if reached > after:
                note(f"everything up to position {reached} is done: continue with --after {reached}")
            raise
    if as_json:
        print_json(asdict(done))
    else:
        verb = "would give" if dry_run else "gave"
        more = f", and restored those of {done.restored:,}" if done.restored else ""
        of = counted(done.events, "event")
        click.echo(f"{verb} tags to {done.tagged:,} of {of}{more}, up to position {done.position}")
    if done.position < done.end:
        note(f"an append is still under way; when it has ended, run this again with --after {done.position}")
        click.get_current_context().exit(FAILED)
