"""The event store as a Django app: on Django's own connection, in Django's own transactions.

Add `"eventstore.contrib.django"` to `INSTALLED_APPS`, run `manage.py migrate`, and append where you save your models:

Example:
    ```python
    with transaction.atomic():
        order = Order.objects.create(customer="Ada")
        get_store().append(f"order-{order.pk}", NewEvent("order-placed"), expected_version=NO_STREAM)
    ```
"""

from eventstore.contrib.django.engines import engine_of
from eventstore.contrib.django.signals import events_appended
from eventstore.contrib.django.store import DjangoEventStore, get_store

__all__ = ["DjangoEventStore", "engine_of", "events_appended", "get_store"]
