"""What settings change: of connections, of commits, of tables; and how to import."""

from collections.abc import Iterator

from benchmarks.bench import Bench
from benchmarks.results import Result
from benchmarks.workloads import tuning_commits, tuning_connections, tuning_imports, tuning_tables


def run(bench: Bench) -> Iterator[Result]:
    """Change one setting at a time.

    Raises:
        ExceptionGroup: Parts have failed; the others have run all the same.
    """
    errors = []
    for part in (tuning_connections, tuning_commits, tuning_tables, tuning_imports):
        try:
            yield from part.run(bench)
        except Exception as error:  # noqa: BLE001  # raised below
            errors.append(error)
    if errors:
        raise ExceptionGroup("parts of tuning have failed", errors)
