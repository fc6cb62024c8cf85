"""Projections with their lag, and dead letters."""

from eventstore.common.validation import check_number, check_projection_name, check_stream_id
from eventstore.contrib.browser.queries.pages import LAST_POSITION, Page, page_of
from eventstore.core.schema_version import REQUIRED_BY_PROJECTIONS, SchemaGate
from eventstore.projections import ProjectionAdmin, ProjectionStatus
from eventstore.projections.dead_letters import DeadLetter, letter_of
from eventstore.statements.browsing import (
    COUNTED,
    PROJECTIONS,
    dead_letters_before,
    find_dead_letter,
    pending_dead_letters_from,
    projections_from,
)
from eventstore.store import EventStore

_COUNTED = COUNTED + 1


def projections(store: EventStore, *, start: str | None = None) -> Page[ProjectionStatus, str]:
    """Return a page of at most 50 projections, in order of their names.

    Their lag in events, and their dead letters, are counted up to 1,001.

    Args:
        store: The store, not joined.
        start: Inclusive; the name that the page begins with. Defaults to None: the first one.

    Raises:
        InvalidInput: An argument is not valid.
        SchemaOutdated: The tables are older than `es_0012`.
    """
    if start is not None:
        check_projection_name(start)
    with store.core.execution.statement() as run:
        SchemaGate(REQUIRED_BY_PROJECTIONS)(run)
        names = [str(name) for (name,) in run(projections_from, from_name=start or "")]
    shown = names[:PROJECTIONS]
    statuses = ProjectionAdmin(store).status(*shown, count_at_most=_COUNTED) if shown else []
    return Page(tuple(statuses), names[PROJECTIONS] if len(names) > PROJECTIONS else None)


def projection(store: EventStore, name: str) -> ProjectionStatus | None:
    """Return the status of a projection and its partitions; None if it was never run.

    Raises:
        InvalidInput: The name is not valid.
        SchemaOutdated: The tables are older than `es_0012`.
    """
    check_projection_name(name)
    return next(iter(ProjectionAdmin(store).status(name, count_at_most=_COUNTED)), None)


def pending_dead_letters(
    store: EventStore, name: str, *, start: tuple[str, int] | None = None
) -> Page[DeadLetter, tuple[str, int]]:
    """Return a page of the pending dead letters of a projection, by stream and position: as they are retried.

    Args:
        store: The store.
        name: The projection.
        start: Inclusive; the stream id and position of the first one. Defaults to None: the first of all.

    Raises:
        InvalidInput: An argument is not valid.
        SchemaOutdated: The tables are older than `es_0012`.
    """
    check_projection_name(name)
    from_id, from_position = ("", 0) if start is None else start
    if start is not None:
        check_stream_id(from_id)
        check_number("the position of start", from_position)
    with store.core.execution.statement() as run:
        SchemaGate(REQUIRED_BY_PROJECTIONS)(run)
        rows = run(pending_dead_letters_from, projection=name, from_id=from_id, from_position=from_position)
    dialect = store.core.dialect
    return page_of(rows, lambda row: letter_of(row, dialect), lambda row: (str(row[2]), int(row[1])))


def all_dead_letters(store: EventStore, name: str, *, start: int | None = None) -> Page[DeadLetter, int]:
    """Return a page of the dead letters of a projection with any status, the highest position first.

    Args:
        store: The store.
        name: The projection.
        start: Inclusive; the position of the first one. Defaults to None: the highest.

    Raises:
        InvalidInput: An argument is not valid.
        SchemaOutdated: The tables are older than `es_0012`.
    """
    check_projection_name(name)
    before = LAST_POSITION if start is None else min(check_number("start", start) + 1, LAST_POSITION)
    with store.core.execution.statement() as run:
        SchemaGate(REQUIRED_BY_PROJECTIONS)(run)
        rows = run(dead_letters_before, projection=name, before_position=before)
    dialect = store.core.dialect
    return page_of(rows, lambda row: letter_of(row, dialect), lambda row: int(row[1]))


def dead_letter(store: EventStore, name: str, position: int) -> DeadLetter | None:
    """Return the dead letter of a projection at a position; None if there is none.

    Raises:
        InvalidInput: An argument is not valid.
        SchemaOutdated: The tables are older than `es_0012`.
    """
    check_projection_name(name)
    check_number("position", position, minimum=1)
    with store.core.execution.statement() as run:
        SchemaGate(REQUIRED_BY_PROJECTIONS)(run)
        rows = run(find_dead_letter, projection=name, at_position=position)
    return letter_of(rows[0], store.core.dialect) if rows else None
