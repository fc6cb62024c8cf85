"""The database of an application's event store, and the session whose transaction it works in."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from flask import Flask, Response
from flask.globals import app_ctx
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import UnboundExecutionError
from sqlalchemy.orm import scoped_session, sessionmaker

from eventstore.backends import prepare_savepoints
from eventstore.core.options import StoreOptions
from eventstore.errors import InvalidInput
from eventstore.store import EventStore

_FIRST_ERROR: Final = 400
_OPTIONS: Final = StoreOptions.__optional_keys__ - {"event_types", "codec", "also_reads"}


@dataclass(frozen=True, slots=True)
class Settings:
    """The configuration of one application, as far as it is about one extension.

    Args:
        app: The application.
        prefix: The prefix of the keys.
    """

    app: Flask
    prefix: str

    def get(self, name: str, default: Any = None) -> Any:
        """Return the value of a key; the default if it is not configured."""
        return self.app.config.get(self.key(name), default)

    def key(self, name: str) -> str:
        """Return the key in the configuration."""
        return f"{self.prefix}_{name}"

    def options(self) -> dict[str, Any]:
        """Return the options of the store that are configured."""
        return {name: self.get(name.upper()) for name in _OPTIONS if self.key(name.upper()) in self.app.config}


@dataclass(frozen=True, slots=True)
class Database:
    """The store of an application, and its session.

    Attributes:
        store: The store with its own short transactions.
        session: The session.
        joined: The store in the transaction of the session.
    """

    store: EventStore
    session: scoped_session[Any]
    joined: EventStore


def open_database(settings: Settings, session: scoped_session[Any] | None, options: Mapping[str, Any]) -> Database:
    """Return the store and the session of an application, within its context. It does not connect.

    Args:
        settings: Its configuration.
        session: The session that was passed to the extension; None for that of Flask-SQLAlchemy, or one to be kept.
        options: The options of the store.

    Raises:
        InvalidInput: There is no database, or the configuration is not valid.
    """
    url, flask_sqlalchemy = settings.get("URL"), settings.app.extensions.get("sqlalchemy")
    if session is None and url is None:
        session = getattr(flask_sqlalchemy, "session", None)
    if settings.get("BIND_KEY") is not None:
        return _on_bind(settings, flask_sqlalchemy, session, options)
    if session is None:
        return _with_kept_session(settings, options)
    _refuse_other_keys(settings, "URL", "COMMIT_ON_SUCCESS")
    try:
        engine = session.get_bind().engine
    except UnboundExecutionError:
        msg = (
            "the session is bound to no default engine; with Flask-SQLAlchemy, set SQLALCHEMY_DATABASE_URI, or "
            f"{settings.key('BIND_KEY')} for one of SQLALCHEMY_BINDS"
        )
        raise InvalidInput(msg) from None
    store = _store_on(engine, options)
    return Database(store, session, store.join(session))


def _on_bind(
    settings: Settings, flask_sqlalchemy: Any, session: scoped_session[Any] | None, options: Mapping[str, Any]
) -> Database:
    """Return the store on one of Flask-SQLAlchemy's binds, in the transaction that its session has on that database."""
    name, bind_key = settings.key("BIND_KEY"), settings.get("BIND_KEY")
    _refuse_other_keys(settings, "URL", "COMMIT_ON_SUCCESS")
    db_session: Any = getattr(flask_sqlalchemy, "session", None)
    if session is None or session is not db_session:
        msg = (
            f"{name} names a bind of Flask-SQLAlchemy, so the store works in db.session; call its init_app first, and "
            "pass no other session"
        )
        raise InvalidInput(msg)

    def connect() -> Connection:
        connection: Connection = db_session.connection(bind_arguments={"bind": flask_sqlalchemy.engines[bind_key]})
        return connection

    engines = flask_sqlalchemy.engines
    if not isinstance(bind_key, str) or bind_key not in engines:
        known = ", ".join(sorted(map(repr, filter(None, engines)))) or "empty"
        msg = f"{name} is {bind_key!r}, which is not in SQLALCHEMY_BINDS; that is {known}"
        raise InvalidInput(msg)
    store = _store_on(engines[bind_key], options)
    joined = store.with_core(replace(store.core, execution=store.core.execution.joined(connect)))
    return Database(store, db_session, joined)


def _store_on(engine: Engine, options: Mapping[str, Any]) -> EventStore:
    """Return a store on the application's engine."""
    store = EventStore(engine, **options)
    prepare_savepoints(engine)
    return store


def _with_kept_session(settings: Settings, options: Mapping[str, Any]) -> Database:
    url = settings.get("URL")
    if url is None:
        msg = (
            f"the event store has no database: configure {settings.key('URL')}, or pass a session, or call "
            "init_app of Flask-SQLAlchemy first"
        )
        raise InvalidInput(msg)
    store = EventStore.from_url(url, engine_options=settings.get("ENGINE_OPTIONS", {}), **options)
    session = _keep_session(settings.app, store.engine, commits=settings.get("COMMIT_ON_SUCCESS", default=False))
    return Database(store, session, store.join(session))


def _refuse_other_keys(settings: Settings, *names: str) -> None:
    """Refuse what is only for a session that the extension keeps."""
    for name in names:
        if settings.get(name):
            msg = f"{settings.key(name)} needs a session of the extension, but this one is the application's"
            raise InvalidInput(msg)


def _keep_session(app: Flask, engine: Engine, *, commits: bool) -> scoped_session[Any]:
    """Return a session for each application context, closed with it."""
    session = scoped_session(sessionmaker(engine), scopefunc=_context_id)

    def commit(response: Response) -> Response:
        if response.status_code < _FIRST_ERROR and session.registry.has():
            session.commit()
        return response

    def close(_: BaseException | None) -> None:
        session.remove()

    if commits:
        app.after_request(commit)
    app.teardown_appcontext(close)
    return session


def _context_id() -> int:
    return id(app_ctx._get_current_object())  # type: ignore[attr-defined]  # noqa: SLF001  # documented by Werkzeug
