"""The other libraries, each in an environment of its own: their dependencies and ours need not agree."""

import json
import queue
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

_FOLDER: Final = Path(__file__).with_name("peer_programs")
PROGRAMS: Final = {
    "eventsourcing": _FOLDER / "eventsourcing_peer.py",
    "python-event-sourcery": _FOLDER / "event_sourcery_peer.py",
}
REQUIREMENTS: Final = {
    "eventsourcing": ["eventsourcing[postgres]>=9.5,<9.6", "psycopg[binary]"],
    # 0.6.1 does not start on SQLAlchemy 2.1
    "python-event-sourcery": ["python-event-sourcery[sqlalchemy]>=0.6,<0.7", "SQLAlchemy>=2.0,<2.1", "psycopg[binary]"],
}

FUNCTIONS: Final = {"POSTGRES_ENABLE_DB_FUNCTIONS": "y"}
"""How `eventsourcing` is told to append by a function in the database: documented, and quicker."""

_LONGEST_CALL_SECONDS: Final = 90.0


class PeerMissing(Exception):
    """A peer could not be installed or started, has failed, or does not answer; says why."""


class Peer:
    """A process that has one of the libraries, and does what it is told."""

    def __init__(self, name: str, environments: Path) -> None:
        python = _environment(name, environments)
        self._process = subprocess.Popen(
            [python, str(PROGRAMS[name])], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._answers: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def has_ended(self) -> bool:
        """Whether the process is gone."""
        return self._process.poll() is not None

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._answers.put(line)
        self._answers.put("")

    def call(self, function: str, **arguments: Any) -> Any:
        """Call a function of the peer's program, and return what it returns.

        Raises:
            PeerMissing: It failed, with its traceback; or it has not answered in 90 seconds, and was ended.
        """
        self.send(function, **arguments)
        return self.receive()

    def send(self, function: str, **arguments: Any) -> None:
        """Begin a call, to be ended by `receive`: so several peers work at the same time."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({"name": function, "arguments": arguments}) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise PeerMissing("its process has ended") from None

    def receive(self) -> Any:
        """Return what the call returns.

        Raises:
            PeerMissing: As for `call`.
        """
        try:
            line = self._answers.get(timeout=_LONGEST_CALL_SECONDS)
        except queue.Empty:
            self._process.kill()
            self._process.wait(30)
            raise PeerMissing(f"it has not answered in {_LONGEST_CALL_SECONDS:.0f} seconds") from None
        answer = json.loads(line) if line else {"error": "its process has ended"}
        if "error" in answer:
            raise PeerMissing(answer["error"])
        return answer["result"]

    def close(self) -> None:
        """End the process."""
        if self._process.stdin is not None:
            with suppress(BrokenPipeError):
                self._process.stdin.close()
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(30)
        self._reader.join(30)
        if self._process.stdout is not None:
            self._process.stdout.close()


def racer(peer: Peer | None, function: str, **arguments: Any) -> Callable[[], float] | None:
    """Return a call as a contestant in a race, None without the peer."""
    return None if peer is None else lambda: float(peer.call(function, **arguments))


def _environment(name: str, environments: Path) -> str:
    """Return the interpreter of a peer's environment, made by pip where there is none yet."""
    folder = environments / name
    python, made = folder / "bin" / "python", folder / "made"
    wanted = "\n".join(REQUIREMENTS[name])
    if not (made.exists() and made.read_text() == wanted):
        for command in (
            [sys.executable, "-m", "venv", "--clear", str(folder)],
            [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *REQUIREMENTS[name]],
        ):
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise PeerMissing(f"pip could not install it: {done.stderr.strip()[-500:]}")
        made.write_text(wanted)
    return str(python)
