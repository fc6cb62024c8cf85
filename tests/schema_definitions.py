"""Make the files of what the catalog says at each revision: `python -m tests.schema_definitions`.

PostgreSQL is the one that tests use, SQLite the one that Python has.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import Engine, text

from eventstore import migrations
from eventstore.backends import engine_for
from eventstore.migrations import definitions
from eventstore.migrations.definitions import Definitions, Key, on_postgresql, on_sqlite
from tests.fix_postgresql import find_server

FOLDER = Path(definitions.__file__).parent


def read(engine: Engine, schema: str | None = None) -> Definitions:
    """Return what the catalog of a database says of our tables, and the row of es_schema."""
    with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            found, table = on_sqlite.read(connection), "es_schema"
        else:
            place = on_postgresql.place(connection, schema)
            assert place is not None
            found, table = on_postgresql.read(connection, *place), f"{place[2]}.es_schema"
        row = connection.execute(
            text(f"SELECT version, breaking_version FROM {table}".replace(":", "\\:"))
        ).one_or_none()
        connection.rollback()
    return {Key("es_schema", "row"): f"version {row[0]}, breaking_version {row[1]}", **found} if row else found


def read_each_revision(engine: Engine) -> Iterator[tuple[str, Definitions]]:
    """Migrate an empty database step by step, and return what its catalog says at each."""
    for revision, _ in migrations.pending(engine):
        migrations.upgrade(engine, revision)
        yield revision, read(engine)


def write(engine: Engine) -> None:
    path = FOLDER / f"{engine.dialect.name}.txt"
    path.write_text(definitions.to_text(dict(read_each_revision(engine))), "utf-8")
    print("wrote", path)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        engine = engine_for(f"sqlite:///{folder}/new.db")
        write(engine)
        engine.dispose()
    server, _ = find_server()
    try:
        admin = engine_for(server.url)
        with admin.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("DROP DATABASE IF EXISTS schema_definitions"))
            connection.execute(text("CREATE DATABASE schema_definitions TEMPLATE template0"))
            engine = engine_for(admin.url.set(database="schema_definitions"))
            write(engine)
            engine.dispose()
            connection.execute(text("DROP DATABASE schema_definitions"))
        admin.dispose()
    finally:
        server.stop()


if __name__ == "__main__":
    main()
