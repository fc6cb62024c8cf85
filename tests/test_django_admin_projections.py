"""Checkpoints in the admin, and dead letters, which those who may can retry and discard."""

import html
import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth import get_user_model
from django.db import connection
from django.test import Client, override_settings

from eventstore import ANY, NewEvent, ProjectionBehind, ProjectionFailed, RecordedEvent
from eventstore.contrib.django import get_store
from eventstore.partitions import partition_of
from eventstore.projections import DeadLetterStatus, OnFailure, Projection, ProjectionAdmin, Worker
from tests.test_django import atomic_requests

CHECKPOINTS = "/admin/eventstore/checkpoint/"
NAME = "paid/orders"
LETTERS = f"{CHECKPOINTS}paid_2Forders/dead-letters/"
PERMISSIONS = ("view_checkpoint", "view_deadletter", "retry_deadletter", "discard_deadletter")

projection = Projection(NAME, on_failure=OnFailure.DEAD_LETTER)
broken: set[str] = set()


@projection.on("paid")
def pay(event: RecordedEvent, _connection: object) -> None:
    if event.stream_id in broken:
        raise ZeroDivisionError("<secret>")
    apps.get_model("django_project", "Invoice").objects.create(number=event.position)


stopping = Projection("stopping", partitions=3)


@stopping.on("paid")
def stop(event: RecordedEvent, _connection: object) -> None:
    if event.stream_id == "order-2":
        raise ZeroDivisionError("<secret>")


@pytest.fixture(autouse=True)
def letters(django_database: dict[str, Any]) -> Iterator[None]:
    broken.update({"order-1", "order-2"})
    for stream_id in ("order-1", "order-2", "order-1", "order-3"):
        get_store().append(stream_id, [NewEvent("paid", {"card": "4111"})], expected_version=ANY)
    Worker(get_store(), projection).run_until_caught_up()
    with override_settings(EVENTSTORE={"PROJECTIONS": [projection]}):
        yield
    broken.clear()


def client_with(*permissions: str, name: str = "ada") -> Client:
    user = get_user_model().objects.create_user(name, password="", is_staff=True)  # none
    user.user_permissions.add(*apps.get_model("auth", "Permission").objects.filter(codename__in=permissions))
    client = Client()
    client.force_login(user)
    return client


def page(client: Client, url: str) -> str:
    response = client.get(url, follow=True)
    assert response.status_code == 200, url
    return html.unescape(response.content.decode())


def submit(client: Client, url: str, **fields: str) -> str:
    response = client.post(url, fields, follow=True)
    assert response.redirect_chain == [(LETTERS, 302)]
    return html.unescape(response.content.decode())


def pending() -> list[int]:
    return [letter.position for letter in ProjectionAdmin(get_store()).dead_letters.list(NAME)]


def shown(text: str) -> list[str]:
    return re.findall(r'<th scope="row"><a href="/admin/eventstore/event/(\d+)/change/">', text)


def log() -> list[str]:
    return [entry.get_change_message() for entry in apps.get_model("admin", "LogEntry").objects.order_by("pk")]


@pytest.mark.slow
def test_checkpoints_say_how_far_they_are_behind_and_lead_to_dead_letters() -> None:
    client = client_with("view_checkpoint", "view_deadletter")
    for _ in range(2):
        get_store().append("order-3", [NewEvent("sent")], expected_version=ANY)
    for url in (CHECKPOINTS, f"{CHECKPOINTS}paid_2Forders/change/"):
        text = page(client, url)
        assert re.search(r"2 events, the oldest 0:00:\d\d ago", text)
        assert f'<a href="{LETTERS}">3</a>' in text
        assert "stopped: no worker was seen lately" in text
    assert "position 4: version 1 of order-3" in page(client, f"{CHECKPOINTS}paid_2Forders/change/")
    Worker(get_store(), projection).run_until_caught_up()
    assert "nothing" in page(client, CHECKPOINTS)


def rows_of(text: str, table: str) -> list[list[str]]:
    """Return the texts of the cells of a table's body."""
    (body,) = re.findall(rf'<table class="{table}">.*?<tbody>(.*?)</tbody>', text, re.DOTALL)
    return [
        [re.sub("<[^>]+>", "", cell) for cell in re.findall(r"<td>(.*?)</td>", row)] for row in body.split("<tr>")[1:]
    ]


