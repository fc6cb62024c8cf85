"""New, empty databases to migrate, what their catalogs say, and the command `alembic` in the checkout."""

import contextlib
import functools
import gc
import io
import os
import re
import shutil
import socket
import subprocess
import tempfile
import traceback
import warnings
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from functools import partial
from pathlib import Path
from typing import Any

import alembic.config
import pytest
from sqlalchemy import Engine, create_engine, text

from eventstore import migrations
from eventstore.backends import engine_for
from eventstore.migrations.environment import VERSION_TABLE
from eventstore.tables import SCHEMA_VERSION
from tests.fix_postgresql import Databases
from tests.processes import Python

ROOT = Path(__file__).parent.parent
NAMES = [f"es_{number:04}" for number in range(1, SCHEMA_VERSION + 1)]

POSTGRESQL_CATALOG = """
SELECT 'column', c.relname, a.attname,
       concat_ws(' ', row_number() OVER (PARTITION BY c.oid ORDER BY a.attnum), format_type(a.atttypid, a.atttypmod),
                 a.attnotnull, a.attidentity, a.attgenerated,
                 pg_get_expr(d.adbin, d.adrelid), l.collname, col_description(c.oid, a.attnum))
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum LEFT JOIN pg_collation l ON l.oid = a.attcollation
WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace
UNION ALL SELECT 'constraint', conrelid::regclass::text, conname,
       pg_get_constraintdef(oid, true)
FROM pg_constraint WHERE connamespace = 'public'::regnamespace AND contype <> 'n'
UNION ALL SELECT 'index', indrelid::regclass::text, indexrelid::regclass::text,
       concat_ws(' ', pg_get_indexdef(indexrelid), indisvalid)
FROM pg_index JOIN pg_class c ON c.oid = indrelid WHERE c.relnamespace = 'public'::regnamespace
UNION ALL SELECT 'table', relname, '', concat_ws(' ', reloptions, obj_description(oid))
FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace
UNION ALL SELECT 'trigger', tgrelid::regclass::text, tgname, concat_ws(' ', pg_get_triggerdef(t.oid), tgenabled)
FROM pg_trigger t JOIN pg_class c ON c.oid = tgrelid
WHERE c.relnamespace = 'public'::regnamespace AND NOT tgisinternal
UNION ALL SELECT 'function', proname, '', prosrc FROM pg_proc WHERE pronamespace = 'public'::regnamespace
UNION ALL SELECT 'sequence', sequencename, '', concat_ws(' ', start_value, cache_size, data_type, cycle)
FROM pg_sequences WHERE schemaname = 'public'
ORDER BY 1, 2, 3
"""
SQLITE_CATALOG = "SELECT type, tbl_name, name, sql FROM sqlite_master WHERE name <> 'sqlite_sequence' ORDER BY 1, 2, 3"


def catalog(engine: Engine) -> list[tuple[object, ...]]:
    """Return all that the database knows of its tables, but for the version table of Alembic."""
    query = SQLITE_CATALOG if engine.dialect.name == "sqlite" else POSTGRESQL_CATALOG
    with engine.connect() as connection:
        rows = connection.execute(text(query)).all()
    # SQLAlchemy 2.0 and 2.1 differ in how many parentheses they put around a default; ALTER TABLE makes no new lines
    return [(*row[:3], _without_layout(str(row[3]))) for row in rows if VERSION_TABLE not in row[:3]]


def _without_layout(sql: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"([()])\1+", r"\1", sql))


@pytest.fixture
def tracked_engine(request: pytest.FixtureRequest) -> Callable[[Any], Engine]:
    """Return a function that makes engines, which are disposed of after the test."""

    def make(url: Any) -> Engine:
        engine = engine_for(url)
        request.addfinalizer(engine.dispose)
        return engine

    return make


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def make_engine(
    request: pytest.FixtureRequest, tmp_path: Path, tracked_engine: Callable[[Any], Engine]
) -> Callable[[], Engine]:
    """Return a function that makes engines of new, empty databases."""
    if request.param == "sqlite":
        return lambda: tracked_engine(f"sqlite:///{tmp_path / os.urandom(4).hex()}.db")
    fresh = request.getfixturevalue("postgres_databases").fresh

    def make() -> Engine:
        manager = fresh("template0")
        url = manager.__enter__()
        request.addfinalizer(lambda: manager.__exit__(None, None, None))
        return tracked_engine(url)

    return make


@pytest.fixture
def new_engine(make_engine: Callable[[], Engine]) -> Engine:
    """Return the engine of a new, empty database, of each kind."""
    return make_engine()


@pytest.fixture
def new_postgres_engine(empty_postgres_url: str, tracked_engine: Callable[[Any], Engine]) -> Engine:
    """Return the engine of a new, empty PostgreSQL database."""
    return tracked_engine(empty_postgres_url)


