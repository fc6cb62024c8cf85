"""The commands `views`, for SQL views of event types, and `recode`, for payloads that views can show."""

from typing import Any, Final

import click

from eventstore import maintenance
from eventstore.cli.database import store_options
from eventstore.cli.imports import imported
from eventstore.cli.output import Column, note, print_json, print_line, print_rows
from eventstore.codecs import JSONCodec, MessagePackCodec
from eventstore.common.exit_codes import FAILED, SCHEMA_DIFFERS
from eventstore.event_types import EventTypes
from eventstore.store import EventStore
from eventstore.views import Counted, EventViews, ViewChange

_CODECS: Final[dict[str, type[JSONCodec | MessagePackCodec]]] = {"json": JSONCodec, "messagepack": MessagePackCodec}
_COUNTS: Final = (
    Column("view", "view", "cyan"),
    Column("event_type", "event type"),
    Column("shown", "shown"),
    Column("other_codec", "not JSON"),
    Column("other_version", "other schema version"),
)


def _renamed(_ctx: click.Context, _parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    """Return the option `renamed` of `EventViews` from texts such as `order-placed.customer=client`."""
    renamed: dict[str, dict[str, Any]] = {}
    for value in values:
        path, equals, key = value.partition("=")
        event_type, _, field = path.rpartition(".")
        if not (event_type and field and equals and key):
            msg = f"{value!r} is not of the form EVENT-TYPE.FIELD=OLD-KEY"
            raise click.BadParameter(msg)
        renamed.setdefault(event_type, {}).setdefault(field, []).append(key)
    return renamed


@click.command()
@click.option(
    "--event-types", metavar="MODULE:ATTRIBUTE", required=True, callback=imported(EventTypes, "an EventTypes registry"),
    help="The application's event types; each class has a view.",
)  # fmt: skip
@click.option("--sql", "action", flag_value="sql", help="Print the SQL for a new database, and do nothing.")
@click.option("--django", "action", flag_value="django", help="Print unmanaged Django models of the views.")
@click.option("--apply", "action", flag_value="apply", help="Create or replace what differs.")
@click.option("--check", "action", flag_value="check", default=True, help="Print what differs (the default).")
@click.option("--prefix", default="", help="A prefix for the names of the views.")
@click.option("--older", multiple=True, metavar="EVENT-TYPE", help="Also show its older schema versions.")
@click.option(
    "--renamed", multiple=True, metavar="EVENT-TYPE.FIELD=OLD-KEY", callback=_renamed,
    help="Read a field of older schema versions under its old key; implies --older.",
)  # fmt: skip
@click.option("--index", "indexes", multiple=True, metavar="EVENT-TYPE.FIELD", help="Create an index on a field.")
@click.option("--reader", "readers", multiple=True, metavar="ROLE", help="A role that may read the views (PostgreSQL).")
@store_options
def views(
    *,
    store: EventStore,
    as_json: bool,
    event_types: EventTypes,
    action: str,
    older: tuple[str, ...],
    renamed: dict[str, dict[str, Any]],
    **options: Any,
) -> None:
    """Create SQL views of events: one for each registered class, with a column for each field.

    They show events with JSON payloads; the command counts events that they can't show. With --check, the exit code is
    6 if a view or index is missing or differs.
    """
    for event_type in older:
        renamed.setdefault(event_type, {})
    made = EventViews(event_types, schema=store.tables.metadata.schema, renamed=renamed, **options)
    if action in {"sql", "django"}:
        source = made.sql if action == "sql" else made.django_models
        click.echo(source(store.engine.dialect.name), nl=False)
        return
    changes = made.apply(store.engine) if action == "apply" else made.check(store.engine)
    _print(changes, made.count(store.engine), is_done=action == "apply", as_json=as_json)
    click.get_current_context().exit(SCHEMA_DIFFERS if changes and action == "check" else 0)


def _print(changes: list[ViewChange], counts: list[Counted], *, is_done: bool, as_json: bool) -> None:
    rows = [
        {
            "view": each.name,
            "event_type": each.event_type,
            "shown": each.shown,
            "other_codec": each.other_codec,
            "other_version": each.other_version,
        }
        for each in counts
    ]
    if as_json:
        print_json({"made" if is_done else "differs": [change.name for change in changes], "views": rows})
        return
    for change in changes:
        print_line("made" if is_done else "differs" if change.replaces else "missing", change.name)
    print_rows(_COUNTS, rows, as_json=False, empty="no class is registered")
    if any(each.other_codec for each in counts):
        note("views show JSON: `eventstore recode --to json` converts payloads, and codec=JSONCodec() writes new ones")


@click.command()
@click.option("--to", "codec", type=click.Choice(["json", "messagepack"]), required=True, help="The codec.")
@click.option("--event-type", "event_types", multiple=True, metavar="TYPE", help="Only events of this type.")
@store_options
def recode(*, store: EventStore, as_json: bool, codec: str, event_types: tuple[str, ...]) -> None:
    """Store payloads again with another codec, such as JSON for SQL views. Values stay the same.

    Payloads that the codec can't store are left unchanged; then the exit code is 1. You can interrupt and repeat it.
    """
    target = EventStore(store.engine, schema=store.tables.metadata.schema, codec=_CODECS[codec]())
    result = maintenance.recode(target, event_types=event_types or None)
    if as_json:
        print_json({"recoded": result.recoded, "left": result.left})
    else:
        click.echo(f"stored {result.recoded:,} payloads again" + (f", left {result.left:,}" if result.left else ""))
    click.get_current_context().exit(FAILED if result.left else 0)
