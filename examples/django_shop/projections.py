"""What the worker computes: manage.py run_projections."""

from typing import Any

from django.apps import apps
from django.db.models import F

from eventstore import EventFilter, RecordedEvent
from eventstore.contrib.django import get_store
from eventstore.projections import Projection

sales = Projection("sales", EventFilter(categories=["order"], event_types=["order-paid"]))


@sales.on("order-paid")
def add_sale(event: RecordedEvent, _connection: Any) -> None:
    """Count a paid order; committed together with how far the projection has come."""
    placed = next(get_store().read_stream(event.stream_id, limit=1)).data
    table = apps.get_model("django_shop", "Sales").objects
    row, _ = table.get_or_create(article=placed.article)
    table.filter(pk=row.pk).update(orders=F("orders") + 1, revenue=F("revenue") + event.data.amount)
