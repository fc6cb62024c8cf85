"""An application's env.py with other drivers than ours, an asynchronous one, and one for several databases."""

import shutil
from pathlib import Path
from typing import Any

import flask_migrate
import pytest
from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import Engine, create_engine, inspect, text

from eventstore import EventStore, NewEvent, migrations
from eventstore.contrib.flask import FlaskEventStore
from tests.fix_migrations import catalog, url_of
from tests.test_migration_ways import OURS, Application
from tests.waiting import wait_until_it_says

pytestmark = pytest.mark.slow

SYNCHRONOUS = """
from alembic import context
from sqlalchemy import create_engine

from eventstore import migrations

engine = create_engine({url!r})
with engine.connect() as connection, migrations.deploy_lock(connection):
    context.configure(connection=connection, transaction_per_migration=True)
    with context.begin_transaction():
        context.run_migrations()
engine.dispose()
"""
ASYNCHRONOUS = """
import asyncio

from alembic import context
from sqlalchemy.ext.asyncio import create_async_engine

from eventstore import migrations


def run(connection):
    with migrations.deploy_lock(connection):
        context.configure(connection=connection, transaction_per_migration=True)
        with context.begin_transaction():
            context.run_migrations()


async def connect():
    engine = create_async_engine({url!r})
    async with engine.connect() as connection:
        await connection.run_sync(run)
    await engine.dispose()


asyncio.run(connect())
"""
DRIVERS = [
    ("postgresql+psycopg", SYNCHRONOUS),
    ("postgresql+psycopg2", SYNCHRONOUS),
    ("postgresql+psycopg", ASYNCHRONOUS),
    ("postgresql+asyncpg", ASYNCHRONOUS),
]


def application_of(folder: Path, engine: Engine, driver: str, env: str, options: str = "") -> Application:
    application = Application(folder / "application", engine)
    application.write(locations=OURS, options=options)
    (application.folder / "versions" / "app_1.py").unlink()
    url = engine.url.set(drivername=driver).render_as_string(hide_password=False)
    (application.folder / "env.py").write_text(env.format(url=url))
    return application


def reached(engine: Engine) -> str:
    """Return the revision in the application's own version table."""
    with engine.connect() as connection:
        revision: str = connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one()
    return revision


@pytest.mark.parametrize(("driver", "env"), DRIVERS[1:])  # the first does in test_migration_ways
def test_every_driver_of_postgresql_goes_all_the_way_and_back(
    tmp_path: Path, new_postgres_engine: Engine, postgres_engine: Engine, driver: str, env: str
) -> None:
    application = application_of(tmp_path, new_postgres_engine, driver, env)
    done = application.alembic("upgrade", "heads")
    assert done.returncode == 0, done.stderr
    assert "lost" not in done.stderr
    assert migrations.verify(new_postgres_engine) == []
    back = application.alembic("downgrade", "eventstore@es_0001")
    assert back.returncode == 0, back.stderr
    assert application.alembic("upgrade", "heads").returncode == 0
    ours = [row for row in catalog(new_postgres_engine) if "alembic_version" not in str(row)]
    assert ours == catalog(postgres_engine)
    assert EventStore(new_postgres_engine).append("order-1", [NewEvent("placed")], expected_version=0).version == 1


@pytest.mark.parametrize(("driver", "env"), DRIVERS)
def test_every_driver_of_postgresql_tries_again_for_a_lock(
    tmp_path: Path, new_postgres_engine: Engine, driver: str, env: str
) -> None:
    options = "eventstore_lock_timeout_seconds = 0.1\n"
    application = application_of(tmp_path, new_postgres_engine, driver, env, options)
    assert application.alembic("upgrade", "es_0002").returncode == 0
    with new_postgres_engine.connect() as reader:
        reader.execute(text("LOCK TABLE es_streams IN ACCESS SHARE MODE"))
        with application.start("upgrade", "es_0003") as process:
            wait_until_it_says(process.stderr, "adding constraint es_streams_stream_id_check: waiting for")
            reader.rollback()
            _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert reached(new_postgres_engine) == "es_0003"


