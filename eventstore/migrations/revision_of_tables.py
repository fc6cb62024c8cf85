"""Which revision are the tables of, whatever the version table and es_schema say?"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from eventstore.migrations.comparison import count_deviations
from eventstore.migrations.definitions import Definitions, Key
from eventstore.migrations.environment import VERSION_TABLE
from eventstore.migrations.inventory import Inventory
from eventstore.migrations.remedies import Remedy

_ROW = Key("es_schema", "row")
_CLEARLY = 3
"""So many more things have to fit another revision before a stamp is not believed."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the tables are.

    Attributes:
        revision: The revision that they are of.
        is_begun: Whether the next one may have been interrupted.
        pending: The revisions after it, in order.
    """

    revision: str
    is_begun: bool
    pending: tuple[str, ...]


def judge(inventory: Inventory, history: Mapping[str, Definitions]) -> Verdict:
    """Find out the revision by what the tables are; what is written in them counts if it is not clearly wrong."""
    revisions = list(history)
    known = {key for definitions in history.values() for key in definitions}
    counts = {
        revision: count_deviations(definitions, inventory.found, known) for revision, definitions in history.items()
    }
    stamped = _only(inventory.revisions, revisions)
    said = next((each for each in revisions if (history[each][_ROW],) == inventory.versions), None)
    believed = stamped if inventory.revisions is not None else said
    best = _best(counts, prefer=(believed, said))
    revision = best
    if believed is not None and not _is_clearly_another(counts, believed, best, agreed=believed == said):
        revision = believed
    following = _next(revisions, believed) if believed is not None and believed == said else None
    is_begun = (
        following is not None
        and revision in {believed, following}
        and inventory.dialect == "postgresql"  # SQLite migrates in one transaction
        and not any(key.kind == "table" for key in history[following].keys() - history[str(believed)].keys())
        and any(inventory.found.get(key) == text for key, text in _added(history, str(believed), following))
    )
    if is_begun:
        revision = str(believed)
    return Verdict(revision, is_begun, tuple(revisions[revisions.index(revision) + 1 :]))


def wrong_stamps(
    inventory: Inventory, verdict: Verdict, history: Mapping[str, Definitions]
) -> Iterator[tuple[str, str, Remedy]]:
    """Yield the table that says something else than the tables are, the problem, and what to do."""
    then = "" if not verdict.pending else "then run `eventstore migrate`; first: "
    stamps, table = inventory.revisions, f"{inventory.schema}{VERSION_TABLE}"
    if stamps is not None and stamps != (verdict.revision,):
        problem = f"says {' and '.join(stamps) or 'nothing'}, but the tables are those of {verdict.revision}"
        set_ = f"UPDATE {table} SET version_num = '{verdict.revision}'"
        if len(stamps) != 1:
            insert = f"INSERT INTO {table} (version_num) VALUES ('{verdict.revision}')"
            yield VERSION_TABLE, problem, Remedy((f"DELETE FROM {table}", insert), then)
        else:
            yield VERSION_TABLE, problem, Remedy((set_,), then)
    expected = history[verdict.revision][_ROW]
    if inventory.versions is not None and inventory.versions != (expected,):
        version, breaking = (part.rpartition(" ")[2] for part in expected.split(", "))
        table = f"{inventory.schema}es_schema"
        insert = f"INSERT INTO {table} (id, version, breaking_version) VALUES (1, {version}, {breaking})"
        update = f"UPDATE {table} SET version = {version}, breaking_version = {breaking} WHERE id = 1"
        if not inventory.versions:
            problem, statements = "has no row, so no store can tell which version it is", [insert]
        elif len(inventory.versions) > 1:
            problem, statements = "has several rows", [f"DELETE FROM {table}", insert]
        else:
            problem = f"says {inventory.versions[0]}, but the tables are those of {verdict.revision}: {expected}"
            statements = [update]
        yield "es_schema", problem, Remedy(tuple(statements), then)


def _only(stamps: tuple[str, ...] | None, revisions: list[str]) -> str | None:
    return stamps[0] if stamps is not None and len(stamps) == 1 and stamps[0] in revisions else None


def _best(counts: Mapping[str, tuple[int, int]], prefer: tuple[str | None, ...]) -> str:
    """Return the revision that fits best: of equals one that is written down, otherwise the newest."""
    least = min(counts.values())
    best = [revision for revision, count in counts.items() if count == least]
    return next((each for each in prefer if each in best), None) or best[-1]


def _is_clearly_another(counts: Mapping[str, tuple[int, int]], believed: str, best: str, *, agreed: bool) -> bool:
    if not agreed:
        return counts[believed] > counts[best]
    more = counts[believed][0] - counts[best][0]
    return more >= _CLEARLY or (counts[best] == (0, 0) and more > 1)


def _next(revisions: list[str], revision: str) -> str | None:
    following = revisions[revisions.index(revision) + 1 :]
    return following[0] if following else None


def _added(history: Mapping[str, Definitions], before: str, after: str) -> Iterator[tuple[Key, str]]:
    for key, text in history[after].items():
        if key.kind != "row" and key not in history[before]:
            yield key, text
