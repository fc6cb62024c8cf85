from dataclasses import dataclass
from typing import Any

from django.apps import apps
from django.db.models import F

from eventstore import EventTypes, RecordedEvent
from eventstore.projections import Projection

event_types = EventTypes()


@event_types.register("deposited")
@dataclass(frozen=True)
class Deposited:
    amount: int


totals = Projection("totals")


@totals.on("deposited")
def add(event: RecordedEvent, _connection: Any) -> None:
    total = apps.get_model("django_project", "Total")
    total.objects.get_or_create(name="all")
    total.objects.filter(name="all").update(amount=F("amount") + event.data.amount)
