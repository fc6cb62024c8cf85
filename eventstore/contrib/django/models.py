"""The tables as Django knows them: for the admin, for queries of yours, and to be emptied after tests.

Rows are written by the store only; these models refuse to.
"""

from collections.abc import Iterable
from typing import Any, NoReturn

from django.db import models

_REFUSAL = "these tables are written by the event store only: use get_store().append(…)"


class ReadOnlyQuerySet(models.QuerySet):
    """Reads. Django's own `flush` and its test cases empty tables by other means."""

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
    """A row that is read and not written."""

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
    """A stream: its current version."""

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
    """An event. What it says is in `data`, encoded: read it by the store."""

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
    """A saved state. The key is of two columns, which Django did not know before 5.2: find rows by both of them."""

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
    """A projection: how far it has come."""

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
    """An event that a projection could not handle. The key is (projection, position): find rows by both of them."""

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
