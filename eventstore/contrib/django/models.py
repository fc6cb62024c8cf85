"""The tables as Django models: for the admin, for your queries, for fixtures, and so that tests can empty them.

Only the store writes rows; these models refuse to. Fixtures are loaded by the rules in `fixtures`.
"""

from collections.abc import Iterable
from typing import Any, NoReturn

from django.db import models

from eventstore.contrib.django import fixtures
from eventstore.contrib.django.command_errors import command_errors
from eventstore.contrib.django.fields import HAS_COMPOSITE_KEYS, TimeField

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

    def _save_table(self, *arguments: Any, **options: Any) -> bool:
        """Load a row of a fixture, which Django saves by this method, past `save`.

        Raises:
            CommandError: It contradicts what is stored. The cause is an ImportConflict or FixtureConflict.
        """
        names = ("raw", "cls", "force_insert", "force_update", "using")
        given = {**dict(zip(names, arguments, strict=False)), **options}
        if not given.get("raw"):
            raise TypeError(_REFUSAL)
        with command_errors():
            if self.load(given["using"]):
                super()._save_table(raw=True, cls=given["cls"], force_insert=True, using=given["using"])
        return False

    def load(self, using: str) -> bool:
        """Load the row of a fixture, or check it; return whether Django is to insert it."""
        raise NotImplementedError


class Event(ReadOnlyModel):
    """An event. Its payload in `data` is encoded; read it by the store."""

    position = models.BigIntegerField(primary_key=True)
    stream = models.ForeignKey("Stream", models.DO_NOTHING, db_column="stream_id", related_name="events")
    version = models.BigIntegerField()
    category = models.CharField(max_length=255, serialize=False)
    event_type = models.CharField(max_length=255)
    event_id = models.UUIDField()
    recorded_at = TimeField()
    schema_version = models.IntegerField()
    codec = models.SmallIntegerField()
    data = models.BinaryField()
    metadata = models.JSONField(null=True)

    class Meta(ReadOnlyModel.Meta):
        db_table = "es_events"

    def __str__(self) -> str:
        return f"{self.event_type} ({self.stream_id}, version {self.version})"

    def load(self, using: str) -> bool:
        """Store the event at its position, and move the head of its stream."""
        fixtures.load_event(self, using)
        return False


class Stream(ReadOnlyModel):
    """A stream, with its current version. It is defined after its events, because fixtures have it after them."""

    stream_id = models.CharField(max_length=255, primary_key=True)
    category = models.CharField(max_length=255, serialize=False)
    version = models.BigIntegerField()
    created_at = TimeField()
    updated_at = TimeField()
    deleted_version = models.BigIntegerField(null=True)
    archived_version = models.BigIntegerField(null=True)
    after_position = models.BigIntegerField(default=0, serialize=False)

    class Meta(ReadOnlyModel.Meta):
        db_table = "es_streams"

    def __str__(self) -> str:
        return str(self.stream_id)

    def load(self, using: str) -> bool:
        """Compare the stream with the events, which have created it, and set its times."""
        fixtures.load_stream(self, using)
        return False


class Snapshot(ReadOnlyModel):
    """A snapshot. Its key is (stream, schema_version): before Django 5.2, find rows by both, not by `pk`."""

    if HAS_COMPOSITE_KEYS:
        pk = models.CompositePrimaryKey("stream_id", "schema_version")
        stream = models.ForeignKey(Stream, models.DO_NOTHING, db_column="stream_id", related_name="+")
    else:
        stream = models.OneToOneField(
            Stream, models.DO_NOTHING, db_column="stream_id", related_name="+", primary_key=True
        )
    schema_version = models.IntegerField()
    version = models.BigIntegerField()
    codec = models.SmallIntegerField()
    state = models.BinaryField()
    created_at = TimeField()

    class Meta(ReadOnlyModel.Meta):
        db_table = "snapshots"

    def __str__(self) -> str:
        return f"{self.stream_id}, version {self.version}"

    def load(self, using: str) -> bool:
        """Save the snapshot, unless there is a newer one."""
        fixtures.load_snapshot(self, using)
        return False


