"""The steered attacks: each brings a store to one dangerous point deterministically."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import wait
from dataclasses import dataclass
from typing import Final

from sqlalchemy import text

from eventstore.testing.adversary.judging import Score
from eventstore.testing.adversary.places import LeftOut
from eventstore.testing.adversary.scene import Scene
from eventstore.testing.adversary.stopping import proxy_to

_PATIENCE_SECONDS: Final = 30.0
_RIVALS: Final = 4
_ROUNDS: Final = 5


@dataclass(frozen=True, slots=True)
class Case:
    """A steered attack.

    Attributes:
        name: Its name on the command line.
        what: A description in a sentence.
        play: The function that makes the attack.
        needs_database: Whether it needs a separate database, and on PostgreSQL the right to create one.
    """

    name: str
    what: str
    play: Callable[[Scene], Sequence[Score]]
    needs_database: bool = False


def open_append(scene: Scene) -> Sequence[Score]:
    """An append below committed ones is open and then committed; another one is open and then rolled back."""
    scene.append(scene.write("before"))
    for commits in (True, False):
        scene.read()
        with scene.hold(scene.write("held")) as held:
            others = scene.append_others(scene.write("other", 2), scene.write("another"), scene.write("other"))
            scene.read()
            held.commit() if commits else held.rollback()
            others.result(_PATIENCE_SECONDS)
        scene.read()
    return scene.scores()


def gap_before_the_first(scene: Scene) -> Sequence[Score]:
    """The same with the first append of all."""
    with scene.hold(scene.write("held")) as held:
        others = scene.append_others(scene.write("other", 3))
        scene.read()
        held.commit()
        others.result(_PATIENCE_SECONDS)
    return scene.scores()


def gap_at_the_edge_of_a_page(scene: Scene) -> Sequence[Score]:
    """The same at the end of a reader's page, one event before it, and one after it."""
    size = scene.setting.adapter.page_size
    for place in (size - 1, size, size + 1):
        scene.read()
        scene.append(scene.write("before", place - 1))
        with scene.hold(scene.write("held", 2)) as held:
            others = scene.append_others(scene.write("other", 2 * size))
            scene.read()
            held.commit()
            others.result(_PATIENCE_SECONDS)
    return scene.scores()


def two_streams(scene: Scene) -> Sequence[Score]:
    """A transaction appends to several streams; of two later ones, one ends before it and one after it."""
    with scene.open() as long, scene.open() as other:
        if not scene.place.is_sqlite:  # so that it has a lower id than transactions that take positions before it
            long.execute("SELECT txid_current()")
            scene.append(scene.write("shared"))
        long.append(scene.write("first"))
        if scene.place.is_sqlite:
            long.append(scene.write("second"))
            scene.read()
        else:
            other.append(scene.write("third"))
            scene.append(scene.write("fourth"))
            long.append(scene.write("second"))
            long.append(scene.write("shared"))
            scene.read()
        long.commit()
        scene.read()
        if not scene.place.is_sqlite:
            other.commit()
    return scene.scores()


def prepared_transaction(scene: Scene) -> Sequence[Score]:
    """An append is prepared for two-phase commit, before and after a reader has read; then it is committed."""
    if scene.place.is_sqlite:
        raise LeftOut("SQLite has no prepared transactions")
    with scene.setting.ground.connect(scene.place.direct_url) as connection:
        if connection.scalar(text("SHOW max_prepared_transactions")) == "0":
            raise LeftOut("the server has max_prepared_transactions = 0")
        if connection.scalar(text("SELECT to_regclass('pg_catalog.pg_dist_local_group')")) is not None:
            raise LeftOut("Citus refuses PREPARE TRANSACTION, because it prepares transactions itself")
        for reads_before in (False, True):
            name = f"{scene.setting.ground.name}_{int(reads_before)}"
            with scene.open() as transaction:
                transaction.append(scene.write("prepared"))
                scene.append(scene.write("other", 2))
                if reads_before:
                    scene.read()
                transaction.execute(f"PREPARE TRANSACTION '{name}'")
            try:
                scene.append(scene.write("other"))
                scene.read()
            finally:
                connection.execute(text(f"COMMIT PREPARED '{name}'"))
            transaction.end_stored()
            scene.read()
    return scene.scores()


def conflict(scene: Scene) -> Sequence[Score]:
    """Writers expect the same version of a stream, one after the other and concurrently."""
    scene.append(scene.write("contested", expected_version=0))
    scene.append(scene.write("contested", expected_version=0))
    version = scene.adapter.version("contested")
    for _ in range(_ROUNDS):
        start = threading.Barrier(_RIVALS)
        adapters = [scene.opened() for _ in range(_RIVALS)]
        writes = [scene.write("contested", expected_version=version) for _ in range(_RIVALS)]
        futures = [
            scene.append_in_thread(write, adapter=adapter, after=start.wait)
            for adapter, write in zip(adapters, writes, strict=True)
        ]
        wait(futures, _PATIENCE_SECONDS)
        for adapter in adapters:
            adapter.close()
        version = scene.adapter.version("contested")
    return scene.scores()


def lost_answer(scene: Scene) -> Sequence[Score]:
    """The answer to an append is lost, at each message in turn; its writer appends the same again."""
    with proxy_to(scene.place) as proxy:
        number, last = 0, 0
        while number <= last:  # number 0 loses no answer, to count the messages
            proxy.start_counting()
            adapter = scene.opened(proxy)
            version = adapter.version("retried")
            proxy.start_counting(lose_answer_to=number)
            scene.retry(scene.write("retried", 2, expected_version=version), adapter)
            last = last or proxy.messages
            scene.read()
            adapter.close()
            number += 1
        scene.note(f"at each of {last} messages")
    return scene.scores()
