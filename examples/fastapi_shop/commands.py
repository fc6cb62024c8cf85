"""The shop's commands: `python -m fastapi_shop.commands create-tables`, and `python -m fastapi_shop.commands work`."""

import click

from eventstore import EventStore
from eventstore.projections import Worker
from fastapi_shop import database
from fastapi_shop.order import event_types
from fastapi_shop.read_models import customers


@click.group()
def main() -> None:
    """Prepare the database of the shop, or keep its table of customers."""


@main.command()
def create_tables() -> None:
    """Create the tables of the event store, and the shop's own."""
    database.create_tables(database.configured_url())


@main.command()
def work() -> None:
    """Keep the table of customers, until SIGTERM or Ctrl-C. A worker is synchronous, and a process of its own."""
    with EventStore.from_url(database.configured_url(), event_types=event_types) as store:
        Worker(store, customers).run_forever(handle_signals=True)


if __name__ == "__main__":
    main()
