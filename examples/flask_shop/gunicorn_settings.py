"""For gunicorn: `gunicorn -c examples/flask_shop/gunicorn_settings.py`."""

import os
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

pythonpath = str(Path(__file__).parent.parent)
wsgi_app = "flask_shop:create_app()"
bind = os.environ.get("BIND", "127.0.0.1:8000")
workers = int(os.environ.get("WEB_CONCURRENCY", "4"))
threads = 4
preload_app = True


def post_fork(server: Any, worker: Any) -> None:  # noqa: ARG001  # gunicorn's
    """Leave the parent's connections to it: two processes on one would read each other's results."""
    app = server.app.wsgi()
    with app.app_context():
        engine: Engine = app.extensions["sqlalchemy"].engine
        engine.dispose(close=False)
