"""Processes that run functions of tests."""

import multiprocessing
from multiprocessing.context import ForkServerContext
from typing import Final

_IMPORTED: Final = [
    "eventstore",
    "eventstore.repository",
    "psycopg",
    "pytest",
    "sqlalchemy.dialects.postgresql.psycopg",
]


def clean_processes() -> ForkServerContext:
    """Return a context whose processes inherit nothing of the tests' own: no connection, no thread, no lock.

    They are forked from one process that has imported what takes most of the time, a second of CPU for each.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_IMPORTED)
    return context
