"""The browser of streams: who sees what, that all is escaped, and that one bad row hides no other."""

import html
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit
from uuid import UUID

import pytest
from sqlalchemy import Engine, event, text
from werkzeug.test import Client, TestResponse

from eventstore import (
    ANY,
    NO_STREAM,
    EventStore,
    EventTypes,
    InvalidInput,
    NewEvent,
    Projection,
    RecordedEvent,
    Repository,
    Worker,
    caused_by,
    metadata_context,
)
from eventstore.backends import engine_for
from eventstore.contrib.asyncio import AsyncEventStore
from eventstore.contrib.browser import Browser, Shown, redact_keys
from eventstore.contrib.browser.local import LocalBrowser
from eventstore.contrib.browser.pages import PAGES
from eventstore.detaching import detach_part
from eventstore.projections import OnFailure
from tests.fix_engines import changing_history
from tests.fix_migrations import url_of
from tests.partitioned import partition

EVIL = "<script>alert(1)</script>"
EVIL_STREAM = f"order-{EVIL}\"'&"
STRANGE = [
    "a/b", "a//b", "../../etc", "..", ".", "/", "%2F", "%", "100% sure?", "a?b=c&d#e", "größe-ß 🍵", " ", "  x ",
    "+", "a+b", "order-\u202egnirts", "-", "'", '"', "\\", ";", "a\nb", "a\tb",
]  # fmt: skip

types = EventTypes()


@types.register("item-added", schema_version=2)
@dataclass(frozen=True)
class ItemAdded:
    article: str
    price: Decimal


@types.upcaster("item-added", from_version=1)
def with_decimal(data: dict[str, Any]) -> dict[str, Any]:
    return {"article": data["name"], "price": Decimal(data["price"])}


@types.upcaster("broken", from_version=1)
def broken(_data: dict[str, Any]) -> dict[str, Any]:
    raise ValueError("SECRET")


@types.splitter("both", from_version=1, into=[("one", 1), ("other", 1)])
def split(data: dict[str, Any]) -> list[tuple[str, Any]]:
    return [("one", data), ("other", data)] if data else []


@dataclass(frozen=True)
class Order:
    articles: tuple[str, ...] = ()
    total: Decimal = Decimal(0)

    def after(self, happened: RecordedEvent) -> "Order":
        match happened.data:
            case ItemAdded() as added:
                return replace(self, articles=(*self.articles, added.article), total=self.total + added.price)
        return self


@pytest.fixture(params=["sqlite_engine", pytest.param("shared_postgres_engine", marks=pytest.mark.postgresql)])
def store(request: pytest.FixtureRequest) -> EventStore:
    return EventStore(request.getfixturevalue(request.param), event_types=types)


@pytest.fixture
def sqlite_store(sqlite_engine: Engine) -> EventStore:
    """For what has nothing to do with the database."""
    return EventStore(sqlite_engine, event_types=types)


def everybody(_request: object) -> bool:
    return True


def client_of(store: EventStore, **options: Any) -> Client:
    return Client(Browser(store, **{"authorize": everybody, **options}))


def address(path: str, **parameters: object) -> str:
    return f"{path}?{urlencode(parameters)}"


def shown(client: Client, url: str, status: int = 200) -> str:
    """Return what a page shows, without tags."""
    response = client.get(url)
    assert response.status_code == status, response.text
    return text_of(response)


def text_of(response: TestResponse) -> str:
    return html.unescape(re.sub(r"<[^>]*>", "", response.text))


def links(page: str) -> list[str]:
    return [html.unescape(link) for link in re.findall(r'<a [^>]*href="([^"]*)"', page)]


def all_pages(client: Client, start: str = "/") -> Iterator[TestResponse]:
    """Follow the links of the pages, each page once, and each kind of address with a few parameters only."""
    todo, seen = [start], set()
    while todo:
        url = todo.pop()
        if url in seen:
            continue
        seen.add(url)
        response = client.get(url)
        yield response
        if response.mimetype == "text/html":
            todo += [link for link in links(response.text) if link.startswith("/")]


# --- who sees what


PATHS = [
    "/",
    "/log",
    "/stream?id=a",
    "/event?stream=a&version=1",
    "/state?stream=a",
    "/find?q=a",
    "/nowhere",
    "/static/browser.css",
]


@pytest.mark.parametrize("answer", [False, None])
@pytest.mark.parametrize("path", PATHS)
def test_nothing_is_read_or_shown_unless_the_visitor_is_authorized(path: str, answer: bool | None) -> None:
    def never() -> EventStore:
        pytest.fail("the store was asked for")

    response = Client(Browser(never, authorize=lambda _: answer)).get(path)  # type: ignore[arg-type, return-value]
    assert (response.status_code, response.mimetype) == (403, "text/plain")
    assert response.text == "You may not look at this. Log in to the application first.\n"
    assert response.headers["Cache-Control"] == "no-store"


