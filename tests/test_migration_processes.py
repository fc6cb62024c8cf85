"""Migrations by several processes at once, killed ones, and under load."""

import json
import random
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Engine, text

from eventstore import ANY, EventStore, NewEvent, migrations
from eventstore.tables import SCHEMA_VERSION
from tests.fix_migrations import BringTo, start_alembic, url_of
from tests.processes import Python, run_python
from tests.waiting import until, wait_until_it_says

pytestmark = pytest.mark.slow

REVISIONS = [f"es_{number:04}" for number in range(1, SCHEMA_VERSION + 1)]

LARGE = 60_000
"""`tests/test_migration_locks.py` upgrades three million events, in minutes."""


def start_two(engine: Engine) -> list[Python]:
    """Start `alembic upgrade head` in two processes at once."""
    return [start_alembic(engine, "upgrade", "head") for _ in range(2)]


def end(processes: list[Python]) -> None:
    errors = [process.communicate(timeout=120)[1] for process in processes]
    assert [process.returncode for process in processes] == [0] * len(processes), errors


def test_two_processes_migrate_an_empty_database_at_once(new_engine: Engine) -> None:
    end(start_two(new_engine))
    assert migrations.verify(new_engine) == []
    assert EventStore(new_engine).append("order-1", [NewEvent("placed")], expected_version=0).version == 1


def test_the_work_of_four_is_done_once(new_engine: Engine) -> None:
    script = textwrap.dedent(f"""
        import os, sqlalchemy
        from eventstore import migrations
        processes = []
        for number in range(4):  # of their own, that need not import everything again
            if (process := os.fork()) == 0:
                engine = sqlalchemy.create_engine({url_of(new_engine)!r})
                applied = []
                migrations.upgrade(engine, on_progress=lambda step: step.applied and applied.append(step.applied))
                os.write(1, (" ".join(applied) + chr(10)).encode())
                os._exit(0)
            processes.append(process)
        assert [os.waitpid(process, 0)[1] for process in processes] == [0] * 4
        """)
    done = run_python("-c", script)
    assert done.returncode == 0, done.stderr
    assert sorted(line.split() for line in done.stdout.splitlines()) == [[], [], [], REVISIONS]


@pytest.mark.parametrize("killed", [False, True])
def test_two_processes_while_somebody_builds_one_of_the_indexes(
    bring_to: BringTo, new_postgres_engine: Engine, *, killed: bool
) -> None:
    """The build waits for a transaction; its client may be gone, but its server process builds on."""
    engine = new_postgres_engine
    bring_to(engine, "es_0001")
    index = "CREATE INDEX CONCURRENTLY es_events_category_position_idx ON es_events (category, position)"
    url = url_of(engine).replace("+psycopg", "")
    script = f"import psycopg; psycopg.connect({url!r}, autocommit=True).execute({index!r})"
    with engine.connect() as older:
        EventStore(engine).join(older).append("order-1", [NewEvent("placed")], expected_version=0)
        with Python("-c", script) as builder:
            until(lambda: building(engine))
            if killed:
                builder.kill()
            two = start_two(engine)
            for process in two:  # one for the build, the other for that one
                wait_until_it_says(process.stderr, "waiting for")
            older.commit()
    end(two)
    assert migrations.verify(engine) == []


def building(engine: Engine) -> bool:
    with engine.connect() as connection:
        here = "SELECT count(*) FROM pg_stat_progress_create_index WHERE datname = current_database()"
        return bool(connection.execute(text(here)).scalar())


@pytest.mark.slow
@pytest.mark.parametrize("every", [4, pytest.param(1, marks=pytest.mark.long)])
def test_a_migration_killed_at_any_step_is_completed_by_the_next(new_engine: Engine, every: int) -> None:
    """Each run kills itself at the first step that no run before it has reached; or at the fourth, from the second on.

    So a quarter of the steps is shown in any run of the tests, which ones by chance, and all of them if there is time.
    """
    passed_over = random.SystemRandom().randrange(every)
    print("passed over at first:", passed_over)
    script = textwrap.dedent(f"""
        import json, os, signal, sqlalchemy, traceback
        from eventstore import migrations
        engine = sqlalchemy.create_engine({url_of(new_engine)!r})
        steps, kills = [], 0

        def migrate(may_pass):
            new = []

            def report(step):
                if step.step not in {{*steps, *new}}:
                    new.append(step.step)
                    if len(new) > may_pass:
                        os.write(writing, json.dumps(new).encode())
                        os.kill(os.getpid(), signal.SIGKILL)

            migrations.upgrade(engine, on_progress=report)

        while True:
            reading, writing = os.pipe()
            if (child := os.fork()) == 0:  # a process of its own, that need not import everything again
                try:
                    migrate({every} - 1 if steps else {passed_over})
                    os._exit(0)
                except BaseException:
                    traceback.print_exc()
                    os._exit(1)
            os.close(writing)
            with open(reading) as pipe:
                said = pipe.read()
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            if code == 0:
                break
            assert code == -signal.SIGKILL, code
            kills += 1
            steps += json.loads(said)
        print(json.dumps([kills, steps]))
        """)
    done = run_python("-c", script, timeout=230)
    assert done.returncode == 0, done.stderr
    kills, steps = json.loads(done.stdout)
    expected = len(REVISIONS) if new_engine.dialect.name == "sqlite" else len(REVISIONS) + 3 + 8 + 8 + 3
    assert kills >= expected // every, steps
    assert migrations.verify(new_engine) == []


