"""`manage.py start`: the tables, the worker and the shop, with one command."""

import signal
import subprocess
import sys
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand


class Command(BaseCommand):
    """Starts the shop, to try it out. In production these are three things, each with an owner of its own."""

    help = "Migrate, run the projections in another process, and serve the shop until Ctrl-C."

    def add_arguments(self, parser: Any) -> None:
        """Take the address."""
        parser.add_argument("address", nargs="?", default="127.0.0.1:8000")

    def handle(self, *, address: str, **_: Any) -> None:
        """Start all of it."""
        settings.DEBUG = True
        signal.signal(signal.SIGTERM, lambda *_: sys.exit())  # so that the worker is stopped then, too
        call_command("migrate", verbosity=0)
        self.stdout.write(f"The shop is at http://{address}/, and its admin at http://{address}/admin/")
        self.stdout.write(f"(to look into the admin: {sys.argv[0]} createsuperuser)")
        self.stdout.flush()
        with subprocess.Popen([sys.executable, sys.argv[0], "run_projections"]) as worker:  # noqa: S603  # ourselves
            try:
                call_command("runserver", address, use_reloader=False)
            finally:
                worker.terminate()
