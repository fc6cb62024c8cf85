"""Detaching of the oldest part of the log: it is exported, listed, and only then detached.

Readers rely on one thing: whoever does not see a part's row in es_detached_parts sees its events. So the row is
committed before the DETACH, and all transactions that were open then have ended before it, because a snapshot that is
older than the row may be used for a statement that is planned later.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from eventstore.common.backoff import spread
from eventstore.common.validation import check_flag, check_seconds
from eventstore.detaching.exporting import OnProgress, PartProgress, ends_of, export_part
from eventstore.detaching.manifest import Manifest
from eventstore.detaching.partition import check_full, check_has_parts, find_part, parts_of_store
from eventstore.errors import DamagedExport, InvalidInput, PartInUse, TableLocked
from eventstore.migrations import catalog, deploy_lock
from eventstore.migrations.refusals import refusals
from eventstore.migrations.session import no_timeouts, set_aside
from eventstore.parts import Part, PartState
from eventstore.store import EventStore
from eventstore.tables import PARTS_CAN_BE_DETACHED
from eventstore.tables.names import qualified_name

_NAMED: Final = 10
"""How many projections, dead letters and streams an error names."""

_LOCK_NOT_AVAILABLE, _DEADLOCK = "55P03", "40P01"

_BEHIND: Final = """
SELECT name, position FROM {checkpoints} WHERE position < :last_position ORDER BY name LIMIT :at_most"""
_LETTERS: Final = """
SELECT projection, position FROM {dead_letters}
WHERE status = 'pending' AND position BETWEEN :first_position AND :last_position
ORDER BY position, projection LIMIT :at_most"""
_OPEN_STREAMS: Final = """
SELECT DISTINCT event.stream_id FROM {part} AS event
JOIN {streams} AS head ON head.stream_id = event.stream_id
WHERE head.deleted_version IS NULL AND head.archived_version IS NULL
LIMIT :at_most"""
_ADD: Final = """
INSERT INTO {detached_parts} (first_position, last_position, events, name, location, sha256)
VALUES (:first_position, :last_position, :events, :name, :location, :sha256)"""
_EXPORTED: Final = """
UPDATE {detached_parts} SET location = :location, sha256 = :sha256 WHERE name = :name AND sha256 IS NULL"""
_BREAK: Final = """
UPDATE {schema_table} SET breaking_version = :version WHERE breaking_version < :version"""
_OPEN_TRANSACTIONS: Final = text("""
SELECT held.virtualtransaction, held.pid
FROM pg_locks AS held
JOIN pg_stat_activity AS session ON session.pid = held.pid
WHERE held.locktype = 'virtualxid' AND held.mode = 'ExclusiveLock' AND held.granted
    AND held.pid <> pg_backend_pid()
    AND session.datid = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND session.usesysid IS NOT NULL AND session.usesysid <> 0""")


@dataclass(frozen=True, slots=True)
class DetachOutcome:
    """What detaching a part does, or has done.

    Attributes:
        part: The part, as it was found or, after the run, as it is.
        steps: What there is to do, in order, each a sentence; what was done, after a run.
        manifest: The manifest of the export; None without one, or before the run.
    """

    part: Part
    steps: tuple[str, ...]
    manifest: Manifest | None = None


def detach_part(
    store: EventStore,
    name: str,
    *,
    folder: str | Path | None,
    location: str | None = None,
    by_stream: bool = False,
    streams_may_lose_history: bool = False,
    drop: bool = False,
    dry_run: bool = False,
    wait_seconds: float = 600.0,
    lock_timeout_seconds: float = 0.5,
    on_progress: OnProgress | None = None,
) -> DetachOutcome:
    """Export the oldest part of the log, and detach it. Its table is kept until it is dropped.

    In this order: it is exported to the folder, which is read back and compared with the table; a row in
    es_detached_parts is committed, from when on reads that need the part raise `HistoryDetached`; all transactions
    that were open then are waited for; and its partition is detached, CONCURRENTLY. An interrupted call is repeated:
    it continues where it was. Appends and other reads go on. No attempt to lock a table takes longer than
    `lock_timeout_seconds`; after each, those who wait are let pass.

    Code that knows no detached parts would silently read less. So the call raises `breaking_version` of es_schema, and
    such code is refused when it starts. Stop it before: what runs already does not look again.

    Args:
        store: The store, on PostgreSQL, not joined to a transaction. The database user owns the tables.
        name: The name of the partition, such as `es_events_1`. It must be the oldest that is attached.
        folder: The folder to export it to; see `export_part`. None detaches it without an export. A part that was
            detached without one is exported by a later call that names a folder.
        location: Where people find the export, such as the URL that you move the folder to: a text in the errors of
            reads, which is never opened. Defaults to the absolute path of the folder.
        by_stream: As for `export_part`.
        streams_may_lose_history: Whether to go on if streams that still take events have events in the part. Reads of
            them from their beginning then raise `HistoryDetached`; reads from a newer snapshot or version go on.
        drop: Whether to drop the table, too. It may also be dropped by a later call.
        dry_run: Whether only to check, and return what would be done.
        wait_seconds: How long to wait, in all, for other transactions, and for another migration.
        lock_timeout_seconds: How long one attempt to lock a table may take. Appends that come after it wait as long.
        on_progress: Called as the export goes on, and before each further step.

    Raises:
        PartInUse: A checkpoint is before the end of the part, a dead letter in it is pending, or streams that take
            events have some in it. Nothing was done.
        InvalidInput: There is no such partition, it is not the oldest, or events may still be appended to it; or it
            would be dropped, and has other events than were listed.
        DamagedExport: The export can't be read back, or differs from the table.
        TableLocked: Other transactions were not done in time. Repeat the call.
        MigrationInProgress: A migration was not done in time.
        PermissionDenied: The database user does not own the tables.
        SchemaOutdated: The tables are older than `es_0011`.
    """
    flags = {"by_stream": by_stream, "streams_may_lose_history": streams_may_lose_history, "drop": drop}
    for flag, value in {**flags, "dry_run": dry_run}.items():
        check_flag(flag, value)
    check_seconds("wait_seconds", wait_seconds)
    check_seconds("lock_timeout_seconds", lock_timeout_seconds, minimum=0.001)
    if location is not None and not isinstance(location, str):
        msg = f"location must be a text for people, not {type(location).__name__}"
        raise InvalidInput(msg)
    check_has_parts(store)
    part = find_part(parts_of_store(store), name)
    work = _Detach(store, part, wait_seconds, lock_timeout_seconds, on_progress)
    if part.state is PartState.ATTACHED:
        work.check(streams_may_lose_history=streams_may_lose_history)
    steps = tuple(_steps(part, folder, drop=drop))
    if dry_run:
        return DetachOutcome(part, steps)
    manifest = None
    if folder is not None and _lacks_export(part):
        events, _, _ = ends_of(store, part)
        if events:
            manifest = export_part(store, name, folder, by_stream=by_stream, on_progress=on_progress)
            location = location or str(Path(folder).absolute())
    with work.connected() as connection:
        work.run(connection, manifest, location, streams_may_lose_history=streams_may_lose_history)
        if drop:
            work.drop(connection)
    return DetachOutcome(find_part(parts_of_store(store), name), steps, manifest)


def _lacks_export(part: Part) -> bool:
    return part.state is not PartState.DROPPED and (part.detached is None or part.detached.sha256 is None)


def _steps(part: Part, folder: str | Path | None, *, drop: bool) -> Iterator[str]:
    if folder is not None and _lacks_export(part):
        yield f"export {part.name} to {str(folder)!r}, read it back, and compare it with the table"
    if part.state is PartState.ATTACHED:
        yield "list it in es_detached_parts, so that reads that need it say so"
    if part.state in {PartState.ATTACHED, PartState.LISTED}:
        yield "wait for the transactions that are open then"
    if part.state in {PartState.ATTACHED, PartState.LISTED, PartState.DETACHING}:
        yield f"detach {part.name} from es_events"
    if drop and part.state is not PartState.DROPPED:
        yield f"drop the table {part.name}"


class _Detach:
    def __init__(
        self,
        store: EventStore,
        part: Part,
        wait_seconds: float,
        lock_timeout_seconds: float,
        on_progress: OnProgress | None,
    ) -> None:
        self._store = store
        self._part = part
        self._wait_seconds = wait_seconds
        self._lock_timeout = f"{max(round(lock_timeout_seconds * 1000), 1)}ms"
        self._on_progress = on_progress
        self._deadline = time.monotonic() + wait_seconds
        tables = store.core.dialect.tables
        self._events = qualified_name(tables.events)
        self._table = qualified_name(tables.events, part.name)
        self._names = {
            "streams": qualified_name(tables.streams),
            "checkpoints": qualified_name(tables.checkpoints),
            "dead_letters": qualified_name(tables.dead_letters),
            "detached_parts": qualified_name(tables.detached_parts),
            "schema_table": qualified_name(tables.schema),
            "part": self._table,
        }

    @contextmanager
    def connected(self) -> Iterator[Connection]:
        """Open a connection in AUTOCOMMIT, without timeouts, while no migration runs."""
        options = {"isolation_level": "AUTOCOMMIT", "stream_results": False}
        schema = self._store.core.dialect.schema
        with (
            refusals(self._store.engine, schema),
            self._store.engine.connect().execution_options(**options) as connection,
            deploy_lock(connection, schema=schema, wait_seconds=self._wait_seconds),
            set_aside(connection, no_timeouts()),
        ):
            yield connection

    def check(self, *, streams_may_lose_history: bool) -> None:
        """Check that the part can be detached.

        Raises:
            PartInUse: Something still needs it.
            InvalidInput: It is not the oldest, or events may still be appended to it.
        """
        oldest = next(part for part in parts_of_store(self._store) if part.state not in _GONE)
        if oldest.name != self._part.name:
            msg = f"{self._part.name} is not the oldest part of the log; detach {oldest.name} first"
            raise InvalidInput(msg)
        check_full(self._store, self._part)
        with self._store.engine.connect() as connection, connection.begin():
            problems = list(self._problems(connection, streams_may_lose_history=streams_may_lose_history))
        if problems:
            raise PartInUse(self._part.name, problems)

    def _problems(self, connection: Connection, *, streams_may_lose_history: bool) -> Iterator[str]:
        end = self._part.last_position
        behind = [f"{name} (at {position})" for name, position in self._some(connection, _BEHIND)]
        if behind:
            yield f"projections have not handled its events up to position {end}: {_list(behind)}"
        letters = [f"{position} of {name}" for name, position in self._some(connection, _LETTERS)]
        if letters:
            yield f"dead letters in it are pending, retry or discard them: {_list(letters)}"
        if not streams_may_lose_history:
            streams = [repr(stream_id) for (stream_id,) in self._some(connection, _OPEN_STREAMS)]
            if streams:
                yield (
                    f"streams that take events have some in it: {_list(sorted(streams))}; archive or delete them, or "
                    "pass streams_may_lose_history (--streams-may-lose-history): then reads of their beginning fail"
                )

    def _some(self, connection: Connection, sql: str) -> list[Any]:
        values = {"first_position": self._part.first_position, "last_position": self._part.last_position}
        known = {name: value for name, value in values.items() if f":{name}" in sql}
        rows = connection.execute(self._sql(sql), {**known, "at_most": _NAMED + 1})
        return list(rows)

    def _sql(self, template: str) -> Any:
        return text(template.format(**{name: value.replace(":", r"\:") for name, value in self._names.items()}))

    def run(
        self, connection: Connection, manifest: Manifest | None, location: str | None, *, streams_may_lose_history: bool
    ) -> None:
        """Do what is left to do, until the part is detached."""
        part = self._now()
        if part.state is PartState.ATTACHED:
            self.check(streams_may_lose_history=streams_may_lose_history)
            self._report("list")
            self._list(manifest, location)
            part = self._now()
        elif manifest is not None:
            row = {"name": part.name, "location": location, "sha256": manifest.sha256}
            connection.execute(self._sql(_EXPORTED), row)
        if part.state is PartState.LISTED:
            self._wait_for_transactions(connection)
        self._detach(connection)

    def _now(self) -> Part:
        self._part = find_part(parts_of_store(self._store), self._part.name)
        return self._part

    def _list(self, manifest: Manifest | None, location: str | None) -> None:
        """Add the row, and refuse older code, in one transaction, which is committed."""
        events, _, _ = ends_of(self._store, self._part)
        if manifest is not None and manifest.events != events:
            problem = f"names {manifest.events} events, but {self._part.name} has {events} by now; export it again"
            raise DamagedExport("its manifest", problem, file=location)
        row = {
            "first_position": self._part.first_position,
            "last_position": self._part.last_position,
            "events": events,
            "name": self._part.name,
            "location": None if manifest is None else location,
            "sha256": None if manifest is None else manifest.sha256,
        }
        with self._store.engine.begin() as transaction:
            transaction.execute(text("SET LOCAL synchronous_commit = on"))
            transaction.execute(self._sql(_ADD), row)
            transaction.execute(self._sql(_BREAK), {"version": PARTS_CAN_BE_DETACHED})

    def _wait_for_transactions(self, connection: Connection) -> None:
        """Wait until every transaction has ended that was open after the row was committed.

        Its snapshot may be older than the row. A statement in it that is planned after the DETACH would see neither the
        row nor the events.
        """
        self._report("wait")
        waiting: dict[str, int] = {held: pid for held, pid in connection.execute(_OPEN_TRANSACTIONS)}  # noqa: C416  # rows
        while waiting:
            if time.monotonic() >= self._deadline:
                raise self._locked("waiting for transactions that began before", connection, set(waiting.values()))
            time.sleep(spread(0.02, 0.1))
            now = {transaction for transaction, _ in connection.execute(_OPEN_TRANSACTIONS)}
            waiting = {transaction: pid for transaction, pid in waiting.items() if transaction in now}

    def _detach(self, connection: Connection) -> None:
        def attempt() -> bool:
            state = self._now().state
            if state not in {PartState.LISTED, PartState.DETACHING}:
                return True
            how = "FINALIZE" if state is PartState.DETACHING else "CONCURRENTLY"
            self._report("finalize" if how == "FINALIZE" else "detach")
            self._execute(connection, f"ALTER TABLE {self._events} DETACH PARTITION {self._table} {how}")
            return False

        self._until_done(connection, f"detaching {self._part.name}", attempt)

    def drop(self, connection: Connection) -> None:
        """Drop the table of a detached part, if it has the events that were listed.

        Raises:
            InvalidInput: It has other events.
        """
        part = self._now()
        if part.state is PartState.DROPPED or part.detached is None:
            return
        events, _, _ = ends_of(self._store, part)
        if events != part.detached.events:
            msg = (
                f"the table {part.name} has {events} events, but {part.detached.events} were listed when it was "
                "detached; compare it with its export before you drop it by hand"
            )
            raise InvalidInput(msg)

        def attempt() -> bool:
            if self._now().state is PartState.DROPPED:
                return True
            self._report("drop")
            self._execute(connection, f"DROP TABLE {self._table}")
            return False

        self._until_done(connection, f"dropping {part.name}", attempt)

    def _until_done(self, connection: Connection, step: str, attempt: Callable[[], bool]) -> None:
        """Repeat an attempt within the lock timeout, and let those who wait pass in between."""
        while True:
            try:
                if attempt():
                    return
            except DBAPIError as error:
                if getattr(error.orig, "sqlstate", None) not in {_LOCK_NOT_AVAILABLE, _DEADLOCK}:
                    raise
                if time.monotonic() >= self._deadline:
                    raise self._locked(step, connection, set()) from error
                time.sleep(spread(0.1, 0.5))

    def _execute(self, connection: Connection, sql: str) -> None:
        connection.execute(text("SELECT set_config('lock_timeout', :value, false)"), {"value": self._lock_timeout})
        connection.exec_driver_sql(sql.replace("%", "%%"))

    def _locked(self, step: str, connection: Connection, pids: set[int]) -> TableLocked:
        who = catalog.describe(connection, pids) if pids else catalog.lockers(connection, [self._events, self._table])
        return TableLocked(step, self._part.name, round(self._wait_seconds, 1), who)

    def _report(self, step: str) -> None:
        if self._on_progress is not None:
            self._on_progress(PartProgress(step, 0, 0))


_GONE: Final = frozenset({PartState.DETACHED, PartState.DROPPED})


def _list(names: list[str]) -> str:
    more = ", and more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
