"""What settings change: of connections, of commits, of tables; and how to import."""

from collections.abc import Iterator

from benchmarks.bench import Bench
from benchmarks.results import Result
from benchmarks.workloads import tuning_commits, tuning_connections, tuning_imports, tuning_tables


def run(bench: Bench) -> Iterator[Result]:
    """Change one setting at a time."""
    for part in (tuning_connections, tuning_commits, tuning_tables, tuning_imports):
        yield from part.run(bench)
