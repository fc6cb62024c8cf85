"""Times are those of the store, in the zone that Django is set to, also without zones (USE_TZ=False)."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.apps import apps
from django.contrib.auth import get_user_model
from django.db import connection
from django.test import Client

from eventstore import NO_STREAM, NewEvent
from eventstore.contrib.django import get_store
from eventstore.projections import Projection, Worker
from tests.fix_django import use_database

ZONE = ZoneInfo("Asia/Tokyo")


@pytest.fixture
def recorded_at(django_database: dict[str, Any]) -> datetime:
    return append()


def append() -> datetime:
    get_store().append("order-1", [NewEvent("placed")], expected_version=NO_STREAM)
    (event,) = get_store().read_all()
    Worker(get_store(), Projection("totals")).run_until_caught_up()
    return event.recorded_at


def found(**conditions: Any) -> int:
    return int(apps.get_model("eventstore", "Event").objects.filter(**conditions).count())


def read(model: str, field: str) -> datetime:
    time = apps.get_model("eventstore", model).objects.values_list(field, flat=True).get()
    assert isinstance(time, datetime)
    return time


@pytest.mark.slow
def test_without_zones_they_are_local(recorded_at: datetime, settings_of_time: Any) -> None:
    with settings_of_time(USE_TZ=False, TIME_ZONE="Asia/Tokyo"):
        local = recorded_at.astimezone(ZONE).replace(tzinfo=None)
        assert read("Event", "recorded_at") == local
        for model, field in (("Stream", "created_at"), ("Checkpoint", "updated_at")):
            assert abs(read(model, field) - local) < timedelta(hours=1)
        moment = timedelta(microseconds=1)
        assert found(recorded_at=local) == found(recorded_at__lte=local) == found(recorded_at__gt=local - moment) == 1
        assert found(recorded_at__lt=local) == found(recorded_at__gte=local + moment) == 0
        assert found(recorded_at__range=(local, local)) == found(recorded_at__in=[local]) == 1
        root = Client()
        root.force_login(get_user_model().objects.create_superuser("root"))
        assert f"{local:%Y-%m-%d %H:%M:%S.%f}" in root.get("/admin/eventstore/event/1/change/").content.decode()


@pytest.mark.slow
def test_with_zones_they_are_the_same_points_in_time(recorded_at: datetime, settings_of_time: Any) -> None:
    with settings_of_time(USE_TZ=True, TIME_ZONE="Asia/Tokyo"):
        assert read("Event", "recorded_at") == recorded_at
        assert found(recorded_at=recorded_at.astimezone(ZONE)) == 1
        assert found(recorded_at__lt=recorded_at.astimezone(ZONE)) == 0


def test_a_time_zone_of_the_database_does_not_change_them(django_sqlite: dict[str, Any], settings_of_time: Any) -> None:
    recorded_at = append()
    use_database({**django_sqlite, "TIME_ZONE": "Asia/Tokyo"})
    assert read("Event", "recorded_at") == recorded_at
    assert found(recorded_at=recorded_at) == 1


def test_a_whole_second_is_compared_with_fractions(django_sqlite: dict[str, Any]) -> None:
    """SQLite compares texts, and Django would leave out a fraction of zero."""
    with get_store().transaction() as block, block.allow_history_changes():
        block.append("order-1", [NewEvent("placed")], expected_version=NO_STREAM)
        connection.cursor().execute("UPDATE es_events SET recorded_at = '2025-01-02 03:04:05.000000'")
    second = datetime(2025, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert found(recorded_at=second) == found(recorded_at__lte=second) == 1
