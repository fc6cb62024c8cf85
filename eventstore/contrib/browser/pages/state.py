"""The state of an aggregate at any version."""

from difflib import SequenceMatcher
from typing import Any, Final

from werkzeug.exceptions import NotFound
from werkzeug.wrappers import Response

from eventstore.contrib.browser.page import Page
from eventstore.contrib.browser.plain import plain
from eventstore.contrib.browser.redaction import Shown, redacted
from eventstore.contrib.browser.values import Token, readable
from eventstore.contrib.browser.visit import Visit
from eventstore.errors import EventStoreError, HistoryDetached
from eventstore.repository import Repository
from eventstore.streams import category_of

_CUT_AFTER: Final = 100_000
_Line = tuple[Token, ...]

_MOST_LINES: Final = 2_000
"""States of more lines are shown without what has changed in them."""


def repository_of(visit: Visit, stream_id: str) -> Repository[Any] | None:
    """Return the repository of a stream's category; None if the application has given none."""
    category = category_of(stream_id)
    if len(stream_id) <= len(category) + 1:
        return None
    return next((each for each in visit.browser.repositories if each.category == category), None)


def state(visit: Visit) -> Response:
    """Show the state of a stream's aggregate at a version, and what its last event has changed."""
    stream_id = visit.needed("stream")
    repository = repository_of(visit, stream_id)
    if repository is None:
        raise NotFound(f"The application has given the browser no repository for the stream {stream_id!r}.")
    newest = visit.store.stream_version(stream_id)
    if not newest:
        raise NotFound(f"There is no stream {stream_id!r}.")
    version = visit.number("version", minimum=1) or newest
    if version > newest:
        raise NotFound(f"The stream {stream_id!r} has no version {version}; its newest is {newest}.")
    lines: list[tuple[str, _Line]] = []
    problem, is_cut = None, False
    try:
        after, is_cut = _lines(visit, repository, stream_id, version)
        before = _lines(visit, repository, stream_id, version - 1)[0] if version > 1 else []
        lines = _changes(before, after)
    except HistoryDetached:
        raise
    except EventStoreError as error:
        problem = str(error)
    except Exception as error:  # noqa: BLE001  # the application's own functions
        problem = f"the repository has raised {type(error).__name__}"
    return visit.render(
        "state.html",
        stream_id=stream_id,
        category=repository.category,
        version=version,
        newest_version=newest,
        lines=lines,
        is_cut=is_cut,
        problem=problem,
    )


def _lines(visit: Visit, repository: Repository[Any], stream_id: str, version: int) -> tuple[list[_Line], bool]:
    loaded = repository.load(stream_id[len(repository.category) + 1 :], version=version)
    redact = visit.browser.redact
    value = redacted(redact, Shown("state", stream_id, None, plain(loaded.state, is_redacted=redact is not None)))
    shown = readable(value, _CUT_AFTER)
    return shown.lines(), shown.is_cut


def _changes(before: list[_Line], after: list[_Line]) -> list[tuple[str, _Line]]:
    """Return lines with what has become of them: `same`, `added` or `removed`."""
    if max(len(before), len(after)) > _MOST_LINES or not before:
        return [("same", line) for line in after]
    changes = []
    for kind, i1, i2, j1, j2 in SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if kind == "equal":
            changes += [("same", line) for line in after[j1:j2]]
        else:
            changes += [("removed", line) for line in before[i1:i2]] + [("added", line) for line in after[j1:j2]]
    return changes


PAGES: Final = (Page("/state", state, parameters=frozenset({"stream", "version"})),)