async def coroutine(_request: object) -> bool:
    return True


@pytest.mark.parametrize("authorize", [lambda _: "ada", lambda _: 1, coroutine])
def test_an_answer_that_is_not_a_bool_is_refused(sqlite_store: EventStore, authorize: Any) -> None:
    with pytest.raises(InvalidInput, match="authorize must return True or False, not"):
        client_of(sqlite_store, authorize=authorize).get("/")


def test_authorize_has_no_default_and_gets_the_request(sqlite_store: EventStore) -> None:
    with pytest.raises(TypeError, match="authorize"):
        Browser(sqlite_store)  # type: ignore[call-arg]
    client = client_of(sqlite_store, authorize=lambda request: request.path == "/log")
    assert (client.get("/log").status_code, client.get("/").status_code) == (200, 403)


def test_visitors_are_sent_to_the_login(sqlite_store: EventStore) -> None:
    client = client_of(sqlite_store, authorize=lambda _: False, login_url="/login")
    response = client.get("/stream?id=a%2Fb")
    assert response.status_code == 302
    target = urlsplit(response.headers["Location"])
    assert (target.path, parse_qs(target.query)) == ("/login", {"next": ["/stream?id=a%2Fb"]})
    assert client.post("/").status_code == 403


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1", "127.0.0.1:81", "", "127.0.0.1:80.evil.example"])
def test_another_host_is_refused(sqlite_store: EventStore, host: str) -> None:
    client = client_of(sqlite_store, allowed_hosts=["127.0.0.1:80", "events.example"])
    assert client.get("/", headers={"Host": host}).status_code == 400
    assert client.get("/", headers={"Host": "EVENTS.example"}).status_code == 200


@pytest.mark.parametrize(
    "options",
    [
        {"authorize": True},
        {"authorize": None},
        {"authorize_changes": True},
        {"redact": "email"},
        {"repositories": ["order"]},
        {"projections": ["totals"]},
        {"allowed_hosts": "127.0.0.1"},
        {"allowed_hosts": []},
    ],
)
def test_wrong_options_are_refused(sqlite_store: EventStore, options: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match=next(iter(options))):
        client_of(sqlite_store, **options)


def test_a_store_for_asyncio_is_refused_by_name() -> None:
    for store in (AsyncEventStore.in_memory(), "store"):
        with pytest.raises(InvalidInput, match=type(store).__name__):
            Browser(store, authorize=everybody)  # type: ignore[arg-type]


@pytest.mark.slow
def test_a_page_loads_nothing_from_elsewhere_and_stays_out_of_frames_and_caches(sqlite_store: EventStore) -> None:
    fill(sqlite_store)
    client = client_of(sqlite_store)
    for path in ("/", "/nowhere"):
        headers = client.get(path).headers
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert headers["X-Frame-Options"] == "DENY"
        assert headers["Referrer-Policy"] == "same-origin"
        assert headers["Cache-Control"] == "no-store"
        assert headers["X-Content-Type-Options"] == "nosniff"
    for response in all_pages(client):
        assert not re.search(
            r"""\son\w+=|\sstyle=|<style|javascript:|<script(?! src="/static/browser.js)""", response.text
        )
        for url in re.findall(r'(?:src|href|action)="([^"]*)"', response.text):
            assert url.startswith(("/", "#")), url
            assert not url.startswith("//"), url
    files = re.findall(r'"(/static/[^"]*)"', client.get("/").text)
    assert len(files) == 3
    assert all(client.get(file).status_code == 200 for file in files)
    assert client.get("/static/../browser.py").status_code == 404


def test_pages_only_show(sqlite_store: EventStore) -> None:
    client = client_of(sqlite_store)
    response = client.post("/")
    assert (response.status_code, response.headers["Allow"]) == (405, "GET, HEAD")
    assert client.head("/").data == b""


def test_links_lead_to_where_it_is_mounted(sqlite_store: EventStore) -> None:
    fill(sqlite_store)
    client = client_of(sqlite_store)
    page = client.get("/", base_url="http://localhost/in ner/events/").text
    assert 'href="/in%20ner/events/log"' in page
    assert all(link.startswith("/in%20ner/events/") for link in links(page) if not link.startswith("#"))
    browser = Browser(sqlite_store, authorize=everybody)
    bare = Client(browser).open(environ_overrides={"SCRIPT_NAME": "/events", "PATH_INFO": ""})
    assert (bare.status_code, bare.headers["Location"]) == (302, "/events/")


