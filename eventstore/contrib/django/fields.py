"""The fields of our tables that Django's own fields would read differently."""

from datetime import UTC, datetime
from typing import Any, Final

import django
from django.conf import settings
from django.db import models
from django.utils import timezone

HAS_COMPOSITE_KEYS: Final[bool] = django.VERSION >= (5, 2)
"""Whether this Django knows keys of several columns."""


class TimeField(models.DateTimeField):
    """A point in time, as Django represents it, whatever `USE_TZ`, `TIME_ZONE` and the database's time zone say.

    The store writes UTC. On SQLite, a time is a text without a zone, which Django takes for a local time if USE_TZ is
    off, or for one in the time zone of the database's settings.
    """

    def deconstruct(self) -> Any:
        """Be Django's field in migrations: the column is the same."""
        name, _, arguments, options = super().deconstruct()
        return name, "django.db.models.DateTimeField", arguments, options

    def from_db_value(self, value: Any, _expression: Any, connection: Any) -> Any:
        """Take the digits for UTC (SQLite)."""
        if value is None or connection.vendor != "sqlite":
            return value
        time = value.replace(tzinfo=UTC)
        return time if settings.USE_TZ else timezone.make_naive(time, timezone.get_default_timezone())

    def get_db_prep_value(self, value: Any, connection: Any, prepared: bool = False) -> Any:  # Django's
        """Return the text as the store writes it (SQLite)."""
        value = value if prepared else self.get_prep_value(value)
        if not isinstance(value, datetime) or connection.vendor != "sqlite":
            return super().get_db_prep_value(value, connection, prepared=True)
        return as_utc(value).replace(tzinfo=None).isoformat(" ", "microseconds")

    def value_from_object(self, obj: Any) -> Any:
        """Return text for a fixture, because JSON fixtures round times to milliseconds."""
        value = super().value_from_object(obj)
        return value.isoformat() if isinstance(value, datetime) else value

    def value_to_string(self, obj: Any) -> str:
        """Return the same text."""
        return self.value_from_object(obj) or ""


def as_utc(time: datetime) -> datetime:
    """Return a time of Django's in UTC. Without a zone, it is a local one."""
    aware: datetime = timezone.make_aware(time, timezone.get_default_timezone()) if timezone.is_naive(time) else time
    return aware.astimezone(UTC)
