"""Exports that were damaged, or made to do damage: refused by name, never by an error of Python's or a database's."""

import io
import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from random import Random
from typing import Any

import pytest
from sqlalchemy import Engine

from eventstore import ANY, EventStore, NewEvent
from eventstore.errors import DamagedExport, ImportConflict
from eventstore.projections import Projection, Worker
from eventstore.transfer import Format, export_events, import_events
from tests.fix_engines import changing_history

NUMBERS = [
    b"0",
    b"-1",
    b"9223372036854775808",
    b"18446744073709551616",
    b"1.5",
    b"1e400",
    b"32768",
    b"2147483648",
    b"9" * 40,
]
TEXTS = [
    b'""', b'"\\u0000"', b'"\\ud800"', b'"' + b"x" * 300 + b'"', b"null", b"{}", b"[]", b"7",
    b'"0001-01-01T00:00:00+23:59"', b'"9999-12-31T23:59:59-23:59"', b"[" * 2000 + b"]" * 2000,
]  # fmt: skip
BYTES = [b"9" * 30, b"-", b"\x00", b"\xff", b"\\u0000", b"\\ud800", b"null", b"[", b"{}", b'"', b"1e400"]
ROUNDS = [pytest.param(60), pytest.param(1500, marks=pytest.mark.long)]


def exported(format_: Format, engine: Engine | None = None) -> bytes:
    """Return an export that has something of everything."""
    store = EventStore.in_memory(compress_above=100) if engine is None else EventStore(engine)
    for number in range(6):
        data = {
            "total": Decimal("1.10"),
            "at": datetime(2026, 3, 1, tzinfo=UTC),
            "text": "x" * 60 * number,
            "of": {1, 2},
        }
        event = NewEvent("placed", data, metadata={"number": number, "share": 1.5})
        store.append(f"order-{number % 3}", [event], expected_version=ANY)
    store.delete_stream("order-2", expected_version=2, reason="over")
    store.snapshots.save("order-1", version=2, state={"a": (1, 2)})
    projection = Projection("seen")
    projection.on()(lambda *_: None)
    Worker(store, projection).run_until_caught_up()
    file, is_json = io.BytesIO(), format_ is Format.JSON_LINES
    export_events(store, file, format=format_, snapshots=is_json, checkpoints=is_json)
    store.close()
    return file.getvalue()


def damaged(data: bytes, random: Random) -> bytes:
    """Return it with one to five changes."""
    changed = bytearray(data)
    for _ in range(random.choice([1, 1, 1, 2, 5])):
        place = random.randrange(len(changed) or 1)
        match random.randrange(6):
            case 0:
                changed[place : place + 1] = bytes([random.randrange(256)])
            case 1:
                del changed[place : place + random.choice([1, 1, 2, 10, 200])]
            case 2:
                changed[place:place] = random.choice(BYTES)
            case 3:
                lines = bytes(changed).split(b"\n")
                one, other = random.randrange(len(lines)), random.randrange(len(lines))
                lines[one : one + random.randrange(2)] = random.choice([[lines[other]], []])
                changed = bytearray(b"\n".join(lines))
            case what:
                found = list(re.finditer(rb"\d+" if what == 4 else rb'"[^"]*"', changed))
                if found:
                    chosen = random.choice(found)
                    changed[chosen.start() : chosen.end()] = random.choice(NUMBERS if what == 4 else TEXTS)
    return bytes(changed)


def outcome(store: EventStore, data: bytes, format_: Format, *, keep_positions: bool) -> str:
    """Return what an import says, if it is one of the errors that it may raise."""
    try:
        import_events(store, io.BytesIO(data), format=format_, keep_positions=keep_positions)
    except (DamagedExport, ImportConflict) as error:
        return type(error).__name__
    except Exception as error:
        if "positions; pass keep_positions" in str(error):  # a file with checkpoints
            return "InvalidInput"
        raise
    return "imported"


def emptied(engine: Engine) -> EventStore:
    store = EventStore(engine)
    with changing_history(engine) as connection:
        for table in (store.tables.snapshots, store.tables.events, store.tables.streams, store.tables.checkpoints):
            connection.execute(table.delete())
    return store


@pytest.mark.slow
@pytest.mark.parametrize("rounds", ROUNDS)
@pytest.mark.parametrize("format_", list(Format))
def test_damaged_files_are_refused_by_name(any_engine: Engine, format_: Format, rounds: int) -> None:
    data = exported(format_)
    outcomes = [
        outcome(emptied(any_engine), damaged(data, Random(seed)), format_, keep_positions=seed % 3 != 0)
        for seed in range(rounds)
    ]
    assert {"DamagedExport", "imported"} <= set(outcomes)


def change(kind: str, **values: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Return what changes lines of a kind."""
    return lambda line: {**line, **values} if line["kind"] == kind else line


HOSTILE = [
        change("export", after_position=2**63),
        change("event", position=2**63),
        change("event", version=2**64),
        change("event", schema_version=2**31),
        change("event", codec=2**15),
        change("event", stream_id="a\0b"),
        change("event", stream_id="x" * 256),
        change("event", event_type=""),
        change("event", recorded_at="0001-01-01T00:00:00+23:59"),
        change("event", recorded_at="9999-12-31T23:59:59-23:59"),
        change("event", metadata=[1]),
        change("event", metadata={"a": "\0"}),
        change("event", data={"$decimal": "one"}),
        change("event", data={"$datetime": "2026-99-01"}),
        change("event", codec=257, data="x" * 2**25),
        change("event", event_type="$stream-deleted", codec=1, data=None, data_base64="wQ=="),
        change("stream", version=2**63),
        change("stream", created_at="0001-01-01T00:00:00+23:59"),
        change("snapshot", version=2**63),
        change("snapshot", version=3),
        change("snapshot", stream_id="order-9"),
        change("snapshot", state={"$decimal": "one"}),
        change("checkpoint", position=2**63),
        change("checkpoint", name="x" * 256),
        change("end", position=2**63),
        change("end", events=10**30),
    ]  # fmt: skip


@pytest.mark.slow
def test_what_no_database_could_take_is_refused_by_name(any_engine: Engine) -> None:
    good = [json.loads(line) for line in exported(Format.JSON_LINES).splitlines()]
    for hostile in HOSTILE:
        lines = b"".join(json.dumps(hostile(line)).encode() + b"\n" for line in good)
        store = emptied(any_engine)
        with pytest.raises(DamagedExport):
            import_events(store, io.BytesIO(lines), format=Format.JSON_LINES, keep_positions=True)
