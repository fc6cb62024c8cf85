"""How a peer is told what to do: a JSON object a line, an answer a line. Runs in the peer's own environment."""

import json
import sys
import traceback
from collections.abc import Callable
from typing import Any


def serve(calls: dict[str, Callable[..., Any]]) -> None:
    """Answer the calls on the standard input until it ends."""
    answers, sys.stdout = sys.stdout, sys.stderr  # a library that prints must not break the answers
    for line in sys.stdin:
        call = json.loads(line)
        try:
            answer = {"result": calls[call["name"]](**call["arguments"])}
        except Exception:  # noqa: BLE001  # whatever it is, the benchmark shows it
            answer = {"error": traceback.format_exc()}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()
