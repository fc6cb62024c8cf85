"""Lists in the admin say what they count, reach every row, and cost no more with ten million events."""

import html
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.admin.views.main import ChangeList
from django.contrib.auth import get_user_model
from django.db import connection, connections, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext

from tests.fix_django import leave_database, new_sqlite, postgresql_settings, use_database
from tests.fix_postgresql import Databases

pytestmark = pytest.mark.slow

COUNT = 100_004
COUNTED_AT_MOST = 10_000
EVENTS, STREAMS = "/admin/eventstore/event/", "/admin/eventstore/stream/"
PAGES = [
    EVENTS, f"{EVENTS}?p=200", f"{EVENTS}?o=0", f"{EVENTS}?position__lt=50000", f"{EVENTS}?event_type=rare",
    f"{EVENTS}?event_type=common-1&p=100", f"{EVENTS}?category=c3", f"{EVENTS}?category=long&p=100",
    f"{EVENTS}?stream_id=long-1&p=100", f"{EVENTS}?stream_id=c3-1", f"{EVENTS}?q=long-1", f"{EVENTS}?q=common-1",
    f"{EVENTS}?q=50000", f"{EVENTS}?q=rare", f"{EVENTS}?correlation_id=request-500",
    f"{EVENTS}50000/change/", STREAMS, f"{STREAMS}?p=100",
    f"{STREAMS}?stream_id__gt=c5", f"{STREAMS}?q=c3-", f"{STREAMS}long-1/change/",
]  # fmt: skip

DAY = "recorded_at__gte=2025-02-01 12:00:00Z&recorded_at__lt=2025-02-02 12:00:00Z"
TIMES = [
    f"{EVENTS}?{DAY}", f"{EVENTS}?{DAY}&o=0", f"{EVENTS}?{DAY}&p=20", f"{EVENTS}?{DAY}&event_type=common-1",
    f"{EVENTS}?{DAY}&position__lt=47000", f"{EVENTS}?recorded_at__gte=2025-01-10 00:00:00Z",
    f"{EVENTS}?recorded_at__gte=2030-01-01 00:00:00Z", f"{EVENTS}?recorded_at__lt=2025-03-01 00:00:00Z&o=0",
]  # fmt: skip
"""An event was recorded each minute from the beginning of 2025 on, until the tenth of March."""

FILL = {
    "postgresql": {
        "numbers": f"generate_series(1, {COUNT}) n",
        "id": "gen_random_uuid()",
        "data": "'\\x80'",
        "minute": "timestamptz '2025-01-01 00:00:00Z' + (n - 1) * interval '1 minute'",
        "metadata": "jsonb_build_object('correlation_id', 'request-' || n)",
    },
    "sqlite": {
        "numbers": "(WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 100004) SELECT n FROM s)",
        "id": "lower(hex(randomblob(16)))",
        "data": "X'80'",
        "minute": "strftime('%Y-%m-%d %H:%M:%f000', 1735689600 + (n - 1) * 60, 'unixepoch')",
        "metadata": "json_object('correlation_id', 'request-' || n)",
    },
}
STREAM = "CASE WHEN n % 8 = 0 THEN 'long-1' ELSE 'c' || (n % 7) || '-' || (n / 8) END"
TYPE = "CASE WHEN n % 10000 = 0 THEN 'rare' ELSE 'common-' || (n % 3) END"


def stream_of(n: int) -> str:
    return f"c{n % 7}-{n // 8}" if n % 8 else "long-1"


def fill() -> None:
    values = FILL[connection.vendor]
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO es_streams (stream_id, version, created_at, updated_at) "
            f"SELECT stream, {COUNT}, CURRENT_TIMESTAMP, CURRENT_TIMESTAMP "
            f"FROM (SELECT DISTINCT {STREAM} AS stream FROM {values['numbers']}) s"
        )
        cursor.execute(
            "INSERT INTO es_events "
            "(stream_id, version, event_id, event_type, schema_version, codec, data, metadata, recorded_at) "
            f"SELECT {STREAM}, n, {values['id']}, {TYPE}, 1, 1, {values['data']}, "
            f"CASE WHEN n % 10 = 0 THEN {values['metadata']} END, {values['minute']} FROM {values['numbers']}"
        )
        if connection.vendor == "postgresql":
            cursor.execute("CREATE INDEX ON es_events ((metadata ->> 'correlation_id'))")  # as the guide says
        cursor.execute("VACUUM ANALYZE" if connection.vendor == "postgresql" else "ANALYZE")


def fill_and_leave(settings: dict[str, Any]) -> dict[str, Any]:
    use_database(settings)
    fill()
    leave_database()
    return settings


@pytest.fixture(scope="module")
def filled_postgresql(
    django_project: None, django_postgres_template: str, postgres_databases: Databases
) -> Iterator[dict[str, Any]]:
    """Return the settings of a PostgreSQL database with many events."""
    with postgres_databases.fresh(django_postgres_template) as url:
        yield fill_and_leave(postgresql_settings(url))


