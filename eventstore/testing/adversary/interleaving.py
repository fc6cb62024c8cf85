"""Two appends, stopped at each of their messages in turn: all ways in which the network can interleave them."""

import time
from collections.abc import Sequence
from concurrent.futures import Future
from itertools import product
from typing import Any, Final

from eventstore.testing.adversary.judging import Score
from eventstore.testing.adversary.proxy import Proxy
from eventstore.testing.adversary.scene import Scene
from eventstore.testing.adversary.stopping import proxy_to, until

_PATIENCE_SECONDS: Final = 30.0
_STOPS_SECONDS: Final = 0.3
_WARM_UPS: Final = 3
_SECONDS: Final = 30.0


def interleaved_appends(scene: Scene) -> Sequence[Score]:
    """Stop two appends before each pair of their messages; finish the first one, read, and finish the second one."""
    with proxy_to(scene.place) as first, proxy_to(scene.place) as second:
        one, two = scene.opened(first), scene.opened(second)
        counts = []
        for proxy, adapter, size in ((first, one, 2), (second, two, 1)):
            for _ in range(_WARM_UPS):  # to open connections and prepare statements
                proxy.start_counting()
                scene.append(scene.write("warm", size), adapter=adapter)
            counts.append(proxy.messages)
        ways = list(product(range(1, counts[0] + 1), range(1, counts[1] + 1)))
        scene.random.shuffle(ways)
        end, played = time.monotonic() + _SECONDS, 0
        for stop_first, stop_second in ways:
            first.start_counting(stop_before=stop_first)
            second.start_counting(stop_before=stop_second)
            longer = scene.append_in_thread(scene.write(f"longer-{stop_first}-{stop_second}", 2), adapter=one)
            _wait(first, longer)
            shorter = scene.append_in_thread(scene.write(f"shorter-{stop_first}-{stop_second}"), adapter=two)
            _wait(second, shorter)
            first.go_on()
            until(longer.done, _STOPS_SECONDS)
            scene.read()
            second.go_on()
            for future in (longer, shorter):
                future.result(_PATIENCE_SECONDS)
            scene.read()
            played += 1
            if time.monotonic() > end:
                break
        scene.note(f"{played} of {len(ways)} ways to interleave appends of {counts[0]} and {counts[1]} messages")
        one.close()
        two.close()
    return scene.scores()


def _wait(proxy: Proxy, future: "Future[Any]") -> None:
    """Wait until an append is stopped or done, or for a moment if it waits for another one in the database."""
    until(lambda: proxy.is_stopped or future.done(), _STOPS_SECONDS)
