"""What a shell completes: ids of streams, names of projections."""

from collections.abc import Callable, Iterable
from itertools import islice, takewhile
from typing import Final

import click
from click.shell_completion import CompletionItem

from eventstore.cli.database import refuse_missing_file, store_of
from eventstore.cli.output import printable
from eventstore.statements.projections import names_of_projections
from eventstore.store import EventStore

_SHOWN: Final = 50
_SECONDS: Final = 1.0
"""Who presses the tabulator key waits no longer for a database that does not answer."""


def complete_streams(ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return ids of streams that begin so."""
    return _completed(ctx, lambda store: _streams(store, incomplete))


def complete_projections(ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return names of projections that begin so."""

    def find(store: EventStore) -> list[str]:
        with store.core.execution.statement() as run:
            names = [name for (name,) in run(names_of_projections)]
        return [name for name in names if name.startswith(incomplete)]

    return _completed(ctx, find)


def _streams(store: EventStore, incomplete: str) -> Iterable[str]:
    found = store.list_streams(after_stream_id=incomplete or None, limit=_SHOWN)
    exact = [incomplete] if incomplete and store.stream_version(incomplete) else []
    return [*exact, *takewhile(lambda each: each.startswith(incomplete), (stream.stream_id for stream in found))]


def _completed(ctx: click.Context, find: Callable[[EventStore], Iterable[str]]) -> list[CompletionItem]:
    try:
        store = store_of(ctx, ctx.params.get("url"), ctx.params.get("schema"))
        refuse_missing_file(store.engine)
        if not store.health(timeout_seconds=_SECONDS, projections=()).ok:
            return []
        found = list(islice(find(store), _SHOWN))
    except Exception:  # noqa: BLE001  # a shell that completes has nowhere to tell what went wrong
        return []
    return [CompletionItem(each) for each in found if each == printable(each)]
