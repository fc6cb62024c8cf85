"""Flask applications with the extension, and what their views do."""

from collections.abc import Callable
from typing import Any

from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import Engine, String, create_engine, func, select
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, scoped_session, sessionmaker
from werkzeug.test import TestResponse

from eventstore import NO_STREAM, EventStore, NewEvent
from eventstore.contrib.flask import FlaskEventStore, current_session, current_store

PLACED = [NewEvent("order-placed", {"total": 30})]


class Base(DeclarativeBase):
    pass


class Invoice(Base):
    __tablename__ = "invoices"

    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[str] = mapped_column(String(255))


Made = tuple[Flask, Engine]


def with_flask_sqlalchemy(url: str, events: FlaskEventStore) -> tuple[Flask, Engine]:
    app = Flask(__name__)
    app.config["SQLALCHEMY_DATABASE_URI"] = url
    db = SQLAlchemy(app)
    events.init_app(app)
    with app.app_context():
        return app, db.engine


def with_own_session(url: str, _: FlaskEventStore) -> tuple[Flask, Engine]:
    """Use a session of the application's own, made and removed as Flask's documentation shows."""
    app = Flask(__name__)
    engine = create_engine(url)
    session = scoped_session(sessionmaker(engine))
    FlaskEventStore(app, session=session)

    @app.teardown_appcontext
    def remove(_: BaseException | None) -> None:
        session.remove()

    return app, engine


def with_kept_session(url: str, events: FlaskEventStore, **config: Any) -> tuple[Flask, Engine]:
    """Let the extension keep a session for each context."""
    app = Flask(__name__)
    app.config["EVENTSTORE_URL"] = url
    app.config.update(config)
    events.init_app(app)
    with app.app_context():
        return app, events.store.engine


def orders_and_invoices(engine: Engine) -> tuple[int, int]:
    """Return the version of the order, and how many invoices there are, as others see them."""
    with engine.connect() as connection:
        invoices = connection.execute(select(func.count()).select_from(Invoice)).scalar_one()
    return EventStore(engine).stream_version("order-1"), invoices


def write(stream_id: str = "order-1") -> None:
    current_session.add(Invoice(order_id=stream_id))
    current_store.append(stream_id, PLACED, expected_version=NO_STREAM)


def respond(app: Flask, view: Callable[[], Any], method: str = "POST", **request: Any) -> TestResponse:
    """Let a new client send a request to a view."""
    app.add_url_rule("/orders", view_func=view, methods=["GET", "POST"])
    return app.test_client().open("/orders", method=method, **request)


def close(events: FlaskEventStore, app: Flask) -> None:
    with app.app_context():
        events.store.close()
