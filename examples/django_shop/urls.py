"""Addresses."""

from django.contrib import admin
from django.urls import path

from django_shop import views

urlpatterns = [
    path("", views.shop, name="shop"),
    path("orders/", views.place, name="place"),
    path("orders/<slug:order_id>/", views.history, name="history"),
    path("orders/<slug:order_id>/pay/", views.pay, name="pay"),
    path("orders/<slug:order_id>/cancel/", views.cancel, name="cancel"),
    path("admin/", admin.site.urls),
]
