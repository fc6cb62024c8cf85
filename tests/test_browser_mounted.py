"""The browser within Flask and Django: behind their logins, at any path, with forms that bring their own token."""

import re
from collections.abc import Callable, Iterator
from html import unescape
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.contrib.auth import get_user_model
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest
from django.test import Client as DjangoClient
from django.test.utils import override_settings
from flask import Flask, abort, g, request
from sqlalchemy import Engine
from werkzeug.datastructures import WWWAuthenticate
from werkzeug.test import Client

from eventstore import EventStore, NewEvent, Projection, Repository, Worker
from eventstore.contrib.browser import Browser
from eventstore.contrib.browser.django import browser_urls
from eventstore.contrib.browser.flask import browser_blueprint
from eventstore.contrib.django import get_store
from eventstore.projections import OnFailure

tolerant = Projection("tolerant", on_failure=OnFailure.DEAD_LETTER, attempts=1, backoff_seconds=0)


@tolerant.on("broken")
def refuse(*_: object) -> None:
    raise ValueError("always")


def with_dead_letter(store: EventStore) -> None:
    store.append("order-1", [NewEvent("placed", {"n": 1}), NewEvent("broken", {"n": 2})], expected_version=0)
    Worker(store, tolerant).run_until_caught_up()


def everybody(_request: object) -> bool:
    return True


def pages_below(get: Callable[[str], Any], start: str) -> set[str]:
    """Follow all links, which must lead to pages below the start, and return the paths of the pages."""
    todo, seen, paths = [start], set(), set()
    while todo:
        url = todo.pop()
        if url in seen:
            continue
        seen.add(url)
        response = get(url)
        assert response.status_code == 200, (url, response.status_code)
        paths.add(urlsplit(url).path.removeprefix(start.rstrip("/")))
        body = response.data if hasattr(response, "data") else response.content
        for link in re.findall(r'(?:href|action|src)="([^"]*)"', body.decode()):
            assert link.startswith((start, "#")), link
        todo += [
            unescape(link) for link in re.findall(r'<a [^>]*href="([^"#]*)"', body.decode()) if not link.startswith("#")
        ]
    return paths


def discard(get: Callable[[str], Any], post: Callable[[str, dict[str, str]], Any], root: str) -> tuple[int, int, str]:
    """Discard the dead letter without a token, with a wrong one and with the right one, and return the answers."""
    page = get(f"{root}/dead-letter?projection=tolerant&position=2")
    body = (page.data if hasattr(page, "data") else page.content).decode()
    (token,) = set(re.findall(r'name="csrf_token" value="([^"]+)"', body))
    form = {"projection": "tolerant", "position": "2", "note": "seen"}
    url = f"{root}/dead-letter/discard"
    return (
        post(url, form).status_code,
        post(url, form | {"csrf_token": "x" * len(token)}).status_code,
        post(url, form | {"csrf_token": token}).headers["Location"],
    )


# --- Flask


@pytest.fixture
def flask_app(sqlite_engine: Engine) -> Flask:
    store = EventStore(sqlite_engine)
    with_dead_letter(store)
    app = Flask(__name__)
    app.secret_key = "of tests"  # noqa: S105  # it guards nothing
    orders = Repository(store, category="order", initial=int, evolve=lambda count, _: count + 1)
    browser = Browser(
        lambda: store, authorize=may_look, authorize_changes=everybody, projections=[tolerant], repositories=[orders]
    )
    app.register_blueprint(browser_blueprint(browser), url_prefix="/admin/events")
    return app


def may_look(request: Any) -> bool:
    g.asked = True  # within the request of Flask
    if request.authorization is None:
        abort(401, www_authenticate=WWWAuthenticate("basic", {"realm": "events"}))
    return bool(request.authorization.username == "ada")


@pytest.mark.slow
def test_flask_shows_it_behind_its_login(flask_app: Flask) -> None:
    client = flask_app.test_client()
    answer = client.get("/admin/events/")
    assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Basic realm=events")
    assert client.get("/admin/events/", auth=("bob", "")).status_code == 403
    assert client.get("/admin/events", auth=("ada", "")).status_code == 308
    paths = pages_below(lambda url: client.get(url, auth=("ada", "")), "/admin/events/")
    assert {"/", "/log", "/stream", "/event", "/state", "/health", "/projections", "/dead-letter"} <= paths


def test_flask_keeps_its_place_below_another_application(flask_app: Flask) -> None:
    client = Client(flask_app)
    page = client.get("/admin/events/log", base_url="http://localhost/s hop/", auth=("ada", ""))
    assert page.status_code == 200
    assert 'href="/s%20hop/admin/events/log"' in page.text


@pytest.mark.parametrize("reads_form_first", [False, True])
def test_a_form_in_flask_needs_its_token(flask_app: Flask, reads_form_first: bool) -> None:
    if reads_form_first:
        flask_app.before_request(read_form)
    client = flask_app.test_client()
    answers = discard(
        lambda url: client.get(url, auth=("ada", "")),
        lambda url, form: client.post(url, data=form, auth=("ada", "")),
        "/admin/events",
    )
    assert answers[:2] == (403, 403)
    assert answers[2].startswith("/admin/events/dead-letter?projection=tolerant&position=2&done=discarded")


def read_form() -> None:
    """Do what extensions such as Flask-WTF do before each request."""
    len(request.form)


