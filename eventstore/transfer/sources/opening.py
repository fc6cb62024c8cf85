"""The engine to read a source with."""

from pathlib import Path
from urllib.parse import quote

from sqlalchemy import URL, Engine, create_engine, make_url
from sqlalchemy.exc import ArgumentError

from eventstore.backends import engine_for
from eventstore.errors import DatabaseMissing, InvalidInput


def open_source(url: str | URL) -> Engine:
    """Return an engine to read a source with; the caller disposes of it.

    A file of SQLite is opened for reading only.

    Raises:
        DatabaseMissing: There is no such file.
        InvalidInput: It is no URL.
    """
    try:
        parsed = make_url(url)
    except ArgumentError:
        msg = "the source is not a URL of a database, such as postgresql://user@host/database or sqlite:///file.db"
        raise InvalidInput(msg) from None
    if parsed.get_backend_name() != "sqlite":
        return engine_for(url)
    path = Path(parsed.database or "")
    if not parsed.database or not path.exists():
        raise DatabaseMissing(str(path), f"sqlite:///{path}")
    name = f"file:{quote(str(path.absolute()))}"
    return create_engine(URL.create("sqlite", database=name, query={"mode": "ro", "uri": "true"}))
