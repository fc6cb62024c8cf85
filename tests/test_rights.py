"""The rights of the guide to setting up the database: what each of its users may, and what it is refused."""

import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, make_dataclass
from pathlib import Path
from urllib.parse import urlsplit

import click
import pytest
from sqlalchemy.exc import ProgrammingError
from werkzeug.test import Client

from eventstore import (
    ANY,
    NO_STREAM,
    STREAM_EXISTS,
    Append,
    EventFilter,
    EventStore,
    EventTypes,
    ExpectedVersion,
    NewEvent,
    migrations,
)
from eventstore.backends import engine_for
from eventstore.backends.postgresql.dialect import COPY_FROM
from eventstore.cli import main
from eventstore.contrib.browser.local import LocalBrowser
from eventstore.errors import PermissionDenied
from eventstore.maintenance import verify
from eventstore.migrations import partitioning
from eventstore.migrations.remedies_on_postgresql import quoted
from eventstore.projections import OnFailure, Projection, ProjectionAdmin, Worker
from eventstore.tables import SCHEMA_VERSION
from eventstore.transfer import export_events
from tests.fix_clusters import Cluster, clusters
from tests.fix_command_line import CommandLine
from tests.test_database_setup import GUIDE, Guide, blocks

pytestmark = [pytest.mark.postgresql, pytest.mark.slow]

OWNER, WORKER, WRITER, READER, MONITOR = "shop_owner", "shop_worker", "shop_writer", "shop_reader", "shop_monitor"
USERS = (READER, MONITOR, WRITER, WORKER, OWNER)
"""Of the guide; who may do least comes first."""
MODULE = "tests.test_rights"

event_types = EventTypes()
event_types.register("placed", make_dataclass("Placed", []))


def tags_of(_: object) -> list[str]:
    return ["tagged"]


letters = Projection("letters", on_failure=OnFailure.DEAD_LETTER, attempts=1, backoff_seconds=0)


@letters.on("broken")
def refuse(*_: object) -> None:
    raise ValueError("always")


@dataclass(frozen=True, slots=True)
class Case:
    """How a command is run, and which users may."""

    arguments: str
    users: tuple[str, ...]


PAGES = (
    "/", "/?by=recent", "/?by=size", "/log", "/tags", "/projections", "/snapshots", "/health", "/stream?id=order-1",
    "/event?stream=order-1&version=1", "/dead-letters?projection=letters", "/dead-letter?projection=letters&position=2",
)  # fmt: skip
"""Of the browser."""

ALL = USERS
APPENDING = (WRITER, WORKER, OWNER)
PROJECTING = (WORKER, OWNER)
CASES = {
    "migrate": Case("--schema elsewhere", (OWNER,)),
    "check": Case("", ALL),
    "sql": Case("", ALL),
    "versions-path": Case("", ALL),
    "streams": Case("--by size", ALL),
    "show": Case("order-1", ALL),
    "tail": Case("", ALL),
    "append": Case("--type placed --expected-version any order-9 {}", APPENDING),
    "projections status": Case("", ALL),
    "projections reset": Case("letters --yes", PROJECTING),
    "projections remove": Case("letters --yes", PROJECTING),
    "projections rebuild": Case(f"letters --projection {MODULE}:letters --yes", PROJECTING),
    "projections dead-letters list": Case("letters", ALL),
    "projections dead-letters show": Case("letters 2", ALL),
    "projections dead-letters retry": Case(f"order-2 --projection {MODULE}:letters", PROJECTING),
    "projections dead-letters discard": Case("letters 2", PROJECTING),
    "snapshots list": Case("", ALL),
    "snapshots show": Case("order-1", ALL),
    "snapshots delete": Case("order-1", APPENDING),
    "snapshots coverage": Case("", ALL),
    "health": Case("", ALL),
    "verify": Case("", ALL),
    "repair": Case("--yes", (OWNER,)),
    "doctor": Case("", ALL),
    "stats": Case("", ALL),
    "browse": Case("--no-open", ALL),
    "export": Case("{file} --snapshots --checkpoints --force", ALL),
    "import": Case("{import}", (OWNER,)),
    "views": Case(f"--event-types {MODULE}:event_types --apply", (OWNER,)),
    "recode": Case("--to json", (OWNER,)),
    "fill-tags": Case(f"--tags-of {MODULE}:tags_of", (OWNER,)),
    "partitions enable": Case("", (OWNER,)),
    "partitions add": Case("--days 2", (OWNER,)),
    "partitions list": Case("", ALL),
    "partitions export": Case("es_events_1 {folder}", ALL),
    "partitions detach": Case("es_events_1 --without-export --streams-may-lose-history", (OWNER,)),
    "projections partitions": Case("letters 2", PROJECTING),
    "find": Case("--correlation-id none", ALL),
    "schema": Case(f"--event-types {MODULE}:event_types", ALL),
}


def commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[str]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield " ".join((*path, name))


class Shop:
    """The cluster that the guide has led to."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster

    def url(self, user: str, database: str = "shop") -> str:
        return f"postgresql+psycopg://{user}@127.0.0.1:{self.cluster.port}/{database}"

    def run_as(self, user: str, sql: str, database: str = "shop") -> None:
        engine = engine_for(self.url(user, database))
        try:
            with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                connection.exec_driver_sql(sql)
        finally:
            engine.dispose()

    @contextmanager
    def copy(self, *, is_needed: bool = True) -> Iterator[str]:
        """Yield the name of a database that is like shop, rights included; of shop itself, if no copy is needed."""
        if not is_needed:
            yield "shop"
            return
        self.run_as("postgres", "CREATE DATABASE copy TEMPLATE shop OWNER shop_owner", "postgres")
        try:
            yield "copy"
        finally:
            self.run_as("postgres", "DROP DATABASE copy WITH (FORCE)", "postgres")


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with clusters() as new:
        cluster = new()
        cluster.create()
        cluster.start()
        with closing(Guide(cluster, tmp_path_factory.mktemp("guide"), tmp_path_factory.mktemp("backups"))) as guide:
            for block in blocks():
                if block.section in {"Make users and the database", "Make the tables"}:
                    guide.run(block)
        shop = Shop(cluster)
        with EventStore.from_url(shop.url(OWNER)) as store:
            store.append("order-1", [NewEvent("placed", {"total": 3})], expected_version=0)
            store.append("order-2", [NewEvent("broken", {})], expected_version=0)
            store.snapshots.save("order-1", version=1, state={"total": 3})
            Worker(store, letters).run_until_caught_up()
        yield shop


@pytest.fixture(autouse=True)
def looking(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `browse` look at the pages and end, instead of serving them until Ctrl-C."""

    def look(local: LocalBrowser) -> None:
        address = urlsplit(local.url)
        client = Client(local)
        base = f"http://{address.netloc}"
        client.get(f"/?{address.query}", base_url=base)
        for page in PAGES:
            answer = client.get(page, base_url=base)
            assert answer.status_code == 200, f"{page}: {answer.text}"
        local.close()

    monkeypatch.setattr(LocalBrowser, "serve", look)


def test_there_is_a_case_for_each_command() -> None:
    assert set(commands(main)) == set(CASES)


@pytest.mark.parametrize("name", sorted(CASES))
def test_each_command_does_its_work_or_says_which_right_is_missing(shop: Shop, tmp_path: Path, name: str) -> None:
    case = CASES[name]
    files = {"{folder}": tmp_path / "part", "{file}": tmp_path / "all.jsonl", "{import}": tmp_path / "import.jsonl"}
    with EventStore.in_memory() as other:
        other.append("invoice-1", [NewEvent("opened")], expected_version=0)
        export_events(other, files["{import}"])
    arguments = [str(files.get(word, word)) for word in f"{name} {case.arguments}".split()]
    is_prepared = name in {"repair", "partitions add", "partitions export", "partitions detach"}
    with shop.copy(is_needed=is_prepared) as original:
        if name.startswith("partitions ") and is_prepared:
            engine = engine_for(shop.url(OWNER, original))
            partitioning.enable(engine, size=1, margin=1, days=0)
            if name != "partitions add":  # the first part is complete, and no projection needs it
                EventStore(engine).append("order-8", [NewEvent("placed"), NewEvent("placed")], expected_version=ANY)
                ProjectionAdmin(EventStore(engine)).remove("letters")
            engine.dispose()
        if name == "repair":
            shop.run_as("postgres", "UPDATE es_streams SET version = 7 WHERE stream_id = 'order-1'", original)
        for user in USERS:
            may = user in case.users
            changes = may and case.users != ALL and not is_prepared
            with shop.copy(is_needed=changes) as copied:
                result = CommandLine(shop.url(user, copied if changes else original))(*arguments)
            told = f"{user}: {result.output}"
            if may:
                assert result.exit_code == (1 if "retry" in name else 0), told  # the handler fails again
                assert "lacks a right" not in result.output, told
            else:
                assert result.exit_code == 1, told
                assert "error: the connected user lacks a right: " in result.stderr, told


