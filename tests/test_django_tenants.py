"""Tenants of a Django project by search_path: each has its own log, wherever the path comes from."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.apps import apps
from django.core.management import CommandError, call_command
from django.db import connection, connections, router
from django.db.backends.signals import connection_created
from sqlalchemy import Engine, make_url

from eventstore import ANY, EventStore, NewEvent, migrations
from eventstore.contrib.django import engine_of, get_store
from eventstore.errors import PositionsBehind, SchemaMissing, TablesElsewhere, TransactionBroken
from eventstore.projections import OnFailure, Projection, Worker
from tests.django_project.events import Deposited
from tests.fix_django import leave_database, postgresql_settings, use_database
from tests.fix_postgresql import Databases

pytestmark = [pytest.mark.postgresql, pytest.mark.slow]

WAYS = ("SET", "alias", "hook", "backend")
"""Where the search path comes from: a statement, the OPTIONS of an alias for each tenant, a signal, a backend."""


class Project:
    """A project with the schemas `a` and `b`, on whose tenants a way puts Django's connection."""

    def __init__(self, settings: dict[str, Any], way: str, path: str = "{}") -> None:
        self._settings = settings
        self._way = way
        self._path = path
        self._chosen = ""
        if way == "backend":
            use_database({**settings, "ENGINE": "tests.tenants_backend"})
        else:
            use_database(settings)
        with connection.cursor() as cursor:
            cursor.execute("CREATE SCHEMA IF NOT EXISTS a; CREATE SCHEMA IF NOT EXISTS b")

    def choose(self, tenant: str) -> None:
        path = self._path.format(tenant)
        match self._way:
            case "SET":
                with connection.cursor() as cursor:
                    cursor.execute(f"SET search_path TO {path}")
            case "alias":
                use_database({**self._settings, "OPTIONS": {"options": f"-c search_path={path.replace(' ', '')}"}})
            case "hook":
                self._chosen = path
                connection.close()
            case _:
                connections["default"].set_tenant(tenant)

    def on_connect(self, connection: Any, **_: Any) -> None:
        if self._chosen:
            with connection.cursor() as cursor:
                cursor.execute(f"SET search_path TO {self._chosen}")


@contextmanager
def project_on(url: Any, way: str, path: str = "{}") -> Iterator[Project]:
    project = Project(postgresql_settings(url), way, path)
    connection_created.connect(project.on_connect)
    try:
        yield project
    finally:
        connection_created.disconnect(project.on_connect)
        leave_database()


def migrate(*arguments: str) -> None:
    call_command("migrate", *arguments or ["eventstore"], verbosity=0)


@pytest.fixture
def tenants_url(django_project: None, empty_postgres_url: str, postgres_databases: Databases) -> str:
    """A database whose schemas `a` and `b` have all tables: it was migrated for each of them once, then copied."""

    def migrate_both(template: Engine) -> None:
        with project_on(template.url, "SET") as project:
            for tenant in ("a", "b"):
                project.choose(tenant)
                migrate("eventstore")
                migrate("django_project")

    postgres_databases.replace(make_url(empty_postgres_url), "Django's tenants", migrate_both)
    return empty_postgres_url


def schemas_with(table: str) -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT schemaname::text FROM pg_tables WHERE tablename = %s ORDER BY 1", [table])
        return [schema for (schema,) in cursor.fetchall()]


def streams() -> list[str]:
    return [event.stream_id for event in get_store().read_all()]


@pytest.mark.parametrize(
    "way", ["backend", *(pytest.param(way, marks=pytest.mark.long) for way in ("SET", "alias", "hook"))]
)
def test_each_tenant_has_its_own_log(way: str, django_project: None, empty_postgres_url: str, capfd: Any) -> None:
    with project_on(empty_postgres_url, way) as project:
        for tenant in ("a", "b"):
            project.choose(tenant)
            migrate()
        assert schemas_with("es_events") == ["a", "b"]
        for tenant in ("a", "b", "a"):
            project.choose(tenant)
            get_store().append(f"of-{tenant}", [NewEvent("made")], expected_version=ANY)
        for tenant, expected in {"a": ["of-a", "of-a"], "b": ["of-b"]}.items():
            project.choose(tenant)
            assert streams() == expected
            engine = engine_of()
            assert [event.stream_id for event in EventStore(engine).read_all()] == expected
            assert migrations.verify(engine) == []
            call_command("eventstore", "streams")
            assert f"of-{tenant}" in capfd.readouterr().out


@pytest.mark.parametrize("way", WAYS)
def test_projections_run_for_the_tenant_that_the_command_is_at_work_for(way: str, tenants_url: str) -> None:
    totals = apps.get_model("django_project", "Total").objects
    with project_on(tenants_url, way) as project:
        for amount, tenant in enumerate(("a", "b"), start=1):
            project.choose(tenant)
            get_store().append("account-1", [Deposited(amount)], expected_version=ANY)
        project.choose("a")
        assert totals.count() == 0
        call_command("run_projections", once=True)
        assert [total.amount for total in totals.all()] == [1]
        project.choose("b")
        assert totals.count() == 0


