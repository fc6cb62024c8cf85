"""Older code on newer tables: a rollback of a deployment, by every way in."""

import json
import os
import subprocess
import textwrap
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from alembic.util import CommandError
from click.testing import CliRunner
from sqlalchemy import Engine, text

from eventstore import EventStore, NewEvent, migrations
from eventstore.cli import main
from eventstore.errors import SchemaTooNew, UnknownRevision
from eventstore.migrations.environment import VERSION_TABLE
from eventstore.tables import SCHEMA_VERSION
from tests.fix_migrations import FROM_HERE, NAMES, BringTo, catalog, copy_of_older, url_of
from tests.fix_postgresql import Databases
from tests.processes import run_python

NEWER = SCHEMA_VERSION + 1


def make_newer(engine: Engine, *, breaking: int = 1, version: int = NEWER) -> None:
    """Leave a database with the newest tables as newer code does."""
    with engine.begin() as connection:
        connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = 'es_{NEWER:04}'"))
        row = {"version": version, "breaking": breaking}
        connection.execute(text("UPDATE es_schema SET version = :version, breaking_version = :breaking"), row)


@pytest.mark.slow
def test_tables_that_are_newer_and_fit_need_no_upgrade(bring_to: BringTo, new_engine: Engine) -> None:
    bring_to(new_engine)
    make_newer(new_engine)
    before, said = catalog(new_engine), []
    migrations.upgrade(new_engine, on_progress=lambda step: said.append(step.step))
    assert said == [f"the tables are at es_{NEWER:04}, newer than this code ({NAMES[-1]}), which works with them"]
    migrations.upgrade(new_engine, "es_0003")
    assert migrations.pending(new_engine) == []
    assert catalog(new_engine) == before
    assert migrations.current(new_engine) == f"es_{NEWER:04}"
    for arguments, exit_code in ((["migrate"], 0), (["migrate", "--dry-run"], 0), (["check", "--newest"], 0)):
        done = CliRunner().invoke(main, [*arguments, "--url", url_of(new_engine)])
        assert done.exit_code == exit_code, done.output
        assert "newer than this code" in done.stdout
    assert EventStore(new_engine).append("order-1", [NewEvent("placed")], expected_version=0).version == 1


@pytest.mark.slow
def test_tables_that_are_newer_and_do_not_fit_are_refused(bring_to: BringTo, new_engine: Engine) -> None:
    bring_to(new_engine)
    make_newer(new_engine, breaking=NEWER)
    for call in (migrations.upgrade, migrations.pending, migrations.check):
        with pytest.raises(SchemaTooNew, match=f"at version {NEWER} and needs code that knows version {NEWER}"):
            call(new_engine)
    for command in ("migrate", "check"):
        assert CliRunner().invoke(main, [command, "--url", url_of(new_engine)]).exit_code == 5


@pytest.mark.slow
def test_what_newer_code_has_done_is_undone_by_newer_code(bring_to: BringTo, new_engine: Engine) -> None:
    bring_to(new_engine)
    make_newer(new_engine)
    for revision in ("es_0003", "-1", "base"):
        with pytest.raises(UnknownRevision, match=f"at revision es_{NEWER:04}.*its newest is {NAMES[-1]}") as refused:
            migrations.downgrade(new_engine, revision)
        assert (refused.value.revision, refused.value.newest) == (f"es_{NEWER:04}", NAMES[-1])
    for revision in (f"es_{NEWER:04}", "+1"):
        with pytest.raises(CommandError):
            migrations.upgrade(new_engine, revision)


@pytest.mark.slow
def test_an_unknown_revision_on_tables_that_are_not_newer_is_refused(bring_to: BringTo, new_engine: Engine) -> None:
    bring_to(new_engine)
    make_newer(new_engine, version=SCHEMA_VERSION)
    for call in (migrations.upgrade, migrations.pending):
        with pytest.raises(UnknownRevision, match=f"at revision es_{NEWER:04}"):
            call(new_engine)


# --- with copies of the package as they would have been