# --- what is shown


def fill(store: EventStore) -> None:
    """Append events whose every text would be a script, and some others."""
    with metadata_context({EVIL: EVIL, "correlation_id": EVIL}):
        store.append(
            EVIL_STREAM, [NewEvent(EVIL, {EVIL: EVIL, "list": [EVIL]}, tags=[EVIL])] * 1, expected_version=NO_STREAM
        )
    store.append("order-1", NewEvent("item-added", {"name": "tea", "price": "4.20"}), expected_version=NO_STREAM)
    store.append("order-1", ItemAdded("pot", Decimal("24.90")), expected_version=1)


@pytest.mark.slow
def test_everything_is_escaped(store: EventStore) -> None:
    fill(store)
    orders = Repository(
        store, category="order", initial=dict, evolve=lambda _state, each: {EVIL: [EVIL, str(each.data)]}
    )
    client = client_of(store, repositories=[orders], title=EVIL)
    paths = set()
    for response in all_pages(client):
        paths.add(response.request.path)
        if response.mimetype == "text/html":
            assert response.status_code == 200
            assert "<script>" not in response.text
            assert "alert(1)</script>" not in response.text
        else:
            assert response.mimetype == "text/plain"
    assert {"/", "/log", "/stream", "/event", "/state"} <= paths
    for url in (
        address("/", prefix=EVIL, category=EVIL),
        address("/log", by="type", name=EVIL),
        address("/nowhere/" + EVIL),
    ):
        assert "<script>" not in client.get(url).text
    assert EVIL in shown(client, address("/stream", id=EVIL_STREAM))


@pytest.mark.parametrize("stream_id", STRANGE)
def test_every_stream_has_an_address(sqlite_store: EventStore, stream_id: str) -> None:
    sqlite_store.append(stream_id, NewEvent("happened", {"of": stream_id}), expected_version=NO_STREAM)
    client = client_of(sqlite_store)
    (of_stream,) = [link for link in links(client.get("/").text) if "/stream?" in link]
    page = client.get(of_stream)
    assert page.status_code == 200
    of_event = next(link for link in links(page.text) if "/event?" in link)
    assert shown(client, of_event).count("happened") >= 1
    link_text = re.search(r'<a class="id" href="[^"]*">([^<]*)</a>', client.get("/").text)
    assert link_text is not None
    assert link_text[1].strip()


def test_what_is_stored_is_beside_what_is_read(store: EventStore) -> None:
    fill(store)
    client = client_of(store)
    for url in (address("/stream", id="order-1"), address("/event", stream="order-1", version=1)):
        page = shown(client, url)
        assert '{name: "tea", price: "4.20"}' in page
        assert '{article: "tea", price: 4.20 decimal}' in page
        assert "item-added, schema version 1" in page
        assert "item-added, schema version 2" in page
    assert "As it is stored" not in shown(client, address("/event", stream="order-1", version=2))


def test_a_value_that_is_not_equal_to_itself_is_shown_once(sqlite_store: EventStore) -> None:
    sqlite_store.append("a-1", NewEvent("measured", {"n": float("nan")}), expected_version=NO_STREAM)
    page = shown(client_of(sqlite_store), address("/event", stream="a-1", version=1))
    assert "{n: nan}" in page
    assert "As it is stored" not in page


def test_events_that_a_splitter_makes_or_drops(sqlite_store: EventStore) -> None:
    sqlite_store.append("a-1", [NewEvent("both", {"n": 1}), NewEvent("both", {})], expected_version=NO_STREAM)
    client = client_of(sqlite_store)
    page = shown(client, address("/event", stream="a-1", version=1))
    assert "one, schema version 1" in page
    assert "other, schema version 1" in page
    assert "An upcaster drops this event" in shown(client, address("/event", stream="a-1", version=2))


