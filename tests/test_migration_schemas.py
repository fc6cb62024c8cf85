"""The schemas of many tenants: found by patterns, migrated by several processes, killed and resumed."""

import json
import multiprocessing
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from alembic.util import CommandError
from click.testing import CliRunner, Result
from sqlalchemy import Engine, text

from eventstore import EventStore, migrations
from eventstore.cli import make_group
from eventstore.errors import ForeignMigrationHistory, InvalidInput, MigrationError, SchemaMissing, TableLocked
from eventstore.migrations import SchemaOutcome, job_processes
from tests.fix_command_line import CommandLine
from tests.fix_migrations import url_of
from tests.processes import Python
from tests.test_migration_places import execute
from tests.waiting import until

pytestmark = pytest.mark.postgresql
HEAD = migrations.head()
OLDER = "es_0007"


def make_older(engine: Engine, *schemas: str) -> None:
    """Make tables whose revision es_0008 has run, but is not stamped: it runs again, and finds that all is done."""
    for schema in schemas:
        migrations.provision(engine, schema)
        version_table, versions = f'"{schema}".es_alembic_version', f'"{schema}".es_schema'
        execute(
            engine,
            f'DROP TABLE "{schema}".es_event_tags, "{schema}".es_detached_parts',
            f"UPDATE {version_table} SET version_num = '{OLDER}'",
            f"UPDATE {versions} SET version = 7",
        )


def revisions(engine: Engine) -> dict[str, str | None]:
    return migrations.find_schemas(engine, "*")


@contextmanager
def reading(engine: Engine, schema: str) -> Iterator[None]:
    """Keep a transaction open that has read the events, for which ALTER TABLE waits."""
    with engine.connect() as connection:
        connection.execute(text(f"SELECT 1 FROM {schema}.es_events")).all()
        yield


def run(engine: Engine, *arguments: str) -> Result:
    return CommandLine(url_of(engine))("migrate", *arguments)


@pytest.mark.slow
def test_schemas_are_found_by_patterns(new_postgres_engine: Engine) -> None:
    for schema in ("tenant_b", "tenant_a", "Tenant_c", "other"):
        migrations.provision(new_postgres_engine, schema)
    execute(new_postgres_engine, "CREATE SCHEMA tenant_without", "CREATE TABLE tenant_without.orders (id int)")
    assert migrations.find_schemas(new_postgres_engine, "tenant_*") == {"tenant_a": HEAD, "tenant_b": HEAD}
    assert list(migrations.find_schemas(new_postgres_engine, ["[Tt]enant_?", "other"])) == [
        "Tenant_c", "other", "tenant_a", "tenant_b",
    ]  # fmt: skip
    with pytest.raises(SchemaMissing, match="'tenant_without'"):
        migrations.find_schemas(new_postgres_engine, ["tenant_a", "tenant_without"])


@pytest.mark.parametrize("patterns", [None, 7, [], "", [""], ["tenant_*", None]])
def test_bad_patterns_are_refused(new_postgres_engine: Engine, patterns: Any) -> None:
    with pytest.raises(InvalidInput, match="patterns must be"):
        migrations.find_schemas(new_postgres_engine, patterns)


@pytest.mark.slow
def test_bad_options_are_refused(new_postgres_engine: Engine, sqlite_engine: Engine) -> None:
    make_older(new_postgres_engine, "tenant_a")
    for options in ({"jobs": 0}, {"jobs": True}, {"wait_seconds": -1}, {"lock_timeout_seconds": 0}):
        with pytest.raises(InvalidInput):
            migrations.upgrade_schemas(new_postgres_engine, "tenant_*", **options)
    with pytest.raises(CommandError, match="es_0999"):
        migrations.upgrade_schemas(new_postgres_engine, "tenant_*", "es_0999")
    with pytest.raises(InvalidInput, match="SQLite has no schemas"):
        migrations.upgrade_schemas(sqlite_engine, "tenant_*")
    assert revisions(new_postgres_engine) == {"tenant_a": OLDER}


@pytest.mark.slow
def test_each_schema_is_migrated_and_the_others_are_left_alone(new_postgres_engine: Engine) -> None:
    make_older(new_postgres_engine, "tenant_a", "tenant_b", "other")
    migrations.provision(new_postgres_engine, "tenant_c")
    seen: list[tuple[str, int, int]] = []
    outcomes = migrations.upgrade_schemas(
        new_postgres_engine, "tenant_*", on_outcome=lambda outcome, done, of: seen.append((outcome.schema, done, of))
    )
    assert outcomes == [
        SchemaOutcome("tenant_a", OLDER, HEAD),
        SchemaOutcome("tenant_b", OLDER, HEAD),
        SchemaOutcome("tenant_c", HEAD, HEAD),
    ]
    assert seen == [("tenant_c", 1, 3), ("tenant_a", 2, 3), ("tenant_b", 3, 3)]
    assert revisions(new_postgres_engine)["other"] == OLDER


