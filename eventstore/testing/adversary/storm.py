"""The random attack: writers and readers of all kinds work at once, while faults are caused."""

import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from eventstore.testing.adversary.adapter import Adapter, Write
from eventstore.testing.adversary.faults import Faults, Writers
from eventstore.testing.adversary.following import LONGEST_SECONDS, Follower, FollowerThread
from eventstore.testing.adversary.journal import Memory, Outcome, read_journals
from eventstore.testing.adversary.judging import Judge
from eventstore.testing.adversary.places import Place
from eventstore.testing.adversary.setting import Setting, retry
from eventstore.testing.adversary.verdicts import Verdict
from eventstore.testing.adversary.writing import new_event

NAME: Final = "stress"
WHAT: Final = (
    "writers and readers of all kinds at random, while connections are cut, sessions terminated and writers killed"
)
_FAULT_EVERY_SECONDS: Final = 0.25
_PATIENCE_SECONDS_AN_ATTEMPT: Final = 0.02
"""How long a reader may take for each attempt to write, because many writers leave it far behind."""

_MORE_PATIENCE_SECONDS: Final = 15.0
"""How long to wait for its thread beyond that."""


def storm(setting: Setting, place: Place, seconds: float) -> Verdict:
    """Write, read and cause faults for some time in an empty place; then let the readers finish, and judge."""
    memory = Memory()
    with ExitStack() as stack:
        adapter = stack.enter_context(setting.prepared(place))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="adversary-")))
        faults = Faults(setting, place, stack)
        direct = setting.opener(place)
        proxied = setting.opener(place, faults.for_readers.url) if faults.for_readers else direct
        threads = [
            FollowerThread(Follower(reader, proxied if number % 2 else direct))
            for number, reader in enumerate(setting.adapter.readers)
        ]
        try:
            _write(setting, place, folder, faults, seconds)
            if not setting.wait_until_quiet(place):
                faults.notes.append("some transactions of writers were still open 20 seconds later")
            _write_last(setting, adapter, memory)
        except BaseException:
            _end(threads, 0.0)  # a reader that continues would recreate a SQLite file
            raise
        attempts = [*read_journals(sorted(folder.iterdir())), *memory.attempts]
        longest_seconds = LONGEST_SECONDS + len(attempts) * _PATIENCE_SECONDS_AN_ATTEMPT
        _end(threads, longest_seconds)
        log = Follower(setting.adapter.readers[0], direct)
        log.finish(longest_seconds)
        log.close()
    judge = Judge(attempts, log.deliveries)
    followers = [thread.follower for thread in threads]
    scores = [judge.score(each.reader, each.deliveries, stopped=each.stopped) for each in followers]
    return Verdict.of(NAME, WHAT, [judge.score_log(), *scores], [str(faults), *faults.notes])


def _end(threads: Sequence[FollowerThread], longest_seconds: float) -> None:
    for thread in threads:
        thread.finish(longest_seconds)
    for thread in threads:
        thread.join(longest_seconds + _MORE_PATIENCE_SECONDS)


def _write(setting: Setting, place: Place, folder: Path, faults: Faults, seconds: float) -> None:
    generator = setting.generator("pauses")
    with Writers(setting, place, folder, faults.for_writers, seconds) as writers:
        while (left := writers.seconds_left) > 0:
            time.sleep(min(left, generator.uniform(0, 2 * _FAULT_EVERY_SECONDS)))
            faults.make(writers)


def _write_last(setting: Setting, adapter: Adapter, memory: Memory) -> None:
    """Append an event after which all earlier gaps are settled."""
    write = Write("order-last", (new_event(setting.generator("last")),), None)
    number = memory.begin([write])
    retry(lambda: adapter.append([write]))
    memory.end(number, Outcome.STORED)
