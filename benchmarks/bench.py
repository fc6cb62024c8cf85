"""One run: its server, its peers, and the races."""

import math
import tempfile
from collections.abc import Collection, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

from rich.console import Console
from sqlalchemy import Engine

from benchmarks import loading
from benchmarks.peers import Peer, PeerMissing
from benchmarks.race import FEWEST_ROUNDS, Contestant, run_race
from benchmarks.results import Comparison
from benchmarks.servers import SETTINGS, Database
from tests.postgresql.launcher import PostgreSQLServer

if TYPE_CHECKING:
    from benchmarks.umadb_server import UmaDB

Quick = TypeVar("Quick")
Full = TypeVar("Full")
Entered = TypeVar("Entered")
OURS: Final = "eventstore"
UMADB: Final = "UmaDB"
UNCHECKED: Final = "UmaDB, no condition"
_AT_A_TIME: Final = 100_000


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
    durability: dict[str, str] = field(default_factory=dict)
    _peers: dict[str, Peer] = field(default_factory=dict)
    loading_seconds: dict[int, float] = field(default_factory=dict)
    _loaded: dict[int, Database] = field(default_factory=dict)
    _filled: Database | None = None
    _server: PostgreSQLServer | None = None
    _own_server: PostgreSQLServer | None = None
    _umadb: "UmaDB | None" = None
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

    def own_server(self) -> PostgreSQLServer:
        """A second durable PostgreSQL, for what disturbs: crashes, and an autovacuum that comes each second."""
        if self._own_server is None:
            settings = {**SETTINGS, "autovacuum_naptime": "1s", "shared_buffers": "128MB"}
            self._own_server = self._stack.enter_context(PostgreSQLServer(settings=settings, durable=True))
        return self._own_server

    def busy_server(self, connections: int) -> PostgreSQLServer:
        """Return one more server, not started, that takes so many connections and some more."""
        settings = {**SETTINGS, "max_connections": str(connections + 50), "shared_buffers": "128MB"}
        return PostgreSQLServer(settings=settings)

    def quiet_server(self) -> PostgreSQLServer:
        """Return one more server, not started, with no autovacuum and no checkpoint that is not asked for."""
        settings = {**SETTINGS, "autovacuum": "off", "checkpoint_timeout": "1d", "max_wal_size": "6GB"}
        return PostgreSQLServer(settings=settings, durable=True)

    def umadb(self) -> "UmaDB | None":
        """Return UmaDB with its server, started when it is first asked for; None if it is not wanted or fails."""
        if self._umadb is None and UMADB not in self.peer_errors:
            if not self._wants(UMADB):
                self.peer_errors[UMADB] = "it was not chosen"
                return None
            try:
                from benchmarks.umadb_server import VERSION, UmaDB  # noqa: PLC0415  # tests read results without it

                self._umadb = self._stack.enter_context(UmaDB(self.folder()))
            except (ImportError, OSError, RuntimeError) as error:
                self.peer_errors[UMADB] = str(error)
                return None
            self.versions[UMADB] = VERSION
            self.durability[UMADB] = "flushed: it has no option not to"
        return self._umadb

    def enter(self, manager: AbstractContextManager[Entered]) -> Entered:
        """Enter a context that is left at the end of the run."""
        return self._stack.enter_context(manager)

    def enter_engine(self, engine: Engine) -> Engine:
        """Return an engine that is disposed of at the end of the run."""
        self._stack.callback(engine.dispose)
        return engine

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
        """Return a peer, None where it is not wanted or can't be had: `peer_errors` says why.

        One that has ended, as one does that has not answered, is started anew, and has forgotten its stores.
        """
        if name in self.peer_errors:
            return None
        peer = self._peers.get(name)
        if peer is None or peer.has_ended:
            peer = self._start(name)
            if peer is not None:
                self._peers[name] = peer
        return peer

    def _start(self, name: str) -> Peer | None:
        if not self._wants(name):
            self.peer_errors[name] = "it was not chosen"
            return None
        try:
            peer = Peer(name, self.environments)
        except PeerMissing as missing:
            self.peer_errors[name] = str(missing)
            self.console.print(f"{name} can't take part: {missing}", style="red", markup=False)
            return None
        self._stack.callback(peer.close)
        return peer

    def notes(self) -> list[str]:
        """Return who could not take part, and why."""
        return [f"{name} could not take part: {why}" for name, why in self.peer_errors.items()]

    def peers_versions(self) -> dict[str, str]:
        """Return the versions of the other libraries, and how durable their commits are, as they say."""
        return {f"peer {name}": version for name, version in self.versions.items()} | {
            f"commits of {name}": level for name, level in self.durability.items()
        }

    def ask_for_durability(self, peer: Peer | None, contestant: str, name: str) -> None:
        """Note how a peer's commits are flushed, as it says itself of the store of a name."""
        if peer is None:
            return
        try:
            self.durability[contestant] = peer.call("durability", name=name)
        except PeerMissing as error:
            self.durability[contestant] = f"not known: {error}"

    def eventsourcing(self, name: str, environment: Mapping[str, str]) -> Peer | None:
        """Return the peer `eventsourcing` with a store opened under a name."""
        return self._opened("eventsourcing", self.peer("eventsourcing"), name=name, environment=dict(environment))

    def eventsourcing_process(self, name: str, environment: Mapping[str, str]) -> Peer | None:
        """Return the same in one more process."""
        peer = self._start("eventsourcing") if self.peer("eventsourcing") else None
        return self._opened("eventsourcing", peer, name=name, environment=dict(environment))

    def event_sourcery(self, name: str, database: Database | str) -> Peer | None:
        """Return the peer `python-event-sourcery` with a database, or the one of a URL, opened under a name."""
        url = database if isinstance(database, str) else database.url.replace("postgresql", "postgresql+psycopg")
        return self._opened("python-event-sourcery", self.peer("python-event-sourcery"), name=name, url=url)

    def _opened(self, library: str, peer: Peer | None, **arguments: Any) -> Peer | None:
        if peer is None:
            return None
        try:
            self.versions[library] = peer.call("use", **arguments)
        except PeerMissing as error:
            self.peer_errors[library] = str(error)
            return None
        return peer

    def filled_eventsourcing(self, count: int) -> Peer | None:
        """Return the peer `eventsourcing` with a store of so many events under the name `filled`."""
        if self._filled is not None:
            return self.eventsourcing("filled", self._filled.environment)
        self._filled = self.database(durable=False, tables=False)
        peer = self.eventsourcing("filled", self._filled.environment)
        if peer is not None:
            for first in range(0, count, _AT_A_TIME):
                peer.call("fill", name="filled", count=min(_AT_A_TIME, count - first))
        return peer

    @property
    def filled(self) -> Database | None:
        """The database of `filled_eventsourcing`, None before it is filled."""
        return self._filled

    def race(
        self,
        key: str,
        title: str,
        contestants: Mapping[str, Contestant | str | None],
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
            contestants: By name; None where a peer is missing, a string that says why where one is left out.
            per: What one operation is.
            reference: With whom the others are compared.
            durable: Whether commits are flushed; None where nothing is written.
            rounds: How many are timed. Defaults to None: as the run says.
            warm_up: Whether there is a round before the first one that counts.
        """
        self.console.print(f"{title} …", style="dim", markup=False, highlight=False)
        chosen = {name: run for name, run in contestants.items() if name == reference or self._wants(name)}
        there = {name: run for name, run in chosen.items() if run and not isinstance(run, str)}
        outcome = run_race(
            there,
            rounds=rounds or self.rounds,
            twice=OURS if OURS in there else reference,
            ends_at=self.ends_at,
            fewest=FEWEST_ROUNDS if self.full else 1,
            warm_up=warm_up,
        )
        missing = {name: run for name, run in chosen.items() if isinstance(run, str)}
        missing |= {name: "not there: see the notes" for name, run in chosen.items() if run is None}
        return Comparison(
            key, title, per, reference, outcome.seconds, outcome.again, missing | outcome.missing, durable
        )

    def _wants(self, name: str) -> bool:
        return name.startswith(OURS) or not self.contestants or any(part in name for part in self.contestants)
