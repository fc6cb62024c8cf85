"""Every SQL statement of the store, one function each. Statements for one database only are in its folder.

A function takes the tables and returns a SQLAlchemy Core construct, with named bind parameters for what varies from
call to call. A family of statements is a function that returns such a function, always the same one for the same
arguments. Nothing is executed here. A `Run` executes a function: `run(stream_version, stream_id="order-42")`.
`tests/golden/sql/` has the SQL of all statements as it is sent.
"""

from collections.abc import Callable

from sqlalchemy.sql import ClauseElement

from eventstore.tables import Tables

Statement = Callable[[Tables], ClauseElement]
"""A function that returns a statement for the tables."""
