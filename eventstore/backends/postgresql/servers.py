"""Which server answers: readers miss nothing only if one server draws all positions and knows all locks.

The look at the log reads the locks of the server that it is connected to. A transaction whose end is decided on other
servers, such as a two-phase commit of Citus, can release its lock there before its events are visible.
"""

from collections.abc import Mapping
from typing import Any, Final

from psycopg.pq import Conninfo
from sqlalchemy import Engine

from eventstore.backends.protocol import Run
from eventstore.errors import UnsuitableServer
from eventstore.statements.postgresql.citus import distribution_of_events, local_group, schema_distribution

_COORDINATOR: Final = 0
"""The group of Citus's coordinator; workers are 1, 2, 3, …"""

_TO_PRIMARY: Final = ("read-write", "primary")
"""The values of target_session_attrs with which libpq connects to the one server that takes writes."""


def refuse_several_servers(engine: Engine) -> None:
    """Refuse an engine whose connections may lead to different servers at the same time, such as primary and standby.

    Options that are passed to create_engine as connect_args or as a function can't be seen here.

    Raises:
        UnsuitableServer: The URL, the environment or the service file names several hosts, or asks for load balancing,
            and does not ask for the one that takes writes.
    """
    _, options = engine.dialect.create_connect_args(engine.url)
    hosts = _option(options, "host") or _option(options, "hostaddr")
    is_balanced = _option(options, "load_balance_hosts") not in {"", "disable"}
    if ("," in hosts or is_balanced) and _option(options, "target_session_attrs") not in _TO_PRIMARY:
        how = f"names several servers ({hosts})" if "," in hosts else "has load_balance_hosts"
        raise UnsuitableServer(
            f"the engine's URL {how}, and a connection may lead to any of them",
            "name one server; or, for failover, add target_session_attrs=read-write",
        )


def _option(options: Mapping[str, Any], name: str) -> str:
    """Return an option of libpq; if it is not given, its default, which may come from the environment."""
    given = options.get(name)
    if given is not None:
        return str(given)
    defaults = {option.keyword.decode(): option.val for option in Conninfo.get_defaults()}
    return (defaults.get(name) or b"").decode()


def check_citus(run: Run) -> bool:
    """Check that es_events is not distributed by Citus, or by its schema only; for a database that has Citus.

    Returns:
        Whether it is distributed.

    Raises:
        UnsuitableServer: The server is a worker, or the table is distributed in another way.
    """
    if run(local_group)[0][0] != _COORDINATOR:
        raise UnsuitableServer(
            "the server is a worker of Citus, which draws other positions than the coordinator and does not see the "
            "locks of its appends",
            "connect to the coordinator",
        )
    distributions = run(distribution_of_events)
    if not distributions:
        return False
    ((has_schemas,),) = distributions
    if not has_schemas or not run(schema_distribution)[0][0]:
        raise UnsuitableServer(
            "es_events is distributed by Citus, and a transaction that ends on several servers can release its locks "
            "before its events are visible",
            "leave the tables of the event store undistributed, or distribute a tenant's whole schema: SELECT "
            "citus_schema_distribute(…)",
        )
    return True
