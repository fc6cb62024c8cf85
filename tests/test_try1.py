import sys
import time

sys.path.insert(0, "/work/helpers/detach22")
import pytest

from eventstore import *
from eventstore.errors import *
from eventstore.parts import *
from tests.partitioned import partition


def test_it(postgres_engine, tmp_path):
    e = postgres_engine
    partition(e, size=10)
    s = EventStore(e)
    for i in range(12):
        s.append(
            f"a-{i % 3}",
            [NewEvent("t", {"n": i}, tags=["x:1"]), NewEvent("u", {"n": [i] * 3, "m": b"abc"}, metadata={"q": 1})],
            expected_version=ANY,
        )
    before = list(s.read_all())
    print([(p.name, p.first_position, p.last_position, p.state) for p in list_parts(s)])
    with pytest.raises(PartInUse) as x:
        detach_part(s, "es_events_1", folder=tmp_path / "p1")
    print(x.value)
    d = detach_part(s, "es_events_1", folder=tmp_path / "p1", streams_may_lose_history=True, dry_run=True)
    print(d.steps)
    t = time.time()
    d = detach_part(s, "es_events_1", folder=tmp_path / "p1", streams_may_lose_history=True, on_progress=print)
    print(time.time() - t, d)
    back = list(read_part(s, tmp_path / "p1"))
    assert back == before[:10]
    for call in (
        lambda: list(s.read_all()),
        lambda: list(s.read_stream("a-0")),
        lambda: list(s.read_all(EventFilter(categories=["a"]))),
    ):
        with pytest.raises(HistoryDetached) as x:
            call()
        print(x.value)
    assert list(s.read_all(after_position=10)) == before[10:]
    assert list(s.read_all(after_position=before[9].token)) == before[10:]
    with pytest.raises(HistoryDetached) as x:
        list(s.read_all(after_position=before[8].token))
    assert list(s.read_all(backwards=True, limit=14)) == before[:9:-1]
    it = s.read_all(backwards=True)
    got = []
    with pytest.raises(HistoryDetached):
        for ev in it:
            got.append(ev)
    assert got == before[:9:-1]
    print(list(s.read_stream("a-9")))
    print([(p.name, p.first_position, p.last_position, p.state) for p in list_parts(s)])
    d = detach_part(s, "es_events_1", folder=tmp_path / "p1", drop=True)
    print(d)
