"""What the app tells others."""

from typing import Final

from django.dispatch import Signal

events_appended: Final = Signal()
"""Sent when an append has been committed, by `transaction.on_commit`: wake a worker with it, or start a task.

Receivers get `using`, `stream_id`, `version` and `position`: those of the last event. What a receiver raises goes to
Django's log (`django.dispatch`): the events are stored already. It is lost with the process, so it is no substitute for
a projection.
"""
