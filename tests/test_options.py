"""Options that can't be right are refused by name, where they are given, before anything is done."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from alembic.config import Config
from sqlalchemy import create_engine
from sqlalchemy.orm import Session

from eventstore import EventFilter, EventStore, EventTypes, InvalidInput, NewEvent, Repository, maintenance, migrations
from eventstore.migrations.settings import Settings
from eventstore.projections import Projection, Worker
from eventstore.transfer import export_events, import_events

NOT_A_FLAG = ["yes", "no", 1, 0, None, [], b"true"]
NOT_SECONDS = ["a", "1", -1, -0.5, float("nan"), float("inf"), True, None, [], 10**6]
NOT_A_COUNT = ["a", 0, -1, 1.5, True, None, [], 2**63]
NOT_EVENT_TYPES = [{"placed": object}, {}, [], "shop.events", object(), True]


def repository(store: EventStore, **options: Any) -> Any:
    return Repository(store, **{"category": "order", "initial": dict, "evolve": lambda state, _: state, **options})


CALLS: dict[str, tuple[Callable[..., Any], dict[str, list[Any]]]] = {
    "EventStore": (
        lambda store, **options: EventStore(store.engine, **options),
        {
            "event_types": NOT_EVENT_TYPES,
            "codec": ["json", {}, [], 7, object()],
            "also_reads": ["json", b"x", {}, 7, None],
            "compress_above": ["a", -1, 1.5, True, []],
            "page_size": NOT_A_COUNT,
            "lock_timeout_seconds": NOT_SECONDS,
            "schema": [7, "", "a\0b", True, []],
            "notify": NOT_A_FLAG,
        },
    ),
    "EventStore.from_url": (
        lambda _, **options: EventStore.from_url(**{"url": "sqlite://", **options}),
        {
            "url": [None, 7, b"sqlite://", create_engine("sqlite://")],
            "engine_options": ["pool_size", 7, [("pool_size", 2)], {7: 2}, {"url": "x"}, {"lock_timeout_seconds": 1}],
            "event_types": NOT_EVENT_TYPES,
            "lock_timeout_seconds": NOT_SECONDS,
            "notify": NOT_A_FLAG,
            "page_size": NOT_A_COUNT,
        },
    ),
    "EventStore.in_memory": (
        lambda _, **options: EventStore.in_memory(**options),
        {"event_types": NOT_EVENT_TYPES, "page_size": NOT_A_COUNT, "schema": ["events"], "notify": [True]},
    ),
    "EventTypes": (
        lambda _, **options: EventTypes(**options),
        {"newer": ["raise", None, True], "unregistered": ["raise", None, True]},
    ),
    "read_stream": (
        lambda store, **options: store.read_stream("order-1", **options),
        {
            "after_version": ["a", -1, None],
            "up_to_version": ["a", -1],
            "limit": ["a", -1],
            "backwards": NOT_A_FLAG,
            "upcast": NOT_A_FLAG,
        },
    ),
    "read_all": (
        lambda store, **options: store.read_all(**options),
        {"after_position": ["a", -1, None], "limit": ["a", -1], "wait_seconds": NOT_SECONDS, "upcast": NOT_A_FLAG},
    ),
    "subscribe": (
        lambda store, **options: store.subscribe(**{"after_position": 0, **options}),
        {"after_position": ["a", -1, None], "idle_timeout_seconds": ["a", -1, True], "notify": NOT_A_FLAG},
    ),
    "health": (
        lambda store, **options: store.health(**options),
        {
            "timeout_seconds": [*NOT_SECONDS, 0],
            "projections": ["totals", 7, [7], object()],
            "max_lag_seconds": ["a", -1, True],
            "max_lag_events": ["a", -1, True, 10_000],
            "max_pool_use": ["a", -1, 2],
        },
    ),
    "snapshots.find": (
        lambda store, **options: store.snapshots.list(**options),
        {"after": ["order-1", 7, (), ("order-1",)], "limit": ["a", -1]},
    ),
    "EventFilter": (
        lambda _, **options: EventFilter(**options),
        {
            "event_types": ["placed", [], [7], 7, {"a": 1}],
            "categories": ["order", [], [7]],
            "stream_ids": ["order-1", [], [7]],
        },
    ),
    "Repository": (
        repository,
        {
            "initial": [None, {}, "dict"],
            "evolve": [None, "evolve"],
            "attempts": NOT_A_COUNT,
            "backoff_seconds": NOT_SECONDS,
            "snapshots": [7, "always"],
            "to_snapshot": [7],
        },
    ),
    "Projection": (
        lambda _, **options: Projection(**{"name": "totals", **options}),
        {
            "name": [7, "", None],
            "attempts": NOT_A_COUNT,
            "backoff_seconds": NOT_SECONDS,
            "on_failure": ["stop", None],
            "session": ["Session", 7, {}],
        },
    ),
    "Worker": (
        lambda store, **options: Worker(store, Projection("totals"), **options),
        {
            "batch_size": [each for each in NOT_A_COUNT if each is not None],
            "batch_seconds": NOT_SECONDS,
            "longest_interval_seconds": NOT_SECONDS,
            "name": [7, "", "a\0b", "a" * 256],
        },
    ),
    "export_events": (
        lambda store, **options: export_events(store, "never.jsonl", **options),
        {
            "resume": NOT_A_FLAG,
            "snapshots": NOT_A_FLAG,
            "checkpoints": NOT_A_FLAG,
            "after_position": ["a", -1],
            "wait_seconds": NOT_SECONDS,
            "format": ["csv", 7],
        },
    ),
    "import_events": (
        lambda store, **options: import_events(store, "never.jsonl", **options),
        {"keep_positions": NOT_A_FLAG, "batch_size": NOT_A_COUNT, "format": ["csv", 7]},
    ),
    "verify": (
        maintenance.verify,
        {"event_types": NOT_EVENT_TYPES, "payloads": NOT_A_FLAG, "batch_size": NOT_A_COUNT, "after": ["streams:0:"]},
    ),
    "statistics": (
        maintenance.statistics,
        {"exact_up_to": ["a", -1, 1.5, None]},
    ),
    "upgrade": (
        lambda store, **options: migrations.upgrade(store.engine, **options),
        {"revision": [7, None, object()], "lock_timeout_seconds": [*NOT_SECONDS, 0], "wait_seconds": NOT_SECONDS},
    ),
    "delete_stream": (
        lambda store, **options: store.delete_stream("order-1", **{"expected_version": 1, "reason": "x", **options}),
        {"reason": ["", 7, None], "reusable": NOT_A_FLAG},
    ),
}
CASES = [(name, option) for name, (_, options) in CALLS.items() for option in options]


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.chdir(tmp_path)
    with EventStore.in_memory() as made:
        made.append("order-1", [NewEvent("placed")], expected_version=0)
        yield made


@pytest.mark.parametrize(("call", "option"), CASES)
def test_an_option_that_can_not_be_right_is_refused_by_name(
    store: EventStore, tmp_path: Path, call: str, option: str
) -> None:
    function, options = CALLS[call]
    for wrong in options[option]:
        with pytest.raises(InvalidInput) as refused:
            function(store, **{option: wrong})
        told = str(refused.value)
        assert option in told or option.removesuffix("s").replace("_", " ") in told, (wrong, told)
    assert list(tmp_path.iterdir()) == [], "nothing was written"
    assert store.stream_version("order-1") == 1


def test_what_is_no_engine_is_refused_with_the_way_to_get_one(store: EventStore) -> None:
    with Session(store.engine) as session, store.engine.connect() as connection:
        for wrong, way in (
            ("sqlite:///shop.db", "EventStore.from_url"),
            (store.engine.url, "EventStore.from_url"),
            (store, "pass its attribute engine"),
            (session, "join it"),
            (connection, "join it"),
            (_Asynchronous(), "AsyncEventStore"),
            (None, "not NoneType"),
        ):
            calls: list[Callable[[Any], Any]] = [
                EventStore, migrations.upgrade, migrations.current, migrations.pending, migrations.check,
                migrations.verify, lambda engine: migrations.downgrade(engine, "base"),
            ]  # fmt: skip
            for call in calls:
                with pytest.raises(
                    InvalidInput, match=f"engine must be a sqlalchemy.Engine, not .*{way.removeprefix('not ')}"
                ):
                    call(wrong)


class _Asynchronous:
    """What SQLAlchemy's engine for asyncio, which takes greenlet, has."""

    sync_engine = create_engine("sqlite://")


def test_registering_without_a_name_says_that_it_takes_one() -> None:
    register: Any = EventTypes().register  # the mistake is one of types, too
    with pytest.raises(InvalidInput, match=r"register .*Placed under an event type, .*@event_types\.register\("):

        @register
        class Placed:
            pass


@pytest.mark.parametrize("option", ["eventstore_lock_timeout_seconds", "eventstore_wait_seconds"])
def test_an_option_in_alembic_ini_is_refused_by_name(option: str) -> None:
    config = Config()
    config.set_main_option(option, "soon")
    with pytest.raises(InvalidInput, match=f"{option} in alembic.ini must be a number of seconds, not 'soon'"):
        Settings.of(config)
