"""Addresses."""

from django.contrib import admin
from django.urls import path

from django_shop import views
from django_shop.shop import orders
from eventstore.contrib.browser import Browser
from eventstore.contrib.browser.django import browser_urls
from eventstore.contrib.django import get_store

browser = Browser(
    get_store,
    authorize=lambda request: request.user.is_superuser,
    login_url="/admin/login/",
    repositories=lambda: [orders()],
    title="Events of the tea shop",
)

urlpatterns = [
    path("", views.shop, name="shop"),
    path("orders/", views.place, name="place"),
    path("orders/<slug:order_id>/", views.history, name="history"),
    path("orders/<slug:order_id>/pay/", views.pay, name="pay"),
    path("orders/<slug:order_id>/cancel/", views.cancel, name="cancel"),
    path("admin/", admin.site.urls),
    path("events/", browser_urls(browser)),
]
