"""PostgreSQL's own program for load, as a contestant: one transaction again and again, without a driver of Python."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Final

from benchmarks import raw
from benchmarks.servers import Database
from tests.postgresql.launcher import PostgreSQLServer

INSERT: Final = "pgbench INSERT"


class PgBench:
    """The program `pgbench` with a script, on one database."""

    def __init__(self, program: Path, database: Database, script: Path) -> None:
        self._program = program
        self._database = database
        self._script = script

    def racer(self, count: int, clients: int = 1) -> Callable[[], float]:
        """Return a contestant of so many transactions for each client; its time is that of one, over all clients.

        Its clients have new connections, and their time does not count.
        """

        def run() -> float:
            options = ["-n", "-M", "prepared", "-f", self._script, "-t", count, "-c", clients, "-j", min(clients, 2)]
            address = ["-h", "127.0.0.1", "-p", self._database.port, "-U", "postgres", self._database.name]
            done = subprocess.run(
                [str(part) for part in (self._program, *options, *address)], capture_output=True, text=True, check=False
            )
            if done.returncode or "number of failed transactions: 0 " not in done.stdout + " ":
                raise RuntimeError(done.stderr.strip()[-500:] or done.stdout)
            (line,) = [line for line in done.stdout.splitlines() if line.startswith("tps")]
            return 1 / float(line.split()[2])

        return run


def pgbench(server: PostgreSQLServer, database: Database, script: Path, text: str) -> PgBench | None:
    """Return the program with a text that is written as its script; None where the program is missing."""
    program = server.binaries / "pgbench"
    if not program.exists():
        return None
    script.write_text(text)
    return PgBench(program, database, script)


def inserting(server: PostgreSQLServer, database: Database, folder: Path) -> PgBench | None:
    """Return the limit: it inserts one row a transaction into the table of events; None where it is missing."""
    with database.raw() as connection:
        connection.execute("CREATE SEQUENCE pgbench_version")
        raw.create_heads(connection, ["pgbench"], 2**40)
    data, metadata = raw.rows("pgbench", 1)[0][6].hex(), raw.METADATA_TEXT
    text = (
        "INSERT INTO es_events (stream_id, version, event_id, event_type, schema_version, codec, data, metadata) "
        "VALUES ('pgbench', nextval('pgbench_version'), gen_random_uuid(), 'item-added', 1, 1, "
        f"'\\x{data}', '{metadata}');\n"
    )
    return pgbench(server, database, folder / "insert.sql", text)
