"""Migrations of many schemas, one for each tenant: which there are, and their upgrade by several processes."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final

from sqlalchemy import Connection, Engine, text

from eventstore.common.validation import check_number
from eventstore.errors import InvalidInput, SchemaMissing, TablesPlace
from eventstore.migrations.commands import head, revisions_after
from eventstore.migrations.environment import VERSION_TABLE
from eventstore.migrations.job_processes import Job, run_here, run_in_processes
from eventstore.migrations.refusals import refusals
from eventstore.migrations.settings import OnProgress, Progress, Settings
from eventstore.tables.names import quoted_schema

_TABLES_AT_ONCE: Final = 200
"""How many version tables one statement reads."""

_REMEDY: Final = (
    "check the name; migrations.provision creates the schema of a new tenant, or `eventstore migrate --schema`"
)
_FOUND: Final = text("""
SELECT n.nspname::text, bool_or(
    c.relname = :version_table
    AND has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')
) AS is_readable
FROM pg_namespace n JOIN pg_class c ON c.relnamespace = n.oid
WHERE c.relname IN ('es_schema', :version_table) AND c.relkind IN ('r', 'p') AND n.nspname NOT LIKE 'pg\\_%'
GROUP BY n.nspname
""")


@dataclass(frozen=True, slots=True)
class SchemaOutcome:
    """What became of one schema.

    Attributes:
        schema: The name of the schema.
        before: The revision of its tables before; None if it is not known.
        after: Their revision afterwards; None if it is not known.
        error: Why it was not migrated; None if it was, or if there was nothing to do.
    """

    schema: str
    before: str | None
    after: str | None
    error: Exception | None = None


OnOutcome = Callable[[SchemaOutcome, int, int], None]
"""Takes the outcome of a schema, how many schemas are done, and how many there are."""


def find_schemas(engine: Engine, patterns: str | Sequence[str]) -> dict[str, str | None]:
    """Return the schemas that have tables of an event store, and the revision of each, sorted by name.

    It is a few statements, however many schemas there are.

    Args:
        engine: An engine of a PostgreSQL database.
        patterns: The names, or patterns of them such as `tenant_*`: `*` stands for any characters, `?` for one, `[ab]`
            for one of some. Upper and lower case are different.

    Returns:
        The revision by name; None if the database user can't read it, or it is not there.

    Raises:
        InvalidInput: A pattern is not a string, or the engine is not for PostgreSQL.
        SchemaMissing: No schema with tables matches one of the patterns.
    """
    given = _check_patterns(patterns)
    with refusals(engine, None):
        if engine.dialect.name != "postgresql":
            raise InvalidInput("schemas need PostgreSQL; SQLite has no schemas")
        with engine.connect() as connection:
            rows = connection.execute(_FOUND, {"version_table": VERSION_TABLE}).all()
            chosen = {name: readable for name, readable in rows if any(fnmatchcase(name, each) for each in given)}
            for pattern in given:
                if not any(fnmatchcase(name, pattern) for name in chosen):
                    raise SchemaMissing(TablesPlace(f"any schema that matches {pattern!r}", remedy=_REMEDY))
            readable = sorted(name for name in chosen if chosen[name])
            revisions = dict(_revisions(connection, readable))
    return {name: revisions.get(name) for name in sorted(chosen)}


def _check_patterns(patterns: object) -> list[str]:
    given = [patterns] if isinstance(patterns, str) else patterns
    if not isinstance(given, Sequence) or not given or not all(isinstance(each, str) and each for each in given):
        msg = f"patterns must be names of schemas, or patterns such as 'tenant_*', not {patterns!r}"
        raise InvalidInput(msg)
    return list(given)


def _revisions(connection: Connection, schemas: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield (schema, revision); none for a schema whose version table has no row, or is being dropped."""
    for start in range(0, len(schemas), _TABLES_AT_ONCE):
        some = schemas[start : start + _TABLES_AT_ONCE]
        parts = (
            f"SELECT {number} AS number, version_num FROM {quoted_schema(name)}.{VERSION_TABLE}"
            for number, name in enumerate(some)
        )
        query = " UNION ALL ".join(parts)
        for number, revision in connection.exec_driver_sql(query, execution_options={"no_parameters": True}):
            yield some[number], revision


def upgrade_schemas(
    engine: Engine,
    patterns: str | Sequence[str],
    revision: str = "head",
    *,
    jobs: int = 1,
    lock_timeout_seconds: float = 1.0,
    wait_seconds: float = 600.0,
    on_outcome: OnOutcome | None = None,
    on_progress: OnProgress | None = None,
) -> list[SchemaOutcome]:
    """Migrate the tables of many schemas, as `upgrade` does for one; a failure in one does not stop the others.

    Schemas that are at the revision already cost nothing, so a run that was killed is resumed by the next one. Schemas
    without tables of an event store are left alone: `provision` creates them.

    Args:
        engine: An engine of a PostgreSQL database.
        patterns: As for `find_schemas`.
        revision: As for `upgrade`.
        jobs: How many schemas are migrated at the same time, each by a process of its own. The processes make engines
            from the URL of `engine`; other options of `create_engine` do not reach them. Defaults to 1: this process.
        lock_timeout_seconds: As for `upgrade`.
        wait_seconds: As for `upgrade`, for each schema.
        on_outcome: Called in the caller's thread after each schema.
        on_progress: Called from any thread if a schema waits for a lock. The step names the schema.

    Returns:
        What became of each schema, sorted by name.

    Raises:
        InvalidInput, SchemaMissing: As for `find_schemas`; or an option is not valid.
        alembic.util.CommandError: There is no such revision.
    """
    check_number("jobs", jobs, minimum=1)
    Settings(None, lock_timeout_seconds, wait_seconds)
    before = find_schemas(engine, patterns)
    revisions_after("base", revision)  # refuses a revision that does not exist
    target = head() if revision in {"head", "heads"} else revision
    outcomes = {name: SchemaOutcome(name, at, at) for name, at in before.items() if at == target}
    if on_outcome is not None:
        for number, outcome in enumerate(outcomes.values(), start=1):
            on_outcome(outcome, number, len(before))

    def waits(schema: str, progress: Progress) -> None:
        if on_progress is not None and progress.waiting_for:
            on_progress(Progress(f"{schema}: {progress.step}", waiting_for=progress.waiting_for))

    todo = [Job(name, revision, lock_timeout_seconds, wait_seconds) for name in before if name not in outcomes]
    alone = jobs == 1 or len(todo) == 1
    work = run_here(engine, todo, waits) if alone else run_in_processes(engine.url, todo, jobs, waits)
    with closing(work):
        for result in work:
            name = result.schema
            after = before[name] if result.error is not None else result.revision
            outcomes[name] = SchemaOutcome(name, before[name], after, result.error)
            if on_outcome is not None:
                on_outcome(outcomes[name], len(outcomes), len(before))
    return [outcomes[name] for name in before]
