"""The app, for INSTALLED_APPS."""

from typing import Any

from django.apps import AppConfig
from django.core import checks
from django.core.exceptions import ImproperlyConfigured

from eventstore.contrib.django import configuration
from eventstore.contrib.django.store import forget_stores, get_store
from eventstore.errors import EventStoreError


class EventStoreConfig(AppConfig):
    """The app `eventstore`."""

    name = "eventstore.contrib.django"
    label = "eventstore"
    verbose_name = "Event store"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Register the check of the setting, and recreate stores when a test changes it."""
        from django.core.signals import setting_changed  # noqa: PLC0415  # sent by tests only

        checks.register(check)
        setting_changed.connect(_on_setting_changed, dispatch_uid="eventstore")


def check(**_: Any) -> list[checks.CheckMessage]:
    """Return the messages of `manage.py check` about the setting."""
    try:
        get_store()
        configuration.projections()
    except (ImproperlyConfigured, EventStoreError) as error:
        hint = f"See the how-to on Django: the setting {configuration.NAME}."
        return [checks.Error(str(error), hint=hint, id="eventstore.E001")]
    return []


def _on_setting_changed(*, setting: str, **_: Any) -> None:
    if setting in {configuration.NAME, "DATABASES"}:
        forget_stores()
