"""A Django project: the one that the tests in this process use, since settings are global. See tests/fix_django.py."""
