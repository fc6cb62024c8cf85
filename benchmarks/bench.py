"""One run: its server, its peers, and the races."""

import gc
import tempfile
from collections.abc import Callable, Collection, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from rich.console import Console

from benchmarks.peers import Peer, PeerMissing
from benchmarks.results import Comparison
from benchmarks.servers import SETTINGS, Database
from eventstore.testing.postgresql import PostgreSQLServer

Value = TypeVar("Value")
OURS = "eventstore"


@dataclass
class Bench:
    """What the workloads use.

    Attributes:
        full: Whether this is the full run; otherwise the quick one.
        rounds: How many rounds are timed, after one that is not.
        contestants: Those to run, by a part of their names; all where it is empty. We and the reference always run.
        environments: The folder of the peers' environments.
        console: Where progress is shown.
    """

    full: bool
    rounds: int
    contestants: Collection[str]
    environments: Path
    console: Console
    peer_errors: dict[str, str] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    _peers: dict[str, Peer] = field(default_factory=dict)
    _server: PostgreSQLServer | None = None
    _stack: ExitStack = field(default_factory=ExitStack)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.close()

    def choose(self, quick: Value, full: Value) -> Value:
        """Return the one for this kind of run."""
        return full if self.full else quick

    @property
    def server(self) -> PostgreSQLServer:
        """A durable PostgreSQL, started when it is first asked for."""
        if self._server is None:
            self._server = self._stack.enter_context(PostgreSQLServer(settings=SETTINGS, durable=True))
        return self._server

    def database(self, *, durable: bool = True, tables: bool = True) -> Database:
        """Return a new database, closed at the end of the run."""
        database = Database(self.server, durable=durable, tables=tables)
        self._stack.callback(database.close)
        return database

    def folder(self) -> Path:
        """Return a new folder, gone at the end of the run."""
        return Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="benchmark-")))

    def peer(self, name: str) -> Peer | None:
        """Return a peer, None where it is not wanted or can't be had: `peer_errors` says why."""
        if name not in self._peers and name not in self.peer_errors:
            if self.contestants and not any(part in name for part in self.contestants):
                self.peer_errors[name] = "not chosen"
                return None
            try:
                self._peers[name] = Peer(name, self.environments)
            except PeerMissing as missing:
                self.peer_errors[name] = str(missing)
                self.console.print(f"[red]{name} can't take part:[/] {missing}")
            else:
                self._stack.callback(self._peers[name].close)
        return self._peers.get(name)

    def eventsourcing(self, name: str, environment: Mapping[str, str]) -> Peer | None:
        """Return the peer `eventsourcing` with a store opened under a name."""
        peer = self.peer("eventsourcing")
        if peer is not None:
            self.versions["eventsourcing"] = peer.call("use", name=name, environment=dict(environment))
        return peer

    def eventsourcing_writer(self, name: str, environment: Mapping[str, str]) -> Peer | None:
        """Return a second process of it with the same store, which writes while the first one listens."""
        if self.peer("eventsourcing") is None:
            return None
        writer = Peer("eventsourcing", self.environments)
        self._stack.callback(writer.close)
        writer.call("use", name=name, environment=dict(environment))
        return writer

    def event_sourcery(self, name: str, url: str) -> Peer | None:
        """Return the peer `python-event-sourcery` with a database opened under a name."""
        peer = self.peer("event_sourcery")
        if peer is not None:
            self.versions["python-event-sourcery"] = peer.call("use", name=name, url=url)
        return peer

    def race(
        self,
        key: str,
        title: str,
        contestants: Mapping[str, Callable[[], float] | None],
        *,
        per: str,
        reference: str,
        durable: bool | None = None,
        rounds: int | None = None,
    ) -> Comparison:
        """Let contestants do the same in turns: A B A B …, the first round untimed.

        Args:
            key: Names the result.
            title: What is done.
            contestants: Each does one round and returns the seconds of one operation; None where a peer is missing.
            per: What one operation is.
            reference: With whom the others are compared.
            durable: Whether commits are flushed; None where nothing is written.
            rounds: How many are timed. Defaults to None: as the run says.
        """
        missing = {name: "not there: see the notes" for name, run in contestants.items() if run is None}
        seconds: dict[str, list[float]] = {name: [] for name, run in contestants.items() if run and self._wants(name)}
        seconds |= {reference: []} if contestants.get(reference) else {}
        for number in range((rounds or self.rounds) + 1):
            for name in list(seconds):
                run = contestants[name]
                assert run is not None
                gc.collect()
                try:
                    taken = run()
                except PeerMissing as error:
                    missing[name] = str(error).strip().splitlines()[-1]
                    del seconds[name]
                    continue
                if number:
                    seconds[name].append(taken)
        return Comparison(key, title, per, reference, seconds, missing, durable)

    def _wants(self, name: str) -> bool:
        return name == OURS or not self.contestants or any(part in name for part in self.contestants)
