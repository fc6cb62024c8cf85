"""One run: its server, its peers, and the races."""

import math
import tempfile
from collections.abc import Collection, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from rich.console import Console

from benchmarks import loading
from benchmarks.peers import Peer, PeerMissing
from benchmarks.race import Contestant, run_race
from benchmarks.results import Comparison
from benchmarks.servers import SETTINGS, Database
from eventstore.testing.postgresql import PostgreSQLServer

Quick = TypeVar("Quick")
Full = TypeVar("Full")
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
        ends_at: Of `time.monotonic`: when the time of this workload is up.
    """

    full: bool
    rounds: int
    contestants: Collection[str]
    environments: Path
    console: Console
    ends_at: float = math.inf
    peer_errors: dict[str, str] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    _peers: dict[str, Peer] = field(default_factory=dict)
    loading_seconds: dict[int, float] = field(default_factory=dict)
    _loaded: dict[int, Database] = field(default_factory=dict)
    _filled: Database | None = None
    _server: PostgreSQLServer | None = None
    _stack: ExitStack = field(default_factory=ExitStack)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.close()

    def choose(self, quick: Quick, full: Full) -> Quick | Full:
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

    def loaded(self, count: int) -> Database:
        """Return the database that has so many events; all workloads share it, so add few and remove none."""
        if count not in self._loaded:
            database = self.database(durable=False)
            self.loading_seconds[count] = loading.load(database, count)
            self._loaded[count] = database
        return self._loaded[count]

    def folder(self) -> Path:
        """Return a new folder, gone at the end of the run."""
        return Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="benchmark-")))

    def peer(self, name: str) -> Peer | None:
        """Return a peer, None where it is not wanted or can't be had: `peer_errors` says why."""
        if name not in self._peers and name not in self.peer_errors:
            if not self._wants(name):
                self.peer_errors[name] = "it was not chosen"
                return None
            try:
                self._peers[name] = Peer(name, self.environments)
            except PeerMissing as missing:
                self.peer_errors[name] = str(missing)
                self.console.print(f"{name} can't take part: {missing}", style="red", markup=False)
            else:
                self._stack.callback(self._peers[name].close)
        return self._peers.get(name)

    def notes(self) -> list[str]:
        """Return who could not take part, and why."""
        return [f"{name} could not take part: {why}" for name, why in self.peer_errors.items()]

    def peers_versions(self) -> dict[str, str]:
        """Return the versions of the other libraries, and how durable their commits are, as they say."""
        return {f"peer {name}": version for name, version in self.versions.items()}

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

    def filled_eventsourcing(self, count: int) -> Peer | None:
        """Return the same with a store of so many events, opened under the name `filled`; filled once in a run."""
        if self._filled is None:
            self._filled = self.database(durable=False, tables=False)
            peer = self.eventsourcing("filled", self._filled.environment)
            if peer is not None:
                peer.call("fill", name="filled", count=count)
        return self.peer("eventsourcing")

    @property
    def filled(self) -> Database | None:
        """The database of `filled_eventsourcing`, None before it is filled."""
        return self._filled

    def event_sourcery(self, name: str, database: Database | str) -> Peer | None:
        """Return the peer `python-event-sourcery` with a database, or the one of a URL, opened under a name."""
        peer = self.peer("event_sourcery")
        if peer is not None:
            url = database if isinstance(database, str) else database.url.replace("postgresql", "postgresql+psycopg")
            self.versions["python-event-sourcery"] = peer.call("use", name=name, url=url)
        return peer

    def race(
        self,
        key: str,
        title: str,
        contestants: Mapping[str, Contestant | None],
        *,
        per: str,
        reference: str,
        durable: bool | None = None,
        rounds: int | None = None,
        warm_up: bool = True,
    ) -> Comparison:
        """Let contestants do the same in turns, until the rounds are done or the workload's time is up.

        Args:
            key: Names the result.
            title: What is done.
            contestants: By name; None where a peer is missing.
            per: What one operation is.
            reference: With whom the others are compared.
            durable: Whether commits are flushed; None where nothing is written.
            rounds: How many are timed. Defaults to None: as the run says.
            warm_up: Whether there is a round before the first one that counts.
        """
        there = {name: run for name, run in contestants.items() if run and (name == reference or self._wants(name))}
        outcome = run_race(
            there,
            rounds=rounds or self.rounds,
            twice=OURS if OURS in there else reference,
            ends_at=self.ends_at,
            warm_up=warm_up,
        )
        missing = {name: "not there: see the notes" for name, run in contestants.items() if run is None}
        return Comparison(
            key, title, per, reference, outcome.seconds, outcome.again, missing | outcome.missing, durable
        )

    def _wants(self, name: str) -> bool:
        return name.startswith(OURS) or not self.contestants or any(part in name for part in self.contestants)