@pytest.mark.slow
def test_the_page_of_a_projection_shows_each_of_its_partitions() -> None:
    """One has stopped at its first event; the list shows their number, and what is furthest behind."""
    with pytest.raises(ProjectionFailed) as failed:
        Worker(get_store(), stopping).run_until_caught_up()
    client = client_with("view_checkpoint", "view_deadletter")
    text = page(client, f"{CHECKPOINTS}stopping/change/")
    rows = rows_of(text, "eventstore-partitions")
    behind = partition_of(failed.value.stream_id, 3)
    assert [row[0] for row in rows] == ["1", "2", "3"]
    for number, (_, position, lag, _, worker, failure) in enumerate(rows, 1):
        if number == behind:
            assert position == str(failed.value.position - 1)
            assert re.fullmatch(r"\d events?, the oldest 0:00:\d\d ago", lag)
            assert failure.startswith(f"ZeroDivisionError at position {failed.value.position}: 'paid'")
        else:
            assert (position, lag, worker, failure) == ("4", "nothing", "-", "-")
    assert "secret" not in text
    assert 'field-number_of_partitions"' in text.replace(" ", "")
    listed = page(client, CHECKPOINTS)
    assert re.findall(r'<td class="field-number_of_partitions">([^<]+)</td>', listed) == ["1", "3"]
    plain = page(client, f"{CHECKPOINTS}paid_2Forders/change/")
    assert "eventstore-partitions" not in plain
    assert "each partition" not in plain.lower()
    assert "last known event" in plain.lower()


def test_the_list_shows_the_number_of_partitions_that_is_planned() -> None:
    with pytest.raises(ProjectionFailed):
        Worker(get_store(), stopping).run_until_caught_up()
    with pytest.raises(ProjectionBehind):
        ProjectionAdmin(get_store()).set_partitions("stopping", 8, timeout_seconds=0)
    listed = page(client_with("view_checkpoint"), CHECKPOINTS)
    assert re.findall(r'<td class="field-number_of_partitions">([^<]+)</td>', listed) == ["1", "3, soon 8"]


@pytest.mark.slow
def test_dead_letters_are_listed_by_status_with_links_to_events_and_no_payload() -> None:
    client = client_with(*PERMISSIONS)
    text = page(client, LETTERS)
    assert shown(text) == ["1", "2", "3"]
    assert "Pending dead letters of paid/orders" in text
    assert "3 pending" in text
    assert text.count("ZeroDivisionError") == 2
    assert text.count("follows another one") == 1
    assert "4111" not in text
    assert "<secret>" not in text
    ProjectionAdmin(get_store()).dead_letters.discard(NAME, 2, note="<b>a gift</b>")
    assert shown(page(client, LETTERS)) == ["1", "3"]
    response = client.get(f"{LETTERS}?status=discarded")
    assert "&lt;b&gt;a gift&lt;/b&gt;" in response.content.decode()
    assert shown(response.content.decode()) == ["2"]
    for wrong in ("?status=lost", "?after=x"):
        assert client.get(f"{LETTERS}{wrong}").status_code == 404
    assert client.get(f"{CHECKPOINTS}others/dead-letters/").status_code == 404


@pytest.mark.slow
def test_many_dead_letters_are_read_page_by_page() -> None:
    get_store().append("order-1", [NewEvent("paid") for _ in range(60)], expected_version=ANY)
    Worker(get_store(), projection).run_until_caught_up()
    client = client_with(*PERMISSIONS)
    first = page(client, LETTERS)
    (following,) = re.findall(r'<a href="([^"]+)" rel="next">', first)
    second = page(client, following)
    assert len(shown(first)) == 50
    assert [int(position) for position in shown(first) + shown(second)] == pending()
    assert f'<a href="{LETTERS}?status=pending">First page</a>' in second


@pytest.mark.slow
def test_a_stream_is_retried_after_a_question() -> None:
    client = client_with(*PERMISSIONS)
    question = page(client, f"{LETTERS}3/retry/")
    assert "order-1 (2)" in re.sub("<[^>]+>", "", question)
    assert pending() == [1, 2, 3]
    broken.clear()
    assert "2 dead letters of stream order-1 are resolved." in submit(client, f"{LETTERS}3/retry/")
    assert pending() == [2]
    assert "no pending dead letter at position 3 any more" in submit(client, f"{LETTERS}3/retry/")
    assert log() == ["Retried dead letters of stream 'order-1': 2 resolved"]
    numbers = apps.get_model("django_project", "Invoice").objects.order_by("number").values_list("number", flat=True)
    assert list(numbers) == [1, 3, 4]


