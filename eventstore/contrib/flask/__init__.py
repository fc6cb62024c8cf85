"""The event store in Flask, inside the request's transaction, with or without Flask-SQLAlchemy."""

from eventstore.contrib.flask.extension import FlaskEventStore, current_session, current_store

__all__ = ["FlaskEventStore", "current_session", "current_store"]
