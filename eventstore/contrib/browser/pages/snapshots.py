"""Snapshots: a list, and the saved state of one."""

from typing import Final

from werkzeug.exceptions import NotFound
from werkzeug.wrappers import Response

from eventstore.contrib.browser import queries
from eventstore.contrib.browser.page import Page
from eventstore.contrib.browser.redaction import Shown, redacted
from eventstore.contrib.browser.visit import Visit

_LARGEST_SCHEMA_VERSION: Final = 2**31 - 1


def snapshots(visit: Visit) -> Response:
    """Show the snapshots, in order of their streams' ids."""
    prefix, start = visit.text("prefix"), visit.text("from")
    schema_version = visit.number("schema", maximum=_LARGEST_SCHEMA_VERSION) or 0
    page = queries.snapshots_by_id(
        visit.store, prefix=prefix or "", start=None if start is None else (start, schema_version)
    )
    next_url = None
    if page.next is not None:
        next_url = visit.url("/snapshots", prefix=prefix, schema=page.next[1], **{"from": page.next[0]})
    return visit.render(
        "snapshots.html",
        snapshots=page.items,
        prefix=prefix,
        first_url=visit.url("/snapshots", prefix=prefix) if start else None,
        next_url=next_url,
    )


def snapshot(visit: Visit) -> Response:
    """Show the state in a snapshot."""
    stream_id = visit.needed("stream")
    schema_version = visit.number("schema", minimum=1, maximum=_LARGEST_SCHEMA_VERSION) or 1
    infos = queries.snapshots_of(visit.store, stream_id)
    info = next((each for each in infos if each.schema_version == schema_version), None)
    if info is None:
        raise NotFound(f"The stream {stream_id!r} has no snapshot of schema version {schema_version}.")
    loaded = visit.store.snapshots.load(stream_id, schema_version=schema_version)
    state = None
    if loaded is not None:
        state = redacted(visit.browser.redact, Shown("state", stream_id, None, loaded.state))
    return visit.render("snapshot.html", snapshot=info, others=infos, is_readable=loaded is not None, state=state)


PAGES: Final = (
    Page("/snapshots", snapshots, menu="Snapshots", parameters=frozenset({"prefix", "from", "schema"})),
    Page("/snapshot", snapshot, parameters=frozenset({"stream", "schema"})),
)