def test_an_unreadable_event_hides_no_other(store: EventStore) -> None:
    store.append(
        "order-1",
        [NewEvent("first", {"n": 1}), NewEvent("broken", {"n": 2}), NewEvent("last", {"n": 3})],
        expected_version=0,
    )
    store.append(
        "order-2",
        [NewEvent("alien", {"n": 4}), NewEvent("torn", {"n": 5}), NewEvent("odd", {"n": 6})],
        expected_version=0,
    )
    with changing_history(store.engine) as connection:
        connection.execute(text("UPDATE es_events SET codec = 77 WHERE event_type = 'alien'"))
        connection.execute(text("UPDATE es_events SET data = :data WHERE event_type = 'torn'"), {"data": b"\xc1SECRET"})
        if store.engine.dialect.name == "sqlite":
            connection.execute(text("UPDATE es_events SET metadata = 'no JSON' WHERE event_type = 'odd'"))
    for client in (client_of(store), client_of(store, redact=redact_keys("n"))):
        for url in (address("/stream", id="order-1"), address("/stream", id="order-2"), "/log"):
            page = shown(client, url)
            assert "SECRET" not in page
        assert "has raised ValueError in test_browser.py" in shown(client, address("/stream", id="order-1"))
        page = shown(client, address("/stream", id="order-2"))
        assert "the codec with number 77" in page
        assert "the stored bytes are damaged" in page
        for version in (1, 2, 3):
            assert client.get(address("/event", stream="order-2", version=version)).status_code == 200
    assert "c1 53 45 43" in shown(client_of(store), address("/event", stream="order-2", version=2))
    assert "c1 53 45 43" not in shown(
        client_of(store, redact=redact_keys("n")), address("/event", stream="order-2", version=2)
    )


def test_deleted_and_archived_streams_say_so(store: EventStore) -> None:
    store.append("cart-1", NewEvent("opened"), expected_version=0)
    store.append("cart-2", NewEvent("opened"), expected_version=0)
    store.delete_stream("cart-1", expected_version=1, reason="asked for")
    with EventStore.in_memory() as archive:
        store.archive_stream("cart-2", into=archive, expected_version=1, reason="old")
    orders = Repository(store, category="cart", initial=Order, evolve=Order.after)
    client = client_of(store, repositories=[orders])
    for stream_id, word, reason in (("cart-1", "deleted", "asked for"), ("cart-2", "archived", "old")):
        page = shown(client, address("/stream", id=stream_id))
        assert f"The stream was {word}" in page
        assert f'reason: "{reason}"' in page
        assert client.get(address("/event", stream=stream_id, version=1)).status_code == 404
        assert word in shown(client, address("/event", stream=stream_id, version=2))
        assert word in shown(client, address("/state", stream=stream_id))


@pytest.mark.slow
@pytest.mark.postgresql
def test_detached_history_is_said_and_is_no_failure(postgres_engine: Engine) -> None:
    partition(postgres_engine, size=4, count=4)
    store = EventStore(postgres_engine)
    for _ in range(10):
        store.append("order-1", NewEvent("happened"), expected_version=ANY)
    detach_part(store, "es_events_1", folder=None, streams_may_lose_history=True)
    orders = Repository(store, category="order", initial=int, evolve=lambda count, _: count + 1)
    client = client_of(store, repositories=[orders])
    for url in (address("/stream", id="order-1"), "/log", address("/stream", id="order-1", order="oldest")):
        assert "Earlier events were detached with the part es_events_1" in shown(client, url)
    assert shown(client, "/log").count("happened") == 10 - 4
    for url in (address("/event", stream="order-1", version=1), address("/state", stream="order-1", version=6)):
        assert "These events were detached" in shown(client, url, 410)


@pytest.mark.slow
def test_a_big_payload_is_cut_with_a_link_to_the_whole(sqlite_store: EventStore) -> None:
    data = {"lines": [{"article": f"article {number}", "price": Decimal(number)} for number in range(5_000)]}
    sqlite_store.append("order-1", NewEvent("imported", data), expected_version=NO_STREAM)
    client = client_of(sqlite_store)
    for url in (address("/stream", id="order-1"), address("/event", stream="order-1", version=1), "/log"):
        page = client.get(url)
        assert len(page.data) < 200_000
        (whole,) = {link for link in links(page.text) if link.startswith("/value?")}
        answer = client.get(whole)
        assert (answer.status_code, answer.mimetype) == (200, "text/plain")
        assert "article 4999" in answer.text


def test_an_integer_of_too_many_digits_is_shown(sqlite_store: EventStore) -> None:
    huge = 1 << 20_000
    sqlite_store.append("order-1", NewEvent("imported", {huge: {huge}, "n": huge}), expected_version=NO_STREAM)
    client = client_of(sqlite_store)
    for url in ("/log", address("/stream", id="order-1"), address("/event", stream="order-1", version=1)):
        assert "0x1000000" in shown(client, url)


def test_values_keep_their_types(sqlite_store: EventStore) -> None:
    data = {
        "d": Decimal("1.10"),
        "t": (1, 2),
        "s": {"x"},
        "b": b"\x00\xff",
        "n": None,
        "e": {},
        "u": UUID(int=0),
        "two words": 1.5,
    }
    sqlite_store.append("order-1", NewEvent("a", data), expected_version=NO_STREAM)
    page = shown(client_of(sqlite_store), address("/event", stream="order-1", version=1))
    for part in (
        "d: 1.10 decimal",
        "t: [1, 2] tuple",
        's: ["x"] set',
        "b: 0x00ff 2 bytes",
        "n: null",
        "e: {}",
        '"two words": 1.5',
        f"u: {UUID(int=0)} uuid",
    ):
        assert part in page