@pytest.mark.parametrize("user", [WRITER, WORKER])
@pytest.mark.parametrize(
    "forgery",
    [
        (
            "INSERT INTO es_events (position, version, event_id, schema_version, codec, stream_id, event_type, data) "
            "OVERRIDING SYSTEM VALUE VALUES (1000000, 2, gen_random_uuid(), 1, 1, 'order-1', 'placed', '')"
        ),
        (
            "INSERT INTO es_events (recorded_at, version, event_id, schema_version, codec, stream_id, event_type, "
            "data) VALUES ('2020-01-01', 2, gen_random_uuid(), 1, 1, 'order-1', 'placed', '')"
        ),
        "COPY es_events (position, version, event_id, schema_version, codec, stream_id, event_type, data) FROM STDIN",
        "UPDATE es_events SET data = ''",
        "UPDATE es_events SET position = DEFAULT",
        "DELETE FROM es_events",
        "TRUNCATE es_events CASCADE",
        "SELECT setval('es_events_position_seq', 1000000)",
        "SELECT nextval('es_events_position_seq')",
        "ALTER SEQUENCE es_events_position_seq CACHE 20",
        "ALTER TABLE es_events DISABLE TRIGGER ALL",
        "DELETE FROM es_streams",
        "UPDATE es_streams SET stream_id = 'order-9'",
        "UPDATE es_streams SET deleted_version = version",
        "UPDATE es_schema SET version = 1",
        "UPDATE es_alembic_version SET version_num = 'es_0001'",
    ],
)
def test_a_writer_is_refused_what_would_change_or_hide_events(shop: Shop, user: str, forgery: str) -> None:
    with pytest.raises(ProgrammingError, match=r"permission denied|must be owner"):
        shop.run_as(user, forgery)


@pytest.mark.parametrize("notify", [False, True])
def test_a_writer_appends_in_every_way(shop: Shop, *, notify: bool) -> None:
    expectations: tuple[ExpectedVersion, ...] = (NO_STREAM, 1, STREAM_EXISTS, ANY)
    with shop.copy() as database, EventStore.from_url(shop.url(WRITER, database), notify=notify) as store:
        for number, expected in enumerate(expectations):
            store.append("invoice-1", [NewEvent("opened")], expected_version=expected)
            store.append(f"invoice-{number + 2}", events(2), expected_version=ANY)
        store.append("invoice-9", events(COPY_FROM), expected_version=NO_STREAM)
        store.append_many(
            [
                Append("invoice-10", events(1), expected_version=NO_STREAM),
                Append("invoice-11", events(1), expected_version=ANY),
            ]
        )
        store.append_many(
            [Append("invoice-1", events(2), expected_version=4), Append("invoice-11", events(1), expected_version=1)]
        )
        with store.transaction() as tx:
            tx.append("invoice-12", events(1), expected_version=NO_STREAM)
        assert store.snapshots.save("invoice-1", version=1, state={}) is not None
        store.snapshots.save("invoice-1", version=2, state={})
        assert len(list(store.read_stream("invoice-9", after_version=COPY_FROM - 1))) == 1
        assert store.stream_version("invoice-1") == 6
        assert list(verify(store)) == []


def test_a_writer_who_decides_by_events_without_tags_needs_the_right_that_the_error_names(shop: Shop) -> None:
    right = "GRANT DELETE ON es_streams"
    assert right in (GUIDE.parent / "database-setup.md").read_text()
    with shop.copy() as database, EventStore.from_url(shop.url(WRITER, database)) as store:
        condition = store.read_boundary(EventFilter(event_types=["opened"]), lock_all_appends=True)
        with pytest.raises(PermissionDenied, match=right):
            store.append("invoice-1", NewEvent("opened"), expected_version=NO_STREAM, condition=condition)
        shop.run_as("postgres", f"{right} TO {WRITER}", database)
        store.append("invoice-1", NewEvent("opened"), expected_version=NO_STREAM, condition=condition)
        shop.run_as("postgres", f"REVOKE DELETE ON es_streams FROM {WRITER}", database)


def test_whoever_deletes_and_archives_needs_what_that_page_says(shop: Shop) -> None:
    page = (GUIDE.parent / "delete-and-archive.md").read_text()
    (grants,) = re.findall(r"```sql\n(.*?)```", page, re.DOTALL)
    shop.run_as("postgres", grants)
    try:
        with shop.copy() as database, EventStore.from_url(shop.url("shop_eraser", database)) as store:
            store.delete_stream("order-2", expected_version=1, reason="asked for")
            with EventStore.in_memory() as archive:
                store.archive_stream("order-1", into=archive, expected_version=1, reason="old")
            assert [event.event_type for event in store.read_all()] == ["$stream-deleted", "$stream-archived"]
        with shop.copy() as database, EventStore.from_url(shop.url(WRITER, database)) as store:
            with pytest.raises(PermissionDenied, match=r"GRANT SELECT, DELETE ON es_events"):
                store.delete_stream("order-2", expected_version=1, reason="asked for")
            assert [event.event_type for event in store.read_stream("order-2")] == ["broken"]
    finally:
        shop.run_as("postgres", "DROP OWNED BY shop_eraser; DROP ROLE shop_eraser")


