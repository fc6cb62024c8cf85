"""Definitions that tests of the command line import by name."""

from sqlalchemy import Connection, text

from eventstore import EventFilter, EventTypes, RecordedEvent
from eventstore.projections import OnFailure, Projection

event_types = EventTypes()


def counting(name: str, table: str, *, takes_words: bool) -> Projection:
    """Return a projection that adds up prices; a word for a price is a poison event, unless it takes words."""
    projection = Projection(name, EventFilter(event_types=["item-added"]), on_failure=OnFailure.DEAD_LETTER)

    @projection.on("item-added")
    def add(event: RecordedEvent, connection: Connection) -> None:
        price = 5 if takes_words and event.data["price"] == "five" else int(event.data["price"])
        connection.execute(text(f"INSERT INTO {table} VALUES (:price)"), {"price": price})

    return projection


totals = counting("totals", "totals", takes_words=False)
mended = counting("totals", "totals", takes_words=True)


def rebuilt() -> Projection:
    """Make the one that is run beside the old one."""
    return counting("totals-rebuilt", "totals_rebuilt", takes_words=True)


def empty(connection: Connection) -> None:
    """Empty the table."""
    connection.execute(text("DELETE FROM totals"))


def swap(connection: Connection) -> None:
    """Put the new table in the place of the old one."""
    connection.execute(text("DROP TABLE totals"))
    connection.execute(text("ALTER TABLE totals_rebuilt RENAME TO totals"))
