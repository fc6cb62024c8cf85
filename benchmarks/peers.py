"""The other libraries, each in an environment of its own: their dependencies and ours need not agree."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

PROGRAMS: Final = Path(__file__).with_name("peer_programs")
REQUIREMENTS: Final = {
    "eventsourcing": ["eventsourcing[postgres]>=9.5,<9.6", "psycopg[binary]"],
    # 0.6.1 does not start on SQLAlchemy 2.1
    "event_sourcery": ["python-event-sourcery[sqlalchemy]>=0.6,<0.7", "SQLAlchemy>=2.0,<2.1", "psycopg[binary]"],
}


class PeerMissing(Exception):
    """A peer could not be installed or started; says why."""


class Peer:
    """A process that has one of the libraries, and does what it is told."""

    def __init__(self, name: str, environments: Path) -> None:
        python = _environment(name, environments)
        self._process = subprocess.Popen(
            [python, str(PROGRAMS / f"{name}_peer.py")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def call(self, function: str, **arguments: Any) -> Any:
        """Call a function of the peer's program, and return what it returns.

        Raises:
            PeerMissing: It failed; with its traceback.
        """
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps({"name": function, "arguments": arguments}) + "\n")
        process.stdin.flush()
        line = process.stdout.readline()
        answer = json.loads(line) if line else {"error": "the process has ended"}
        if "error" in answer:
            raise PeerMissing(answer["error"])
        return answer["result"]

    def close(self) -> None:
        """End the process."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        self._process.wait(30)


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
