"""The app, for INSTALLED_APPS."""

from django.apps import AppConfig


class DjangoShopConfig(AppConfig):
    """The shop."""

    name = "django_shop"
    verbose_name = "Shop"