@pytest.mark.slow
def test_no_page_has_more_than_200_rows_and_each_is_reached(sqlite_store: EventStore) -> None:
    for number in range(450):
        sqlite_store.append(f"order-{number:03}", NewEvent("opened"), expected_version=0)
    sqlite_store.append("order-000", [NewEvent("added", {"n": number}) for number in range(449)], expected_version=1)
    client = client_of(sqlite_store)
    for url, pattern in (
        ("/", r'class="id" href="[^"]*">(order-\d+)<'),
        ("/?by=recent", r'class="id" href="[^"]*">(order-\d+)<'),
        ("/?by=size", r'class="id" href="[^"]*">(order-\d+)<'),
        ("/log?rows=200", r'class="version" href="([^"]*)"'),
        ("/stream?id=order-000&rows=200", r'class="version" href="([^"]*)"'),
        ("/stream?id=order-000&order=oldest&rows=200", r'class="version" href="([^"]*)"'),
    ):
        found: list[str] = []
        following: str | None = url
        while following is not None:
            page = client.get(following)
            rows = re.findall(pattern, page.text)
            assert len(rows) <= 200
            found += rows
            (following,) = re.findall(r'href="([^"]*)" rel="next"', page.text) or [None]
            following = None if following is None else html.unescape(following)
        expected = {"/?by=size": 200, "/log?rows=200": 899}.get(url, 450)
        assert len(found) == len(set(found)) == expected, url


def test_the_log_shows_what_is_asked_for(store: EventStore) -> None:
    fill(store)
    client = client_of(store)
    assert re.findall(r'class="version" href="[^"]*">(\d+)<', client.get("/log").text) == ["3", "2", "1"]
    assert re.findall(r'class="version" href="[^"]*">(\d+)<', client.get("/log?before=3").text) == ["2", "1"]
    for by, name, expected in (
        ("type", "item-added", ["3", "2"]), ("tag", EVIL, ["1"]),
        ("category", "order", ["3", "2", "1"]), ("type", "x", []),
    ):  # fmt: skip
        page = client.get(address("/log", by=by, name=name)).text
        assert re.findall(r'class="version" href="[^"]*">(\d+)<', page) == expected


def test_a_live_log_is_read_again_with_and_without_javascript(sqlite_store: EventStore) -> None:
    client = client_of(sqlite_store)
    page = client.get("/log?live=1").text
    assert '<noscript><meta http-equiv="refresh" content="3"></noscript>' in page
    assert 'data-refresh="3"' in page
    assert "refresh" not in client.get("/log").text
    assert "refresh" not in client.get("/log?live=1&before=5").text


@pytest.mark.postgresql
def test_the_log_shows_settled_events_only_and_does_not_wait(shared_postgres_engine: Engine) -> None:
    store = EventStore(shared_postgres_engine)
    store.append("a-1", NewEvent("first"), expected_version=0)
    with store.transaction() as open_append:
        open_append.append("a-2", NewEvent("under-way"), expected_version=0)
        store.append("a-3", NewEvent("behind-it"), expected_version=0)
        page = shown(client_of(store), "/log")
        assert "first" in page
        assert "behind-it" not in page
        assert "under-way" not in page
    assert "behind-it" in shown(client_of(store), "/log")


def test_causes_and_effects(store: EventStore) -> None:
    with metadata_context(correlation_id="request-1"):
        cause = store.append("order-1", NewEvent("placed"), expected_version=0)
        first = next(store.read_stream("order-1"))
        store.append("mail-1", NewEvent("sent", metadata=caused_by(first)), expected_version=0)
    url = address("/event", stream="mail-1", version=1)
    assert "Not searched for" in shown(client_of(store), url)
    columns = {
        "event_id": "event_id",
        **{
            key: f"(metadata ->> '{key}')"
            if store.engine.dialect.name == "postgresql"
            else f"CAST(json_extract(metadata, '$.{key}') AS TEXT)"
            for key in ("correlation_id", "causation_id")
        },
    }
    with store.engine.begin() as connection:
        for name, column in columns.items():
            connection.execute(text(f"CREATE INDEX browser_{name} ON es_events ({column})"))
    try:
        page = shown(client_of(store), url)
        assert "Not searched for" not in page
        assert "Causes, the direct one first" in page
        assert page.count("placed") == 2
        effects = shown(client_of(store), address("/event", stream="order-1", version=1))
        assert "Effects" in effects
        assert "sent" in effects
        found = client_of(store).get(address("/find", q=cause.event_id))
        assert found.headers["Location"] == "/event?stream=order-1&version=1"
    finally:
        with store.engine.begin() as connection:
            for name in columns:
                connection.execute(text(f"DROP INDEX browser_{name}"))


