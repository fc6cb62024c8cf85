"""The extension, which gives an application its store and session."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from flask import Flask, current_app
from sqlalchemy.orm import scoped_session
from werkzeug.local import LocalProxy

from eventstore.codecs import Codec
from eventstore.contrib.flask.database import Database, Settings, open_database
from eventstore.contrib.flask.request_metadata import RequestMetadata
from eventstore.correlation import add_metadata_provider
from eventstore.errors import ExtraMissing, InvalidInput
from eventstore.event_types import EventTypes
from eventstore.store import EventStore

_EXTENSION: Final = "eventstore"
_DEFAULT_PREFIX: Final = "EVENTSTORE"


@dataclass(frozen=True, slots=True)
class _Installation:
    """What one extension has given one application."""

    database: Database
    metadata: RequestMetadata


class FlaskEventStore:
    """Gives Flask applications an event store that works in the session of the request.

    With Flask-SQLAlchemy it joins `db.session`: one connection and one transaction, which the application commits or
    rolls back. `EVENTSTORE_BIND_KEY` chooses one of several databases. Without Flask-SQLAlchemy, the extension keeps a
    SQLAlchemy session for each application context. The application commits that, too; what is not committed when the
    context ends is rolled back.

    Views use `current_store` and `current_session`. An application with several stores has an extension for each, with
    a `config_prefix`; `current` and `session` are its store and session.

    Args:
        app: The application. Defaults to None: call `init_app` later.
        session: The application's `scoped_session`, which it commits and removes itself. Defaults to that of
            Flask-SQLAlchemy, unless `EVENTSTORE_URL` is configured.
        user: Returns the id of the user who sent the request, or None; it becomes `user_id` in the metadata. It is
            called at each append inside a request, so the user may log in during the request.
        metadata: Returns more metadata; called at each append inside a request, too.
        event_types: As for `EventStore`.
        codec: As for `EventStore`.
        also_reads: As for `EventStore`.
        config_prefix: The prefix of the configuration keys.

    Example:
        ```python
        db = SQLAlchemy()
        events = FlaskEventStore(event_types=event_types, user=lambda: session.get("user_id"))


        def create_app():
            app = Flask(__name__)
            app.config.from_prefixed_env()
            db.init_app(app)
            events.init_app(app)
            return app
        ```
    """

    def __init__(
        self,
        app: Flask | None = None,
        *,
        session: scoped_session[Any] | None = None,
        user: Callable[[], str | int | None] | None = None,
        metadata: Callable[[], Mapping[str, Any]] | None = None,
        event_types: EventTypes | None = None,
        codec: Codec | None = None,
        also_reads: Iterable[Codec] = (),
        config_prefix: str = _DEFAULT_PREFIX,
    ) -> None:
        if session is not None and not isinstance(session, scoped_session):
            msg = f"session must be a scoped_session of SQLAlchemy such as db.session, not {type(session).__name__}"
            raise InvalidInput(msg)
        for name, function in (("user", user), ("metadata", metadata)):
            if function is not None and not callable(function):
                msg = f"{name} must be a function, called at each append, not {type(function).__name__}"
                raise InvalidInput(msg)
        if not config_prefix.isupper():
            msg = "config_prefix must be in upper case, such as AUDIT for AUDIT_URL, because Flask ignores other keys"
            raise InvalidInput(msg)
        self._session = session
        self._user = user
        self._metadata = metadata
        self._prefix = config_prefix
        self._store_arguments: dict[str, Any] = {
            "event_types": event_types,
            "codec": codec,
            "also_reads": tuple(also_reads),
        }
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Give the application a store. Call it after the configuration and after `init_app` of Flask-SQLAlchemy.

        It does not connect. `flask eventstore migrate` creates the tables.

        Configuration keys, here with the default prefix, all of them optional with Flask-SQLAlchemy:
            `EVENTSTORE_BIND_KEY`: The name of the database in `SQLALCHEMY_BINDS` that the store uses, in the
                transaction that `db.session` has on it. Defaults to the database of `SQLALCHEMY_DATABASE_URI`.
            `EVENTSTORE_URL`: The URL of a separate database for the store, as for `EventStore.from_url`, instead of
                that of Flask-SQLAlchemy.
            `EVENTSTORE_ENGINE_OPTIONS`: Options for the engine of that URL, as for `EventStore.from_url`.
            `EVENTSTORE_COMMIT_ON_SUCCESS`: Commit the session that the extension keeps at the end of a request whose
                response is not an error (its status is below 400), before the response is sent. Defaults to false.
            `EVENTSTORE_SCHEMA`, `EVENTSTORE_NOTIFY`, `EVENTSTORE_COMPRESS_ABOVE`, `EVENTSTORE_PAGE_SIZE`,
                `EVENTSTORE_LOCK_TIMEOUT_SECONDS`: As for `EventStore`.
            `EVENTSTORE_REQUEST_ID_HEADER`: The header whose value becomes the correlation id. Defaults to
                `X-Request-ID`; if empty, each request gets a random id.

        Raises:
            InvalidInput: The application has this extension already, or its configuration is not valid.
            UnsupportedDatabase: The database is neither PostgreSQL with psycopg 3 nor SQLite.
            DriverMissing: It is PostgreSQL, and psycopg is not installed.
        """
        installations: dict[str, _Installation] = app.extensions.setdefault(_EXTENSION, {})
        if self._prefix in installations:
            msg = f"this application has an event store with the prefix {self._prefix} already; pass another prefix"
            raise InvalidInput(msg)
        settings = Settings(app, self._prefix)
        with app.app_context():
            database = open_database(settings, self._session, {**self._store_arguments, **settings.options()})
        header = settings.get("REQUEST_ID_HEADER", "X-Request-ID")
        installations[self._prefix] = _Installation(database, RequestMetadata(header, self._user, self._metadata))
        if len(installations) == 1:
            app.before_request(_add_request_metadata)
        with suppress(ExtraMissing):  # without the extra there is no command
            from eventstore.cli import make_group  # noqa: PLC0415  # needs an extra

            app.cli.add_command(make_group(database.store, name=self._prefix.lower()))

    @property
    def store(self) -> EventStore:
        """The store of the current application with its own short transactions, for workers and scripts.

        Raises:
            InvalidInput: The current application does not have this extension.
        """
        return _installation(self._prefix).database.store

    @property
    def current(self) -> EventStore:
        """The store in the transaction of `session`; with the default prefix, `current_store` is the same.

        Raises:
            InvalidInput: The current application does not have this extension.
        """
        return _installation(self._prefix).database.joined

    @property
    def session(self) -> scoped_session[Any]:
        """The session of the application context; with the default prefix, `current_session` is the same.

        Raises:
            InvalidInput: The current application does not have this extension.
        """
        return _installation(self._prefix).database.session


def _installation(prefix: str) -> _Installation:
    installations: dict[str, _Installation] = current_app.extensions.get(_EXTENSION, {})
    if prefix not in installations:
        msg = f"this application has no event store with the prefix {prefix}; call FlaskEventStore(…).init_app(app)"
        raise InvalidInput(msg)
    return installations[prefix]


def _add_request_metadata() -> None:
    add_metadata_provider(_request_metadata)


def _request_metadata() -> dict[str, Any]:
    """Return the metadata of the current request, from all extensions of the application."""
    metadata: dict[str, Any] = {}
    if current_app:
        for installation in current_app.extensions.get(_EXTENSION, {}).values():
            metadata |= installation.metadata.now()
    return metadata


current_store: EventStore = LocalProxy(lambda: _installation(_DEFAULT_PREFIX).database.joined)  # type: ignore[assignment]
"""The `EventStore` of the current application, in the session of the application context."""

current_session: scoped_session[Any] = LocalProxy(lambda: _installation(_DEFAULT_PREFIX).database.session)  # type: ignore[assignment]
"""The session that `current_store` works in: `db.session` of Flask-SQLAlchemy, or that of the application context."""