@pytest.mark.slow
@pytest.mark.parametrize("jobs", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_failure_does_not_stop_the_others(new_postgres_engine: Engine, jobs: int) -> None:
    schemas = ["tenant_a", "tenant_b", "tenant_c"]
    make_older(new_postgres_engine, *schemas)
    execute(new_postgres_engine, "DROP TABLE tenant_a.es_alembic_version")
    first, *rest = migrations.upgrade_schemas(new_postgres_engine, schemas, jobs=jobs)
    assert isinstance(first.error, ForeignMigrationHistory)
    assert (first.before, first.after) == (None, None)
    assert rest == [SchemaOutcome("tenant_b", OLDER, HEAD), SchemaOutcome("tenant_c", OLDER, HEAD)]


@pytest.mark.slow
def test_a_tenant_who_is_dropped_meanwhile_is_not_created_again(
    new_postgres_engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_older(new_postgres_engine, "tenant_a", "tenant_b")
    upgrade = migrations.upgrade

    def drop_the_next(*arguments: Any, **options: Any) -> None:
        upgrade(*arguments, **options)
        execute(new_postgres_engine, "DROP SCHEMA IF EXISTS tenant_b CASCADE")

    monkeypatch.setattr(job_processes, "upgrade", drop_the_next)
    outcomes = migrations.upgrade_schemas(new_postgres_engine, "tenant_*")
    assert outcomes[0].error is None
    assert isinstance(outcomes[1].error, SchemaMissing)
    assert list(revisions(new_postgres_engine)) == ["tenant_a"]


def test_an_error_that_can_not_be_sent_is_described() -> None:
    class Local(Exception):
        pass

    (error,) = [job_processes.picklable(job_processes.Result("a", error=Local("what happened"))).error]
    assert isinstance(error, MigrationError)
    assert str(error) == "Local: what happened"


@pytest.mark.long  # seconds; the command's processes are killed below
def test_a_process_that_dies_fails_one_schema(new_postgres_engine: Engine) -> None:
    """The server says which schema is being migrated: one that waits for a transaction that has read it."""
    make_older(new_postgres_engine, "tenant_b", "tenant_c")
    migrations.upgrade(new_postgres_engine, OLDER, schema="tenant_a")
    killed: list[int] = []

    def kill_once(_: object) -> None:
        for process in multiprocessing.active_children() if not killed else ():
            killed.append(process.pid or 0)
            process.kill()

    with reading(new_postgres_engine, "tenant_a"):
        outcomes = migrations.upgrade_schemas(
            new_postgres_engine, "tenant_*", jobs=2, lock_timeout_seconds=0.1, on_progress=kill_once
        )
    assert killed
    assert "has ended with exit code -9" in str(outcomes[0].error)
    again = migrations.upgrade_schemas(new_postgres_engine, "tenant_*")
    assert [outcome.error for outcome in again] == [None] * 3
    assert set(revisions(new_postgres_engine).values()) == {HEAD}


# --- the command


@pytest.mark.slow
def test_the_command_prints_a_line_each_and_a_summary(new_postgres_engine: Engine) -> None:
    make_older(new_postgres_engine, "tenant_a", "tenant_b")
    migrations.provision(new_postgres_engine, "tenant_c")
    dry = run(new_postgres_engine, "--schemas", "tenant_*", "--dry-run")
    assert dry.stdout == f"3 schemas: 1 at {HEAD}, 2 to migrate\n  2 from {OLDER}\n"
    result = run(new_postgres_engine, "--schemas", "tenant_*")
    assert result.exit_code == 0
    assert result.stdout == "3 schemas: 2 migrated, 1 with nothing to do, 0 failed\n"
    assert result.stderr.splitlines() == [
        f"[2/3] tenant_a: {HEAD} now, before {OLDER}",
        f"[3/3] tenant_b: {HEAD} now, before {OLDER}",
    ]
    again = json.loads(run(new_postgres_engine, "--schemas", "tenant_*", "--json").stdout)
    assert again == {"schemas": 3, "migrated": [], "unchanged": 3, "failed": []}


@pytest.mark.slow
def test_the_exit_code_is_that_of_the_failures(new_postgres_engine: Engine) -> None:
    make_older(new_postgres_engine, "tenant_b")
    migrations.upgrade(new_postgres_engine, OLDER, schema="tenant_a")
    options = ("--schemas", "tenant_*", "--wait", "0", "--lock-timeout", "0.05")
    with reading(new_postgres_engine, "tenant_a"):
        result = run(new_postgres_engine, *options, "--json")
        assert result.exit_code == 7
        printed = json.loads(result.stdout)
        assert printed["migrated"] == ["tenant_b"]
        (failure,) = printed["failed"]
        assert (failure["schema"], failure["error"], failure["exit_code"]) == ("tenant_a", TableLocked.__name__, 7)
        execute(new_postgres_engine, "DROP TABLE tenant_b.es_alembic_version")
        result = run(new_postgres_engine, *options)
    assert result.exit_code == 1
    assert "2 schemas: 0 migrated, 0 with nothing to do, 2 failed" in result.stdout
    assert "tenant_a: failed: " in result.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--jobs", "2"], 2, "--jobs needs --schemas"),
        (["--schemas", "a*", "--schema", "a"], 2, "exclude each other"),
        (["--schemas", "a*", "--jobs", "0"], 2, "not in the range"),
        (["--schemas", "nothing_*"], 3, "any schema that matches 'nothing_*'"),
    ],
)
def test_wrong_usage_is_refused(new_postgres_engine: Engine, arguments: list[str], code: int, message: str) -> None:
    result = run(new_postgres_engine, *arguments)
    assert result.exit_code == code
    assert message in result.stderr


