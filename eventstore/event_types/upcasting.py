"""Upcasters: steps from one schema version's plain data to the next, before any class exists."""

import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, NamedTuple

from eventstore.common.validation import check_event_type, check_schema_version
from eventstore.errors import UpcasterCycle, UpcasterMissing, UpcasterTaken, UpcastingFailed

Shape = tuple[str, int]
"""An event type and a schema version."""


class PlainEvent(NamedTuple):
    """An event before any class exists.

    Attributes:
        event_type: The name of what happened.
        schema_version: The version of the shape of `data`.
        data: Plain data, usually a dict.
    """

    event_type: str
    schema_version: int
    data: Any


@dataclass(frozen=True, slots=True)
class Step:
    """What is made of the events of one shape.

    Attributes:
        source: The shape.
        targets: The shapes that are made of it: one, or for a splitter any number.
        function: From the data to the data of the one target; of a splitter, to pairs of an event type and its data.
        splits: Whether it is a splitter.
    """

    source: Shape
    targets: tuple[Shape, ...]
    function: Callable[[Any], Any]
    splits: bool

    def apply(self, data: Any) -> list[tuple[Shape, Any]]:
        """Return the shapes and data that it makes. The texts of its errors can show values: they go no further.

        Raises:
            UpcastingFailed: The function has raised an error, or returned something else.
        """
        try:
            made = self.function(data)
            parts = list(made) if self.splits else None
        except Exception as error:  # noqa: BLE001  # the application's own code
            frame = traceback.extract_tb(error.__traceback__)[-1]
            problem = f"has raised {type(error).__name__} in {PurePath(frame.filename).name}, line {frame.lineno}"
            raise UpcastingFailed(self.source, problem) from None
        if parts is not None:
            return self._checked(parts)
        if made is None:
            raise UpcastingFailed(self.source, "has returned None; it must return the data, also where it changes it")
        return [(self.targets[0], made)]

    def _checked(self, parts: list[Any]) -> list[tuple[Shape, Any]]:
        into = {shape[0]: shape for shape in self.targets}
        checked = []
        for part in parts:
            if not isinstance(part, tuple) or len(part) != 2 or part[1] is None:  # noqa: PLR2004
                raise UpcastingFailed(self.source, "has returned something else than pairs (event type, data)")
            event_type, data = part
            if not isinstance(event_type, str) or event_type not in into:
                raise UpcastingFailed(self.source, f"has made an event of a type that is not among {sorted(into)}")
            checked.append((into[event_type], data))
        return checked


class Upcasters:
    """The steps of one registry: a graph without cycles.

    Attributes:
        steps: Each step, by its source.
        newest: The largest schema version that a step names, by event type.
    """

    def __init__(self) -> None:
        self.steps: dict[Shape, Step] = {}
        self.newest: dict[str, int] = {}

    def add(self, step: Step) -> None:
        """Add a step.

        Raises:
            InvalidEvent: A name or schema version is not valid.
            UpcasterTaken: There is one from the same source.
            UpcasterCycle: It would lead back to its source.
        """
        for event_type, schema_version in (step.source, *step.targets):
            check_event_type(event_type)
            check_schema_version(schema_version)
        earlier = self.steps.get(step.source)
        if earlier is not None and not _is_run_again(earlier.function, step.function):
            raise UpcasterTaken(*step.source, f"the upcaster {_name(earlier.function)}")
        for target in step.targets:
            way_back = self._way(target, step.source)
            if way_back:
                raise UpcasterCycle([step.source, *way_back])
        self.steps[step.source] = step
        newest: dict[str, int] = {}
        for each in self.steps.values():
            for event_type, schema_version in (each.source, *each.targets):
                newest[event_type] = max(schema_version, newest.get(event_type, 0))
        self.newest = newest

    def run(self, event_type: str, schema_version: int, data: Any) -> Iterator[PlainEvent]:
        """Apply all steps that there are, one after the other, and yield what remains, in order.

        Raises:
            UpcastingFailed: A step could not do its work.
        """
        todo: list[tuple[Shape, Any]] = [((event_type, schema_version), data)]
        while todo:
            shape, data = todo.pop()
            step = self.steps.get(shape)
            if step is None:
                yield PlainEvent(*shape, data)
            else:
                todo.extend(reversed(step.apply(data)))

    def check_ends(self, newest: Mapping[str, int]) -> None:
        """Check that every chain of steps ends at the newest schema version of an event type.

        Args:
            newest: Those of the event types that have a class; of the others it is the largest that a step names.

        Raises:
            UpcasterMissing: One does not.
        """
        for step in self.steps.values():
            for event_type, schema_version in step.targets:
                last = newest.get(event_type, self.newest[event_type])
                if (event_type, schema_version) not in self.steps and schema_version != last:
                    raise UpcasterMissing(event_type, schema_version, last)

    def _way(self, start: Shape, end: Shape) -> list[Shape]:
        """Return the shapes on the way from the start to the end, none if there is no way."""
        came_from: dict[Shape, Shape | None] = {start: None}
        todo = [start]
        while todo:
            shape = todo.pop()
            if shape == end:
                way: list[Shape] = []
                at: Shape | None = shape
                while at is not None:
                    way.append(at)
                    at = came_from[at]
                return way[::-1]
            for target in self.steps[shape].targets if shape in self.steps else ():
                if target not in came_from:
                    came_from[target] = shape
                    todo.append(target)
        return []


def drop_all(_data: Any) -> Iterable[tuple[str, Any]]:
    """Make nothing of an event."""
    return ()


def _is_run_again(old: Any, new: Any) -> bool:
    """Return whether it is the function of a notebook's cell that was run again."""
    return getattr(old, "__module__", "") == getattr(new, "__module__", "") == "__main__" and _name(old) == _name(new)


def _name(function: Any) -> str:
    return getattr(function, "__qualname__", type(function).__qualname__)
