"""Each of our revisions is one migration of Django, and both ways in find what the other has done."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, ManagementUtility, call_command
from django.core.management.base import SystemCheckError
from django.db import connection, router, transaction
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.loader import MigrationLoader
from django.test import override_settings

from eventstore import NewEvent, migrations
from eventstore.contrib.django import engine_of, get_store
from eventstore.contrib.django.revisions import RunRevision
from eventstore.errors import (
    EventsWouldBeLost,
    MigrationInsideTransaction,
    SchemaMissing,
    UnknownRevision,
    UnsuitableSetting,
)
from eventstore.migrations.commands import revisions_after
from tests.django_project.events import Deposited
from tests.fix_django import leave_database, postgresql_settings, sqlite_settings, use_database
from tests.fix_migrations import complete
from tests.test_migration_rollback import NEWER, make_newer

pytestmark = pytest.mark.slow

REVISIONS = [revision for revision, _ in revisions_after("base")]


def run(*arguments: str, **options: Any) -> str:
    """Run a command of manage.py, and return what it prints."""
    output = io.StringIO()
    call_command(*arguments, stdout=output, **options)
    return output.getvalue()


def refused(kind: type[Exception], *arguments: str, returncode: int = 1) -> None:
    """See a command fail in a line, as a command, because of an error."""
    with pytest.raises(CommandError) as error:
        run(*arguments, verbosity=0)
    assert isinstance(error.value.__cause__, kind)
    assert (str(error.value), error.value.returncode) == (str(error.value.__cause__), returncode)


def revision() -> str | None:
    engine = engine_of()
    try:
        return migrations.current(engine)
    finally:
        engine.dispose()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def empty_database(request: pytest.FixtureRequest, django_project: None, tmp_path: Any) -> Iterator[str]:
    """Give Django a new, empty database of each kind."""
    if request.param == "sqlite":
        use_database(sqlite_settings(tmp_path / "empty.db"))
    else:
        use_database(postgresql_settings(request.getfixturevalue("empty_postgres_url")))
    yield request.param
    leave_database()


@pytest.mark.parametrize("number", range(len(REVISIONS)), ids=REVISIONS)
def test_each_revision_is_one_migration_after_that_of_the_one_before(number: int, django_project: None) -> None:
    loader = MigrationLoader(None)
    (leaf,) = loader.graph.leaf_nodes("eventstore")
    ours = [name for app, name in loader.graph.forwards_plan(leaf) if app == "eventstore"]
    assert len(ours) > number, f"{REVISIONS[number]} needs a migration in eventstore/contrib/django/migrations"
    migration = loader.graph.nodes["eventstore", ours[number]]
    run_by_it = [operation.revision for operation in migration.operations if isinstance(operation, RunRevision)]
    assert (run_by_it, migration.atomic) == ([REVISIONS[number]], False)
    assert len(ours) == len(REVISIONS)


@pytest.mark.usefixtures("django_sqlite")
def test_makemigrations_finds_nothing_to_do() -> None:
    assert "No changes detected" in run("makemigrations", check=True, dry_run=True)


@pytest.mark.usefixtures("empty_database")
def test_a_project_goes_from_the_first_revision_to_the_newest() -> None:
    run("migrate", "eventstore", "0001", verbosity=0)
    assert revision() == "es_0001"
    get_store().append("order-1", [NewEvent("order-placed", {"total": 30})], expected_version=0)
    assert "0002_read_indexes" in run("migrate", plan=True)
    run("migrate", "eventstore", verbosity=0)
    assert revision() == migrations.head()
    engine = engine_of()
    assert (migrations.verify(engine), migrations.check(engine)[0]) == ([], len(REVISIONS))
    assert [event.data for event in get_store().read_all()] == [{"total": 30}]
    with transaction.atomic():
        get_store().append("order-1", [NewEvent("order-paid")], expected_version=1)


@pytest.mark.usefixtures("empty_database")
def test_what_another_way_in_has_done_is_not_done_again() -> None:
    engine = engine_of()
    migrations.upgrade(engine, "es_0003")
    run("migrate", "eventstore", "0002", verbosity=0)
    assert revision() == "es_0003"
    run("migrate", "eventstore", "0005", verbosity=0)
    assert revision() == "es_0005"
    complete(engine, "es_0005")
    assert "es_0001" not in run("migrate", "eventstore", "0005")


@pytest.mark.usefixtures("empty_database")
def test_tables_that_newer_code_has_made_need_nothing() -> None:
    run("migrate", "eventstore", "0005", verbosity=0)
    engine = engine_of()
    migrations.upgrade(engine)
    make_newer(engine)
    run("migrate", "eventstore", verbosity=0)
    assert revision() == f"es_{NEWER:04}"
    refused(UnknownRevision, "migrate", "eventstore", "0005")
    assert revision() == f"es_{NEWER:04}"
    get_store().append("order-1", [NewEvent("order-placed")], expected_version=0)


@pytest.mark.usefixtures("empty_database")
def test_migrations_are_undone_but_not_where_events_would_be_lost() -> None:
    run("migrate", "eventstore", "0006", verbosity=0)
    run("migrate", "eventstore", "0003", verbosity=0)
    assert revision() == "es_0003"
    get_store().append("order-1", [NewEvent("order-placed")], expected_version=0)
    refused(EventsWouldBeLost, "migrate", "eventstore", "zero")
    assert [event.version for event in get_store().read_stream("order-1")] == [1]


@pytest.mark.usefixtures("empty_database")
def test_what_another_way_in_has_undone_is_not_undone_again() -> None:
    run("migrate", "eventstore", "0005", verbosity=0)
    engine = engine_of()
    migrations.downgrade(engine, "es_0002")
    run("migrate", "eventstore", "0003", verbosity=0)
    assert revision() == "es_0002"
    run("migrate", "eventstore", "0001", verbosity=0)
    assert revision() == "es_0001"


@pytest.mark.usefixtures("empty_database")
def test_a_router_keeps_the_tables_away_and_the_store_says_what_to_run() -> None:
    class Elsewhere:
        def allow_migrate(self, _database: str, app_label: str, **_: Any) -> bool | None:
            return False if app_label == "eventstore" else None

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(router, "routers", [Elsewhere()])
        run("migrate", "eventstore", verbosity=0)
    assert revision() is None
    with pytest.raises(SchemaMissing):
        get_store().stream_version("order-1")


@pytest.mark.usefixtures("django_postgresql")
def test_a_revision_is_not_run_in_an_atomic_block() -> None:  # on SQLite, Django itself refuses
    executor = MigrationExecutor(connection)
    with (
        pytest.raises(CommandError) as error,
        transaction.atomic(),
        connection.schema_editor(atomic=False) as editor,
    ):
        state = executor.loader.project_state()
        RunRevision("es_0001").database_forwards("eventstore", editor, state, state)
    assert isinstance(error.value.__cause__, MigrationInsideTransaction)


@pytest.mark.usefixtures("django_database")
def test_sqlmigrate_prints_the_sql_of_one_revision() -> None:
    first, second, third = (run("sqlmigrate", "eventstore", number) for number in ("0001", "0002", "0003"))
    assert "CREATE TABLE es_events" in first
    assert "SET version_num='es_0002'" in second
    assert "CREATE TABLE" not in second
    if connection.vendor == "sqlite":
        assert "run it online" in third
    else:
        assert "CREATE INDEX CONCURRENTLY" in second
        assert "NOT VALID" in third


# --- commands


@pytest.mark.usefixtures("own_django_database")
def test_our_commands_work_on_a_database_of_the_project(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("EVENTSTORE_URL", "sqlite:////nowhere/else.db")
    call_command("eventstore", "check")
    assert f"schema version {len(REVISIONS)}" in capfd.readouterr().out
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE es_schema")
    with pytest.raises(CommandError, match="`eventstore check --json` has ended with exit code 3") as ended:
        call_command("eventstore", "check", "--json")
    assert ended.value.returncode == 3
    assert "SchemaMissing" in capfd.readouterr().out
    with pytest.raises(SystemExit) as exited:  # from the shell
        ManagementUtility(["manage.py", "eventstore", "check", "--json"]).execute()
    assert exited.value.code == 3
    assert capfd.readouterr().err == ""


@pytest.mark.usefixtures("django_database")
def test_the_setting_is_checked() -> None:
    assert run("check") == "System check identified no issues (0 silenced).\n"
    for wrong in ({"EVENT_TYPE": 1}, {"EVENT_TYPES": "no.such.module"}, {"PAGE_SIZE": 0}, {"PROJECTIONS": ["os.path"]}):
        with override_settings(EVENTSTORE=wrong), pytest.raises(SystemCheckError, match=r"eventstore\.E001"):
            run("check")


@pytest.mark.usefixtures("django_database")
def test_projections_are_run_by_a_command() -> None:
    get_store().append("account-1", [Deposited(3), Deposited(4)], expected_version=0)
    run("run_projections", once=True)
    with connection.cursor() as cursor:
        cursor.execute("SELECT amount FROM django_project_total")
        assert cursor.fetchall() == [(7,)]
        cursor.execute("SELECT position FROM es_checkpoints WHERE name = 'totals'")
        assert cursor.fetchall() == [(2,)]
    with pytest.raises(CommandError, match=r"has no others; there are: totals"):
        run("run_projections", "others")
    with pytest.raises(CommandError, match="batch_size must be") as error:
        run("run_projections", batch_size=0)
    assert error.value.returncode == 2


@pytest.mark.usefixtures("django_database")
def test_a_database_that_is_not_in_the_settings_is_wrong_usage() -> None:
    for command in ("run_projections", "eventstore"):
        with pytest.raises(CommandError, match="invalid choice"):
            run(command, "--database", "nowhere")


@pytest.mark.usefixtures("empty_database")
def test_autocommit_off_is_refused_before_anything_is_migrated() -> None:
    connection.set_autocommit(False)
    refused(UnsuitableSetting, "migrate", "eventstore")
    connection.rollback()
    connection.set_autocommit(True)
    assert revision() is None


@pytest.mark.usefixtures("django_sqlite")
def test_a_database_without_our_tables_is_flushed_by_djangos_own_command(tmp_path: Path) -> None:
    use_database(sqlite_settings(tmp_path / "other.db"), "other")
    run("migrate", "auth", database="other", verbosity=0)
    run("flush", database="other", interactive=False, verbosity=0)
    leave_database("other")


@pytest.mark.usefixtures("own_django_database")
def test_where_a_projection_fails_the_command_does_and_names_no_payload() -> None:
    get_store().append("account-1", [NewEvent("deposited", {"amount": 3})], expected_version=0)
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE django_project_total")
    with pytest.raises(CommandError, match=r"totals: projection 'totals' has stopped before position 1") as raised:
        run("run_projections", once=True)
    assert "amount" not in str(raised.value)