class Checkpoint(ReadOnlyModel):
    """The checkpoint of a projection."""

    name = models.CharField(max_length=255, primary_key=True)
    position = models.BigIntegerField()
    updated_at = TimeField()
    seen_at = TimeField(null=True)
    failed_at = TimeField(null=True)
    worker = models.TextField(null=True)
    failure = models.TextField(null=True)
    event_position = models.BigIntegerField(null=True)
    event_id = models.UUIDField(null=True)
    event_stream_id = models.CharField(max_length=255, null=True)
    event_version = models.BigIntegerField(null=True)
    started_after = models.BigIntegerField(default=0)
    outside_after = models.BigIntegerField(null=True)
    partitions = models.IntegerField(default=1)
    next_partitions = models.IntegerField(null=True)
    stop_position = models.BigIntegerField(null=True)
    partition_number = models.IntegerField(null=True)
    partition_of = models.CharField(max_length=255, null=True)

    class Meta(ReadOnlyModel.Meta):
        db_table = "es_checkpoints"

    def __str__(self) -> str:
        return str(self.name)

    def load(self, using: str) -> bool:
        """Return whether the projection has no checkpoint yet; refuse another one."""
        return fixtures.is_new(self, using, key=["name"], same=["position", "event_id"])


class DeadLetter(ReadOnlyModel):
    """An event that a projection could not handle. Its key is (projection, position): before Django 5.2, as above."""

    if HAS_COMPOSITE_KEYS:
        pk = models.CompositePrimaryKey("projection_id", "position")
    projection = models.ForeignKey(Checkpoint, models.DO_NOTHING, db_column="projection", related_name="dead_letters")
    position = models.BigIntegerField(primary_key=not HAS_COMPOSITE_KEYS)
    version = models.BigIntegerField()
    stream_id = models.CharField(max_length=255)
    event_type = models.CharField(max_length=255)
    event_id = models.UUIDField()
    status = models.CharField(max_length=255)
    attempts = models.IntegerField()
    first_failed_at = TimeField()
    last_failed_at = TimeField()
    closed_at = TimeField(null=True)
    error = models.TextField(null=True)
    note = models.TextField(null=True)

    class Meta(ReadOnlyModel.Meta):
        db_table = "es_dead_letters"
        permissions = (
            ("retry_deadletter", "Can retry dead letters"),
            ("discard_deadletter", "Can discard dead letters"),
        )

    def __str__(self) -> str:
        return f"{self.projection_id}, position {self.position}"

    def load(self, using: str) -> bool:
        """Return whether the projection has no such dead letter yet; refuse another one."""
        return fixtures.is_new(self, using, key=["projection_id", "position"], same=["event_id", "status"])


class EventTag(ReadOnlyModel):
    """A tag of an event. Its key is (tag, position): before Django 5.2, as above."""

    if HAS_COMPOSITE_KEYS:
        pk = models.CompositePrimaryKey("tag", "position")
    tag = models.CharField(max_length=255)
    position = models.BigIntegerField(primary_key=not HAS_COMPOSITE_KEYS)
    event_type = models.CharField(max_length=255)

    class Meta(ReadOnlyModel.Meta):
        db_table = "es_event_tags"

    def __str__(self) -> str:
        return f"position {self.position}"

    def load(self, using: str) -> bool:
        """Compare the tag with its event, which has stored it; return whether it is the row of a new generation."""
        return fixtures.load_tag(self, using)


class DetachedPart(ReadOnlyModel):
    """A part of the log that was detached, so that its events are not here any more."""

    first_position = models.BigIntegerField(primary_key=True)
    last_position = models.BigIntegerField()
    events = models.BigIntegerField()
    detached_at = TimeField()
    name = models.TextField()
    location = models.TextField(null=True)
    sha256 = models.TextField(null=True)

    class Meta(ReadOnlyModel.Meta):
        db_table = "es_detached_parts"

    def __str__(self) -> str:
        return str(self.name)

    def load(self, using: str) -> bool:
        """Return whether the part is not listed yet; refuse another one."""
        return fixtures.is_new(self, using, key=["first_position"], same=["last_position", "events", "location"])
