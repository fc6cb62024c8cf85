"""How much memory a process has held at most, as Linux counts it."""

import re
from pathlib import Path


def peak_bytes() -> int:
    """Return how much this process has held at most since its program was started.

    This is not `ru_maxrss` of `getrusage` and `wait4`, which begins with what the process that started it has held.
    """
    (kibibytes,) = re.findall(r"^VmHWM:\s+(\d+) kB$", Path("/proc/self/status").read_text(), re.MULTILINE)
    return int(kibibytes) * 1024
