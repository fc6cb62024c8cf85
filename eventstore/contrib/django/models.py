"""The tables as Django models: for the admin, for your queries, and so that tests can empty them.

Only the store writes rows; these models refuse to.
"""

from collections.abc import Iterable
from typing import Any, NoReturn

from django.db import models

_REFUSAL = "only the event store writes to these tables: use get_store().append(…)"


class ReadOnlyQuerySet(models.QuerySet):
    """Reads only. Django's `flush` and its test cases empty tables without a queryset."""

    def create(self, **_: Any) -> NoReturn:
        """Refuse."""
        raise TypeError(_REFUSAL)

    def bulk_create(self, _objects: Iterable[Any], *_arguments: Any, **_options: Any) -> NoReturn:
        """Refuse."""
        raise TypeError(_REFUSAL)

    def update(self, **_: Any) -> NoReturn:
        """Refuse."""
        raise TypeError(_REFUSAL)

    def delete(self) -> NoReturn:
        """Refuse."""
        raise TypeError(_REFUSAL)


class ReadOnlyModel(models.Model):
    """A read-only row."""

    objects = ReadOnlyQuerySet.as_manager()

    class Meta:
        abstract = True
        default_permissions = ("view",)

    def save(self, *_: Any, **__: Any) -> NoReturn:
        """Refuse."""
        raise TypeError(_REFUSAL)

    def delete(self, *_: Any, **__: Any) -> NoReturn:
        """Refuse."""
        raise TypeError(_REFUSAL)


class Stream(ReadOnlyModel):
    """A stream, with its current version."""

    stream_id = models.CharField(max_length=255, primary_key=True)
    category = models.CharField(max_length=255)
    version = models.BigIntegerField()
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()

    class Meta(ReadOnlyModel.Meta):
        db_table = "es_streams"

    def __str__(self) -> str:
        return str(self.stream_id)


class Event(ReadOnlyModel):
    """An event. Its payload in `data` is encoded; read it by the store."""

    position = models.BigIntegerField(primary_key=True)
    stream = models.ForeignKey(Stream, models.DO_NOTHING, db_column="stream_id", related_name="events")
    version = models.BigIntegerField()
    category = models.CharField(max_length=255)
    event_type = models.CharField(max_length=255)
    event_id = models.UUIDField()
    recorded_at = models.DateTimeField()
    schema_version = models.IntegerField()
    codec = models.SmallIntegerField()
    data = models.BinaryField()
    metadata = models.JSONField(null=True)

    class Meta(ReadOnlyModel.Meta):
        db_table = "es_events"

    def __str__(self) -> str:
        return f"{self.event_type} ({self.stream_id}, version {self.version})"


class Snapshot(ReadOnlyModel):
    """A snapshot. Its key has two columns, which Django supports only from 5.2 on, so find rows by both."""

    stream = models.OneToOneField(Stream, models.DO_NOTHING, db_column="stream_id", primary_key=True)
    schema_version = models.IntegerField()
    version = models.BigIntegerField()
    codec = models.SmallIntegerField()
    state = models.BinaryField()
    created_at = models.DateTimeField()

    class Meta(ReadOnlyModel.Meta):
        db_table = "snapshots"

    def __str__(self) -> str:
        return f"{self.stream_id}, version {self.version}"


class Checkpoint(ReadOnlyModel):
    """The checkpoint of a projection."""

    name = models.CharField(max_length=255, primary_key=True)
    position = models.BigIntegerField()
    updated_at = models.DateTimeField()
    seen_at = models.DateTimeField(null=True)
    failed_at = models.DateTimeField(null=True)
    worker = models.TextField(null=True)
    failure = models.TextField(null=True)
    event_position = models.BigIntegerField(null=True)
    event_id = models.UUIDField(null=True)
    event_stream_id = models.CharField(max_length=255, null=True)
    event_version = models.BigIntegerField(null=True)

    class Meta(ReadOnlyModel.Meta):
        db_table = "es_checkpoints"

    def __str__(self) -> str:
        return str(self.name)


class DeadLetter(ReadOnlyModel):
    """An event that a projection could not handle. Its key is (projection, position), so find rows by both."""

    projection = models.OneToOneField(Checkpoint, models.DO_NOTHING, db_column="projection", primary_key=True)
    position = models.BigIntegerField()
    version = models.BigIntegerField()
    stream_id = models.CharField(max_length=255)
    event_type = models.CharField(max_length=255)
    event_id = models.UUIDField()
    status = models.CharField(max_length=255)
    attempts = models.IntegerField()
    first_failed_at = models.DateTimeField()
    last_failed_at = models.DateTimeField()
    closed_at = models.DateTimeField(null=True)
    error = models.TextField(null=True)
    note = models.TextField(null=True)

    class Meta(ReadOnlyModel.Meta):
        db_table = "es_dead_letters"

    def __str__(self) -> str:
        return f"{self.projection_id}, position {self.position}"
