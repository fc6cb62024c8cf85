"""Checks of a PostgreSQL server: its version, settings, transactions and upkeep."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from sqlalchemy import Engine, QueuePool

from eventstore.backends.protocol import Run
from eventstore.findings import Finding, Level
from eventstore.statements.postgresql.diagnosis import (
    prepared_transactions,
    server_process,
    server_settings,
    table_upkeep,
    unfinished_appends,
)

OLDEST_VERSION: Final = 140_000
SLOW_SECONDS: Final = 5
"""A transaction that has appended, and is open for longer than this, is reported."""
STALLED_SECONDS: Final = 60
"""A transaction that has appended, and is open for longer than this, was probably forgotten."""
_DEAD_SHARE: Final = 0.3
_DEAD_AT_LEAST: Final = 10_000
_BUSY_SHARE: Final = 0.8

_SETTINGS: Final = (
    "server_version", "server_version_num", "max_connections", "default_transaction_isolation", "synchronous_commit",
    "fsync", "full_page_writes", "autovacuum", "track_counts", "idle_in_transaction_session_timeout",
    "max_prepared_transactions", "track_commit_timestamp", "default_transaction_read_only",
)  # fmt: skip


def diagnose(engine: Engine, run: Run) -> list[Finding]:
    """Check settings, unfinished transactions, upkeep, and whether there is a connection pooler."""
    settings: dict[str, str] = dict(run(server_settings, names=list(_SETTINGS)))
    ((is_standby, clients),) = run(server_process)
    return [
        Finding(Level.OK, "connection", f"{engine.url!r}"),
        _version(settings, is_standby=is_standby),
        _pooler(engine),
        _connections(engine, settings, clients),
        *_settings(settings),
        *_prepared(run, settings),
        _unfinished(run),
        *_upkeep(run, settings),
    ]


def _version(settings: Mapping[str, str], *, is_standby: bool) -> Finding:
    message = f"PostgreSQL {settings['server_version']}" + (", a standby, which is read-only" if is_standby else "")
    if int(settings["server_version_num"]) < OLDEST_VERSION:
        return Finding(Level.ERROR, "server", message, "use PostgreSQL 14 or newer")
    return Finding(Level.OK, "server", message)


def _pooler(engine: Engine) -> Finding:
    """Compare the process id that the driver has with that of the server process; a pooler sends the driver another."""
    with engine.connect() as connection:
        raw: Any = connection.connection.dbapi_connection
        driver_pid, threshold = raw.info.backend_pid, raw.prepare_threshold
        server_pid = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
    if driver_pid == server_pid:
        return Finding(Level.OK, "pooler", "none: this is a direct connection")
    message = "there is a connection pooler, such as PgBouncer, between here and the server"
    if threshold is None:
        return Finding(Level.OK, "pooler", f"{message}; migrate over a direct connection")
    advice = (
        "with PgBouncer before 1.21, or max_prepared_statements = 0, pass prepare_threshold=None to the driver "
        "(connect_args); migrate over a direct connection"
    )
    return Finding(Level.WARNING, "pooler", f"{message}, and the driver prepares statements", advice)


def _connections(engine: Engine, settings: Mapping[str, str], clients: int) -> Finding:
    largest = int(settings["max_connections"])
    message = f"{clients} of {largest} connections are in use"
    own = 0
    if isinstance(engine.pool, QueuePool):
        own = engine.pool.size() + max(engine.pool._max_overflow, 0)  # noqa: SLF001  # SQLAlchemy has no public name for it
        message += f"; a pool like this one takes up to {own}"
    advice = "lower pool_size of the applications, use PgBouncer, or raise max_connections"
    if clients > _BUSY_SHARE * largest or own > largest:
        return Finding(Level.WARNING, "connections", message, advice)
    return Finding(Level.OK, "connections", message)


def _settings(settings: Mapping[str, str]) -> Iterator[Finding]:
    for name, fine, level, problem, advice in (
        (
            "default_transaction_isolation", ("read committed",), Level.WARNING,
            "transactions of the application may not see what others commit, so readers that join them are refused",
            "leave it at 'read committed', and set a higher level only for transactions that need it",
        ),
        (
            "synchronous_commit", ("on", "local", "remote_write", "remote_apply"), Level.WARNING,
            "a crash of the server can undo the last appends, although they were confirmed",
            "set it to on, at least for the writers of events",
        ),
        ("fsync", ("on",), Level.ERROR, "a crash can destroy the database", "set it to on"),
        ("full_page_writes", ("on",), Level.ERROR, "a crash can destroy pages", "set it to on"),
        (
            "default_transaction_read_only", ("off",), Level.ERROR, "nothing can be appended",
            "set it to off for the role of the application",
        ),
    ):  # fmt: skip
        value = settings[name]
        if value in fine:
            yield Finding(Level.OK, name, value)
        else:
            yield Finding(level, name, f"{value}: {problem}", advice)
    timeout = int(settings["idle_in_transaction_session_timeout"])
    if timeout:
        yield Finding(Level.OK, "idle_in_transaction_session_timeout", f"{timeout} ms")
    else:
        yield Finding(
            Level.WARNING, "idle_in_transaction_session_timeout",
            "none: a forgotten transaction that has appended holds readers back without end",
            "set it, for the roles of the application, to about a minute",
        )  # fmt: skip
    if settings["track_commit_timestamp"] == "on":
        yield Finding(Level.OK, "track_commit_timestamp", "on; the event store does not need it")


def _prepared(run: Run, settings: Mapping[str, str]) -> Iterator[Finding]:
    if settings["max_prepared_transactions"] == "0":
        yield Finding(Level.OK, "prepared transactions", "not allowed (max_prepared_transactions is 0)")
        return
    old = [row for row in run(prepared_transactions) if row[2] > SLOW_SECONDS]
    if not old:
        yield Finding(Level.OK, "prepared transactions", "none that is old")
    for name, owner, seconds in old:
        level = Level.ERROR if seconds > STALLED_SECONDS else Level.WARNING
        message = f"{name!r} of {owner} is {seconds} s old; if it has appended, readers wait for it"
        advice = "COMMIT PREPARED or ROLLBACK PREPARED, as its coordinator has decided"
        yield Finding(level, "prepared transactions", message, advice)


def _unfinished(run: Run) -> Finding:
    rows = run(unfinished_appends)
    hidden = [str(pid) for pid, *_, seconds in rows if seconds is None]
    if hidden:  # the server hides the age of other users' transactions without pg_read_all_stats
        message = f"other users' sessions (pid {', '.join(hidden)}) have appended, but the age of their transactions "
        message += "is not visible"
        advice = "GRANT pg_read_all_stats TO <user>, or run this as a monitoring user"
        return Finding(Level.WARNING, "unfinished appends", message, advice)
    old = [row for row in rows if row[4] > SLOW_SECONDS]
    if not old:
        return Finding(Level.OK, "unfinished appends", f"none is older than {SLOW_SECONDS} s")
    sessions = [
        f"pid {pid} ({application or 'no application_name'}, user {user}, {state}) for {seconds} s"
        for pid, user, application, state, seconds in old
    ]
    level = Level.ERROR if max(row[4] for row in old) > STALLED_SECONDS else Level.WARNING
    message = f"readers and projections wait for {'; '.join(sessions)}"
    return Finding(level, "unfinished appends", message, "end them: SELECT pg_terminate_backend(pid)")


def _upkeep(run: Run, settings: Mapping[str, str]) -> Iterator[Finding]:
    if (settings["autovacuum"], settings["track_counts"]) != ("on", "on"):
        message = "off: indexes and tables grow, reads get slower, and in the end transaction ids run out"
        yield Finding(Level.ERROR, "autovacuum", message, "set autovacuum and track_counts to on")
        return
    problems = []
    for table, options, live, dead in run(table_upkeep):
        if "autovacuum_enabled=false" in (options or ""):
            advice = f"ALTER TABLE {table} RESET (autovacuum_enabled)"
            problems.append(Finding(Level.ERROR, "autovacuum", f"off for {table}", advice))
        elif dead > _DEAD_AT_LEAST and dead > _DEAD_SHARE * live:
            message = f"{table} has {dead} dead rows and {live} live ones"
            advice = (
                f"VACUUM {table}; if that does not help, end old transactions and lower autovacuum_vacuum_scale_factor"
            )
            problems.append(Finding(Level.WARNING, "autovacuum", message, advice))
    yield from problems or [Finding(Level.OK, "autovacuum", "on")]
