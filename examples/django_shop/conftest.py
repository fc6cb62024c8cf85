"""These tests need the shop's settings: pytest -c examples/django_shop/tests/pytest.ini examples/django_shop/tests.

In a run without them they are left to tests/test_django_shop_example.py, which starts that as a process of its own.
"""

import os

collect_ignore = [] if os.environ.get("DJANGO_SETTINGS_MODULE") == "django_shop.settings" else ["tests"]
