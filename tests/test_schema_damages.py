"""Random damages of the schema: `verify` finds each, and after the remedy that it prints, nothing; appends go on."""

import random
import re
import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.exc import DBAPIError

from eventstore import ANY, EventStore, NewEvent, migrations
from eventstore.findings import Finding
from eventstore.maintenance import plan, repair, verify
from eventstore.migrations.remedies import LOCK_TIMEOUT
from tests import schema_damages
from tests.damage import fill
from tests.fix_engines import migrated_sqlite
from tests.fix_postgresql import Databases
from tests.schema_damages import Damage
from tests.test_migration_ways import psql

pytestmark = pytest.mark.slow
SEED = random.randrange(10**6)
"""Of the run; printed by every failure. Put a number here to repeat one."""


def shuffled(damages: Iterator[Damage]) -> list[Damage]:
    every = list(damages)
    random.Random(SEED).shuffle(every)
    return every


@pytest.fixture(scope="module")
def filled_template(postgres_databases: Databases, postgres_template: str) -> Iterator[str]:
    with postgres_databases.fresh(postgres_template) as url:
        engine = create_engine(url)
        fill(engine)
        engine.dispose()
        yield str(url.database)


@contextmanager
def appending(engine: Engine, number: int) -> Iterator[Callable[[], bool]]:
    """Append all the time, unless the damage itself keeps appends out; every append has to succeed within 5 seconds.

    Yields a function that says whether any can be done.
    """
    url = engine.url.update_query_dict({"options": "-c lock_timeout=5s"})
    of_writer = create_engine(url)
    store = EventStore(of_writer)
    stop, errors, done = threading.Event(), [], [0]

    def append() -> None:
        while not stop.is_set():
            try:
                store.append(f"writer-{number}", [NewEvent("noted")], expected_version=ANY)
                done[0] += 1
            except Exception as error:  # noqa: BLE001  # it is what the test is about
                errors.append(error)
                return

    thread = threading.Thread(target=append)
    try:
        for _ in range(2):
            store.append(f"probe-{number}", [NewEvent("noted")], expected_version=ANY)
    except Exception:  # noqa: BLE001  # damage may keep appends out: then there is no writer to be kept waiting
        of_writer.dispose()
        yield lambda: False
        return
    thread.start()
    try:
        yield lambda: True
    finally:
        seen = done[0]
        while not errors and done[0] < seen + 2:
            stop.wait(0.001)
        stop.set()
        thread.join()
        of_writer.dispose()
    assert not errors, f"an append failed on account of the remedy: {errors[0]!r}"


def try_damage(engine: Engine, damage: Damage) -> bool:
    """Do it; False if this version of PostgreSQL refuses it."""
    try:
        with engine.begin() as connection:
            connection.execute(text("SET LOCAL eventstore.allow_history_changes = 'on'"))
            for statement in damage.statements:
                connection.execute(text(statement.replace(":", "\\:")))
    except DBAPIError:
        return False
    return True


def print_and_execute(engine: Engine, finding: Finding) -> bool:
    """Give psql what the finding prints; False if it did not get its lock."""
    begins = f"SET lock_timeout = '{LOCK_TIMEOUT}'"
    is_limited_first = begins in finding.remedy.partition(finding.statements[0])[0]
    printed = finding.remedy[finding.remedy.index(begins if is_limited_first else finding.statements[0]) :]
    done = psql(engine, f"{printed};\n")
    is_in_time = "due to lock timeout" not in done.stderr
    assert done.returncode == 0 or not is_in_time, f"{printed}\n{done.stderr}"
    return is_in_time


def do_all(engine: Engine, findings: list[Finding]) -> list[Finding]:
    """Do what is printed, and what is printed after that where a lock was not to be had; return what is left."""
    for _ in range(20):
        if all(print_and_execute(engine, finding) for finding in findings):
            break
        findings = migrations.verify(engine)
    return migrations.verify(engine)


@pytest.mark.postgresql
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("count", [15, pytest.param(200, marks=pytest.mark.long)])
def test_each_damage_on_postgresql_is_found_and_its_printed_remedy_tried(
    postgres_databases: Databases, filled_template: str, count: int
) -> None:
    tried = restored = with_writer = 0
    for number, damage in enumerate(shuffled(schema_damages.on_postgresql())):
        if tried == count:
            break
        with postgres_databases.fresh(filled_template) as url:
            engine = create_engine(url)
            try:
                if try_damage(engine, damage):
                    tried += 1
                    is_restored, is_written = found_and_cured(engine, damage, number)
                    restored += is_restored
                    with_writer += is_written
            except AssertionError as error:
                error.add_note(f"seed {SEED}: {damage}")
                raise
            finally:
                engine.dispose()
    print(f"seed {SEED}: {tried} damages, {restored} of which took a backup, {with_writer} with a writer")
    assert tried == count


