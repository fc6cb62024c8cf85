"""Tables that Citus has distributed by their schema: all of a store's tables are whole on one worker.

The coordinator draws positions and holds the lock of appends, as one server does. But a transaction can end there
before it has ended on the worker: when the coordinator is stopped during a commit, or a worker before it has answered
one. So a reader waits for both. (docs/how-to/citus.md)
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from eventstore.backends.postgresql.log_views import RECOVERED, LogViewParts
from eventstore.backends.postgresql.parameters import condition_parameters, lock_parameters
from eventstore.backends.postgresql.positions import check_drawing
from eventstore.backends.protocol import Condition, HeadClosed, Run, Server, Stored, TaggedOutcome, TagLocks
from eventstore.errors import SeveralTenants, UnsuitableServer, UnsuitableTransaction
from eventstore.rows.mapper import PendingAppend
from eventstore.statements.global_order import newest_position
from eventstore.statements.heads import write_head
from eventstore.statements.postgresql.append import lock_heads
from eventstore.statements.postgresql.boundaries import compare_boundaries
from eventstore.statements.postgresql.citus_log import (
    appends_elsewhere,
    appends_on_coordinator,
    appends_on_worker,
    end_of_log,
    insert_rows,
)
from eventstore.statements.postgresql.citus_tags import keys_on_worker, lock_on_worker, stay_on_worker
from eventstore.statements.postgresql.positions import drawing_state
from eventstore.statements.postgresql.tag_rows import insert_tags
from eventstore.streams import Expectation
from eventstore.tokens import PositionToken

_ROWS: Final = (100, 10, 1)
"""How many rows a statement inserts: few numbers, so that there are few statements to prepare."""

_ON_WORKER: Final = "worker "
_MOVED: Final = frozenset({"moved"})


@dataclass(frozen=True, slots=True)
class CitusView(LogViewParts):
    """A log view: the locks of appends on the coordinator, then those on the worker.

    Whoever has ended on the coordinator has sent the worker all that it will ever send, and has got the answer to each
    INSERT that it may commit. So if it has not ended on the worker, it holds the lock there.

    Attributes:
        unfinished: The virtual transactions that hold the lock, those on the worker after `worker `; None if the locks
            were not read.
    """

    unfinished: frozenset[str] | None

    def still_unfinished(self, waiting: frozenset[str]) -> frozenset[str]:
        """Return those that still hold the lock, here or there, under their old name or a new one.

        One that has vanished from the coordinator may be any of those on the worker. One that has vanished there may
        have been prepared; see `PrimaryView`.
        """
        if self.unfinished is None:
            return waiting
        remaining, gone = waiting & self.unfinished, waiting - self.unfinished
        if any(not name.startswith(_ON_WORKER) for name in gone):
            remaining |= {name for name in self.unfinished if name.startswith(_ON_WORKER)}
        if any(not name.startswith(_ON_WORKER + RECOVERED) for name in gone):
            remaining |= {name for name in self.unfinished if name.startswith(_ON_WORKER + RECOVERED)}
        return remaining


def view_log(run: Run, *, settled: PositionToken | None, others: Sequence[PositionToken], joined: bool) -> CitusView:
    """Read the end of the log, then who is appending on the coordinator, then who is on the worker.

    The order matters: an append below the end of the log that the second statement does not see has ended on the
    coordinator, and one that the third does not see either has ended on the worker.

    Raises:
        UnsuitableServer: The coordinator is a standby, which does not show the locks of its primary.
        UnsuitableTransaction: As for `Dialect.view_log`.
    """
    asked_positions = [token.position for token in (settled, *others) if token is not None]
    *event, positions, ids, table, started_at, in_recovery = run(end_of_log, positions=asked_positions)[0]
    appenders, own, isolation_level, is_standby, *drawing = run(appends_on_coordinator)[0]
    if is_standby:
        raise UnsuitableServer("the server is a standby of Citus's coordinator", "connect to the coordinator itself")
    if joined and isolation_level != "read committed":
        raise UnsuitableTransaction(
            f"is at {isolation_level.upper()}, where it does not see what others commit; use READ COMMITTED"
        )
    if own:
        raise UnsuitableTransaction("has itself appended events, which may still be rolled back")
    server = Server(table, started_at, in_recovery)
    newest = None if event[0] is None else PositionToken(*event)
    event_ids = dict(zip(positions or (), ids or (), strict=True))
    drawn = check_drawing(run, 0 if newest is None else newest.position, *drawing)
    if newest is None or _has_settled(newest, settled, event_ids):
        return CitusView(server, newest, event_ids, drawn, None)
    return CitusView(server, newest, event_ids, drawn, frozenset(appenders or ()) | _on_worker(run, server))


def _has_settled(newest: PositionToken, settled: PositionToken | None, event_ids: Mapping[int, UUID]) -> bool:
    if settled is None or event_ids.get(settled.position) != settled.event_id:
        return False
    return newest.position <= settled.position


def _on_worker(run: Run, server: Server) -> frozenset[str]:
    rows = run(appends_on_worker)
    if not rows or Server(*rows[0][1:]) != server:
        return _MOVED  # to another worker since; the next view begins again, or waits for all who are on this one
    return frozenset(f"{_ON_WORKER}{name}" for name in rows[0][0] or ())


def check_positions(run: Run) -> None:
    """Check that the coordinator's sequence has CACHE 1 and is not behind the worker, and that es_events is logged."""
    newest = run(newest_position)[0][0]
    check_drawing(run, newest, *run(drawing_state)[0])


