"""Code from before the newest revision, in processes that were started before it: they go on beside new code."""

import io
import json
import subprocess
import tarfile
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from sqlalchemy import Engine, text

from eventstore import ANY, STREAM_EXISTS, ConcurrencyConflict, EventFilter, EventStore, NewEvent, migrations
from eventstore.projections import Outcome, Projection, Worker
from eventstore.tables import SCHEMA_VERSION
from tests.fix_migrations import FROM_HERE, NAMES, ROOT, BringTo, copy_of_older, url_of
from tests.processes import Python
from tests.waiting import until

pytestmark = pytest.mark.slow

STREAMS: Final = [f"order-{number}" for number in range(4)]
PROGRAM: Final = textwrap.dedent("""
    import json, pathlib, sys, threading
    import eventstore
    from sqlalchemy import text
    from eventstore import ANY, STREAM_EXISTS, Append, ConcurrencyConflict, EventFilter, EventStore, NewEvent
    from eventstore.projections import Outcome, Projection, Worker

    assert pathlib.Path(eventstore.__file__).is_relative_to(pathlib.Path.cwd()), eventstore.__file__
    store = EventStore.from_url(sys.argv[1])
    stop, stored, conflicts = threading.Event(), [], []
    projection = Projection("old")

    @projection.on("placed")
    def handle(event, connection):
        connection.execute(text("INSERT INTO seen VALUES ('old', :position)"), {"position": event.position})

    def write(streams):
        while not stop.is_set():
            for stream_id in streams:
                version = store.stream_version(stream_id)
                try:
                    result = store.append(stream_id, [NewEvent("placed")], expected_version=version)
                    stored.append([stream_id, result.version, result.position])
                except ConcurrencyConflict:
                    conflicts.append(stream_id)

    def expected(version):
        return {"ANY": ANY, "STREAM_EXISTS": STREAM_EXISTS}.get(version, version)

    class Do:
        def start(self, *streams):
            self.thread = threading.Thread(target=write, args=[streams], daemon=True)
            self.thread.start()

        def finish(self):
            stop.set()
            self.thread.join()
            return {"stored": stored, "conflicts": len(conflicts)}

        def append(self, stream_id, version):
            return store.append(stream_id, [NewEvent("placed")], expected_version=expected(version)).version

        def append_many(self, *stream_ids):
            appends = [Append(each, [NewEvent("placed")], expected_version=ANY) for each in stream_ids]
            return [each.version for each in store.append_many(appends)]

        def joined(self, stream_id, version):
            with store.engine.begin() as connection:
                try:
                    store.join(connection).append(stream_id, [NewEvent("placed")], expected_version=expected(version))
                finally:
                    connection.execute(text("SELECT 1"))

        def read(self, category):
            return [event.position for event in store.read_all(EventFilter(categories=[category]))]

        def project(self):
            with Worker(store, projection) as worker:
                while worker.run_once().outcome is not Outcome.CAUGHT_UP:
                    pass

    do = Do()
    for line in sys.stdin:
        name, *arguments = json.loads(line)
        try:
            done = {"done": getattr(do, name)(*arguments)}
        except Exception as error:
            done = {"raised": type(error).__name__, "said": str(error)}
        print(json.dumps(done), flush=True)
    """)
Old = Callable[..., Any]


class Raised(Exception):
    """What the other process has raised."""


