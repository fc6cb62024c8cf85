"""The shop's commands: `flask --app examples/flask_shop start`."""

from threading import Thread

import click
from flask import current_app
from flask.cli import with_appcontext
from werkzeug.serving import run_simple

from eventstore import migrations
from eventstore.projections import Worker
from flask_shop.database import db, events
from flask_shop.read_models import customers


@click.command("create-tables")
@with_appcontext
def create_tables() -> None:
    """Create the tables of the event store, and the shop's own."""
    migrations.upgrade(db.engine)
    db.create_all()


@click.command()
@with_appcontext
def work() -> None:
    """Keep the table of customers, until SIGTERM or Ctrl-C."""
    Worker(events.store, customers).run_forever(handle_signals=True)


@click.command()
@click.option("--port", type=int, default=5000, show_default=True)
@with_appcontext
@click.pass_context
def start(context: click.Context, port: int) -> None:
    """Create the tables, and run the worker and the pages: for a look, not for production."""
    context.invoke(create_tables)
    worker = Worker(events.store, customers)
    thread = Thread(target=worker.run_forever)
    thread.start()
    try:
        run_simple("127.0.0.1", port, current_app._get_current_object(), threaded=True)  # type: ignore[attr-defined]  # noqa: SLF001  # documented by Werkzeug
    finally:
        worker.stop()
        thread.join()
