"""The browser's pages about tags, projections, dead letters, snapshots and health."""

import html
import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlencode, urlsplit
from uuid import uuid4

import pytest
from sqlalchemy import Connection, Engine, create_engine, text
from werkzeug.test import Client, TestResponse

from eventstore import ANY, EventStore, NewEvent, Projection, RecordedEvent, Worker, migrations
from eventstore.backends.maintenance import Lookup
from eventstore.contrib.browser import Browser, queries, redact_keys
from eventstore.contrib.browser.pages import PAGES
from eventstore.contrib.browser.queries import streams as stream_queries
from eventstore.contrib.browser.queries.pages import end_of_prefix
from eventstore.correlation import caused_by
from eventstore.detaching import detach_part
from eventstore.errors import InvalidInput
from eventstore.projections import OnFailure, ProjectionAdmin
from eventstore.projections.dead_letters import DeadLetterStatus
from tests.partitioned import partition

EVIL = "<script>alert('&1')</script>"
EVIL_STREAM = f"order-{EVIL}"
GUIDE: Final = Path(__file__).parent.parent / "docs" / "how-to" / "multi-tenancy.md"


@pytest.fixture(params=["sqlite_engine", pytest.param("shared_postgres_engine", marks=pytest.mark.postgresql)])
def store(request: pytest.FixtureRequest) -> EventStore:
    return EventStore(request.getfixturevalue(request.param))


@pytest.fixture
def sqlite_store(sqlite_engine: Engine) -> EventStore:
    return EventStore(sqlite_engine)


class Handlers:
    """Fails as long as it is broken."""

    def __init__(self, name: str, *, partitions: int = 1) -> None:
        self.is_broken = True
        self.handled: list[int] = []
        self.projection = Projection(name, on_failure=OnFailure.DEAD_LETTER, attempts=1, partitions=partitions)
        self.projection.on(self._handle)

    def _handle(self, event: RecordedEvent, _connection: Connection) -> None:
        if self.is_broken and event.event_type.startswith("bad"):
            raise KeyError("SECRET")
        self.handled.append(event.position)


def filled(store: EventStore) -> Handlers:
    """Fill the store with something for each page; return the handlers of a projection with dead letters."""
    events = [NewEvent(f"placed {EVIL}", {"a": EVIL}, tags=["hot", EVIL]), NewEvent(f"bad {EVIL}"), NewEvent("paid")]
    store.append(EVIL_STREAM, events, expected_version=0)
    store.append("order-2", [NewEvent("placed", tags=["hot", "order:2"])], expected_version=0)
    store.snapshots.save(EVIL_STREAM, version=2, state={"email": "SECRET", "article": EVIL})
    handlers = Handlers(f"totals {EVIL}")
    Worker(store, handlers.projection).run_until_caught_up()
    return handlers


def client_of(store: EventStore, **options: Any) -> Client:
    return Client(Browser(store, **{"authorize": lambda _request: True, **options}))


def address(path: str, **parameters: object) -> str:
    return f"{path}?{urlencode(parameters)}" if parameters else path


def page(client: Client, path: str, expected: int = 200, **parameters: object) -> TestResponse:
    response = client.get(address(path, **parameters))
    assert response.status_code == expected, response.text
    return response


def text_of(response: TestResponse) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", response.text)).split())


def links(response: TestResponse) -> list[str]:
    return [html.unescape(link) for link in re.findall(r'<a [^>]*href="([^"]*)"', response.text)]


def token_of(response: TestResponse) -> str:
    return str(re.findall(r'name="csrf_token" value="([^"]*)"', response.text)[0])


def paths(name: str) -> list[str]:
    letter: dict[str, Any] = {"projection": name, "position": 2}
    return [
        "/tags",
        address("/boundary", tag="hot"),
        address("/boundary", tag=EVIL),
        "/projections",
        address("/projection", name=name),
        address("/dead-letters", projection=name),
        address("/dead-letters", projection=name, status="all"),
        address("/dead-letter", **letter),
        "/snapshots",
        address("/snapshot", stream=EVIL_STREAM),
        "/health",
    ]