@pytest.mark.parametrize(
    ("looked_for", "target"),
    [
        ("order-1", "/stream?id=order-1"),
        (" order-1 ", "/stream?id=order-1"),
        ("2", "/log?before=3"),
        ("orde", "/?prefix=orde"),
        ("", "/"),
        ("9" * 30, "/?prefix=" + "9" * 30),
        ("\x00", "/?prefix=%00"),
    ],
)
def test_the_search(sqlite_store: EventStore, looked_for: str, target: str) -> None:
    sqlite_store.append("order-1", NewEvent("placed"), expected_version=0)
    assert client_of(sqlite_store).get(address("/find", q=looked_for)).headers["Location"] == target


@pytest.mark.parametrize(
    ("url", "status"),
    [
        ("/stream", 400), ("/stream?id=no", 404), ("/stream?id=%00", 400), ("/stream?id=" + "x" * 300, 400),
        ("/event?stream=order-1", 404), ("/event?stream=order-1&version=9", 404),
        ("/event?stream=order-1&version=0", 400),
        ("/log?before=x", 400), ("/log?before=-1", 400), ("/log?before=9999999999999999999999", 400),
        ("/log?by=tag&name=%00", 400), ("/?prefix=%00", 400), ("/?category=a-b", 400), ("/?start=%00", 400),
        ("/?by=recent&start=x", 400), ("/state?stream=order-1", 404), ("/stream?id=order-1&rows=x", 400),
        ("/nowhere", 404),
    ],
)  # fmt: skip
def test_a_wrong_address_is_said_to_be_wrong(store: EventStore, url: str, status: int) -> None:
    store.append("order-1", NewEvent("placed"), expected_version=0)
    assert client_of(store).get(url).status_code == status


ADDRESSES = {
    "/stream": {"id": "order-1"},
    "/event": {"stream": "order-1", "version": "1"},
    "/value": {"stream": "order-1", "version": "1"},
    "/state": {"stream": "order-1"},
    "/projection": {"name": "totals"},
    "/dead-letters": {"projection": "totals"},
    "/dead-letter": {"projection": "totals", "position": "1"},
    "/snapshot": {"stream": "order-1", "schema": "1"},
}
"""What the pages need that need something."""

WHOLE_NUMBERS = {"before", "after", "rows", "version", "position", "schema", "number"}
WORDS = {"by", "order", "part", "status", "done", "live"}
JUNK = ["-1", "1.5", "x", "0x1", "1e3", "\u0661", "\x00", "9223372036854775808", "9" * 5000, "1 ", "\ud800", "<script>"]


@pytest.fixture
def client_of_all(store: EventStore) -> Client:
    """A client for which each page of `ADDRESSES` has something to show."""
    store.append("order-1", [NewEvent("placed"), NewEvent("item-added", {})], expected_version=0)
    store.snapshots.save("order-1", version=1, state=1)
    totals = Projection("totals", attempts=1, on_failure=OnFailure.DEAD_LETTER)
    totals.on("placed")(fails)
    Worker(store, totals).run_until_caught_up()
    orders = Repository(store, category="order", initial=Order, evolve=Order.after)
    return client_of(store, repositories=[orders], projections=[totals], authorize_changes=everybody)


@pytest.mark.slow
def test_junk_in_any_parameter_is_refused_or_not_found(client_of_all: Client) -> None:
    for page in PAGES:
        if page.changes:
            continue
        needed = ADDRESSES.get(page.path, {})
        assert client_of_all.get(address(page.path, **needed)).status_code in {200, 303}, page.path
        for name in page.parameters:
            for junk in JUNK:
                url = f"{page.path}?{urlencode({**needed, name: junk}, errors='surrogatepass')}"
                answer = client_of_all.get(url)
                expected = {400} if name in WHOLE_NUMBERS | WORDS else {200, 303, 400, 404}
                assert answer.status_code in expected, (url[:100], answer.status_code)
                assert "<script>" not in answer.text
            highest = client_of_all.get(address(page.path, **{**needed, name: str(2**63 - 1)}))
            assert highest.status_code in {200, 303, 400, 404}, (page.path, name)
    assert client_of_all.get("/?by=recent&start=x").status_code == 400
    shown(client_of_all, address("/dead-letters", projection="totals", status="all", position=2**63 - 1))