@pytest.fixture(scope="module")
def filled_sqlite(django_project: None, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return the settings of a SQLite database with many events."""
    return fill_and_leave(new_sqlite(tmp_path_factory.mktemp("large") / "django.db"))


@pytest.fixture
def large_postgresql(filled_postgresql: dict[str, Any]) -> Iterator[Client]:
    """Give Django the PostgreSQL database with many events; return the client of a superuser."""
    use_database(filled_postgresql)
    yield root()
    leave_database()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def large(request: pytest.FixtureRequest) -> Iterator[Client]:
    """Give Django a database with many events, of each kind; return the client of a superuser."""
    use_database(request.getfixturevalue(f"filled_{request.param}"))
    yield root()
    leave_database()


def root() -> Client:
    client = Client()
    client.force_login(get_user_model().objects.get_or_create(username="root", is_superuser=True, is_staff=True)[0])
    return client


def page(client: Client, url: str) -> str:
    response = client.get(url)
    assert response.status_code == 200, url
    return html.unescape(response.content.decode())


def keys(text: str) -> list[str]:
    return re.findall(r'<th class="field-(?:position|stream_id)"><a href="[^"]+">([^<]+)<', text)


def summary(text: str) -> str:
    (found,) = re.findall(r'<p class="paginator">(.*?)</p>', text, re.DOTALL)
    return " ".join(re.sub("<[^>]+>", " ", found).split())


def link(text: str, name: str) -> str:
    (found,) = re.findall(rf'<a href="([^"]+)"[^>]*>{name}</a>', text)
    return str(found)


def test_a_list_says_what_it_has_counted(large: Client) -> None:
    text = page(large, EVENTS)
    assert summary(text) == "1–50 of more than 10,000 events Next"  # noqa: RUF001
    assert keys(text) == [str(COUNT - number) for number in range(50)]
    assert summary(page(large, f"{EVENTS}?event_type=rare")) == "10 events"
    assert summary(page(large, f"{EVENTS}?q=common-1")) == "1–50 of more than 10,000 events Next"  # noqa: RUF001
    assert summary(page(large, f"{EVENTS}?q={COUNT}")) == "1 event"
    assert summary(page(large, f"{EVENTS}?q=nothing")) == "0 events"
    assert summary(page(large, f"{EVENTS}?stream_id=c1-1")) == "1 event"
    number = len({stream_of(n) for n in range(1, COUNT + 1) if stream_of(n).startswith("c0-1")})
    assert summary(page(large, f"{STREAMS}?q=c0-1")) == f"1–50 of {number:,} streams Next"  # noqa: RUF001


def test_a_page_that_is_not_there_is_said(large: Client) -> None:
    last = page(large, f"{EVENTS}?p=200")
    assert summary(last) == "First page Previous 9,951–10,000 of more than 10,000 events Next"  # noqa: RUF001
    for number in (201, 2000, 0, -1):
        text = page(large, f"{EVENTS}?p={number}")
        assert f"There is no page {number}; this is the first one." in text
        assert keys(text)[0] == str(COUNT)
    assert "There is no page 2;" in page(large, f"{EVENTS}?event_type=rare&p=2")


@pytest.mark.parametrize("query", ["", "o=0&", "event_type=common-1&", "stream_id=long-1&"])
def test_every_event_is_reached_by_next(large: Client, query: str) -> None:
    positions = range(COUNT, 0, -1)
    expected = {
        "": list(positions),
        "o=0&": list(reversed(positions)),
        "event_type=common-1&": [n for n in positions if n % 3 == 1 and n % 10_000],
        "stream_id=long-1&": [n for n in positions if n % 8 == 0],
    }[query]
    last = page(large, f"{EVENTS}?{query}p=200")
    following = page(large, EVENTS + link(last, "Next"))
    assert [int(key) for key in keys(last) + keys(following)] == expected[9_950:10_050]
    assert keys(page(large, EVENTS + link(following, "First page"))) == [str(n) for n in expected[:50]]


def test_the_events_of_a_time_are_found_in_either_order(large: Client) -> None:
    day = list(range(31 * 1440 + 720 + 1, 32 * 1440 + 720 + 1))
    for query, expected in ((DAY, day[::-1]), (f"{DAY}&o=0", day)):
        first, last = page(large, f"{EVENTS}?{query}"), page(large, f"{EVENTS}?{query}&p=29")
        assert summary(first) == "1–50 of 1,440 events Next"  # noqa: RUF001
        assert [int(key) for key in keys(first) + keys(last)] == expected[:50] + expected[1400:]
    of_type = [n for n in day if n % 3 == 1 and n % 10_000]
    assert summary(page(large, f"{EVENTS}?{DAY}&event_type=common-1")) == f"1–50 of {len(of_type)} events Next"  # noqa: RUF001
    assert summary(page(large, f"{EVENTS}?recorded_at__gte=2030-01-01 00:00:00Z")) == "0 events"
    all_of_them = page(large, f"{EVENTS}?recorded_at__lt=2030-01-01 00:00:00Z&p=200")
    assert keys(page(large, EVENTS + link(all_of_them, "Next")))[0] == str(COUNT - 10_000)


def test_a_search_that_finds_few_is_sent_once(large: Client) -> None:
    for query in ("q=7b0c8b4e-0000-4000-8000-000000000000", "event_type=rare", "correlation_id=request-500"):
        with CaptureQueriesContext(connection) as captured:
            page(large, f"{EVENTS}?{query}")
        assert sum('"event_id"' in each["sql"] for each in captured) == 1, [each["sql"] for each in captured]
        assert not any("COUNT" in each["sql"] for each in captured)


def test_every_stream_is_reached_by_next(large: Client) -> None:
    following = page(large, STREAMS + link(page(large, f"{STREAMS}?p=200"), "Next"))
    expected = sorted({stream_of(n) for n in range(1, COUNT + 1)}, key=str.encode)
    assert keys(following) == expected[10_000:10_050]


# --- plans


def queries(client: Client, url: str) -> list[str]:
    with CaptureQueriesContext(connection) as captured:
        page(client, url)
    sent = [query["sql"] for query in captured if re.search(r"es_(events|streams)", query["sql"])]
    return [sql for sql in sent if "%(" not in sql]  # those of the store have tests of their own


def explained(options: str, sql: str) -> dict[str, Any]:
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN ({options}FORMAT JSON) {sql}")
        (found,) = cursor.fetchone()
    plan: dict[str, Any] = (json.loads(found) if isinstance(found, str) else found)[0]["Plan"]
    return plan


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", []):
        yield from nodes(child)


@pytest.mark.postgresql
def test_the_rows_that_a_page_reads_are_bounded(large_postgresql: Client) -> None:
    for url in [*PAGES, *TIMES]:
        found = queries(large_postgresql, url)
        assert found, url
        for sql in found:
            for node in nodes(explained("ANALYZE, ", sql)):
                if "Relation Name" in node:
                    rows = (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"]
                    assert rows <= 4 * COUNTED_AT_MOST, (url, sql, node)  # a third of the events are of a type


@pytest.mark.postgresql
def test_with_ten_million_events_pages_follow_indexes_and_count_up_to_the_limit(large_postgresql: Client) -> None:
    """The planner is led to believe in them, by the number of rows that it knows for each page of the tables."""
    found = {url: queries(large_postgresql, url) for url in PAGES}
    with connection.cursor() as cursor:
        tables = "SELECT oid FROM pg_class WHERE relname IN ('es_events', 'es_streams')"
        cursor.execute(
            f"UPDATE pg_class SET reltuples = reltuples * 100 WHERE oid IN ({tables}) "
            f"OR oid IN (SELECT indexrelid FROM pg_index WHERE indrelid IN ({tables}))"
        )
    try:
        for url, all_sql in found.items():
            for sql in all_sql:
                check_plan(explained("", sql), url, sql)
        assert explained("", "SELECT data FROM es_events")["Plan Rows"] > 100 * COUNT - 1000  # it believes in them
        with pytest.raises(AssertionError):
            check_plan(explained("", "SELECT count(*) FROM es_events"), "", "")
    finally:
        connection.cursor().execute("ANALYZE")


def check_plan(plan: dict[str, Any], url: str, sql: str) -> None:
    """Check that a query reads no table from end to end, and counts and sorts no more rows than a list counts."""
    for node in nodes(plan):
        assert node["Node Type"] != "Seq Scan" or node["Plan Rows"] < COUNTED_AT_MOST, (url, sql, node)
        if node["Node Type"] in {"Aggregate", "Sort"}:
            for child in node["Plans"]:
                assert child["Plan Rows"] <= COUNTED_AT_MOST + 1, (url, sql, node)


@pytest.mark.postgresql
def test_a_search_that_takes_too_long_is_stopped_and_says_so(
    django_postgresql: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    client = root()
    monkeypatch.setattr("eventstore.contrib.django.admin.lists.SECONDS_AT_MOST", 0.01)
    use_database(django_postgresql, "other")
    get_queryset = ChangeList.get_queryset

    def then_lock(*arguments: Any) -> Any:
        queryset = get_queryset(*arguments)
        connections["other"].cursor().execute("LOCK TABLE es_events")
        return queryset

    monkeypatch.setattr(ChangeList, "get_queryset", then_lock)
    with transaction.atomic(using="other"):
        text = page(client, f"{EVENTS}?q=7b0c8b4e-0000-4000-8000-000000000000")
    leave_database("other")
    assert "The search has been stopped after 0.01 seconds" in text
    assert summary(text) == ""
    with connection.cursor() as cursor:
        cursor.execute("SHOW statement_timeout")
        assert cursor.fetchone() == ("0",)
