"""What all tests share, those of the documentation among them."""

import gc
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Final

import hypothesis
import pytest
from sqlalchemy import Engine

from eventstore import migrations

MEMORY: Final = Path("/dev/shm")  # noqa: S108  # where Linux keeps files in memory
if "TMPDIR" not in os.environ and os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > 8 * 2**30:
    # Databases of tests are thrown away. In memory they are made, and synced, with a quarter of the system's time.
    os.environ["TMPDIR"] = tempfile.tempdir = str(MEMORY)  # the latter was chosen before, for what pytest captures

# Some machines ask for no bytecode. Then each process compiles the tests, and the hundreds that they start the package.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# A shell's background job ignores Ctrl-C, and what it starts would, too; some tests press it.
signal.signal(signal.SIGINT, signal.default_int_handler)

# No test fails because a machine is slow. Each run tries thirty other examples of a property; `thorough` takes minutes.
hypothesis.settings.register_profile("eventstore", deadline=None, max_examples=30)
hypothesis.settings.register_profile("thorough", deadline=None, max_examples=1000)
hypothesis.settings.load_profile("eventstore")

pytest_plugins = [
    "tests.fix_postgresql",
    "tests.fix_clusters",
    "tests.fix_citus",
    "tests.fix_engines",
    "tests.fix_partitions",
    "tests.fix_migrations",
    "tests.fix_command_line",
    "tests.fix_contract",
    "tests.fix_documentation",
    "tests.fix_flights",
    "tests.fix_django",
    "tests.fix_leaks",
    "tests.fix_asyncio",
]


@pytest.fixture(scope="session")
def postgres_template_setup() -> Callable[[Engine], None]:
    """Put the tables into the template that `postgres_url` clones."""
    return migrations.upgrade


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Keep the garbage collector away from the modules and the thousands of tests: they stay to the end."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.hookimpl(tryfirst=True)
def pytest_pycollect_makeitem(collector: pytest.Module | pytest.Class, obj: object) -> list[pytest.Item] | None:
    """Make no tests of classes that take minutes, unless they are asked for, or a test by its name: a third of all."""
    config = collector.config
    are_asked_for = "long" in config.option.markexpr or any("::" in argument for argument in config.args)
    if are_asked_for or not isinstance(obj, type):
        return None
    marks = getattr(obj, "pytestmark", [])
    return [] if any(mark.name == "long" for mark in (marks if isinstance(marks, list) else [marks])) else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what takes minutes, unless it is asked for by its marker."""
    if "long" in config.option.markexpr:
        return
    deselected = [item for item in items if item.get_closest_marker("long")]
    config.hook.pytest_deselected(items=deselected)
    items[:] = [item for item in items if not item.get_closest_marker("long")]