# --- who sees what


def test_every_page_escapes_what_is_stored(store: EventStore) -> None:
    handlers = filled(store)
    name = handlers.projection.name
    client = client_of(store, authorize_changes=lambda _request: True, projections=[handlers.projection])
    for path in paths(name):
        response = page(client, path)
        assert "<script>alert" not in response.text, path
        assert re.findall(r"<script[^>]*>", response.text) == re.findall(r'<script src="[^"]*" defer>', response.text)
        assert " on" not in " ".join(re.findall(r"<[^>]*\son\w+=[^>]*>", response.text)), path
        assert "style=" not in response.text
        assert "KeyError" in response.text or "dead-letter" not in path
        assert "SECRET" not in response.text or path.startswith("/snapshot?")
    with_evil = [path for path in paths(name) if EVIL in text_of(page(client, path))]
    assert set(with_evil) >= set(paths(name)) - {"/health"}


def test_nothing_is_shown_and_nothing_read_without_authorize(store: EventStore) -> None:
    name = filled(store).projection.name

    def must_not_be_called() -> EventStore:
        raise AssertionError

    client = Client(Browser(must_not_be_called, authorize=lambda _request: False, authorize_changes=lambda _: True))
    for path in paths(name):
        response = client.get(path)
        assert (response.status_code, "order" in response.text) == (403, False), path
    for path in ("/dead-letter/retry", "/dead-letter/discard"):
        assert client.post(path, data={"projection": name, "position": 2}).status_code == 403


def test_a_projection_is_shown_with_its_lag_and_partitions(store: EventStore) -> None:
    assert "No projection has run" in text_of(page(client_of(store), "/projections"))
    handlers = Handlers("in parts", partitions=3)
    store.append("a-1", [NewEvent("x")], expected_version=ANY)
    Worker(store, handlers.projection).run_until_caught_up()
    store.append("a-2", [NewEvent("x") for _ in range(1200)], expected_version=ANY)
    client = client_of(store)
    text = text_of(page(client, "/projections"))
    assert "in parts stopped" in text
    assert "more than 1,000" in text
    text = text_of(page(client, "/projection", name="in parts"))
    assert "Partitions" in text
    assert "1 of 1,201" in text
    assert page(client, "/projection", expected=404, name="none").status_code == 404
    assert page(client, "/projection", expected=400).status_code == 400


def test_pages_of_projections_have_fifty(sqlite_store: EventStore) -> None:
    with sqlite_store.engine.begin() as connection:
        rows = [{"name": f"p{number:03}", "position": 0} for number in range(120)]
        connection.execute(sqlite_store.tables.checkpoints.insert(), rows)
    client, path, seen = client_of(sqlite_store), "/projections", []
    while path:
        response = page(client, path)
        names = [parse_qs(urlsplit(each).query)["name"][0] for each in links(response) if "/projection?" in each]
        assert len(names) <= 50
        seen += names
        path = next((each for each in links(response) if "from=" in each), "")
    assert seen == [f"p{number:03}" for number in range(120)]


# --- dead letters


def test_dead_letters_are_retried_and_discarded_by_those_who_may(store: EventStore) -> None:
    handlers = filled(store)
    name, letters = handlers.projection.name, ProjectionAdmin(store).dead_letters
    client = client_of(store, authorize_changes=lambda _request: True, projections=[handlers.projection])
    form: dict[str, Any] = {"projection": name, "position": 2}
    response = page(client, "/dead-letter", **form)
    assert "Retry this stream" in response.text
    token = token_of(response)

    again = client.post("/dead-letter/retry", data={**form, "csrf_token": token}, follow_redirects=True)
    assert "has failed again" in again.text
    assert next(letters.list(name)).attempts == 2

    done = client.post("/dead-letter/discard", data={**form, "note": EVIL, "csrf_token": token}, follow_redirects=True)
    assert "The dead letter is discarded." in text_of(done)
    assert [letter.note for letter in letters.list(name, status=DeadLetterStatus.DISCARDED)] == [EVIL]
    assert "<script>alert" not in done.text

    handlers.is_broken = False
    form["position"] = 3  # it only follows the other
    done = client.post("/dead-letter/retry", data={**form, "csrf_token": token}, follow_redirects=True)
    assert "One dead letter is resolved." in text_of(done)
    assert list(letters.list(name)) == []
    assert handlers.handled[-1] == 3
    done = client.post("/dead-letter/discard", data={**form, "csrf_token": token}, follow_redirects=True)
    assert "not pending any more" in text_of(done)
    assert "no pending dead letters" in text_of(page(client, "/dead-letters", projection=name))
    assert "discarded" in text_of(page(client, "/dead-letters", projection=name, status="all"))


