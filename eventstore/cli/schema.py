"""The command `schema`, which prints the JSON Schema of event types."""

import json

import click

from eventstore.cli.imports import imported
from eventstore.event_types import EventTypes


@click.command()
@click.option(
    "--event-types", metavar="MODULE:ATTRIBUTE", required=True, callback=imported(EventTypes, "an EventTypes registry"),
    help="The application's event types.",
)  # fmt: skip
@click.option("-t", "--type", "types", multiple=True, help="Only this event type; may be repeated.")
def schema(*, event_types: EventTypes, types: tuple[str, ...]) -> None:
    """Print the JSON Schema (2020-12) of each event type: how JSONCodec stores its payloads. Needs no database.

    With one --type, it prints that schema; otherwise, an object of the schemas by event type.
    """
    schemas = event_types.json_schema(*types)
    printed = schemas[types[0]] if len(types) == 1 else schemas
    click.echo(json.dumps(printed, indent=2, ensure_ascii=False))