@pytest.fixture(scope="session")
def code_before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the package of the commit before the newest revision; without git, what it may have been."""
    home = tmp_path_factory.mktemp("before")
    (revision,) = (ROOT / "eventstore" / "migrations" / "versions").glob(f"{NAMES[-1]}_*.py")
    added = git("log", "--diff-filter=A", "--format=%H", "-1", "--", str(revision))
    if added is None:
        print("no history: the code before is a copy of this one, without the newest revision")
        copy_of_older(home, SCHEMA_VERSION - 1)
        return home
    commit = f"{added.decode().strip()}^" if added.strip() else "HEAD"
    archive = git("archive", "--format=tar", commit, "eventstore")
    assert archive is not None
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        files.extractall(home, filter="data")
    assert not (home / revision.relative_to(ROOT)).exists()
    return home


def git(*arguments: str) -> bytes | None:
    try:
        return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return None


@contextmanager
def started(home: Path, engine: Engine) -> Iterator[Old]:
    """Start a process of the code in a folder; yield a function that has it do something, and returns the result."""
    process = Python("-c", FROM_HERE + PROGRAM, url_of(engine), cwd=home, env={}, with_stdin=True)

    def do(*what: Any) -> Any:
        assert process.stdin is not None
        print(json.dumps(what), file=process.stdin, flush=True)
        said = json.loads(process.stdout.readline())
        if "raised" in said:
            raise Raised(said["raised"], said["said"])
        return said["done"]

    try:
        yield do
    finally:
        process.kill()
        process.communicate()


def test_a_process_that_was_started_before_the_revision_goes_on(
    bring_to: BringTo, new_engine: Engine, code_before: Path
) -> None:
    bring_to(new_engine, NAMES[-2])
    with new_engine.begin() as connection:
        connection.execute(text("CREATE TABLE seen (who VARCHAR(8) NOT NULL, position BIGINT NOT NULL)"))
    with started(code_before, new_engine) as old:
        for version in range(8):  # so often that the driver has prepared the statement
            assert old("append", "user-1", version) == version + 1
        old("start", *STREAMS)
        counting = EventStore(new_engine)
        until(lambda: sum(map(counting.stream_version, STREAMS)) > len(STREAMS))
        migrations.upgrade(new_engine)
        assert migrations.verify(new_engine) == []
        new = EventStore(new_engine, lock_timeout_seconds=60)
        stored, conflicts = append_beside(new)
        of_old = old("finish")

        everything = [*stored, *of_old["stored"]]
        assert len({(stream_id, version) for stream_id, version, _ in everything}) == len(everything)
        positions = sorted(position for *_, position in everything)
        assert old("read", "order") == positions
        assert [event.position for event in new.read_all(EventFilter(categories=["order"]))] == positions

        with pytest.raises(Raised, match=r"ConcurrencyConflict.*version 8"):
            old("append", "user-1", 3)
        assert old("append", "user-1", 8) == 9
        with pytest.raises(ConcurrencyConflict):
            new.append("user-1", [NewEvent("placed")], expected_version=8)

        old("project")
        project(new)
        for who in ("old", "new"):
            assert seen(new_engine, who) == [event.position for event in new.read_all()]
        print(f"{len(stored)} and {len(of_old['stored'])} events, {conflicts} and {of_old['conflicts']} conflicts")


def append_beside(store: EventStore) -> tuple[list[tuple[str, int, int]], int]:
    """Append to the streams of the other process, until it has appended between two of these to each of them."""
    stored: list[tuple[str, int, int]] = []
    conflicts = 0
    overtaken = dict.fromkeys(STREAMS, 0)
    for _ in range(2000):
        for stream_id in STREAMS:
            version = store.stream_version(stream_id)
            mine = [each for each in stored if each[0] == stream_id]
            overtaken[stream_id] += bool(mine) and mine[-1][1] < version
            try:
                result = store.append(stream_id, [NewEvent("placed")], expected_version=version)
            except ConcurrencyConflict:
                conflicts += 1
            else:
                stored.append((stream_id, result.version, result.position))
        if min(overtaken.values()) >= 3:
            return stored, conflicts
    pytest.fail(f"the other process did not append beside this one: {overtaken}")


def project(store: EventStore) -> None:
    projection = Projection("new")

    @projection.on("placed")
    def handle(event: Any, connection: Any) -> None:
        connection.execute(text("INSERT INTO seen VALUES ('new', :position)"), {"position": event.position})

    with Worker(store, projection) as worker:
        while worker.run_once().outcome is not Outcome.CAUGHT_UP:
            pass


def seen(engine: Engine, who: str) -> list[int]:
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT position FROM seen WHERE who = :who ORDER BY position"), {"who": who})
        return list(rows.scalars())


@pytest.mark.parametrize("looked_at", [NAMES[-2], pytest.param("es_0005", marks=pytest.mark.long)])
def test_it_appends_to_no_stream_that_new_code_closes(
    bring_to: BringTo, new_engine: Engine, make_engine: Callable[[], Engine], code_before: Path, looked_at: str
) -> None:
    """Also if it has looked at tables that could not say which streams are closed: then only the check refuses it."""
    bring_to(new_engine, looked_at)
    with started(code_before, new_engine) as old:
        for stream_id in ("order-1", "order-2", "order-3"):
            old("append", stream_id, 0)
        migrations.upgrade(new_engine)
        archive = EventStore(make_engine())
        migrations.upgrade(archive.engine)
        new = EventStore(new_engine)
        new.delete_stream("order-1", expected_version=1, reason="r")
        new.archive_stream("order-2", into=archive, expected_version=1, reason="r")
        for stream_id, error in (("order-1", "StreamDeleted"), ("order-2", "StreamArchived")):
            # by the name of the check alone, the code before can't tell one from the other
            single = "StreamDeleted" if looked_at == "es_0005" else error
            for expected in (str(ANY), str(STREAM_EXISTS), 2):
                with pytest.raises(Raised, match=single):
                    old("append", stream_id, expected)
                if looked_at != "es_0005":  # else the transaction that was joined is aborted, as it was before
                    with pytest.raises(Raised, match=single):
                        old("joined", stream_id, expected)
            with pytest.raises(Raised, match=error):
                old("append_many", "order-3", stream_id)
        assert [new.stream_version(f"order-{number}") for number in (1, 2, 3)] == [2, 2, 1]
        assert old("append", "order-3", 1) == 2