def test_a_reader_waits_for_appends_of_its_own_tenant_only(tenants_url: str, in_thread: Callable[..., Any]) -> None:
    """The store is one object, so what it remembers of one tenant's log must say nothing about the other's."""
    with project_on(tenants_url, "SET") as project:
        began, goes_on = threading.Event(), threading.Event()

        def append_slowly() -> None:
            project.choose("a")
            with get_store().transaction() as transaction:
                transaction.append("slow-1", [NewEvent("made")], expected_version=ANY)
                began.set()
                assert goes_on.wait(60)

        slow = threading.Thread(target=in_thread, args=[append_slowly])
        slow.start()
        assert began.wait(60)
        read = []
        for tenant in ("a", "b", "a", "b"):
            project.choose(tenant)
            get_store().append("quick-1", [NewEvent("made")], expected_version=ANY)
            read.append([event.stream_id for event in get_store().read_all(wait_seconds=0)])
        goes_on.set()
        slow.join()
        assert read == [[], ["quick-1"], [], ["quick-1", "quick-1"]]
        project.choose("a")
        assert streams() == ["slow-1", "quick-1", "quick-1"]


def test_tenants_that_share_a_schema_with_a_log_get_their_own(django_project: None, empty_postgres_url: str) -> None:
    with project_on(empty_postgres_url, "backend", "{}, public") as project:
        project.choose("public")
        migrate("eventstore", "0002")
        get_store().append("of-all", [NewEvent("made")], expected_version=ANY)
        project.choose("a")
        with connection.cursor() as cursor:
            cursor.execute("CREATE TABLE a.django_migrations (LIKE public.django_migrations INCLUDING ALL)")
        with pytest.raises(SchemaMissing, match="schema 'a'"):
            get_store().append("of-a", [NewEvent("made")], expected_version=ANY)
        with pytest.raises(CommandError, match="exit code 3"):
            call_command("eventstore", "check")
        with pytest.MonkeyPatch.context() as patch:  # an app that is shared by all tenants
            patch.setattr(router, "routers", [Shared()])
            assert streams() == ["of-all"]
        migrate("eventstore", "0002")
        assert schemas_with("es_events") == ["a", "public"]
        get_store().append("of-a", [NewEvent("made")], expected_version=ANY)
        assert streams() == ["of-a"]


class Shared:
    def allow_migrate(self, _database: str, app_label: str, **_: Any) -> bool | None:
        return False if app_label == "eventstore" else None


def test_tables_that_were_made_in_another_schema_are_not_made_again(
    django_project: None, empty_postgres_url: str
) -> None:
    with project_on(empty_postgres_url, "SET", "{}, public") as project:
        migrations.upgrade(engine_of(), "es_0005")
        project.choose("a")
        get_store().append("of-all", [NewEvent("made")], expected_version=ANY)
        with pytest.raises(CommandError, match="tables are in schema 'public'") as error:
            migrate()
        assert isinstance(error.value.__cause__, TablesElsewhere)
        assert schemas_with("es_events") == ["public"]


def test_tenants_that_are_migrated_in_turn_are_written_to_by_the_same_code(
    django_project: None, empty_postgres_url: str
) -> None:
    with project_on(empty_postgres_url, "backend") as project:
        for tenant, revision in (("a", "0008"), ("b", "0005")):
            project.choose(tenant)
            migrate("eventstore", revision)
        for version, tenant in enumerate(("a", "b", "a", "b")):
            project.choose(tenant)
            new = [NewEvent("made"), NewEvent("used")]
            assert get_store().append("of-all", new, expected_version=version // 2 * 2).version == version // 2 * 2 + 2


def test_the_positions_of_each_tenant_are_checked(tenants_url: str) -> None:
    with project_on(tenants_url, "backend") as project:
        for tenant in ("a", "b"):
            project.choose(tenant)
            get_store().append("of-all", [NewEvent("made"), NewEvent("made")], expected_version=ANY)
        with connection.cursor() as cursor:  # as after a restore that has left the sequence out
            cursor.execute("SELECT setval(pg_get_serial_sequence('b.es_events', 'position'), 1)")
        connection.close()
        project.choose("a")
        get_store().append("of-all", [NewEvent("made")], expected_version=ANY)
        project.choose("b")
        with pytest.raises(PositionsBehind):
            get_store().append("of-all", [NewEvent("made")], expected_version=ANY)


@pytest.mark.parametrize("store_on", ["django", "engine"])
def test_a_handler_that_leaves_another_search_path_has_failed(store_on: str, tenants_url: str) -> None:
    """Both checkpoints are at 0, so that of the other tenant would be moved past its events."""
    with project_on(tenants_url, "SET") as project:
        for tenant in ("b", "a"):
            project.choose(tenant)
            get_store().append(f"of-{tenant}", [NewEvent("made")], expected_version=ANY)
            with connection.cursor() as cursor:
                cursor.execute("INSERT INTO es_checkpoints (name, position) VALUES ('astray', 0)")
        projection = Projection("astray", on_failure=OnFailure.DEAD_LETTER)

        @projection.on("made")
        def go_astray(_event: object, target: Any) -> None:
            if store_on == "django":
                target.cursor().execute("SET search_path TO b")
            else:
                target.exec_driver_sql("SET search_path TO b")

        engine = engine_of()
        Worker(get_store() if store_on == "django" else EventStore(engine), projection).run_until_caught_up()
        project.choose("a")
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT a.position, b.position, es_dead_letters.error "
                "FROM a.es_checkpoints a, b.es_checkpoints b, a.es_dead_letters"
            )
            assert cursor.fetchall() == [(1, 0, TransactionBroken.__name__)]
