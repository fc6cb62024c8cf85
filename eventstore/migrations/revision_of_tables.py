"""Finds the revision of the tables from their definitions, even if the version table or es_schema is wrong."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from eventstore.migrations.comparison import count_deviations
from eventstore.migrations.definitions import NOT_VALID, Definitions, Key
from eventstore.migrations.environment import VERSION_TABLE
from eventstore.migrations.inventory import Inventory
from eventstore.migrations.remedies import Remedy

_ROW = Key("es_schema", "row")
_CLEARLY = 3
"""A stamp is overruled only if this many more definitions match another revision."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The revision of the tables.

    Attributes:
        revision: The revision.
        is_begun: Whether the next revision may have been begun and interrupted.
        pending: The revisions after it, in order.
    """

    revision: str
    is_begun: bool
    pending: tuple[str, ...]


def judge(inventory: Inventory, history: Mapping[str, Definitions]) -> Verdict:
    """Find the revision that the definitions match; a written one counts unless it is clearly wrong."""
    revisions = list(history)
    known = {key for definitions in history.values() for key in definitions}
    counts = {
        revision: count_deviations(definitions, inventory.definitions, known)
        for revision, definitions in history.items()
    }
    stamp = _only(inventory.revisions, revisions)
    of_es_schema = next((each for each in revisions if (history[each][_ROW],) == inventory.versions), None)
    written = stamp if inventory.revisions is not None else of_es_schema
    best = _best(counts, prefer=(written, of_es_schema))
    revision = best
    if written is not None and not _is_clearly_another(counts, written, best, agreed=written == of_es_schema):
        revision = written
    following = _next(revisions, written) if written is not None and written == of_es_schema else None
    is_begun = (
        following is not None
        and revision in {written, following}
        and inventory.dialect == "postgresql"  # SQLite migrates in one transaction
        and not any(key.kind == "table" for key in history[following].keys() - history[str(written)].keys())
        and any(_is_made(inventory.definitions.get(key), text) for key, text in _made(history, str(written), following))
    )
    if is_begun:
        revision = str(written)
    return Verdict(revision, is_begun, tuple(revisions[revisions.index(revision) + 1 :]))


def wrong_stamps(
    inventory: Inventory, verdict: Verdict, history: Mapping[str, Definitions]
) -> Iterator[tuple[str, str, Remedy]]:
    """Yield each table that names another revision than that of the tables, the problem, and the remedy."""
    then = "" if not verdict.pending else "before you run `eventstore migrate`: "
    stamps, table = inventory.revisions, f"{inventory.schema}{VERSION_TABLE}"
    if stamps is not None and stamps != (verdict.revision,):
        problem = f"names {' and '.join(stamps) or 'no revision'}, but the tables are those of {verdict.revision}"
        update = f"UPDATE {table} SET version_num = '{verdict.revision}'"
        if len(stamps) != 1:
            insert = f"INSERT INTO {table} (version_num) VALUES ('{verdict.revision}')"
            yield VERSION_TABLE, problem, Remedy((f"DELETE FROM {table}", insert), then)
        else:
            yield VERSION_TABLE, problem, Remedy((update,), then)
    expected = history[verdict.revision][_ROW]
    if inventory.versions is not None and inventory.versions != (expected,):
        version, breaking = (part.rpartition(" ")[2] for part in expected.split(", "))
        table = f"{inventory.schema}es_schema"
        insert = f"INSERT INTO {table} (id, version, breaking_version) VALUES (1, {version}, {breaking})"
        update = f"UPDATE {table} SET version = {version}, breaking_version = {breaking} WHERE id = 1"
        if not inventory.versions:
            problem, statements = "has no row, so stores can't read the schema version", [insert]
        elif len(inventory.versions) > 1:
            problem, statements = "has several rows", [f"DELETE FROM {table}", insert]
        else:
            problem = f"says {inventory.versions[0]}, but the tables are those of {verdict.revision}: {expected}"
            statements = [update]
        yield "es_schema", problem, Remedy(tuple(statements), then)


def _only(stamps: tuple[str, ...] | None, revisions: list[str]) -> str | None:
    return stamps[0] if stamps is not None and len(stamps) == 1 and stamps[0] in revisions else None


def _best(counts: Mapping[str, tuple[int, int]], prefer: tuple[str | None, ...]) -> str:
    """Return the revision that matches best; of several, one that is written in the tables, otherwise the newest."""
    least = min(counts.values())
    best = [revision for revision, count in counts.items() if count == least]
    return next((each for each in prefer if each in best), None) or best[-1]


def _is_clearly_another(counts: Mapping[str, tuple[int, int]], written: str, best: str, *, agreed: bool) -> bool:
    if not agreed:
        return counts[written] > counts[best]
    more = counts[written][0] - counts[best][0]
    return more >= _CLEARLY or (counts[best] == (0, 0) and more > 1)


def _next(revisions: list[str], revision: str) -> str | None:
    following = revisions[revisions.index(revision) + 1 :]
    return following[0] if following else None


def _made(history: Mapping[str, Definitions], before: str, after: str) -> Iterator[tuple[Key, str]]:
    """Yield what a revision adds or changes."""
    for key, text in history[after].items():
        was = history[before].get(key)
        if key.kind != "row" and (was is None or not _is_made(was, text)):
            yield key, text


def _is_made(found: str | None, text: str) -> bool:
    """Return whether a definition is as the revision makes it, validated or not."""
    return found is not None and found.removesuffix(NOT_VALID) == text.removesuffix(NOT_VALID)
