"""A small shop in Django that keeps its orders as events. To start it: python examples/django_shop/manage.py start."""
