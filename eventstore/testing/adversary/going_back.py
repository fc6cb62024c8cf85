"""A log that goes back: a failover or a restore has lost its last events, and their positions are assigned again."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from eventstore.testing.adversary.adapter import Adapter
from eventstore.testing.adversary.judging import LOG, Score
from eventstore.testing.adversary.scene import Scene
from eventstore.testing.adversary.setting import retry

_KEPT: Final = 5
_LOST: Final = 60
_DRAWN_AGAIN: Final = 90
"""More than the 32 positions that a sequence of PostgreSQL logs ahead; fewer would not be assigned again."""


def log_went_back(scene: Scene) -> Sequence[Score]:
    """Readers have read events that a restored copy of the database lacks; other events get their positions."""
    living = [] if scene.place.is_sqlite else [each for each in scene.followers if not each.reader.keeps_position]
    restarting = [scene.follower(each.reader) for each in scene.followers if not each.reader.keeps_position]
    scene.followers = [*living, *restarting]
    scene.append(scene.write("kept", _KEPT))
    scene.read()
    with scene.setting.ground.copied(scene.place) as copy:
        writer = _opened(scene)
        scene.append(scene.write("lost", _LOST), adapter=writer)
        writer.close()
        scene.read()
        for follower in restarting:
            follower.reopen()
        copy.swap()
        writer = _opened(scene)
        scene.append(scene.write("drawn-again", _DRAWN_AGAIN), adapter=writer)
        writer.close()
        scores = scene.scores(only_log=True)
    names = [f"{each.reader.name}, continues" for each in living]
    names += [f"{each.reader.name}, restarted" for each in restarting]
    return [_judged(scene, score, name) for score, name in zip(scores, [LOG, *names], strict=True)]


def _opened(scene: Scene) -> Adapter:
    """Return an adapter whose pool, which it may share with others, has none of the connections that were cut."""
    adapter = scene.opened()
    retry(lambda: adapter.version("kept"))
    return adapter


def _judged(scene: Scene, score: Score, name: str) -> Score:
    """Judge a score. An error is right here: the reader reports that it can't continue, and skips nothing silently."""
    if score.stopped is None:
        if score.missed:
            scene.note("skipped silently: positions that readers had passed were assigned to other events")
        return replace(score, reader=name)
    scene.note(f"{name}: stopped with {score.stopped}, which is right")
    return replace(score, reader=name, stopped=None, missed=0, doubled=0, inverted=0, examples=())
