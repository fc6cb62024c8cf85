"""The signals of the app."""

from typing import Final

from django.dispatch import Signal

events_appended: Final = Signal()
"""Sent by `transaction.on_commit` after an append was committed, to wake a worker or to start a task.

Receivers get `using`, `stream_id`, and `version` and `position` of the last event. An error of a receiver goes to
Django's log (`django.dispatch`), since the events are stored already. The signal is lost if the process ends, so it is
no substitute for a projection.
"""