@pytest.fixture
def unused_port() -> int:
    """Return a port of this machine that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
    return port


BringTo = Callable[..., None]
"""Gives a new, empty database the tables of a revision, of the newest if none is given, perhaps in a schema."""


@functools.cache
def _sqlite_at(revision: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "template.db"
        engine = create_engine(f"sqlite:///{path}")
        migrations.upgrade(engine, revision)
        engine.dispose()
        return path.read_bytes()


@pytest.fixture
def bring_to(request: pytest.FixtureRequest) -> BringTo:
    """Return a function that gives a new, empty database the tables of a revision, for tests of what comes after that.

    They are copied from a database that was migrated once: the revisions take most of a second on PostgreSQL. Nothing
    of the database is kept, neither what is in it nor its settings.
    """

    def bring(engine: Engine, revision: str = NAMES[-1], *, schema: str | None = None) -> None:
        engine.dispose()
        if engine.dialect.name == "sqlite":
            assert engine.url.database
            Path(engine.url.database).write_bytes(_sqlite_at(revision))
        else:
            databases: Databases = request.getfixturevalue("postgres_databases")
            databases.replace(
                engine.url, f"{revision} in {schema}", lambda made: migrations.upgrade(made, revision, schema=schema)
            )

    return bring


def complete(engine: Engine, revision: str) -> None:
    """Upgrade to a revision, and fail if anything of it is missing or different."""
    migrations.upgrade(engine, revision)
    assert migrations.current(engine) == revision
    problems = [finding.found for finding in migrations.verify(engine)]
    assert [each for each in problems if not each.startswith("not yet applied: ")] == []


def url_of(engine: Engine) -> str:
    """Return the URL, with its password."""
    return engine.url.render_as_string(hide_password=False)


def start_alembic(engine: Engine, *arguments: str) -> Python:
    """Start the command `alembic` in the checkout."""
    return Python("-m", "alembic", "-x", f"url={url_of(engine)}", *arguments, cwd=ROOT)


def run_alembic(engine: Engine, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run it to its end, as `alembic_in` does."""
    return alembic_in(ROOT, "-x", f"url={url_of(engine)}", *arguments)


def alembic_in(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run the command `alembic` in a folder, in this process: one of its own would import for most of a second."""
    output, errors, code = io.StringIO(), io.StringIO(), 0
    config: Any = partial(alembic.config.Config, stdout=output)  # its default was the stream when it was imported
    with (
        contextlib.chdir(folder),
        redirect_stdout(output),
        redirect_stderr(errors),
        warnings.catch_warnings(),
        pytest.MonkeyPatch.context() as patch,
    ):
        warnings.simplefilter("default")
        patch.setattr(alembic.config, "Config", config)
        try:
            alembic.config.main(argv=list(arguments), prog="alembic")
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
        except Exception:  # noqa: BLE001  # as the interpreter does in the end
            traceback.print_exc()
            code = 1
        if code:
            warnings.simplefilter("ignore", ResourceWarning)
            gc.collect()  # an env.py that fails leaves its connection open
    return subprocess.CompletedProcess(["alembic", *arguments], code, output.getvalue(), errors.getvalue())


FROM_HERE = """
import sys
for name in [name for name in sys.modules if name.partition(".")[0] == "eventstore"]:
    del sys.modules[name]  # that of the tests, with which the process was forked
sys.path.insert(0, "")
"""
"""What a program in a clean process begins with that is to import the package in its folder."""


def copy_of_older(home: Path, newest: int) -> None:
    """Make the package in a folder as it may have been when it knew so many revisions; what is the same is linked."""
    for folder in ("eventstore", "alembic"):
        shutil.copytree(ROOT / folder, home / folder, copy_function=os.symlink)  # with the bytecode, as valid there
    shutil.copy(ROOT / "alembic.ini", home)
    _make_older(home / "eventstore", newest)


def _make_older(package: Path, newest: int) -> None:
    tables = package / "tables" / "definition.py"
    source, count = re.subn(
        r"^SCHEMA_VERSION: Final = \d+$", f"SCHEMA_VERSION: Final = {newest}", tables.read_text(), flags=re.MULTILINE
    )
    assert count == 1
    _put(tables, source)
    for name in NAMES[newest:]:
        (revision,) = (package / "migrations" / "versions").glob(f"{name}_*.py")
        revision.unlink()
    for definitions in (package / "migrations" / "definitions").glob("*.txt"):
        _put(definitions, definitions.read_text().partition(f"[es_{newest + 1:04}]")[0])


def _put(link: Path, content: str) -> None:
    link.unlink()  # else it would be written to the file that it leads to
    link.write_text(content)