def found_and_cured(engine: Engine, damage: Damage, number: int) -> tuple[bool, bool]:
    findings = migrations.verify(engine)
    assert (damage.table, damage.name) in [(found.table, found.name) for found in findings], list(map(str, findings))
    assert all("\n" not in str(found) for found in findings)
    if any(not found.statements for found in findings):
        assert damage.needs_backup, list(map(str, findings))
        assert "backup" in next(found.remedy for found in findings if not found.statements)
        return True, False
    is_window = any("while nothing is appended" in found.remedy for found in findings)
    with appending(engine, number) if not is_window else closing_nothing() as can_append:
        left = do_all(engine, findings)
    assert left == [], f"{list(map(str, findings))} left {list(map(str, left))}"
    EventStore(engine).append(f"after-{number}", [NewEvent("noted")], expected_version=ANY)
    return False, can_append()


@contextmanager
def closing_nothing() -> Iterator[Callable[[], bool]]:
    yield lambda: False


def change_sqlite(path: Path, damage: Damage) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA legacy_alter_table = ON")
        connection.execute("INSERT INTO es_history_permission VALUES (1)")
        for statement in damage.statements:
            changed = re.match(r"(\w+): (.*?) -> (.*)", statement, re.DOTALL)
            if changed is None:
                connection.execute(statement)
            else:
                make_again(connection, *changed.groups())
        if "es_history_permission" not in damage.table:
            connection.execute("DELETE FROM es_history_permission")


def make_again(connection: sqlite3.Connection, table: str, pattern: str, replacement: str) -> None:
    kept = "SELECT sql FROM sqlite_master WHERE tbl_name = ? AND type IN ('index', 'trigger') AND sql IS NOT NULL"
    others = [sql for (sql,) in connection.execute(kept, (table,))]
    ((sql,),) = connection.execute("SELECT sql FROM sqlite_master WHERE name = ?", (table,))
    changed, count = re.subn(pattern, replacement, sql, count=1)
    assert count == 1, f"{pattern} is not in {sql}"
    connection.execute(re.sub(rf"CREATE TABLE \W?{table}\W?", "CREATE TABLE changed ", changed, count=1))
    columns = ", ".join(row[1] for row in connection.execute(f"PRAGMA table_info({table})"))
    connection.execute(f"INSERT INTO changed ({columns}) SELECT {columns} FROM {table}")
    connection.execute(f"DROP TABLE {table}")
    connection.execute(f"ALTER TABLE changed RENAME TO {table}")
    for sql in others:
        connection.execute(sql)


@pytest.mark.parametrize("count", [25, pytest.param(200, marks=pytest.mark.long)])
def test_each_damage_on_sqlite_is_found_and_its_printed_remedy_tried(
    tmp_path: Path, tracked_engine: Callable[[str], Engine], count: int
) -> None:
    template = migrated_sqlite(tmp_path)
    fill(tracked_engine(f"sqlite:///{template}"))
    with closing(sqlite3.connect(template)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    tried = 0
    for number, damage in enumerate(shuffled(schema_damages.on_sqlite())):
        if tried == count:
            break
        path = tmp_path / f"{number}.db"
        shutil.copy(template, path)
        try:
            change_sqlite(path, damage)
        except sqlite3.Error as error:
            print(f"refused: {damage.what}: {error}")
            continue
        tried += 1
        engine = tracked_engine(f"sqlite:///{path}")
        try:
            found_and_cured_on_sqlite(engine, path, damage)
        except AssertionError as error:
            error.add_note(f"seed {SEED}: {damage}")
            raise
        engine.dispose()
        path.unlink()
    print(f"seed {SEED}: {tried} damages")
    assert tried == count


def found_and_cured_on_sqlite(engine: Engine, path: Path, damage: Damage) -> None:
    findings = migrations.verify(engine)
    assert (damage.table, damage.name) in [(found.table, found.name) for found in findings], list(map(str, findings))
    rows = count_rows(path)
    for finding in findings:
        assert finding.statements, finding
        if finding.statements[0] not in finding.remedy:  # a script, too long to print
            assert "`eventstore repair`" in finding.remedy
            store = EventStore(engine)
            list(repair(store, plan(verify(store, payloads=False))))
        else:
            printed = finding.remedy[finding.remedy.index(finding.statements[0]) :]
            with closing(sqlite3.connect(path, isolation_level=None)) as connection:
                connection.executescript(f"{printed};")
    left = migrations.verify(engine)
    assert left == [], f"{list(map(str, findings))} left {list(map(str, left))}"
    assert count_rows(path)[:2] == rows[:2], "rows were lost"
    EventStore(engine).append("after-1", [NewEvent("noted")], expected_version=ANY)


def count_rows(path: Path) -> list[int]:
    with closing(sqlite3.connect(path)) as connection:
        return [
            connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in ("es_events", "es_streams")
        ]