@pytest.mark.parametrize(("driver", "env"), DRIVERS)
def test_every_driver_of_postgresql_waits_for_another_deployer(
    tmp_path: Path, new_postgres_engine: Engine, driver: str, env: str
) -> None:
    application = application_of(tmp_path, new_postgres_engine, driver, env)
    with new_postgres_engine.connect() as connection:
        with migrations.deploy_lock(connection):
            process = application.start("upgrade", "es_0001")
            wait_until_it_says(process.stderr, "another migration is running: waiting for")
            assert inspect(new_postgres_engine).get_table_names() == []
        _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert reached(new_postgres_engine) == "es_0001"


def test_an_asynchronous_env_on_sqlite(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path}/shop.db")
    application = application_of(tmp_path, engine, "sqlite+aiosqlite", ASYNCHRONOUS)
    for arguments in (("upgrade", "heads"), ("downgrade", "eventstore@es_0001"), ("upgrade", "heads")):
        done = application.alembic(*arguments)
        assert done.returncode == 0, done.stderr
    assert migrations.verify(engine) == []
    engine.dispose()


# --- Flask-Migrate


class Flasks:
    """An application of Flask with two databases."""

    def __init__(self, folder: Path, url: str, **config: Any) -> None:
        self.folder = folder / "migrations"
        self.app = Flask("shop", root_path=str(folder), instance_path=str(folder))
        self.app.config.update(
            SQLALCHEMY_DATABASE_URI=url, SQLALCHEMY_BINDS={"reports": f"sqlite:///{folder}/reports.db"}, **config
        )
        self.db = SQLAlchemy(self.app)
        FlaskEventStore(self.app)
        flask_migrate.Migrate(self.app, self.db, directory=str(self.folder), include_name=migrations.exclude_tables())

        class Invoice(self.db.Model):  # type: ignore[name-defined,misc]  # made at run time
            number = self.db.Column(self.db.Integer, primary_key=True)

    def init(self) -> None:
        """Do what `flask db init --multidb` does, which can't with Alembic 1.16.0."""
        template = Path(flask_migrate.__file__).parent / "templates" / "flask-multidb"
        (self.folder / "versions").mkdir(parents=True)
        for name in ("env.py", "script.py.mako", "alembic.ini.mako"):
            shutil.copy(template / name, self.folder / name.replace(".ini.mako", ".ini"))
        env = self.folder / "env.py"  # in this process, its logging would switch off that of all other tests
        env.write_text(env.read_text().replace("fileConfig(config.config_file_name)", "fileConfig"))

    def add_our_revisions(self) -> None:
        ini = self.folder / "alembic.ini"
        locations = "[alembic]\npath_separator = newline\nversion_locations =\n    %(here)s/versions\n"
        ini.write_text(ini.read_text().replace("[alembic]\n", locations + OURS, 1))


@pytest.mark.filterwarnings("default")
def test_flask_migrate_with_several_databases_keeps_two_histories_apart(tmp_path: Path, new_engine: Engine) -> None:
    flasks = Flasks(tmp_path, url_of(new_engine))
    with flasks.app.app_context():
        flasks.init()
        done = flasks.app.test_cli_runner().invoke(args=["eventstore", "migrate"])
        assert done.exit_code == 0, done.output
        flask_migrate.migrate(rev_id="shop_1")
        (written,) = (flasks.folder / "versions").glob("shop_1*.py")
        assert "es_" not in written.read_text()
        flask_migrate.upgrade()
        for engine in flasks.db.engines.values():
            engine.dispose()
    tables = inspect(new_engine).get_table_names()
    assert {"invoice", "es_events", "alembic_version", "es_alembic_version"} <= set(tables)
    assert migrations.verify(new_engine) == []


@pytest.mark.filterwarnings("default")
def test_flask_migrate_with_several_databases_and_one_history_stops_before_anything_is_done(
    tmp_path: Path, new_engine: Engine
) -> None:
    flasks = Flasks(tmp_path, url_of(new_engine))
    with flasks.app.app_context():
        flasks.init()
        flasks.add_our_revisions()
        with pytest.raises(TypeError, match="engine_name"):
            flask_migrate.upgrade(revision="heads")
        for engine in flasks.db.engines.values():
            engine.dispose()
    assert not [table for table in inspect(new_engine).get_table_names() if table.startswith("es_")]
