"""Every SQL statement of the store, one function each; what one database alone is sent, in the folder of its name.

A function takes the tables and returns a SQLAlchemy Core construct; what varies from call to call is a named bind
parameter. A family is a function that returns such a function, the same one for the same arguments. Nothing is executed
here: a function is passed to where statements run, `run(stream_version, stream_id="order-42")`. `tests/golden/sql/` has
all of them as they are sent.
"""

from collections.abc import Callable

from sqlalchemy.sql import ClauseElement

from eventstore.tables import Tables

Statement = Callable[[Tables], ClauseElement]
"""A statement, once it is given the tables."""
