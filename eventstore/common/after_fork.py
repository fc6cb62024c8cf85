"""Starting fresh in a child process: locks that other threads of the parent hold would stay locked in it."""

import os
from typing import Protocol
from weakref import WeakSet


class StartsFresh(Protocol):
    """An object with locks, threads or connections of its own."""

    def start_fresh(self) -> None:
        """Forget the locks, threads and connections of the parent process, without touching them."""
        ...


_objects: WeakSet[StartsFresh] = WeakSet()


def start_fresh_after_fork(one: StartsFresh) -> None:
    """Call `start_fresh` of an object in each child process that is forked while the object exists."""
    _objects.add(one)


def _start_fresh() -> None:
    for one in list(_objects):
        one.start_fresh()


if hasattr(os, "register_at_fork"):  # Windows has no fork
    os.register_at_fork(after_in_child=_start_fresh)
