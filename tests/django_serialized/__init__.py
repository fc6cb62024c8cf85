"""A Django project with a data migration that appends events, and tests that need them, for Django's own runner."""