@pytest.mark.slow
def test_what_fails_again_waits_and_those_before_it_are_resolved() -> None:
    """Each event is a transaction of its own, also with ATOMIC_REQUESTS."""
    client = client_with(*PERMISSIONS)
    broken.remove("order-1")
    apps.get_model("django_project", "Invoice").objects.create(number=3)  # which the handler creates, too
    with atomic_requests():
        text = submit(client, f"{LETTERS}1/retry/")
    assert "The event at position 3 has failed once now, with IntegrityError." in text
    assert pending() == [2, 3]
    assert log() == ["Retried dead letters of stream 'order-1': IntegrityError"]


def test_handlers_that_this_process_does_not_know_are_not_called() -> None:
    client = client_with(*PERMISSIONS)
    with override_settings(EVENTSTORE={}):
        assert 'is not in the setting EVENTSTORE["PROJECTIONS"]' in re.sub(
            "<[^>]+>", "", page(client, f"{LETTERS}1/retry/")
        )
        assert client.post(f"{LETTERS}1/retry/").status_code == 200
    assert pending() == [1, 2, 3]


@pytest.mark.slow
def test_a_dead_letter_is_discarded_after_a_question_with_a_note() -> None:
    client = client_with(*PERMISSIONS)
    assert "position 1" in re.sub("<[^>]+>", "", page(client, f"{LETTERS}1/discard/"))
    assert pending() == [1, 2, 3]
    assert "The dead letter at position 1 is discarded." in submit(client, f"{LETTERS}1/discard/", note=" a gift ")
    assert "no pending dead letter at position 1 any more" in submit(client, f"{LETTERS}1/discard/")
    (letter,) = ProjectionAdmin(get_store()).dead_letters.list(NAME, status=DeadLetterStatus.DISCARDED)
    assert (letter.position, letter.note, pending()) == (1, "a gift", [2, 3])
    assert log() == ["Discarded the dead letter at position 1"]
    assert "Note must be a string" in submit(client, f"{LETTERS}2/discard/", note="a\0b")


@pytest.mark.slow
@pytest.mark.parametrize("missing", PERMISSIONS)
def test_who_lacks_a_permission_can_not(missing: str) -> None:
    client = client_with(*[each for each in PERMISSIONS if each != missing])
    allowed = {
        "view_checkpoint": {LETTERS, f"{LETTERS}1/retry/", f"{LETTERS}1/discard/"},
        "view_deadletter": {CHECKPOINTS},
        "retry_deadletter": {CHECKPOINTS, LETTERS, f"{LETTERS}1/discard/"},
        "discard_deadletter": {CHECKPOINTS, LETTERS, f"{LETTERS}1/retry/"},
    }[missing]
    every = (CHECKPOINTS, LETTERS, f"{LETTERS}1/retry/", f"{LETTERS}1/discard/")
    assert {url for url in every if client.get(url).status_code == 200} == allowed
    assert {url for url in every if client.get(url).status_code == 403} == set(every) - allowed
    if missing in {"retry_deadletter", "discard_deadletter"}:
        action = missing.partition("_")[0]
        assert f"/{action}/" not in page(client, LETTERS)
        assert client.post(f"{LETTERS}1/{action}/").status_code == 403
        assert pending() == [1, 2, 3]


def test_a_form_of_another_site_is_refused_and_so_is_who_is_not_signed_in() -> None:
    client_with(*PERMISSIONS)
    careful = Client(enforce_csrf_checks=True)
    careful.force_login(get_user_model().objects.get(username="ada"))
    assert careful.post(f"{LETTERS}1/discard/").status_code == 403
    assert Client().post(f"{LETTERS}1/discard/").status_code == 302
    assert careful.delete(f"{LETTERS}1/discard/").status_code in {403, 405}
    assert pending() == [1, 2, 3]


def test_a_checkpoint_whose_event_is_gone_says_so() -> None:
    with get_store().transaction() as block, block.allow_history_changes(), connection.cursor() as cursor:
        cursor.execute("DELETE FROM es_events WHERE position = 4")
    assert "log went back: rebuild the projection" in page(client_with("view_checkpoint"), CHECKPOINTS)
