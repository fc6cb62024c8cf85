"""The admin shows streams and events, and lets nobody change them."""

import re
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth import get_user_model
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from eventstore import NewEvent, caused_by
from eventstore.contrib.django import get_store

EVIL = "<script>document.title = 'executed'</script>"
EVENTS, STREAMS = "/admin/eventstore/event/", "/admin/eventstore/stream/"

pytestmark = pytest.mark.usefixtures("django_database")


@pytest.fixture
def viewer() -> Client:
    """Return a client of somebody who may view both, and nothing else."""
    store = get_store()
    placed = [NewEvent("order-placed", {"note": EVIL, "total": 30})]
    store.append("order-<b>42", placed, expected_version=0, metadata={"user": EVIL})
    store.append("order-7", [NewEvent("order-placed"), NewEvent("order-paid")], expected_version=0)
    store.append("invoice-7", [NewEvent("invoiced", {"total": 30})], expected_version=0)
    user = get_user_model().objects.create_user("ada", password="", is_staff=True)  # none
    user.user_permissions.add(*permissions().filter(codename__in=["view_event", "view_stream"]))
    client = Client()
    client.force_login(user)
    return client


def permissions() -> Any:
    return apps.get_model("auth", "Permission").objects


def page(client: Client, url: str) -> str:
    response = client.get(url)
    assert response.status_code == 200
    return str(response.content.decode())


def positions(client: Client, query: str) -> list[int]:
    return [int(position) for position in re.findall(rf'href="{EVENTS}(\d+)/change/', page(client, EVENTS + query))]


@pytest.mark.slow
def test_a_payload_with_html_is_shown_and_not_executed(viewer: Client) -> None:
    for url in (f"{EVENTS}1/change/", EVENTS, STREAMS):
        shown = page(viewer, url)
        assert EVIL not in shown
        assert "order-<b>42" not in shown
        assert "order-&lt;b&gt;42" in shown
    shown = page(viewer, f"{EVENTS}1/change/")
    assert shown.count("&lt;script&gt;document.title") == 2
    assert "&#x27;total&#x27;: 30" in shown


@pytest.mark.slow
def test_events_are_searched_and_filtered(viewer: Client) -> None:
    event_id = next(iter(get_store().read_stream("invoice-7"))).event_id
    assert positions(viewer, "") == [4, 3, 2, 1]
    assert positions(viewer, "?q=order-7") == [3, 2]
    assert positions(viewer, "?q=order-") == []
    assert positions(viewer, "?q=order-paid") == [3]
    assert positions(viewer, f"?q={event_id}") == [4]
    assert positions(viewer, "?q=4") == [4]
    assert positions(viewer, "?q=order-7+order-paid") == [3]
    assert positions(viewer, "?q=99999999999999999999") == []
    assert positions(viewer, "?event_type=order-placed&category=order") == [2, 1]
    assert positions(viewer, "?stream_id=order-7") == [3, 2]
    shown = page(viewer, EVENTS)
    assert all(f"?event_type={name}" in shown for name in ("invoiced", "order-paid", "order-placed"))
    assert all(f"?category={name}" in shown for name in ("invoice", "order"))


@pytest.mark.slow
def test_an_event_leads_to_its_stream_and_the_stream_to_its_events(viewer: Client) -> None:
    assert f'href="{STREAMS}order-7/change/"' in page(viewer, f"{EVENTS}3/change/")
    assert f'href="{EVENTS}?stream_id=order-7"' in page(viewer, f"{STREAMS}order-7/change/")
    assert re.findall(rf'href="{STREAMS}(.+?)/change/', page(viewer, f"{STREAMS}?q=order-7")) == ["order-7"]
    # a stream id may hold anything: the admin quotes it in its addresses
    link = viewer.get(f"{EVENTS}1/change/").content.decode().split(f'href="{STREAMS}')[1].split('"')[0]
    assert "order-&lt;b&gt;42" in page(viewer, f"{STREAMS}{link}")


@pytest.mark.slow
def test_a_payload_that_can_not_be_read_is_an_explanation_and_no_error(viewer: Client) -> None:
    with get_store().transaction() as tx, tx.allow_history_changes(), connection.cursor() as cursor:
        cursor.execute("UPDATE es_events SET codec = 77 WHERE position = 4")
    assert "codec" in page(viewer, f"{EVENTS}4/change/")


@pytest.mark.slow
def test_a_payload_that_python_has_no_text_for_is_no_error(viewer: Client) -> None:
    position = get_store().append("odd-1", NewEvent("huge", {"n": 1 << 20_000}), expected_version=0).position
    assert "too many digits" in page(viewer, f"{EVENTS}{position}/change/")