@pytest.mark.slow
def test_unknown_and_repeated_parameters_are_refused_by_name(client_of_all: Client) -> None:
    for page in PAGES:
        if page.changes:
            continue
        needed = ADDRESSES.get(page.path, {})
        text = shown(client_of_all, address(page.path, **needed, row="2"), 400)
        assert "This page does not know the parameter 'row'." in text
        for name in page.parameters - page.lists:
            known = {name: "1", **needed}
            text = shown(client_of_all, address(page.path, **known) + f"&{name}=1", 400)
            assert f"The parameter {name} is there 2 times." in text
    text = shown(client_of_all, "/?rows=50", 400)
    assert "It knows: by, category, prefix, start." in text
    shown(client_of_all, "/boundary?tag=a&tag=b")
    shown(client_of_all, "/stream?id=order-1&rows=201", 400)


def test_tables_that_are_missing_are_said_to_be(tmp_path: Path) -> None:
    engine = engine_for(f"sqlite:///{tmp_path / 'empty.db'}")
    page = shown(client_of(EventStore(engine)), "/", 503)
    assert "eventstore migrate" in page
    engine.dispose()


def test_errors_of_the_database_show_no_sql(sqlite_store: EventStore) -> None:
    @event.listens_for(sqlite_store.engine, "before_cursor_execute")
    def fail(*_: object) -> None:
        raise OSError("SECRET")

    sqlite_store.engine.dispose()
    try:
        with pytest.raises(OSError, match="SECRET"):  # the application's own errors are for its error pages
            client_of(sqlite_store).get("/log")
    finally:
        event.remove(sqlite_store.engine, "before_cursor_execute", fail)
    gone = EventStore(engine_for("sqlite:////nowhere/at/all.db"))
    response = client_of(gone).get("/log")
    assert response.status_code == 503
    assert "SELECT" not in response.text


# --- state at any version


def test_the_state_at_any_version_and_what_has_changed(store: EventStore) -> None:
    fill(store)
    orders = Repository(store, category="order", initial=Order, evolve=Order.after)
    client = client_of(store, repositories=lambda: [orders])
    assert address("/state", stream="order-1") in links(client.get("/stream?id=order-1").text)
    page = client.get("/state?stream=order-1&version=1")
    assert '{articles: ["tea"] tuple, total: 4.20 decimal}' in text_of(page)
    newest = client.get("/state?stream=order-1")
    assert '["tea", "pot"]' in text_of(newest)
    assert "29.10 decimal" in text_of(newest)
    assert re.findall(r"<(ins|del)>", newest.text) == ["del", "ins"]
    assert 'min="1" max="2" value="2"' in newest.text
    assert "has no version 99; its newest is 2" in shown(client, "/state?stream=order-1&version=99", 404)
    assert "/state" not in client_of(store).get("/stream?id=order-1").text


