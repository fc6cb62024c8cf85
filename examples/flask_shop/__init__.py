"""A small shop in Flask: orders are aggregates, and the pages read ordinary tables, written in the same transaction.

Start it, with its tables, its projection worker and its pages, on a SQLite file in the current folder:

    flask --app examples/flask_shop start

With DATABASE_URL=postgresql://user@host/database it runs on PostgreSQL. The parts by themselves, for gunicorn:

    flask --app examples/flask_shop create-tables
    flask --app examples/flask_shop work
    gunicorn -c examples/flask_shop/gunicorn_settings.py

With FLASK_BROWSER_PASSWORD=secret, /events/ shows what is stored to whoever knows the password.
"""

import os
from pathlib import Path

from flask import Flask
from sqlalchemy import make_url

from flask_shop.command_line import create_tables, start, work
from flask_shop.database import db, events
from flask_shop.looking import browser
from flask_shop.pages import pages


def create_app(url: str | None = None) -> Flask:
    """Return the application, on a database that is named by a URL, or by the environment."""
    app = Flask(__name__)
    url = url or os.environ.get("DATABASE_URL") or f"sqlite:///{Path.cwd() / 'flask_shop.db'}"
    database = make_url(url.replace("postgres://", "postgresql://", 1))
    if database.drivername == "postgresql":
        database = database.set(drivername="postgresql+psycopg")
    app.config["SQLALCHEMY_DATABASE_URI"] = database
    if database.drivername == "sqlite":
        app.config["SQLALCHEMY_ENGINE_OPTIONS"] = {"connect_args": {"timeout": 30}}
    app.config.from_prefixed_env()
    db.init_app(app)
    events.init_app(app)
    app.register_blueprint(pages)
    app.register_blueprint(browser, url_prefix="/events")
    for command in (create_tables, work, start):
        app.cli.add_command(command)
    return app