OldCode = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def old_code(tmp_path: Path) -> OldCode:
    """Return a function that runs a program with the package as it was when it knew so many revisions."""

    def run(newest: int, program: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
        home = tmp_path / f"at_{newest}"
        if not home.exists():
            copy_of_older(home, newest)
        return run_python("-c", FROM_HERE + program, *arguments, cwd=home)

    return run


@pytest.fixture
def new_of_each_kind(
    tmp_path: Path, tracked_engine: Callable[[Any], Engine], postgres_databases: Databases
) -> Iterator[Callable[[], list[Engine]]]:
    """Return a function that makes engines of a new, empty database of each kind."""
    with ExitStack() as stack:

        def make() -> list[Engine]:
            sqlite = f"sqlite:///{tmp_path / os.urandom(4).hex()}.db"
            postgresql = stack.enter_context(postgres_databases.fresh("template0"))
            return [tracked_engine(sqlite), tracked_engine(postgresql)]

        yield make


APPLICATION = textwrap.dedent("""
    import json, pathlib, sys
    import eventstore
    from click.testing import CliRunner
    from eventstore import ANY, EventStore, NewEvent, migrations
    from eventstore.cli import main
    assert pathlib.Path(eventstore.__file__).is_relative_to(pathlib.Path.cwd()), eventstore.__file__
    for url in sys.argv[1:]:
        commands = [CliRunner().invoke(main, [command, "--url", url]) for command in ("migrate", "check")]
        store = EventStore.from_url(url)
        appended = store.append("order-1", [NewEvent("placed")], expected_version=ANY).version
        seen = [event.version for event in store.read_all()]
        done = {"codes": [each.exit_code for each in commands], "said": [each.output for each in commands],
                "head": migrations.head(), "appended": appended, "seen": seen}
        print(json.dumps(done))
        store.close()
    """)


def newer_pairs() -> Iterator[Any]:
    """Yield older schema versions with newer ones: some with the newest, and, what takes minutes, all with all."""
    for old in (1, SCHEMA_VERSION // 2, SCHEMA_VERSION - 1):
        yield old, [SCHEMA_VERSION]
    for old in range(1, SCHEMA_VERSION):
        yield pytest.param(old, list(range(old + 1, SCHEMA_VERSION + 1)), marks=pytest.mark.long)


@pytest.mark.slow
@pytest.mark.postgresql
@pytest.mark.parametrize(("old", "newer"), list(newer_pairs()))
def test_an_old_image_starts_again_on_the_tables_of_each_newer_one(
    bring_to: BringTo,
    new_of_each_kind: Callable[[], list[Engine]],
    old_code: OldCode,
    old: int,
    newer: list[int],
) -> None:
    """One process of old code for all: starting it takes longer than what it does."""
    engines = []
    for new in newer:
        for engine in new_of_each_kind():
            bring_to(engine, NAMES[old - 1])
            EventStore(engine).append("order-1", [NewEvent("placed")], expected_version=0)
            migrations.upgrade(engine, NAMES[new - 1])
            engines.append(engine)
    before = [catalog(engine) for engine in engines]
    done = old_code(old, APPLICATION, *map(url_of, engines))
    assert done.returncode == 0, done.stderr
    results = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(results) == len(engines) == 2 * len(newer)
    for result in results:
        assert result["head"] == NAMES[old - 1]
        assert result["codes"] == [0, 0], result["said"]
        assert "nothing to do" in result["said"][0]
        assert (result["appended"], result["seen"]) == (2, [1, 2])
    assert [catalog(engine) for engine in engines] == before
    for engine in engines:  # and forward again
        migrations.upgrade(engine)
        assert migrations.verify(engine) == []


ALEMBIC = textwrap.dedent("""
    import contextlib, functools, io, json, pathlib, sys, traceback
    import alembic.config, eventstore, eventstore.migrations, sqlalchemy
    config = alembic.config.Config
    assert pathlib.Path(eventstore.__file__).is_relative_to(pathlib.Path.cwd()), eventstore.__file__

    def run(*arguments):
        said, code = io.StringIO(), 0
        alembic.config.Config = functools.partial(config, stdout=said)  # its default is from when it was imported
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            try:
                alembic.config.main(argv=["-x", f"url={sys.argv[1]}", *arguments], prog="alembic")
            except SystemExit as end:
                code = end.code
            except Exception:
                traceback.print_exc()
                code = 1
        return {"code": code, "said": said.getvalue()}

    done = [run("upgrade", "head"), run("upgrade", "es_0007"), run("downgrade", "es_0004")]
    engine = sqlalchemy.create_engine(sys.argv[1])
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text("UPDATE es_schema SET breaking_version = 7"))
    engine.dispose()
    print(json.dumps([*done, run("upgrade", "head")]))
    """)


@pytest.mark.slow
def test_alembic_in_an_old_checkout_has_nothing_to_do(bring_to: BringTo, new_engine: Engine, old_code: OldCode) -> None:
    bring_to(new_engine)
    done = old_code(5, ALEMBIC, url_of(new_engine))
    assert done.returncode == 0, done.stderr
    head, unknown, back, broken = json.loads(done.stdout)
    assert head["code"] == 0, head["said"]
    assert "newer than this code (es_0005)" in head["said"]
    assert unknown["code"] != 0
    assert back["code"] != 0
    assert "UnknownRevision" in back["said"]
    assert broken["code"] != 0
    assert "SchemaTooNew" in broken["said"]
    assert migrations.current(new_engine) == migrations.head()
