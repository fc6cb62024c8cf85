"""The verdicts as text and as JSON."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any, Final

from eventstore.testing.adversary.judging import Score
from eventstore.testing.adversary.verdicts import Result, Verdict

_COUNTS: Final = ("missed", "doubled", "inverted", "unwritten", "unchecked")
_EXAMPLES: Final = 5
_WORDS: Final = {
    "unwritten": "delivered though not stored",
    "unchecked": "stored at another version than expected",
}


def lines_of(verdict: Verdict) -> Iterator[str]:
    """Yield the lines of a verdict."""
    yield f"{verdict.case:<14} {verdict.result.value.upper():<9} {verdict.what} ({verdict.seconds:.1f} s)"
    readers_by_counts: dict[str, list[str]] = {}
    for score in verdict.scores:
        readers_by_counts.setdefault(_counts(score), []).append(score.reader)
    for counts, readers in readers_by_counts.items():
        yield f"    {counts}: {'; '.join(readers)}"
    examples = dict.fromkeys(example for score in verdict.scores if not score.is_clean for example in score.examples)
    yield from (f"        {example}" for example in list(examples)[:_EXAMPLES])
    yield from (f"    {note}" for note in verdict.notes)


def _counts(score: Score) -> str:
    parts = [f"written {score.written}, delivered {score.delivered}"]
    parts += [
        f"{_WORDS.get(name, name)} {getattr(score, name)}"
        for name in _COUNTS
        if name not in _WORDS or getattr(score, name)
    ]
    if score.stopped:
        parts.append(f"stopped with {score.stopped}")
    return ", ".join(parts)


def summary(verdicts: Sequence[Verdict]) -> str:
    """Return the verdict on the run in one line."""
    with_faults = [verdict.case for verdict in verdicts if verdict.result is Result.FOUND]
    left_out = [verdict.case for verdict in verdicts if verdict.result is Result.LEFT_OUT]
    failed = [verdict.case for verdict in verdicts if verdict.result is Result.FAILED]
    text = f"FOUND something: {', '.join(with_faults)}" if with_faults else "could not run" if failed else "clean"
    more = [f"; {word}: {', '.join(names)}" for word, names in (("left out", left_out), ("failed", failed)) if names]
    return f"verdict: {text}{''.join(more)}"


def as_json(heading: dict[str, Any], verdicts: Sequence[Verdict], repeat: str) -> str:
    """Return everything as JSON."""
    attacks = [{**asdict(verdict), "result": verdict.result.value} for verdict in verdicts]
    return json.dumps({**heading, "verdict": worst(verdicts).value, "attacks": attacks, "repeat": repeat}, indent=2)


def worst(verdicts: Sequence[Verdict]) -> Result:
    """Return the worst result: FOUND, otherwise FAILED, otherwise CLEAN."""
    results = {verdict.result for verdict in verdicts}
    return next((each for each in (Result.FOUND, Result.FAILED) if each in results), Result.CLEAN)