@pytest.mark.slow
def test_a_mounted_group_migrates_in_its_own_process(new_postgres_engine: Engine) -> None:
    make_older(new_postgres_engine, "tenant_a")
    group = make_group(EventStore(new_postgres_engine))
    result = CliRunner().invoke(group, ["migrate", "--schemas", "tenant_*", "--jobs", "2"])
    assert result.exit_code == 2
    assert "--jobs needs --url" in result.stderr
    assert CliRunner().invoke(group, ["migrate", "--schemas", "tenant_*"]).exit_code == 0
    assert revisions(new_postgres_engine) == {"tenant_a": HEAD}


@pytest.mark.slow
@pytest.mark.parametrize("jobs", [pytest.param(1, marks=pytest.mark.long), 2])
def test_a_run_that_was_killed_is_resumed(new_postgres_engine: Engine, jobs: int) -> None:
    """It is killed while a schema waits for its lock. What was migrated before, the next run does not do again."""
    make_older(new_postgres_engine, "tenant_0", "tenant_1", "tenant_3", "tenant_4")
    migrations.upgrade(new_postgres_engine, OLDER, schema="tenant_2")
    options = ["--schemas", "tenant_*", "--lock-timeout", "0.1"]
    command = ["-m", "eventstore", "migrate", "--url", url_of(new_postgres_engine), *options, "--jobs", str(jobs)]
    process = Python(*command)
    with reading(new_postgres_engine, "tenant_2"):
        while "tenant_2" not in (line := process.stderr.readline()):
            assert line, "it has ended"
        assert "waiting for" in line
        done = {"tenant_0", "tenant_1"} | ({"tenant_3", "tenant_4"} if jobs == 2 else set())
        until(lambda: all(revisions(new_postgres_engine)[each] == HEAD for each in done))
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert {name for name, at in revisions(new_postgres_engine).items() if at == HEAD} == done
    with process.stdout, process.stderr:  # a process whose parent was killed ends, too, and says nothing
        assert "Traceback" not in process.stderr.read()
    until(lambda: not migrating(new_postgres_engine))
    result = json.loads(run(new_postgres_engine, *options, "--json").stdout)
    rest = {"tenant_2", "tenant_3", "tenant_4"} - done
    assert set(result["migrated"]) == (rest if jobs == 1 else set(result["migrated"]))
    assert result["failed"] == []
    assert set(revisions(new_postgres_engine).values()) == {HEAD}
    assert migrations.verify(new_postgres_engine, schema="tenant_2") == []


def migrating(engine: Engine) -> list[int]:
    """Return the sessions of migrations that the server has."""
    query = text(
        "SELECT pid FROM pg_stat_activity WHERE application_name = 'eventstore migrations'"
        " AND datname = current_database()"
    )
    with engine.connect() as connection:
        return list(connection.execute(query).scalars())
