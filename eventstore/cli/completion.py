"""Shell completion of stream ids and projection names."""

from collections.abc import Callable, Iterable
from itertools import islice, takewhile
from typing import Final

import click
from click.shell_completion import CompletionItem

from eventstore.cli.database import refuse_missing_file, store_of
from eventstore.cli.output import printable
from eventstore.statements.projections import names_of_projections
from eventstore.store import EventStore

_LIMIT: Final = 50
_SECONDS: Final = 1.0
"""How long a completion waits for a database that does not answer."""


def complete_streams(ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return the stream ids that begin with the incomplete one."""
    return _completed(ctx, lambda store: _streams(store, incomplete))


def complete_projections(ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return the projection names that begin with the incomplete one."""

    def find(store: EventStore) -> list[str]:
        with store.core.execution.statement() as run:
            names = [name for (name,) in run(names_of_projections)]
        return [name for name in names if name.startswith(incomplete)]

    return _completed(ctx, find)


def _streams(store: EventStore, incomplete: str) -> Iterable[str]:
    streams = store.list_streams(after_stream_id=incomplete or None, limit=_LIMIT)
    exact = [incomplete] if incomplete and store.stream_version(incomplete) else []
    return [*exact, *takewhile(lambda each: each.startswith(incomplete), (stream.stream_id for stream in streams))]


def _completed(ctx: click.Context, find: Callable[[EventStore], Iterable[str]]) -> list[CompletionItem]:
    try:
        store = store_of(ctx, ctx.params.get("url"), ctx.params.get("schema"))
        refuse_missing_file(store.engine)
        if not store.health(timeout_seconds=_SECONDS, projections=()).ok:
            return []
        candidates = list(islice(find(store), _LIMIT))
    except Exception:  # noqa: BLE001  # a completing shell can't show errors
        return []
    return [CompletionItem(each) for each in candidates if each == printable(each)]
