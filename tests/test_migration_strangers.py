"""Other tables that have the name of one of ours: refused by every way in, and left to the application's Alembic."""

import re
from pathlib import Path

import pytest
from click.testing import CliRunner
from sqlalchemy import Engine, create_engine, inspect, text

from eventstore import migrations
from eventstore.cli import main
from eventstore.errors import TableTaken
from eventstore.migrations.name_clashes import CREATED_BY
from eventstore.tables import define_tables
from tests.fix_migrations import BringTo, catalog, run_alembic, url_of
from tests.test_migration_ways import OURS, Application


@pytest.fixture
def application(tmp_path: Path, new_engine: Engine) -> Application:
    return Application(tmp_path / "application", new_engine)


def make_strangers(engine: Engine, *tables: str) -> list[tuple[object, ...]]:
    with engine.begin() as connection:
        for table in tables:
            connection.execute(text(f"CREATE TABLE {table} (taken_of text)"))
            connection.execute(text(f"INSERT INTO {table} VALUES ('a disk')"))
    return catalog(engine)


@pytest.mark.slow
def test_another_table_of_one_of_our_names_is_refused_before_anything_is_done(new_engine: Engine) -> None:
    before = make_strangers(new_engine, "snapshots", "es_dead_letters")
    for call in (migrations.upgrade, migrations.pending):
        with pytest.raises(TableTaken, match="'es_dead_letters' and 'snapshots'") as refused:
            call(new_engine)
        assert refused.value.tables == ("es_dead_letters", "snapshots")
    assert catalog(new_engine) == before
    command = CliRunner().invoke(main, ["migrate", "--url", url_of(new_engine)])
    assert command.exit_code == 1
    assert "already has tables 'es_dead_letters' and 'snapshots' that are not the event store's" in command.stderr
    for option in ("--dry-run", "--revision=es_0001"):
        assert CliRunner().invoke(main, ["migrate", "--url", url_of(new_engine), option]).exit_code == 1
    assert catalog(new_engine) == before


@pytest.mark.slow
def test_ways_out_of_a_name_that_is_taken_lead_out(new_engine: Engine) -> None:
    make_strangers(new_engine, "snapshots")
    with pytest.raises(TableTaken) as refused:
        migrations.upgrade(new_engine)
    if new_engine.dialect.name == "postgresql":
        assert "--schema events" in str(refused.value)
        migrations.upgrade(new_engine, schema="events")
        assert migrations.verify(new_engine, schema="events") == []
    renaming = re.search(r"\((ALTER TABLE \w+ RENAME TO )…\)", str(refused.value))
    assert renaming is not None
    with new_engine.begin() as connection:
        connection.execute(text(f"{renaming[1]} snapshots_of_disks"))
    migrations.upgrade(new_engine)
    assert migrations.verify(new_engine) == []
    with new_engine.connect() as connection:
        assert connection.execute(text("SELECT taken_of FROM snapshots_of_disks")).scalar_one() == "a disk"


@pytest.mark.slow
def test_a_table_of_a_later_schema_in_the_path_is_not_in_the_way(new_postgres_engine: Engine) -> None:
    make_strangers(new_postgres_engine, "snapshots")
    with new_postgres_engine.begin() as connection:
        connection.execute(text("CREATE SCHEMA events"))
    url = new_postgres_engine.url.update_query_dict({"options": "-csearch_path=events,public"})
    engine = create_engine(url)
    migrations.upgrade(engine)
    assert inspect(engine).has_table("es_events", "events")
    engine.dispose()


@pytest.mark.slow
def test_a_name_that_a_later_revision_takes_is_refused_before_the_others_run(
    bring_to: BringTo, new_engine: Engine
) -> None:
    bring_to(new_engine, "es_0002")
    before = make_strangers(new_engine, "es_checkpoints")
    with pytest.raises(TableTaken, match="'es_checkpoints'"):
        migrations.upgrade(new_engine)
    assert catalog(new_engine) == before
    migrations.downgrade(new_engine, "es_0001")  # that is not in its way


@pytest.mark.slow
@pytest.mark.parametrize("taken", ["snapshots", "es_checkpoints"])
def test_the_applications_alembic_is_refused_too(application: Application, taken: str) -> None:
    before = make_strangers(application.engine, taken)
    application.write(locations=OURS)
    refused = application.alembic("upgrade", "eventstore@head")
    assert refused.returncode != 0
    assert (
        f"TableTaken: {'schema' if application.engine.dialect.name == 'postgresql' else 'this file'}" in refused.stderr
    )
    assert [row for row in catalog(application.engine) if "alembic_version" not in str(row)] == before


@pytest.mark.slow
def test_alembic_in_the_checkout_is_refused_too(new_engine: Engine) -> None:
    before = make_strangers(new_engine, "snapshots")
    refused = run_alembic(new_engine, "upgrade", "head")
    assert "TableTaken" in refused.stderr
    assert catalog(new_engine) == before


@pytest.mark.slow
def test_autogenerate_sees_a_table_of_the_applications_that_has_one_of_our_names(
    application: Application, new_engine: Engine
) -> None:
    application.write()
    models = application.folder / "env.py"
    models.write_text(
        models.read_text()
        .replace("MetaData, Table", "MetaData, Table, Text")
        .replace("def theirs", 'Table("snapshots", metadata, Column("taken_of", Text))\n\n\ndef theirs', 1)
    )
    make_strangers(new_engine, "snapshots")
    assert application.alembic("upgrade", "head").returncode == 0
    compared = application.alembic("check")
    assert compared.returncode == 0, compared.stdout + compared.stderr
    with new_engine.begin() as connection:
        connection.execute(text("ALTER TABLE snapshots ADD COLUMN forgotten text"))
    compared = application.alembic("check")
    assert "forgotten" in compared.stdout + compared.stderr
    with new_engine.begin() as connection:
        connection.execute(text("DROP TABLE snapshots"))
    migrations.upgrade(new_engine)  # now it is ours, whatever their models say
    compared = application.alembic("check")
    assert "remove" not in compared.stdout + compared.stderr


def test_each_of_our_tables_has_the_revision_that_creates_it() -> None:
    assert set(CREATED_BY) == set(define_tables(position_is_key=True).metadata.tables)