@pytest.mark.parametrize("path", ["/dead-letter/retry", "/dead-letter/discard"])
def test_a_dead_letter_is_not_changed_otherwise(sqlite_store: EventStore, path: str) -> None:
    handlers = filled(sqlite_store)
    handlers.is_broken = False
    name = handlers.projection.name
    form: dict[str, Any] = {"projection": name, "position": 2}
    looks_only = client_of(sqlite_store, projections=[handlers.projection])
    assert "<form method" not in page(looks_only, "/dead-letter", **form).text
    client = client_of(sqlite_store, authorize_changes=lambda _request: True, projections=[handlers.projection])
    token = token_of(page(client, "/dead-letter", **form))
    refused = [
        looks_only.post(path, data={**form, "csrf_token": token}),
        client.post(path, data=form),
        client.post(path, data={**form, "csrf_token": token[::-1]}),
        client.post(path, data={**form, "csrf_token": token}, headers={"Origin": "http://elsewhere.example"}),
        Client(client.application).post(path, data={**form, "csrf_token": token}),  # without the cookie
        client.get(address(path, **form, csrf_token=token)),
    ]
    assert [each.status_code for each in refused] == [403, 403, 403, 403, 403, 405]
    assert len(list(ProjectionAdmin(sqlite_store).dead_letters.list(name))) == 2
    assert client.post(path, data={**form, "csrf_token": token}).status_code == 303  # the test can fail


def test_retrying_needs_the_applications_projection(sqlite_store: EventStore) -> None:
    name = filled(sqlite_store).projection.name
    client = client_of(sqlite_store, authorize_changes=lambda _request: True)
    form: dict[str, Any] = {"projection": name, "position": 2}
    response = page(client, "/dead-letter", **form)
    assert "no handlers to retry with" in text_of(response)
    assert "Retry this stream" not in response.text
    data = {**form, "csrf_token": token_of(response)}
    assert client.post("/dead-letter/retry", data=data).status_code == 404
    assert client.post("/dead-letter/discard", data={**data, "note": "x" * 2001}).status_code == 400
    assert len(list(ProjectionAdmin(sqlite_store).dead_letters.list(name))) == 2


def test_what_changes_is_sent_by_post_only() -> None:
    assert {each.path for each in PAGES if each.changes} == {"/dead-letter/retry", "/dead-letter/discard"}


@pytest.mark.parametrize("status", ["pending", "all"])
def test_pages_of_dead_letters_have_two_hundred(sqlite_store: EventStore, status: str) -> None:
    handlers = Handlers("p")
    for number in range(9):
        sqlite_store.append(f"s-{number}", [NewEvent("bad") for _ in range(50)], expected_version=0)
    Worker(sqlite_store, handlers.projection).run_until_caught_up()
    client, path, seen = client_of(sqlite_store), address("/dead-letters", projection="p", status=status), []
    while path:
        response = page(client, path)
        found = [each for each in links(response) if "/dead-letter?" in each]
        assert 0 < len(found) <= 200
        seen += [int(parse_qs(urlsplit(each).query)["position"][0]) for each in found]
        path = next((each for each in links(response) if "/dead-letters?" in each and "position=" in each), "")
    assert seen == list(range(1, 451)) if status == "pending" else seen == list(range(450, 0, -1))


# --- snapshots and tags