def append(run: Run, pending: PendingAppend) -> Stored | None:
    """Set the head, then insert the events, in the transaction that `append_is_one_statement` asks for."""
    _refuse_several_tenants(run)
    head = {"stream_id": pending.stream_id, "count": len(pending), "expected": pending.expected}
    advanced = run(write_head(pending.expectation), **head)
    return _insert(run, pending, advanced[0][0] - len(pending)) if advanced else None


def prepare_to_lock_tags(run: Run) -> None:
    """Write to the worker, before tags are locked on the coordinator.

    So the transaction keeps the tables on this worker until it ends. And Citus knows the transaction from then on: its
    search for distributed deadlocks takes all that it does not know for one, and would cancel some of those that wait
    for tags, although there is no deadlock.

    Raises:
        SeveralTenants: The transaction has appended to another tenant's store.
    """
    _refuse_several_tenants(run)
    run(stay_on_worker)


def lock_tags_on_worker(run: Run, locks: TagLocks | None) -> None:
    """Lock tags on the worker, after they were locked on the coordinator; see `Dialect.lock_tags`.

    The locks on the coordinator end with the coordinator, also while a commit is under way on the worker. Those on the
    worker end when the events are visible. Those on the coordinator are needed, too: other transactions may be on the
    worker that had the tables before.

    Raises:
        PositionsBehind: As for `check_positions`. An append that has only now ended on the worker may have drawn
            positions that the coordinator has lost in a crash.
    """
    parameters = lock_parameters(locks)
    del parameters["number"]
    ((keys, are_shared),) = run(keys_on_worker, **parameters)
    run(lock_on_worker, keys=keys, are_shared=are_shared)
    check_positions(run)


def append_tagged(run: Run, pending: PendingAppend, condition: Condition | None) -> TaggedOutcome:
    """Compare the boundaries, append, and insert the tags; the tags are locked."""
    if condition is not None:
        ((is_current, changed),) = run(compare_boundaries, **condition_parameters(condition))
        if not is_current or changed is not None:
            return TaggedOutcome(is_current, changed, None)
    stored = append(run, pending)
    if stored is not None and pending.tags is not None:
        first = stored[0] - len(pending) + 1
        rows = [(first + index, tag) for index, tags in enumerate(pending.tags) for tag in tags]
        versions, tags = [version for version, _ in rows], [tag for _, tag in rows]
        run(insert_tags, stream_ids=[pending.stream_id] * len(rows), versions=versions, tags=tags)
    return TaggedOutcome(is_current=True, changed=None, stored=stored)


def lock_and_create_heads(run: Run, stream_ids: Sequence[str], *, create: Sequence[str]) -> dict[str, int]:
    """Create missing heads, then lock all, both in sorted order; see `PostgreSQLDialect.lock_heads`."""
    _refuse_several_tenants(run)
    for stream_id in sorted(create, key=str.encode):
        run(write_head(Expectation.NEW), stream_id=stream_id, count=0)
    return {row[0]: row[1] for row in run(lock_heads, stream_ids=list(stream_ids))}


def store(run: Run, appends: Iterable[tuple[PendingAppend, int]]) -> list[Sequence[int]]:
    """Set each head and insert its events.

    Raises:
        HeadClosed: A stream was deleted or archived.
    """
    positions: list[Sequence[int]] = []
    for pending, version in appends:
        head = {"stream_id": pending.stream_id, "count": len(pending), "expected": version}
        if not run(write_head(Expectation.VERSION), **head):  # it is locked, and at this version
            raise HeadClosed
        positions.append(_insert(run, pending, version)[1])
    return positions


def _refuse_several_tenants(run: Run) -> None:
    """Refuse a transaction that has appended to another store, whose tables may be on another worker.

    Raises:
        SeveralTenants: It has.
    """
    for (tables,) in run(appends_elsewhere):
        raise SeveralTenants(tables)


def _insert(run: Run, pending: PendingAppend, version: int) -> Stored:
    """Insert the events after a version."""
    stored: list[tuple[int, int]] = []
    for start, count in _chunks(len(pending)):
        parameters: dict[str, Any] = {"stream_id": pending.stream_id}
        for number in range(count):
            event = start + number
            parameters |= {
                f"version_{number}": version + event + 1,
                f"event_id_{number}": pending.event_ids[event],
                f"event_type_{number}": pending.event_types[event],
                f"schema_version_{number}": pending.schema_versions[event],
                f"codec_{number}": pending.codecs[event],
                f"data_{number}": pending.data[event],
                f"metadata_{number}": pending.metadata[event],
            }
        stored += [(row[0], row[1]) for row in run(insert_rows(count), **parameters)]
    return version + len(pending), [position for _, position in sorted(stored)]


def _chunks(count: int) -> Iterator[tuple[int, int]]:
    """Yield (index of the first event, number of events) of each statement."""
    start = 0
    for size in _ROWS:
        while count - start >= size:
            yield start, size
            start += size
