import subprocess
import sys

import pytest

import eventstore

NAMES = """
ANY NO_STREAM STREAM_EXISTS AggregateNotFound Append AppendResult ConcurrencyConflict DatabaseBusy DecodingError
EncodingError EventFilter EventIdReused EventStore EventStoreError EventTypes ExpectedVersion InvalidInput LogWentBack
NewEvent PositionToken Projection ProjectionBehind ProjectionFailed RecordedEvent Repository StreamClosed Subscription
Worker caused_by maintenance metadata_context migrations projections transfer
"""


def test_the_names_at_the_root_are_these() -> None:
    assert sorted(eventstore.__all__) == sorted(NAMES.split())
    assert all(hasattr(eventstore, name) for name in eventstore.__all__)


def test_a_name_that_is_not_there() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Projections'"):
        eventstore.Projections  # noqa: B018  # asked for, not used


def modules_after(code: str) -> set[str]:
    script = f"{code}\nimport sys\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    return set(done.stdout.split())


def test_importing_imports_neither_alembic_nor_a_driver() -> None:
    unwanted = {"alembic", "psycopg", "sqlite3", "zstandard", "pytest", "rich", "click", "pydantic", "attrs", "flask"}
    unwanted |= {"django", "pyarrow", "pandas", "polars", "matplotlib", "numpy"}
    assert modules_after("import eventstore") & unwanted == set()


def test_importing_imports_nothing_that_a_process_that_appends_does_not_need() -> None:
    unwanted = {
        f"eventstore.{name}" for name in ("cli", "contrib", "maintenance", "migrations", "projections", "transfer")
    }
    assert modules_after("import eventstore") & unwanted == set()


def test_running_on_sqlite_imports_neither_alembic_nor_psycopg() -> None:
    assert modules_after("import eventstore; eventstore.EventStore.in_memory()") & {"alembic", "psycopg"} == set()


def test_migrations_are_imported_when_asked_for() -> None:
    assert "alembic" in modules_after("from eventstore import migrations")


def test_a_worker_needs_no_alembic() -> None:
    assert "alembic" not in modules_after("from eventstore import Projection, Worker")