@pytest.mark.slow
def test_nobody_can_change_anything(viewer: Client) -> None:
    root = Client()
    root.force_login(get_user_model().objects.create_superuser("root"))
    for client in (viewer, root):
        for url in (f"{EVENTS}add/", f"{EVENTS}1/delete/", f"{STREAMS}add/", f"{STREAMS}order-7/delete/"):
            assert client.get(url).status_code == 403
            assert client.post(url, {"post": "yes"}).status_code == 403
        assert client.post(f"{EVENTS}1/change/", {"version": 9}).status_code == 403
        assert "delete_selected" not in page(client, EVENTS)
    assert [event.version for event in get_store().read_stream("order-7")] == [1, 2]
    assert set(permissions().filter(content_type__app_label="eventstore").values_list("codename", flat=True)) == {
        "view_checkpoint", "view_deadletter", "retry_deadletter", "discard_deadletter", "view_detachedpart",
        "view_event", "view_eventtag", "view_snapshot", "view_stream",
    }  # fmt: skip


@pytest.mark.slow
def test_who_has_no_permission_sees_nothing(viewer: Client) -> None:
    client = Client()
    client.force_login(get_user_model().objects.create_user("eve", password="", is_staff=True))
    assert {client.get(url).status_code for url in (EVENTS, STREAMS, f"{EVENTS}1/change/")} == {403}


def test_models_refuse_to_write(viewer: Client) -> None:
    events = apps.get_model("eventstore", "Event").objects
    event: Any = events.get(pk=1)
    writes = (event.save, event.delete, events.all().delete, lambda: events.update(version=9), events.create)
    for write in (*writes, lambda: events.bulk_create([])):
        with pytest.raises(TypeError, match="only the event store"):
            write()
    assert (events.count(), event.stream.version, event.stream.category) == (4, 1, "order")
    assert apps.get_model("eventstore", "Stream").objects.get(pk="order-7").events.count() == 2


@pytest.mark.slow
def test_streams_are_searched_by_their_beginning(viewer: Client) -> None:
    def found(beginning: str) -> list[str]:
        return re.findall(rf'href="{STREAMS}([^"/]+)/change/', page(viewer, f"{STREAMS}?q={beginning}"))

    assert found("order-") == ["order-7", "order-_3Cb_3E42"]
    assert found("ORDER-") == []
    assert found("") == ["invoice-7", "order-7", "order-_3Cb_3E42"]


@pytest.mark.slow
def test_a_correlation_id_leads_to_all_events_that_have_it_and_a_causation_id_to_the_cause(viewer: Client) -> None:
    placed = next(iter(get_store().read_stream("order-7")))
    caused = [NewEvent("mailed"), NewEvent("printed")]
    get_store().append("mail-1", caused, expected_version=0, metadata=caused_by(placed, also=[]))
    get_store().append("mail-2", caused[:1], expected_version=0, metadata={"correlation_id": "another & one"})
    shown = page(viewer, f"{EVENTS}5/change/")
    assert f'href="{EVENTS}?correlation_id={placed.event_id}"' in shown
    assert f'href="{EVENTS}?q={placed.event_id}"' in shown
    assert positions(viewer, f"?correlation_id={placed.event_id}") == [6, 5]
    assert positions(viewer, "?correlation_id=another+%26+one") == [7]
    assert positions(viewer, f"?q={placed.event_id}") == [2]
    assert "By correlation id" in page(viewer, f"{EVENTS}?correlation_id={placed.event_id}")
    assert "By correlation id" not in page(viewer, EVENTS)
    assert "correlation_id=" not in page(viewer, f"{EVENTS}1/change/")


@pytest.mark.slow
def test_tags_are_shown_apart_from_metadata_and_lead_to_all_events_that_have_them(viewer: Client) -> None:
    tagged = [NewEvent("a", tags=["course:1 & 2", EVIL], metadata={"m": 7}), NewEvent("b", tags=["course:1 & 2"])]
    get_store().append("tagged-1", tagged, expected_version=0)
    shown = page(viewer, f"{EVENTS}5/change/")
    assert f'href="{EVENTS}?tag=course%3A1+%26+2"' in shown
    assert ("$tags" in shown, EVIL in shown, "&#x27;m&#x27;: 7" in shown) == (False, False, True)
    assert positions(viewer, "?tag=course%3A1+%26+2") == [6, 5]
    assert positions(viewer, "?tag=course%3A1+%26+2&event_type=a") == [5]
    assert positions(viewer, "?tag=none") == []
    assert "By tag" in page(viewer, f"{EVENTS}?tag=course%3A1+%26+2")
    assert "By tag" not in page(viewer, EVENTS)
    assert "?tag=" not in page(viewer, f"{EVENTS}1/change/")


@pytest.mark.slow
def test_a_deleted_and_an_archived_stream_say_so(viewer: Client) -> None:
    get_store().delete_stream("order-7", expected_version=2, reason="ticket 7")
    assert "deleted" in page(viewer, f"{STREAMS}order-7/change/")
    assert ">open<" in page(viewer, f"{STREAMS}invoice-7/change/")


def test_a_list_costs_few_queries_and_reads_no_payloads(viewer: Client) -> None:
    with CaptureQueriesContext(connection) as captured:
        page(viewer, EVENTS)
    lists = [query["sql"] for query in captured if '"es_events"."position"' in query["sql"]]
    assert all('"es_events"."data"' not in sql for sql in lists)
    assert len(captured) < 20
