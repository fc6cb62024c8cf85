"""What the figures were measured on."""

import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Final

import psycopg

from benchmarks.servers import SETTINGS, Database

_FOLDER: Final = Path(tempfile.gettempdir())
_IN_MEMORY: Final = frozenset({"tmpfs", "ramfs"})
_QUIET_LOAD: Final = 1.0


def describe(database: Database) -> dict[str, str]:
    """Return machine, versions, settings and noise."""
    with database.raw() as connection:
        row = connection.execute("SELECT version()").fetchone()
    packages = ("SQLAlchemy", "psycopg", "msgpack", "msgspec", "sqlalchemy-eventstore")
    return {
        "processor": f"{_processor()}, {os.cpu_count()} cores",
        "system": platform.platform(),
        "Python": sys.version.split()[0],
        "PostgreSQL": str(row and row[0]).split(" on ")[0],
        "PostgreSQL settings": ", ".join(f"{name} = {value}" for name, value in SETTINGS.items()),
        "psycopg": psycopg.pq.__impl__,
        "packages": ", ".join(f"{name} {version(name)}" for name in packages),
        "day": time.strftime("%Y-%m-%d", time.gmtime()),
        "files in": f"{_FOLDER} ({_file_system(_FOLDER)})",
        "a flush to disk": f"{statistics.median(_flushes()) * 1e6:.0f} µs (fdatasync of 8 kB, median of 200)",
        "noise": _noise(),
        "load when it began": " ".join(f"{load:.1f}" for load in os.getloadavg()),
    }


def warnings() -> list[str]:
    """Return why the figures of this machine, as it is now, should not be trusted."""
    load, kind = os.getloadavg()[0], _file_system(_FOLDER)
    busy = [f"the machine was busy when it began, with a load of {load:.1f}"] if load > _QUIET_LOAD else []
    return busy + ([f"the databases were in memory ({kind}), so nothing was durable"] if kind in _IN_MEMORY else [])


def _file_system(folder: Path) -> str:
    """Return the kind of file system that a folder is in."""
    try:
        mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    except OSError:
        return "not known"
    holding = [mount for mount in mounts if folder.resolve().is_relative_to(mount[1])]
    return max(holding, key=lambda mount: len(mount[1]))[2] if holding else "not known"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def _flushes() -> list[float]:
    with tempfile.TemporaryFile(buffering=0) as file:

        def flush() -> None:
            file.write(b"x" * 8192)
            os.fdatasync(file.fileno())

        return [_timed(flush) for _ in range(200)]


def _noise() -> str:
    """Time the same work again and again: what differs is the machine's."""
    times = sorted(_timed(lambda: sum(range(200_000))) for _ in range(100))
    return f"the same computation 100 times: 9 of 10 within {times[94] / times[4]:.2f} × of each other"


def _timed(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun
