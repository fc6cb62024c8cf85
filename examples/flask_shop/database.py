"""The database of the shop, and the event store in it."""

from flask_sqlalchemy import SQLAlchemy

from eventstore.contrib.flask import FlaskEventStore
from flask_shop.order import event_types

db = SQLAlchemy()
events = FlaskEventStore(event_types=event_types)
