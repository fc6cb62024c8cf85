"""What is given in place of a store: an error that says what to do, before anything is read or written."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from eventstore import EventStore, InvalidInput, Repository, maintenance, transfer
from eventstore.contrib.asyncio import AsyncEventStore
from eventstore.contrib.opentelemetry import instrument
from eventstore.decisions import Decision
from eventstore.detaching import read_part
from eventstore.projections import Projection, ProjectionAdmin, Worker
from eventstore.relay import Relay

MAP = transfer.TableMap.of({}, reader="message-db")
USES: dict[str, Callable[[Any], object]] = {
    "a repository": lambda store: Repository(store, category="order", initial=dict, evolve=lambda state, _: state),
    "a decision": lambda store: Decision[Any](store, queries=list, initial=dict, evolve=max, decide=lambda _: []),
    "a worker": lambda store: Worker(store, Projection("totals")),
    "a relay": lambda store: Relay(store, "out", to=print),
    "the administration of projections": ProjectionAdmin,
    "instrumentation": instrument,
    "verify": maintenance.verify,
    "fill_tags": maintenance.fill_tags,
    "recode": maintenance.recode,
    "an export": lambda store: transfer.export_events(store, "events.jsonl"),
    "an import": lambda store: transfer.import_events(store, "events.jsonl"),
    "an import of a table": lambda store: transfer.import_table(store, store, MAP),
    "a comparison": lambda store: transfer.compare_table(store, store, MAP),
    "a load": lambda store: transfer.load(store, [], source="shop"),
    "a part": lambda store: list(read_part(store, "part")),
}

REFUSED = r"not AsyncEventStore; (give it a synchronous one|make an|instrument|a relay waits)"


@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_a_store_for_asyncio_is_refused_with_what_to_do(
    use: Callable[[Any], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with EventStore.in_memory() as plain:
        store = object.__new__(AsyncEventStore)
        store._store = plain
        with pytest.raises(
            InvalidInput, match=r"not AsyncEventStore; (give it a synchronous one|make an|instrument|a relay)"
        ):
            use(store)
        with pytest.raises(InvalidInput, match=r"^store must be an EventStore, not Engine$"):
            use(plain.engine)
    assert not list(tmp_path.iterdir())