def test_a_snapshots_state_is_redacted(store: EventStore) -> None:
    filled(store)
    client = client_of(store, redact=redact_keys("email"))
    text = text_of(page(client, "/snapshot", stream=EVIL_STREAM, schema=1))
    assert "SECRET" not in text
    assert "[redacted]" in text
    assert "2 of 3" in text
    assert page(client, "/snapshot", expected=404, stream=EVIL_STREAM, schema=2).status_code == 404
    assert "No stream whose id begins with “invoice” has a snapshot" in text_of(
        page(client, "/snapshots", prefix="invoice")
    )


def test_snapshots_are_listed_by_prefix_page_by_page(store: EventStore) -> None:
    for stream_id in ("a-1", "b", "b-1", "b-2", "ba", "c-1"):
        store.append(stream_id, NewEvent("x"), expected_version=0)
        for schema_version in (2, 1):
            store.snapshots.save(stream_id, version=1, state=1, schema_version=schema_version)
    found = queries.snapshots_by_id(store, prefix="b")
    assert [(each.stream_id, each.schema_version) for each in found.items] == [
        (stream_id, version) for stream_id in ("b", "b-1", "b-2", "ba") for version in (1, 2)
    ]
    assert found.next is None
    assert [each.schema_version for each in queries.snapshots_of(store, "b")] == [1, 2]
    start = ("b-1", 2)
    assert [each.stream_id for each in queries.snapshots_by_id(store, prefix="b", start=start).items] == [
        "b-1", "b-2", "b-2", "ba", "ba",
    ]  # fmt: skip
    assert [each.stream_id for each in queries.snapshots_by_id(store, prefix="b-", start=("a-1", 1)).items] == [
        "b-1", "b-1", "b-2", "b-2",
    ]  # fmt: skip


def test_tags_and_boundaries(store: EventStore) -> None:
    tags = [f"t:{number:03}" for number in range(250)]
    for first in range(0, 250, 25):
        store.append("s-1", NewEvent("x", tags=["hot", *tags[first : first + 25]]), expected_version=ANY)
    store.append("s-2", [NewEvent("y", tags=["hot"]) for _ in range(300)], expected_version=0)
    listed = queries.tags_by_name(store, prefix="t:")
    assert [each.tag for each in listed.items] == tags[:200]
    assert [each.tag for each in queries.tags_by_name(store, prefix="t:", start=listed.next).items] == tags[200:]
    assert queries.tags_by_name(store).items[0] == queries.TagInfo("hot", 310, 310)
    assert queries.frequent_tags(store)[0] == ("hot", 310)
    assert len(queries.frequent_tags(store)) == 200
    newest = queries.tagged_events(store, ["hot"])
    assert [each.position for each in newest.events] == list(range(310, 110, -1))
    assert [each.position for each in queries.tagged_events(store, ["hot"], start=newest.next).events][-1] == 1
    both = queries.tagged_events(store, ["t:030", "hot"])
    assert [(each.position, each.stream_id, each.version) for each in both.events] == [(2, "s-1", 2)]
    assert both.searched == "t:030"
    assert queries.tagged_events(store, ["t:030", "t:001"]).events == ()
    with pytest.raises(InvalidInput):
        queries.tagged_events(store, [])
    client = client_of(store)
    response = page(client, "/boundary?tag=hot&tag=t%3A030")
    assert "refused if its boundary was read before position 2" in text_of(response)
    assert address("/boundary", tag="hot") in links(response)
    assert "310" in text_of(page(client, "/tags"))
    assert len([each for each in links(page(client, "/tags?prefix=t:")) if "/boundary" in each]) == 200
    assert text_of(page(client, "/boundary"))


# --- streams


def ids(found: Any) -> list[str]:
    return [each.stream_id for each in found]


