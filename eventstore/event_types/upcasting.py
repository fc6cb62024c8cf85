"""Upcasters: steps from the plain data of one schema version to that of the next, without classes."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from eventstore.common.error_type import place_of
from eventstore.common.validation import check_event_type, check_schema_version
from eventstore.errors import UpcasterCycle, UpcasterMissing, UpcasterTaken, UpcastingFailed

Shape = tuple[str, int]
"""An event type and a schema version."""


class PlainEvent(NamedTuple):
    """An event with plain data, before an object of a class is made from it.

    Attributes:
        event_type: The name of what happened.
        schema_version: The version of the structure of `data`.
        data: Plain data, usually a dict.
    """

    event_type: str
    schema_version: int
    data: Any


@dataclass(frozen=True, slots=True)
class Step:
    """An upcaster or a splitter.

    Attributes:
        source: The shape of the events that it takes.
        targets: The shapes of its results: one, or for a splitter any number.
        function: Returns the data of the one target; a splitter returns pairs of an event type and its data.
        splits: Whether it is a splitter.
    """

    source: Shape
    targets: tuple[Shape, ...]
    function: Callable[[Any], Any]
    splits: bool

    def apply(self, data: Any) -> list[tuple[Shape, Any]]:
        """Return the resulting shapes and data.

        The error never has the text of the function's error, which may show values.

        Raises:
            UpcastingFailed: The function has raised an error, or has returned something else.
        """
        try:
            result = self.function(data)
            parts = list(result) if self.splits else None
        except Exception as error:  # noqa: BLE001  # the application's own code
            raise UpcastingFailed(self.source, f"has raised {type(error).__name__}{place_of(error)}") from None
        if parts is not None:
            return self._checked(parts)
        if result is None:
            raise UpcastingFailed(self.source, "has returned None; it must return the data, even if it changes it")
        return [(self.targets[0], result)]

    def _checked(self, parts: list[Any]) -> list[tuple[Shape, Any]]:
        into = {shape[0]: shape for shape in self.targets}
        events = []
        for part in parts:
            if not isinstance(part, tuple) or len(part) != 2 or part[1] is None:  # noqa: PLR2004
                raise UpcastingFailed(self.source, "has not returned pairs (event type, data) only")
            event_type, data = part
            if not isinstance(event_type, str) or event_type not in into:
                raise UpcastingFailed(self.source, f"has returned an event of a type that is not among {sorted(into)}")
            events.append((into[event_type], data))
        return events


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
            UpcasterTaken: There is a step from the same source.
            UpcasterCycle: The step would close a cycle.
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
        """Apply all steps, one after the other, and yield the resulting events, in order.

        Raises:
            UpcastingFailed: A step has failed.
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
            newest: The newest schema versions of event types with a class. For the others, it is the largest that a
                step names.

        Raises:
            UpcasterMissing: A chain ends before the newest schema version.
        """
        for step in self.steps.values():
            for event_type, schema_version in step.targets:
                last = newest.get(event_type, self.newest[event_type])
                if (event_type, schema_version) not in self.steps and schema_version != last:
                    raise UpcasterMissing(event_type, schema_version, last)

    def _way(self, start: Shape, end: Shape) -> list[Shape]:
        """Return the shapes on the way from the start to the end; empty if there is no way."""
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
    """Turn an event into no events."""
    return ()


def _is_run_again(old: Any, new: Any) -> bool:
    """Return whether the new function comes from running a notebook's cell again."""
    return getattr(old, "__module__", "") == getattr(new, "__module__", "") == "__main__" and _name(old) == _name(new)


def _name(function: Any) -> str:
    return getattr(function, "__qualname__", type(function).__qualname__)