@pytest.mark.parametrize("schema", [None, '"My" 100%'])
def test_the_remedies_that_are_printed_lead_to_a_user_that_may_append_and_may_not_forge(
    shop: Shop, schema: str | None
) -> None:
    shop.run_as("postgres", "CREATE ROLE newcomer LOGIN")
    try:
        with shop.copy() as database:
            events_table = f"{quoted(schema or 'public').replace('%', '%%')}.es_events"
            if schema is None:
                shop.run_as("postgres", "GRANT USAGE ON SCHEMA public TO newcomer", database)
            else:
                with EventStore.from_url(shop.url(OWNER, database)) as store:
                    migrations.upgrade(store.engine, schema=schema)

            def work(store: EventStore) -> None:
                store.append("invoice-1", events(1), expected_version=ANY)
                store.append("invoice-2", events(COPY_FROM), expected_version=ANY)
                store.snapshots.save("invoice-1", version=1, state={})
                store.snapshots.delete("invoice-1")

            for _ in range(20):
                with EventStore.from_url(shop.url("newcomer", database), schema=schema) as store:
                    try:
                        work(store)
                        break
                    except PermissionDenied as denied:
                        grant = str(denied.grant).replace("<user>", "newcomer")
                        shop.run_as(OWNER, grant.replace("%", "%%"), database)
            else:
                pytest.fail("there is always one more right missing")
            with pytest.raises(ProgrammingError, match="permission denied"):
                shop.run_as("newcomer", f"INSERT INTO {events_table} (recorded_at) VALUES (now())", database)
    finally:
        shop.run_as("postgres", "DROP OWNED BY newcomer; DROP ROLE newcomer")


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("doctor", ["es_alembic_version", "SEQUENCE es_events_position_seq", "es_checkpoints"]),
        (
            "verify",
            [
                "es_alembic_version",
                "SEQUENCE es_events_position_seq",
                "es_checkpoints",
                "es_event_tags",
                "snapshots",
                "es_dead_letters",
            ],
        ),
        ("stats", ["snapshots"]),
        ("health", ["es_checkpoints"]),
        ("check", ["es_alembic_version"]),
    ],
)
def test_what_a_user_may_not_look_at_is_named_and_the_rest_is_looked_at(
    shop: Shop, command: str, told: list[str]
) -> None:
    shop.run_as("postgres", "CREATE ROLE newcomer LOGIN; GRANT USAGE ON SCHEMA public TO newcomer")
    shop.run_as(OWNER, "GRANT SELECT ON es_events, es_streams, es_schema TO newcomer")
    try:
        result = CommandLine(shop.url("newcomer"))(command)
    finally:
        shop.run_as("postgres", "DROP OWNED BY newcomer; DROP ROLE newcomer")
    assert result.exit_code == (0 if command == "doctor" else 1)
    assert re.findall(r"GRANT SELECT ON ((?:SEQUENCE )?\w+) TO <user>", result.output) == told
    rest = {
        "doctor": "ok\t\tfsync\ton", "verify": "2 streams and 2 events", "stats": "events\t\t2\texact",
        "health": f"version {SCHEMA_VERSION}, fits", "check": "this code works with it",
    }  # fmt: skip
    assert rest[command] in result.output


def test_a_schema_that_a_user_may_not_use_is_not_taken_for_one_without_tables_alone(shop: Shop) -> None:
    shop.run_as("postgres", "CREATE ROLE newcomer LOGIN")
    try:
        result = CommandLine(shop.url("newcomer"))("streams")
    finally:
        shop.run_as("postgres", "DROP ROLE newcomer")
    assert result.exit_code == 3
    assert "USAGE" in result.stderr


def test_a_transaction_of_another_user_that_may_not_be_looked_at_is_not_taken_for_none(shop: Shop) -> None:
    with EventStore.from_url(shop.url(OWNER)) as store, store.engine.connect() as connection:
        store.join(connection).append("order-8", events(1), expected_version=ANY)
        for user, level in ((READER, "warning"), (MONITOR, "ok")):
            lines = CommandLine(shop.url(user)).lines("doctor")
            assert [line[0] for line in lines if line[2] == "unfinished appends"] == [level]
            ((found,),) = [line[3:4] for line in lines if line[2] == "connections"]
            assert int(found.split()[0]) >= 2, found  # the one of the owner is counted, too
        connection.rollback()


def events(count: int) -> list[NewEvent]:
    return [NewEvent("opened") for _ in range(count)]