def test_streams_by_prefix_and_category(store: EventStore) -> None:
    names = [
        "order",
        "order!x",
        "order-1",
        "order-10",
        "order-2",
        "order.",
        "orders-1",
        "ordep",
        "\U0010ffff\U0010ffff",
    ]
    for name in names:
        store.append(name, NewEvent("x"), expected_version=0)
    assert ids(queries.streams_by_id(store).items) == sorted(names)
    assert ids(queries.streams_by_id(store, prefix="order-1").items) == ["order-1", "order-10"]
    assert ids(queries.streams_by_id(store, category="order").items) == ["order", "order-1", "order-10", "order-2"]
    assert ids(queries.streams_by_id(store, category="order", start="order-10").items) == ["order-10", "order-2"]
    assert ids(queries.streams_by_id(store, category="order", prefix="order-2").items) == ["order-2"]
    assert ids(queries.streams_by_id(store, category="order", prefix="ord").items) == [
        "order", "order-1", "order-10", "order-2",
    ]  # fmt: skip
    assert ids(queries.streams_by_id(store, prefix="\U0010ffff").items) == ["\U0010ffff\U0010ffff"]
    with pytest.raises(InvalidInput):
        queries.streams_by_id(store, category="order", prefix="invoice")
    assert queries.stream_info(store, "order") is not None
    assert queries.stream_info(store, "none") is None


@pytest.mark.parametrize("prefix", ["a", "a\ud7ff", "é", "🍵", "a\U0010ffff", "\U0010ffff"])
def test_the_end_of_a_prefix_comes_after_all_that_begin_with_it(prefix: str) -> None:
    end = end_of_prefix(prefix)
    assert prefix < prefix + "\U0010ffff" < end
    assert not end.startswith(prefix) or prefix == "\U0010ffff"
    end.encode()


@pytest.mark.slow
def test_recent_streams_come_from_the_end_of_the_log(store: EventStore) -> None:
    with store.transaction() as transaction:
        for number in range(1100):
            name = f"{'a' if number % 2 else 'b'}-{number % 210}"
            transaction.append(name, NewEvent("x"), expected_version=ANY)
    found = queries.recent_streams(store)
    newest_first = [f"{'a' if number % 2 else 'b'}-{number % 210}" for number in range(1099, 889, -1)]
    assert ids(found.streams) == newest_first[:200]
    assert found.next is not None
    following = queries.recent_streams(store, start=found.next)
    assert ids(following.streams) == newest_first[200:]
    assert (following.events, following.next) == (900, None)
    of_category = queries.recent_streams(store, category="a")
    assert ids(of_category.streams) == [each for each in newest_first if each.startswith("a")]
    with store.engine.begin() as connection:
        connection.exec_driver_sql("DROP INDEX es_events_category_position_idx")
    try:
        without_index = queries.recent_streams(store, category="a")
        assert ids(without_index.streams) == ids(of_category.streams)
        assert (without_index.events, without_index.next) == (1000, 101)
    finally:
        with store.engine.begin() as connection:
            connection.exec_driver_sql("CREATE INDEX es_events_category_position_idx ON es_events (category, position)")


