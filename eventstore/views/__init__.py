"""Views that show events in SQL, one for each registered event class, with a column for each field.

They are for reports, BI tools and psql. They read es_events when they are queried, so they need no projection and are
never behind; and they promise no order, so a program that follows the log reads `EventStore.read_all`.
"""

from eventstore.views.applying import Counted, EventViews, ViewChange

__all__ = ["Counted", "EventViews", "ViewChange"]
