"""Running workers in the background of a program: in a thread that does not keep the program from ending."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import copy_context

from eventstore.common.error_type import error_type
from eventstore.common.starting import join_started, start_all
from eventstore.common.validation import check_seconds
from eventstore.errors import WorkerStillRunning

_log = logging.getLogger("eventstore.projections")


@contextmanager
def in_background(
    name: str, run: Callable[[], object], stop: Callable[[], object], *, stop_timeout_seconds: float
) -> Iterator[None]:
    """Run a function in a thread while a block runs, and stop it at the end of the block.

    The thread is a daemon: if the program ends without leaving the block, it does not wait for the thread.

    Args:
        name: What runs, for the name of the thread, for errors and for the log.
        run: The function.
        stop: Makes the function return soon.
        stop_timeout_seconds: How long to wait for it at the end.

    Raises:
        WorkerStillRunning: The function has not returned in time, and the block has raised no error.
        Exception: The error of the function, if the block has raised none. If it has, the error of the block has a note
            about the other one, without its text, which may have payload.
    """
    check_seconds("stop_timeout_seconds", stop_timeout_seconds)
    failures: list[BaseException] = []

    def work() -> None:
        try:
            run()
        except BaseException as error:  # noqa: BLE001  # raised at the end of the block
            failures.append(error)
            _log.error("%s has ended after %s", name, error_type(error), extra={"error_type": error_type(error)})

    thread = threading.Thread(target=copy_context().run, args=[work], name=f"eventstore {name}", daemon=True)
    try:
        start_all([thread])
        yield
    except BaseException as error:
        stop()
        join_started([thread], stop_timeout_seconds)
        for failure in failures:
            error.add_note(f"{name} has ended after {error_type(failure)}")
        raise
    stop()
    join_started([thread], stop_timeout_seconds)
    if failures:
        raise failures[0]
    if thread.is_alive():
        raise WorkerStillRunning(name, stop_timeout_seconds)