def test_the_largest_streams_of_many_are_those_of_a_sample(store: EventStore, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(30):
        store.append(f"a-{number}", [NewEvent("x") for _ in range(number + 1)], expected_version=0)
    store.append("b-1", [NewEvent("x") for _ in range(9)], expected_version=0)
    exact = queries.largest_streams(store)
    assert ids(exact.streams)[:3] == ["a-29", "a-28", "a-27"]
    assert exact.sampled is None
    monkeypatch.setattr(stream_queries, "FEW_STREAMS", 10)
    sampled = queries.largest_streams(store)
    assert sampled.streams == exact.streams  # of fewer than 1,000 events all are sampled
    assert sampled.sampled == 1000
    assert ids(queries.largest_streams(store, category="b").streams) == ["b-1"]


# --- events that belong together

CORRELATED = {
    "sqlite": (
        "CREATE INDEX shop_a ON es_events (event_id)",
        "CREATE INDEX shop_b ON es_events (CAST(json_extract(metadata, '$.correlation_id') AS TEXT))",
        "CREATE INDEX shop_c ON es_events (CAST(json_extract(metadata, '$.causation_id') AS TEXT))",
    ),
    "postgresql": (
        "CREATE INDEX shop_a ON es_events (event_id)",
        "CREATE INDEX shop_b ON es_events ((metadata ->> 'correlation_id'))",
        "CREATE INDEX shop_c ON es_events ((metadata ->> 'causation_id'))",
    ),
}


@pytest.fixture
def indexed(store: EventStore) -> Iterator[EventStore]:
    with store.engine.begin() as connection:
        for sql in CORRELATED[store.engine.dialect.name]:
            connection.exec_driver_sql(sql)
    yield store
    with store.engine.begin() as connection:
        for name in "abc":
            connection.exec_driver_sql(f"DROP INDEX shop_{name}")


def test_causes_and_effects_are_found_by_indexes(indexed: EventStore) -> None:
    indexed.append("order-1", NewEvent("placed"), expected_version=0)
    (cause,) = indexed.read_stream("order-1")
    opened = [NewEvent("opened") for _ in range(250)]
    indexed.append("invoice-1", opened, expected_version=0, metadata=caused_by(cause))
    effect = next(indexed.read_stream("invoice-1"))
    indexed.append("mail-1", NewEvent("sent"), expected_version=0, metadata=caused_by(effect))
    (last,) = indexed.read_stream("mail-1")
    related = queries.related_events(indexed, last)
    assert related.missing == ()
    assert related.causes is not None
    assert [each.event_id for each in related.causes] == [effect.event_id, cause.event_id]
    assert related.effects is not None
    assert related.effects.events == ()
    of_cause = queries.related_events(indexed, cause).effects
    assert of_cause is not None
    assert (len(of_cause.events), of_cause.is_complete) == (200, False)
    assert {each.causation_id for each in of_cause.events} == {str(cause.event_id)}


def test_without_an_index_nothing_is_searched(store: EventStore) -> None:
    store.append("order-1", NewEvent("placed", metadata={"correlation_id": "1"}), expected_version=0)
    (event,) = store.read_stream("order-1")
    related = queries.related_events(store, event)
    assert (related.causes, related.effects, related.correlated) == (None, None, None)
    assert related.missing == (Lookup.EVENT_ID, Lookup.CAUSATION_ID, Lookup.CORRELATION_ID)


@pytest.mark.postgresql
def test_an_index_of_a_part_or_one_that_is_no_b_tree_does_not_count(shared_postgres_engine: Engine) -> None:
    store = EventStore(shared_postgres_engine)
    store.append("order-1", NewEvent("placed"), expected_version=0)
    (event,) = store.read_stream("order-1")
    with shared_postgres_engine.begin() as connection:
        connection.exec_driver_sql("CREATE INDEX shop_a ON es_events (event_id) WHERE version > 1")
        connection.exec_driver_sql("CREATE INDEX shop_b ON es_events USING hash (event_id)")
    try:
        assert Lookup.EVENT_ID in queries.related_events(store, event).missing
    finally:
        with shared_postgres_engine.begin() as connection:
            connection.exec_driver_sql("DROP INDEX shop_a, shop_b")


# --- health


@pytest.mark.postgresql
def test_the_page_says_who_holds_readers_up(shared_postgres_engine: Engine) -> None:
    store = EventStore(shared_postgres_engine)
    store.append("a-1", NewEvent("x"), expected_version=0)
    other = create_engine(shared_postgres_engine.url, connect_args={"application_name": f"held {EVIL}"})
    client = client_of(store)
    assert "They wait for no append" in text_of(page(client, "/health"))
    with ExitStack() as stack:
        stack.callback(other.dispose)
        connection = stack.enter_context(other.connect())
        EventStore(other).join(connection).append("a-2", NewEvent("x"), expected_version=0)
        pid = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
        store.append("a-3", NewEvent("x"), expected_version=0)
        response = page(client, "/health")
        assert "<script>alert" not in response.text
        shown = text_of(response)
        assert f"pid {pid}" in shown
        assert "held <script>" in shown
        assert "idle in transaction" in shown
        assert "not yet up to the newest event" in shown
        connection.rollback()
    assert f"pid {pid}" not in text_of(page(client, "/health"))


def test_a_database_that_does_not_answer_is_shown(sqlite_engine: Engine) -> None:
    engine = create_engine("sqlite:////nonexistent/folder/file.db")
    response = client_of(EventStore(engine)).get("/health")
    assert response.status_code == 200
    assert "problems" in response.text
    engine.dispose()


# --- other layouts of the tables


@pytest.mark.slow
@pytest.mark.postgresql
def test_what_was_detached_is_said(postgres_engine: Engine) -> None:
    partition(postgres_engine, size=4, count=4)
    store = EventStore(postgres_engine)
    store.append("old-1", [NewEvent("x", tags=["t"]) for _ in range(4)], expected_version=0)
    store.append("new-1", [NewEvent("x", tags=["t"]) for _ in range(5)], expected_version=0)
    detach_part(store, "es_events_1", folder=None, streams_may_lose_history=True)
    found = queries.recent_streams(store)
    assert (ids(found.streams), found.has_detached) == (["new-1"], True)
    tagged = queries.tagged_events(store, ["t"])
    assert [each.stream_id for each in tagged.events] == ["new-1"] * 5 + [None] * 4
    client = client_of(store)
    assert "detached" in text_of(page(client, "/boundary", tag="t"))
    (event, *_) = store.read_stream("new-1")
    assert queries.related_events(store, event).has_detached
    for path in ("/tags", "/projections", "/snapshots", "/health"):
        page(client, path)
    assert ids(queries.largest_streams(store).streams) == ["new-1", "old-1"]


@pytest.mark.slow
@pytest.mark.postgresql
def test_a_store_in_a_schema_is_looked_at_there(empty_postgres_url: str) -> None:
    engine = create_engine(empty_postgres_url)
    try:
        migrations.provision(engine, 'a "tenant"')
        store = EventStore(engine, schema='a "tenant"')
        handlers = filled(store)
        client = client_of(store, projections=[handlers.projection])
        for path in paths(handlers.projection.name):
            page(client, path)
        assert ids(queries.recent_streams(store, category="order").streams) == ["order-2", EVIL_STREAM]
    finally:
        engine.dispose()


@pytest.mark.postgresql
def test_a_policy_hides_other_tenants_and_the_indexes_of_metadata(postgres_engine: Engine) -> None:
    store = EventStore(postgres_engine)
    for tenant in ("acme", "globex"):
        events = [NewEvent("x", tags=[tenant]), NewEvent("y")]
        store.append(f"{tenant}:order-1", events, expected_version=0)
        store.snapshots.save(f"{tenant}:order-1", version=1, state=1)
    with postgres_engine.begin() as connection:
        for sql in CORRELATED["postgresql"]:
            connection.exec_driver_sql(sql)
        role = f"tenant_{uuid4().hex}"
        (policies,) = re.findall(r"```sql\n(.*?)```", GUIDE.read_text(), re.DOTALL)
        connection.exec_driver_sql(f"CREATE ROLE {role}")
        connection.exec_driver_sql(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}")
        connection.exec_driver_sql(policies, execution_options={"no_parameters": True})
    engine = create_engine(postgres_engine.url, connect_args={"options": f"-c role={role} -c app.tenant=acme"})
    try:
        limited = EventStore(engine)
        assert ids(queries.streams_by_id(limited).items) == ["acme:order-1"]
        assert ids(queries.recent_streams(limited).streams) == ["acme:order-1"]
        assert ids(queries.recent_streams(limited, category="globex:order").streams) == []
        assert ids(queries.largest_streams(limited).streams) == ["acme:order-1"]
        assert ids(queries.snapshots_by_id(limited).items) == ["acme:order-1"]
        assert [each.tag for each in queries.tags_by_name(limited).items] == ["acme"]
        assert queries.frequent_tags(limited) == (("acme", 1),)
        assert queries.tagged_events(limited, ["globex"]).events == ()
        (event, *_) = limited.read_stream("acme:order-1")
        assert queries.related_events(limited, event).missing == (Lookup.CAUSATION_ID, Lookup.CORRELATION_ID)
        assert queries.readers_held_up(limited).settled == 4 - 2
    finally:
        engine.dispose()
        with postgres_engine.begin() as connection:
            connection.exec_driver_sql(f"DROP OWNED BY {role}")
            connection.exec_driver_sql(f"DROP ROLE {role}")
