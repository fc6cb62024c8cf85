import ast
import difflib
import re
import subprocess
import sys
from importlib import import_module
from typing import assert_type

import pytest

import eventstore
from eventstore import AppendResult, ConcurrencyConflict, EventStore
from tests.api import COMMAND, FILE, REFERENCE, content, described, documented, exported

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
        getattr(eventstore, "Projections")  # noqa: B009  # type checkers know that it is not there


@pytest.mark.slow
def test_names_and_signatures_are_what_reviewers_have_seen() -> None:
    seen, now = FILE.read_text(encoding="utf-8"), content()
    if seen != now:
        difference = difflib.unified_diff(seen.splitlines(), now.splitlines(), str(FILE), "now", lineterm="", n=2)
        pytest.fail(f"The API has changed. Run `{COMMAND}` and review the difference:\n" + "\n".join(difference))


@pytest.mark.parametrize(
    "module",
    [
        "eventstore", "eventstore.cli", "eventstore.codecs", "eventstore.contrib.django", "eventstore.contrib.flask",
        "eventstore.contrib.frames", "eventstore.errors", "eventstore.event_types", "eventstore.health",
        "eventstore.maintenance", "eventstore.migrations", "eventstore.projections", "eventstore.relay",
        "eventstore.repository", "eventstore.transfer",
    ],
)  # fmt: skip
def test_all_that_a_public_package_exports_is_in_the_reference(module: str) -> None:
    modules = {"maintenance", "migrations", "projections", "transfer"}
    shown = set().union(*documented().values())
    assert set(exported(module)) - modules <= shown | ({"main"} if module == "eventstore.cli" else set())


def test_every_name_at_the_root_is_on_the_page_of_the_whole_api() -> None:
    page = (REFERENCE / "index.md").read_text(encoding="utf-8")
    assert [name for name in eventstore.__all__ if f"[`{name}`](" not in page] == []


def test_the_page_of_the_whole_api_leads_to_what_is_there() -> None:
    page = (REFERENCE / "index.md").read_text(encoding="utf-8")
    for path, anchor in re.findall(r"\]\((\S+\.md)#([\w.]+)\)", page):
        shown = re.findall(r"^::: ([\w.]+)$", (REFERENCE / path).read_text(encoding="utf-8"), re.MULTILINE)
        assert any(anchor == each or anchor.startswith(f"{each}.") for each in shown), anchor
        module, _, name = anchor.rpartition(".")
        owner = eventstore.EventStore if module == "eventstore.EventStore" else import_module(module)
        assert hasattr(owner, name), anchor


def test_a_signature_in_the_file() -> None:
    source = """
class Thing(Base):
    _hidden: int
    size: int = 1

    def __init__(self, name: str) -> None:
        self.name = name
        self._secret = name

    @property
    def length(self) -> int: ...

    @overload
    def get(self, key: int, /) -> int: ...
    @overload
    def get(self, key: str, /) -> str: ...
    def get(self, key): ...

    @classmethod
    def of(cls, *, many: bool = False) -> "Thing": ...
"""
    (node,) = ast.parse(source).body
    assert isinstance(node, ast.ClassDef)
    assert list(described("Thing", [node])) == [
        "class Thing(Base)",
        "    size: int = 1",
        "    __init__(name: str) -> None",
        "    name: str",
        "    length: int (property)",
        "    overload get(key: int, /) -> int",
        "    overload get(key: str, /) -> str",
        "    classmethod of(*, many: bool=False) -> 'Thing'",
    ]


def test_mypy_knows_what_append_many_returns() -> None:
    with EventStore.in_memory() as store:
        assert_type(store.append_many([]), list[AppendResult])
        assert_type(store.append_many([], atomic=False), list[AppendResult | ConcurrencyConflict])


STEPS = """
import sys
import eventstore
print(*sys.modules)
from eventstore import Projection, Worker
print(*sys.modules)
eventstore.EventStore.in_memory()
print(*sys.modules)
from eventstore import migrations
print(*sys.modules)
"""


@pytest.mark.slow
def test_what_is_imported_when() -> None:
    """Neither Alembic, a driver nor an extra at the start, nor what a process that appends does not need."""
    done = subprocess.run([sys.executable, "-c", STEPS], check=True, capture_output=True, text=True)
    at_the_start, with_a_worker, on_sqlite, with_migrations = (set(line.split()) for line in done.stdout.splitlines())
    unwanted = {"alembic", "psycopg", "sqlite3", "zstandard", "pytest", "rich", "click", "pydantic", "attrs", "flask"}
    unwanted |= {"django", "pyarrow", "pandas", "polars", "matplotlib", "numpy"}
    parts = ("cli", "contrib", "maintenance", "migrations", "projections", "transfer")
    assert at_the_start & unwanted == set()
    assert at_the_start & {f"eventstore.{name}" for name in parts} == set()
    assert "eventstore.projections" in with_a_worker
    assert "alembic" not in with_a_worker
    assert "sqlite3" in on_sqlite
    assert on_sqlite & {"alembic", "psycopg"} == set()
    assert "alembic" in with_migrations
