"""A run: the steered attacks one by one, then the random attack."""

import time
import traceback
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from typing import Final

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from eventstore.testing.adversary.going_back import log_went_back
from eventstore.testing.adversary.interleaving import interleaved_appends
from eventstore.testing.adversary.loading import load_adapter
from eventstore.testing.adversary.places import CanNotRun, Ground, LeftOut
from eventstore.testing.adversary.scene import Scene
from eventstore.testing.adversary.setting import Setting
from eventstore.testing.adversary.steered import (
    Case,
    conflict,
    gap_at_the_edge_of_a_page,
    gap_before_the_first,
    lost_answer,
    open_append,
    prepared_transaction,
    two_streams,
)
from eventstore.testing.adversary.storm import NAME as STRESS
from eventstore.testing.adversary.storm import WHAT, storm
from eventstore.testing.adversary.verdicts import Result, Verdict

_LONGEST_ROUND_SECONDS: Final = 60.0

CASES: Final = (
    Case(
        "open-append", "an append takes positions and stays open while others are committed; then it ends", open_append
    ),
    Case("first-hole", "the same with the first append of all, so the log begins with a gap", gap_before_the_first),
    Case(
        "page-edge", "the same at the end of a reader's page, one event before and after it", gap_at_the_edge_of_a_page
    ),
    Case("interleaved", "two appends are stopped at each of their messages in turn, by a proxy", interleaved_appends),
    Case("two-streams", "an older transaction appends to several streams, between and after younger ones", two_streams),
    Case("prepared", "an append is prepared, stays so without a session, and is committed", prepared_transaction),
    Case("conflict", "several writers decide on the same version of a stream", conflict),
    Case(
        "lost-answer", "the answer to an append is lost, at each of its messages in turn; it is repeated", lost_answer
    ),
    Case(
        "log-went-back",
        "the database is replaced by an older copy, and positions that were read are assigned again",
        log_went_back,
        needs_database=True,
    ),
)
NAMES: Final = (*(case.name for case in CASES), STRESS)


def open_setting(
    url: str, adapter_name: str, *, seed: int, writers: int, threads: int = 1, direct_url: str | None = None
) -> Setting:
    """Return the setting for the arguments of a run.

    Raises:
        CanNotRun: There is no such adapter, or the adversary can't work on this URL.
    """
    adapter = load_adapter(adapter_name)
    try:
        parsed = make_url(url)
        direct = None if direct_url is None else make_url(direct_url)
    except ArgumentError as error:
        raise CanNotRun("the URL is not valid for SQLAlchemy; it looks like postgresql://user@host/database") from error
    ground = Ground(parsed, direct, takes_schema=adapter.takes_schema)
    return Setting(ground, adapter_name, adapter, seed, writers, threads)


def run(setting: Setting, *, seconds: float, names: Collection[str] = NAMES) -> Iterator[Verdict]:
    """Make the attacks with these names, and yield the verdict on each.

    The random attack consists of rounds of at most a minute, each in a new place and with another seed: the seed of the
    run, the next number, and so on. `names=["stress"]` with the seed of a round repeats that round alone.

    Raises:
        CanNotRun: The store can't be attacked here.
    """
    for case in CASES:
        if case.name in names:
            yield _timed(partial(_play, setting, case), case.name, case.what)
    if STRESS in names:
        yield _timed(partial(_storm, setting, seconds), STRESS, WHAT)


def _timed(work: Callable[[], Verdict], name: str, what: str) -> Verdict:
    begun = time.monotonic()
    try:
        verdict = work()
    except CanNotRun:
        raise
    except Exception as error:  # noqa: BLE001  # any error of the store or its adapter; the next attack may succeed
        notes = [f"an unexpected error: {type(error).__name__}"]
        verdict = Verdict(name, what, Result.FAILED, notes=notes, trace=traceback.format_exc())
    return replace(verdict, seconds=round(time.monotonic() - begun, 1))


def _play(setting: Setting, case: Case) -> Verdict:
    try:
        with ExitStack() as stack:
            ground = setting.ground
            makes_database = case.needs_database and not ground.is_sqlite
            place = stack.enter_context(ground.database() if makes_database else ground.place())
            adapter = stack.enter_context(setting.prepared(place))
            scene = Scene(setting, place, adapter, stack, case.name)
            scores = case.play(scene)
            return Verdict.of(case.name, case.what, scores, scene.notes)
    except LeftOut as reason:
        return Verdict(case.name, case.what, Result.LEFT_OUT, notes=(str(reason),))


def _storm(setting: Setting, seconds: float) -> Verdict:
    """Run rounds until the time is over or one has found a fault; return the sum of their verdicts."""
    total: Verdict | None = None
    left, seed = seconds, setting.seed
    while left > 0:
        round_seconds = min(left, _LONGEST_ROUND_SECONDS)
        this = replace(setting, seed=seed)
        with setting.ground.place() as place:
            verdict = storm(this, place, round_seconds)
        verdict = replace(verdict, notes=[f"with seed {seed}: {note}" for note in verdict.notes])
        if verdict.result is Result.FOUND:
            return replace(verdict, notes=[*verdict.notes, f"repeat: --cases {STRESS} --seed {seed}"])
        total = verdict if total is None else total.plus(verdict)
        left, seed = left - round_seconds, seed + 1
    return total or Verdict(STRESS, WHAT, Result.LEFT_OUT, notes=("--seconds is 0",))