@pytest.mark.slow
def test_a_migration_killed_while_it_builds_an_index_is_completed_by_the_next(
    bring_to: BringTo, new_postgres_engine: Engine
) -> None:
    engine = new_postgres_engine
    bring_to(engine, "es_0001")
    with engine.connect() as older:
        EventStore(engine).join(older).append("order-1", [NewEvent("placed")], expected_version=0)
        with start_alembic(engine, "upgrade", "head") as first:
            until(lambda: building(engine))
            first.kill()
        with start_alembic(engine, "upgrade", "head") as second:
            wait_until_it_says(second.stderr, "is being built")
            older.rollback()
            end([second])
    assert migrations.verify(engine) == []


@pytest.mark.slow
def test_appends_and_reads_go_on_while_a_large_table_is_upgraded(
    bring_to: BringTo, new_postgres_engine: Engine
) -> None:
    """Four writers and a reader run through the whole upgrade; the seed and the longest waits are printed."""
    engine, lock_timeout = new_postgres_engine, 0.5
    bring_to(engine, "es_0001")
    fill(engine, LARGE)
    seed = random.randrange(2**32)
    finished, at_work = threading.Event(), threading.Barrier(6)

    def write(writer: int) -> tuple[int, float]:
        chooser, store = random.Random(f"{seed} {writer}"), EventStore(engine)
        count, longest = 0, 0.0
        while not finished.is_set():
            began = time.monotonic()
            events = [NewEvent("placed", {"writer": writer})] * 1
            store.append(f"order-{chooser.randrange(1000)}", events, expected_version=ANY)
            longest = max(longest, time.monotonic() - began)
            count += 1
            if count == 1:
                at_work.wait(60)
        return count, longest

    def read() -> tuple[int, float]:
        chooser, store = random.Random(f"{seed} reader"), EventStore(engine)
        count, longest = 0, 0.0
        while not finished.is_set():
            began = time.monotonic()
            list(store.read_stream(f"old-{chooser.randrange(1000)}"))
            longest = max(longest, time.monotonic() - began)
            count += 1
            if count == 1:
                at_work.wait(60)
        return count, longest

    with ThreadPoolExecutor(5) as threads:
        running = [*(threads.submit(write, number) for number in range(4)), threads.submit(read)]
        try:
            at_work.wait(60)
            began = time.monotonic()
            migrations.upgrade(engine, lock_timeout_seconds=lock_timeout)
            took = time.monotonic() - began
        finally:
            finished.set()
        outcomes = [future.result(timeout=60) for future in running]
    print(f"\nseed {seed}: upgraded {LARGE:,} events in {took:.2f} s, during which")
    for name, (count, longest) in zip([*["writer"] * 4, "reader"], outcomes, strict=True):
        print(f"  a {name} did {count} calls, the longest took {longest * 1000:.0f} ms")
    # a lock that is waited for is given up after the timeout; the rest is what two busy cores may add
    assert max(longest for _, longest in outcomes) < lock_timeout + 5
    assert migrations.verify(engine) == []
    with engine.connect() as connection:
        stored = connection.execute(text("SELECT count(*) FROM es_events WHERE category = 'order'")).scalar()
    assert stored == sum(count for count, _ in outcomes[:4])


def fill(engine: Engine, count: int) -> None:
    """Fill the tables quickly: 1,000 streams of equal length."""
    length = count // 1000
    with engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO es_streams (stream_id, version) SELECT 'old-' || n, :length FROM generate_series(0, 999) n"
            ),
            {"length": length},
        )
        connection.execute(
            text(
                "INSERT INTO es_events (stream_id, version, event_id, event_type, schema_version, codec, data)"
                " SELECT 'old-' || n, v, gen_random_uuid(), 'type-' || v % 10, 1, 1, '\\x80'"
                " FROM generate_series(1, :length) v, generate_series(0, 999) n"
            ),
            {"length": length},
        )
