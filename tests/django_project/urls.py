from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.urls import path

from eventstore import ANY, NewEvent
from eventstore.contrib.django import get_store
from tests.django_project.models import Invoice


def write_and_fail(_request: HttpRequest) -> HttpResponse:
    write(1)
    raise RuntimeError("after both writes")


def write_both(_request: HttpRequest) -> HttpResponse:
    write(2)
    return HttpResponse("written")


def write(number: int) -> Any:
    Invoice.objects.create(number=number)
    return get_store().append(f"invoice-{number}", [NewEvent("invoiced", {"number": number})], expected_version=ANY)


urlpatterns = [path("admin/", admin.site.urls), path("fail/", write_and_fail), path("write/", write_both)]
