"""Pages and forms."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any
from uuid import uuid4

from django import forms
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.functional import SimpleLazyObject
from django.views.decorators.http import require_GET, require_POST

from django_shop import shop as orders
from django_shop.models import OrderSummary, Sales
from django_shop.orders import OrderPlaced, OrderRefused
from eventstore import AggregateNotFound, metadata_context
from eventstore.contrib.django import get_store

PRICES = {"tea": Decimal("4.20"), "teapot": Decimal("24.90"), "kettle": Decimal("39.00")}
LATEST = 50


class OrderForm(forms.Form):
    """An order. Its number is made with the form, so that to send the form twice is to order once."""

    order_id = forms.SlugField(max_length=40, widget=forms.HiddenInput)
    customer = forms.CharField(max_length=100)
    article = forms.ChoiceField(choices=[(name, f"{name}, {price} EUR") for name, price in PRICES.items()])
    quantity = forms.IntegerField(min_value=1, max_value=1000, initial=1)


@require_GET
def shop(request: HttpRequest) -> HttpResponse:
    """Show the latest orders, a form for a new one, and what was sold."""
    return _shop(request, OrderForm(initial={"order_id": uuid4()}))


def _shop(request: HttpRequest, form: OrderForm, status: int = 200) -> HttpResponse:
    shown = {
        "form": form,
        "orders": OrderSummary.objects.order_by("-changed_at")[:LATEST],
        "sales": Sales.objects.order_by("article"),
    }
    return render(request, "django_shop/shop.html", shown, status=status)


@require_POST
def place(request: HttpRequest) -> HttpResponse:
    """Place an order."""
    form = OrderForm(request.POST)
    if not form.is_valid():
        return _shop(request, form, status=400)
    data = form.cleaned_data
    placed = OrderPlaced(data["customer"], data["article"], data["quantity"], PRICES[data["article"]])
    return _done(request, data["order_id"], lambda: orders.place(data["order_id"], placed), "The order is placed.")


@require_POST
def pay(request: HttpRequest, order_id: str) -> HttpResponse:
    """Pay an order."""
    return _done(request, order_id, lambda: orders.pay(order_id), "The order is paid.")


@require_POST
def cancel(request: HttpRequest, order_id: str) -> HttpResponse:
    """Cancel an order."""
    reason = request.POST.get("reason", "").strip()[:200] or "no reason given"
    return _done(request, order_id, lambda: orders.cancel(order_id, reason), "The order is cancelled.")


def _done(request: HttpRequest, order_id: str, command: Callable[[], Any], told: str) -> HttpResponse:
    who = request.user.get_username() or "a customer"
    try:
        with metadata_context(user=who, address=request.path):
            command()
    except OrderRefused as refused:
        return render(request, "django_shop/refused.html", {"why": str(refused)}, status=409)
    messages.success(request, told)
    return redirect("history", order_id=order_id)


@require_GET
def history(request: HttpRequest, order_id: str) -> HttpResponse:
    """Show an order, and all that has happened to it."""
    try:
        order = orders.orders().load(order_id)
    except AggregateNotFound:
        raise Http404 from None
    events = SimpleLazyObject(lambda: list(get_store().read_stream(order.stream_id, upcast=False)))
    shown = {"order_id": order_id, "order": order.state, "version": order.version, "events": events}
    return render(request, "django_shop/history.html", shown)
