#!/usr/bin/env python
"""Django's command of this project.

Run it:                 python examples/django_shop/manage.py start
On PostgreSQL:          DATABASE_URL=postgresql://user@host/database python examples/django_shop/manage.py start
Its tests:              python examples/django_shop/manage.py test django_shop
"""

import os
import sys
from pathlib import Path

from django.core.management import execute_from_command_line

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).parent.parent)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "django_shop.settings")
    execute_from_command_line(sys.argv)
