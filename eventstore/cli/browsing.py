"""The command browse, which starts the browser of streams."""

import webbrowser
from collections.abc import Callable
from typing import Any, Final

import click

from eventstore.cli.database import store_options
from eventstore.cli.imports import imported
from eventstore.cli.output import print_json
from eventstore.cli.projections import EVENT_TYPES, PROJECTION, typed
from eventstore.event_types import EventTypes
from eventstore.repository import Repository
from eventstore.store import EventStore

_REPOSITORY: Final = imported(Repository, "a Repository, or a function that makes one")
_REDACT: Final = imported(None, "a function")


def _each(callback: Callable[..., Any]) -> Callable[..., Any]:
    """Return the callback for an option that may be repeated."""
    return lambda ctx, parameter, values: [callback(ctx, parameter, value) for value in values]


@click.command()
@click.option("--port", type=click.IntRange(0, 65_535), default=0, help="The port.  [default: one that is free]")
@click.option("--open/--no-open", "opens", default=True, show_default=True, help="Open it in your web browser.")
@click.option(
    "--repository", "repositories", multiple=True, callback=_each(_REPOSITORY), metavar="MODULE:ATTRIBUTE",
    help="A repository, to see the state at any version; may be repeated.",
)  # fmt: skip
@click.option(
    "--projection", "projections", multiple=True, callback=_each(PROJECTION), metavar="MODULE:ATTRIBUTE",
    help="A projection whose dead letters can be retried; may be repeated.",
)  # fmt: skip
@click.option(
    "--event-types", callback=EVENT_TYPES, metavar="MODULE:ATTRIBUTE",
    help="The registry, to see events as the application reads them.",
)  # fmt: skip
@click.option("--redact", callback=_REDACT, metavar="MODULE:FUNCTION", help="What is shown of a value: see the guide.")
@click.option("--allow-changes", is_flag=True, help="Dead letters can be retried and discarded.")
@store_options
def browse(
    *, store: EventStore, as_json: bool, port: int, opens: bool, repositories: list[Any], projections: list[Any],
    event_types: EventTypes | None, redact: Any, allow_changes: bool,
) -> None:  # fmt: skip
    """Look at the streams in a web browser, until Ctrl-C.

    It answers on this machine only, and only to who has the token of the printed address. A user of the database who
    may only read is enough.
    """
    from eventstore.contrib.browser.local import LocalBrowser  # noqa: PLC0415  # needs an extra

    browser = LocalBrowser(
        typed(store, event_types),
        port=port,
        may_change=allow_changes,
        redact=redact,
        repositories=repositories,
        projections=projections,
    )
    if as_json:
        print_json({"url": browser.url})
    else:
        click.echo(f"Open {browser.url} (Ctrl-C ends it)")
    if opens:
        webbrowser.open(browser.url)
    try:
        browser.serve()
    except KeyboardInterrupt:
        click.echo(err=True)