class Opaque:
    """A state that no codec knows."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.hidden = object()


def seen(state: Opaque, happened: RecordedEvent) -> Opaque:
    state.seen.append(happened.event_type)
    return state


def fails(_state: object, _happened: object) -> object:
    raise KeyError("SECRET")


def test_states_of_any_class_and_functions_that_fail(sqlite_store: EventStore) -> None:
    sqlite_store.append("a-1", [NewEvent("one"), NewEvent("two")], expected_version=0)
    sqlite_store.append("b-1", NewEvent("one"), expected_version=0)
    repositories = [
        Repository(sqlite_store, category="a", initial=Opaque, evolve=seen),
        Repository(sqlite_store, category="b", initial=object, evolve=fails),
    ]
    assert 'seen: ["one", "two"]' in shown(client_of(sqlite_store, repositories=repositories), "/state?stream=a-1")
    page = shown(client_of(sqlite_store, repositories=repositories, redact=redact_keys("x")), "/state?stream=a-1")
    assert "hidden: an object of object" in page
    page = shown(client_of(sqlite_store, repositories=repositories), "/state?stream=b-1")
    assert "the repository has raised KeyError" in page
    assert "SECRET" not in page


# --- redaction


@pytest.mark.slow
def test_redacted_values_are_nowhere(store: EventStore) -> None:
    private = "ada@example.org"
    store.append(
        "order-1",
        NewEvent("item-added", {"name": private, "price": "1"}, metadata={"user": private, "n": 1}),
        expected_version=0,
    )
    store.append("order-1", ItemAdded(private, Decimal(2)), expected_version=1)
    asked: list[Shown] = []

    def redact(value: Shown) -> Any:
        asked.append(value)
        return redact_keys("Name", "article", "articles", "user")(value)

    orders = Repository(store, category="order", initial=Order, evolve=Order.after)
    client = client_of(store, redact=redact, repositories=[orders])
    pages = list(all_pages(client))
    assert len(pages) > 8
    for page in [
        *pages,
        *(
            client.get(address("/value", stream="order-1", version=1, part=part))
            for part in ("data", "metadata", "read")
        ),
    ]:
        assert private not in page.text
    assert "[redacted]" in shown(client, "/log")
    assert {(value.part, value.event_type) for value in asked} == {
        ("data", "item-added"),
        ("metadata", "item-added"),
        ("state", None),
    }
    assert {value.stream_id for value in asked} == {"order-1"}
    assert all(isinstance(value.value, dict) for value in asked)


def test_if_redact_fails_nothing_is_shown(sqlite_store: EventStore) -> None:
    sqlite_store.append("order-1", NewEvent("a", {"n": "SECRET"}, metadata={"m": "SECRET"}), expected_version=0)

    def redact(_value: Shown) -> Any:
        raise KeyError("SECRET")

    for url in (
        "/log",
        "/stream?id=order-1",
        "/event?stream=order-1&version=1",
        "/value?stream=order-1&version=1&part=data",
    ):
        response = client_of(sqlite_store, redact=redact).get(url)
        assert response.status_code == 200
        assert "SECRET" not in response.text
        assert "redact has raised KeyError" in response.text


def test_redact_keys_hides_them_at_any_depth() -> None:
    redact = redact_keys("email")
    value = {"a": [{"EMail": "x"}, ({"email": {"y": 1}},)], "b": "email"}
    assert redact(Shown("data", "s", "t", value)) == {
        "a": [{"EMail": "[redacted]"}, ({"email": "[redacted]"},)],
        "b": "email",
    }
    with pytest.raises(InvalidInput):
        redact_keys()


# --- on this machine


def test_only_who_has_the_token_looks(sqlite_store: EventStore) -> None:
    sqlite_store.append("order-1", NewEvent("placed"), expected_version=0)
    local = LocalBrowser(sqlite_store)
    try:
        parts = urlsplit(local.url)
        base = f"http://{parts.netloc}/"
        client = Client(local)
        assert client.get("/", base_url=base).status_code == 403
        assert "has printed" in client.get("/", base_url=base).text
        assert client.get("/?token=wrong", base_url=base).status_code == 403
        assert client.get("/?token=", base_url=base).status_code == 403
        for host in ("evil.example", f"evil.example:{parts.port}", "127.0.0.1", "localhost"):
            answer = client.get(f"/?{parts.query}", base_url=f"http://{host}/")
            assert answer.status_code == 400
            assert "Set-Cookie" not in answer.headers
        first = client.get(f"/?{parts.query}", base_url=base)
        assert (first.status_code, first.headers["Location"]) == (302, "/")
        assert re.search(r"; HttpOnly; Path=/; SameSite=Lax$", first.headers["Set-Cookie"])
        assert parts.query.removeprefix("token=") not in first.headers["Location"]
        assert "order-1" in client.get("/", base_url=base).text
        assert client.get("/?token=wrong", base_url=base).headers["Location"] == "/"
        assert client.get("/", base_url=f"http://evil.example:{parts.port}/").status_code == 400
    finally:
        local.close()


Serve = Callable[[LocalBrowser], None]


@pytest.mark.slow
def test_the_command_serves_it(sqlite_engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    from urllib.request import HTTPCookieProcessor, build_opener  # noqa: PLC0415  # of this test

    from tests.fix_command_line import CommandLine  # noqa: PLC0415

    EventStore(sqlite_engine).append("order-1", NewEvent("placed"), expected_version=0)
    serve, pages = LocalBrowser.serve, []

    def visit(local: LocalBrowser) -> None:
        import threading  # noqa: PLC0415

        serving = threading.Thread(target=serve, args=(local,))
        serving.start()
        try:
            pages.append(build_opener(HTTPCookieProcessor()).open(local.url, timeout=20).read().decode())
        finally:
            local.stop()
            serving.join()

    opened: list[str] = []
    monkeypatch.setattr(LocalBrowser, "serve", visit)
    monkeypatch.setattr("webbrowser.open", opened.append)
    command = CommandLine(url_of(sqlite_engine))
    result = command("browse")
    assert result.exit_code == 0
    assert "order-1" in pages[0]
    assert opened[0] in result.output
    (told,) = command.json("browse", "--no-open")
    assert told["url"].startswith("http://127.0.0.1:")
    assert len(opened) == 1
