"""Every SQL statement of the store, one function each.

A function takes the tables and returns a SQLAlchemy Core construct; what varies from call to call is a named bind
parameter. Nothing is executed here: a function is passed to where statements run, `run(stream_version,
stream_id="order-42")`. `tests/golden/sql/` has all of them as they are sent.
"""
