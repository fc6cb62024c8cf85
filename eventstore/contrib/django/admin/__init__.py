"""Streams, events and projections in Django's admin. Only dead letters can be changed: retried, or discarded."""

from eventstore.contrib.django.admin.events import EventAdmin
from eventstore.contrib.django.admin.projections import CheckpointAdmin
from eventstore.contrib.django.admin.streams import StreamAdmin

__all__ = ["CheckpointAdmin", "EventAdmin", "StreamAdmin"]
