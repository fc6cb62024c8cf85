"""The event store in Flask: inside the request's own transaction, with Flask-SQLAlchemy or without."""

from eventstore.contrib.flask.extension import FlaskEventStore, current_session, current_store

__all__ = ["FlaskEventStore", "current_session", "current_store"]
