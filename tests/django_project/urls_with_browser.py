"""The addresses of the project, with the browser of streams."""

from django.http import HttpRequest
from django.urls import path

from eventstore import Projection, Repository
from eventstore.contrib.browser import Browser
from eventstore.contrib.browser.django import browser_urls
from eventstore.contrib.django import get_store
from eventstore.projections import OnFailure
from tests.django_project.urls import urlpatterns as project_urls

tolerant = Projection("tolerant", on_failure=OnFailure.DEAD_LETTER, attempts=1, backoff_seconds=0)


@tolerant.on("broken")
def refuse(*_: object) -> None:
    raise ValueError("always")


def is_superuser(request: HttpRequest) -> bool:
    return bool(request.user.is_superuser)


browser = Browser(
    get_store,
    authorize=is_superuser,
    authorize_changes=is_superuser,
    login_url="/admin/login/",
    projections=[tolerant],
    repositories=lambda: [Repository(get_store(), category="order", initial=int, evolve=lambda count, _: count + 1)],
)

urlpatterns = [path("look/events/", browser_urls(browser)), *project_urls]