def test_a_form_that_another_site_has_sent_is_refused(sqlite_engine: Engine) -> None:
    store = EventStore(sqlite_engine)
    with_dead_letter(store)
    client = Client(Browser(store, authorize=everybody, authorize_changes=everybody, projections=[tolerant]))
    page = client.get("/dead-letter?projection=tolerant&position=2")
    assert "; HttpOnly; Path=/; SameSite=Strict" in page.headers["Set-Cookie"]
    (token,) = set(re.findall(r'name="csrf_token" value="([^"]+)"', page.text))
    form = {"projection": "tolerant", "position": "2", "csrf_token": token}
    for origin, status in (("http://evil.example", 403), ("null", 403), ("http://localhost", 303)):
        assert client.post("/dead-letter/retry", data=form, headers={"Origin": origin}).status_code == status
    others = Client(Browser(store, authorize=everybody, projections=[tolerant]))
    for url in ("/dead-letter/retry", "/dead-letter/discard"):
        assert others.post(url, data=form).status_code == 403
    assert '<form method="post"' not in others.get("/dead-letter?projection=tolerant&position=2").text


# --- Django


WITH_BROWSER = "tests.django_project.urls_with_browser"

in_django = pytest.mark.usefixtures("django_database")


@pytest.fixture
def with_browser(django_database: dict[str, Any]) -> Iterator[None]:
    """Mount the browser in the project, which checks forms as Django does."""
    middleware = [
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.messages.middleware.MessageMiddleware",
    ]
    with override_settings(ROOT_URLCONF=WITH_BROWSER, MIDDLEWARE=middleware):
        yield


@pytest.fixture
def superuser() -> Any:
    return get_user_model().objects.create_superuser("ada", password="")


def logged_in(user: Any) -> DjangoClient:
    client = DjangoClient(enforce_csrf_checks=True)
    client.force_login(user)
    return client


@pytest.mark.slow
@in_django
@pytest.mark.usefixtures("with_browser")
def test_django_shows_it_behind_its_login(superuser: Any) -> None:
    with_dead_letter(get_store())
    answer = DjangoClient().get("/look/events/stream?id=order-1")
    target = urlsplit(answer.headers["Location"])
    assert (answer.status_code, target.path) == (302, "/admin/login/")
    assert parse_qs(target.query) == {"next": ["/look/events/stream?id=order-1"]}
    viewer = get_user_model().objects.create_user("bob", password="", is_staff=True)
    assert logged_in(viewer).get("/look/events/").status_code == 302
    client = logged_in(superuser)
    paths = pages_below(client.get, "/look/events/")
    assert {"/", "/log", "/stream", "/event", "/state", "/health", "/projections", "/dead-letter"} <= paths
    page = client.get("/look/events/")
    assert page.headers["Cache-Control"] == "no-store"
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]


@in_django
@pytest.mark.usefixtures("with_browser")
def test_a_form_in_django_needs_its_token(superuser: Any) -> None:
    with_dead_letter(get_store())
    client = logged_in(superuser)
    answers = discard(client.get, client.post, "/look/events")
    assert answers[:2] == (403, 403)
    assert answers[2].startswith("/look/events/dead-letter?projection=tolerant&position=2&done=discarded")


@in_django
@pytest.mark.usefixtures("with_browser")
def test_django_checks_the_host(superuser: Any) -> None:
    client = logged_in(superuser)
    with override_settings(ALLOWED_HOSTS=["shop.example"]):
        assert client.get("/look/events/", headers={"host": "shop.example"}).status_code == 200
        assert client.get("/look/events/", headers={"host": "evil.example"}).status_code == 400


@in_django
def test_django_gets_its_requests_by_asgi_too() -> None:
    get_store().append("größe/1", NewEvent("placed"), expected_version=0)
    seen: list[HttpRequest] = []

    def look(request: HttpRequest) -> bool:
        seen.append(request)
        return True

    ((pattern,), _, _) = browser_urls(Browser(get_store, authorize=look))
    scope = {
        "type": "http", "method": "GET", "path": "/é/stream", "query_string": b"id=gr%C3%B6%C3%9Fe%2F1",
        "headers": [(b"host", b"testserver")], "root_path": "", "scheme": "https", "server": ("testserver", 443),
    }  # fmt: skip
    request = ASGIRequest(scope, None)
    answer = pattern.callback(request, path="stream")
    assert answer.status_code == 200
    assert "größe/1" in answer.content.decode()
    assert 'href="/%C3%A9/log"' in answer.content.decode()
    assert seen == [request]


@in_django
def test_the_admin_links_to_it_if_it_is_mounted(superuser: Any) -> None:
    from eventstore.contrib.django.admin.lists import browser_url  # noqa: PLC0415  # needs settings

    get_store().append("a/b 1", NewEvent("placed"), expected_version=0)
    link = "/look/events/stream?id=a%2Fb+1"
    event_page = "/admin/eventstore/event/1/change/"
    with override_settings(ROOT_URLCONF=WITH_BROWSER):
        client = logged_in(superuser)
        assert f'href="{link}"' in client.get("/admin/eventstore/stream/a_2Fb%201/change/").content.decode()
        assert 'href="/look/events/event?stream=a%2Fb+1&amp;version=1"' in client.get(event_page).content.decode()
        assert browser_url("") == "/look/events/"
    assert browser_url("") is None
    assert "look/events" not in logged_in(superuser).get(event_page).content.decode()
