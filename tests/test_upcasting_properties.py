"""Upcasting at random: chains of steps are their steps one after the other, and pages make no difference."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventstore import ANY, NO_STREAM, EventStore, EventTypes, NewEvent
from eventstore.errors import UpcasterCycle

Shape = tuple[str, int]
Plain = tuple[str, int, Any]
ByHand = Callable[[Any], list[Plain]]
TYPES = ("a", "b", "c")
VERSIONS = (1, 2, 3, 4)


@dataclass(frozen=True)
class Steps:
    """What was drawn: for each shape what is made of it; no shape is made of a later one, so there is no circle."""

    order: tuple[Shape, ...]
    targets: dict[Shape, tuple[Shape, ...]]
    copies: dict[Shape, int]

    def apply(self, shape: Shape, data: Any) -> list[tuple[Shape, Any]]:
        """Return what one step makes: for each target so many events, that remember the step."""
        return [
            (target, [*data, [*shape, number, copy]])
            for number, target in enumerate(self.targets[shape])
            for copy in range(self.copies[shape])
        ]

    def by_hand(self, shape: Shape, data: Any) -> list[Plain]:
        """Apply the steps one after the other, depth first."""
        if shape not in self.targets:
            return [(*shape, data)]
        return [made for target, part in self.apply(shape, data) for made in self.by_hand(target, part)]

    def registry(self) -> EventTypes:
        event_types = EventTypes(newer="plain")
        for shape, targets in self.targets.items():
            event_type, version = shape
            if not targets:
                event_types.drop(event_type, from_version=version)
            elif len(targets) == self.copies[shape] == 1:
                event_types.upcaster(event_type, from_version=version, to=targets[0])(self._one(shape))
            else:
                event_types.splitter(event_type, from_version=version, into=targets)(self._several(shape))
        return event_types

    def _one(self, shape: Shape) -> Callable[[Any], list[Any]]:
        return lambda data: list(self.apply(shape, data)[0][1])

    def _several(self, shape: Shape) -> Callable[[Any], list[tuple[str, Any]]]:
        return lambda data: [(target[0], part) for target, part in self.apply(shape, data)]


@st.composite
def steps(draw: st.DrawFn) -> Steps:
    order = tuple(draw(st.permutations([(name, version) for name in TYPES for version in VERSIONS])))
    targets: dict[Shape, tuple[Shape, ...]] = {}
    for place, shape in enumerate(order[:-1]):
        if draw(st.booleans()):
            some = draw(st.lists(st.sampled_from(order[place + 1 :]), max_size=2, unique_by=lambda each: each[0]))
            targets[shape] = tuple(some)
    copies = {shape: draw(st.integers(1, 2)) for shape in targets}
    return Steps(order, targets, copies)


shapes = st.tuples(st.sampled_from(TYPES), st.sampled_from(VERSIONS))


@pytest.mark.slow
@given(steps(), shapes)
def test_a_chain_is_its_steps_one_after_the_other(drawn: Steps, shape: Shape) -> None:
    assert drawn.registry().upcast(*shape, []) == drawn.by_hand(shape, [])


chains = st.fixed_dictionaries(
    {name: st.lists(st.sampled_from(["keep", "split", "drop some"]), max_size=3) for name in TYPES}
)


def registry_of(drawn: dict[str, list[str]]) -> EventTypes:
    """Return valid event types: each has as many steps as were drawn, then a class for one of them."""
    event_types = EventTypes()
    for name, kinds in drawn.items():
        for version, kind in enumerate(kinds, start=1):
            here = (name, version + 1)
            if kind == "keep":
                event_types.upcaster(name, from_version=version)(lambda data: {**data, "trail": [*data["trail"], 0]})
            elif kind == "split":
                event_types.splitter(name, from_version=version, into=[here, ("part", 1)])(_split(name))
            else:
                event_types.splitter(name, from_version=version, into=[here])(_drop_some(name))
        if name == "a":
            event_types.register(name, _new_class(), schema_version=len(kinds) + 1)
    event_types.validate()
    return event_types


def _new_class() -> type:
    @dataclass
    class A:
        trail: list[int]

    return A


def _split(name: str) -> Callable[[Any], list[tuple[str, Any]]]:
    return lambda data: [("part", data["trail"]), (name, {"trail": [*data["trail"], 1]}), ("part", 2)]


def _drop_some(name: str) -> Callable[[Any], list[tuple[str, Any]]]:
    return lambda data: [] if data["trail"][0] % 3 == 0 else [(name, data)]


@pytest.mark.slow
@settings(deadline=None)
@given(
    chains,
    st.lists(st.tuples(st.sampled_from(TYPES), st.integers(1, 4)), min_size=1, max_size=12),
    st.integers(1, 5),
    st.data(),
)
def test_upcasting_commutes_with_paging(
    drawn: dict[str, list[str]], stored: list[Shape], page_size: int, data: st.DataObject
) -> None:
    """However a stream is cut, into pages, ranges or limits: the parts are those of the whole."""
    event_types = registry_of(drawn)
    new = [
        NewEvent(name, {"trail": [number]}, schema_version=min(version, len(drawn[name]) + 1))
        for number, (name, version) in enumerate(stored)
    ]
    with EventStore.in_memory(event_types=event_types, page_size=page_size) as store:
        store.append("a-1", new, expected_version=NO_STREAM)
        whole = list(EventStore(store.engine, event_types=event_types).read_stream("a-1"))
        by_hand = [
            (version, *made)
            for version, event in enumerate(new, start=1)
            for made in event_types.upcast(event.event_type, event.schema_version, event.data)
        ]
        assert [(event.version, event.event_type, event.schema_version) for event in whole] == [
            made[:3] for made in by_hand
        ]
        assert list(store.read_stream("a-1")) == whole
        assert list(store.read_stream("a-1", backwards=True)) == whole[::-1]
        cut = data.draw(st.integers(0, len(new)))
        first, second = store.read_stream("a-1", up_to_version=cut), store.read_stream("a-1", after_version=cut)
        assert [*first, *second] == whole
        assert list(store.read_stream("a-1", limit=cut)) == [event for event in whole if event.version <= cut]
        newest = store.read_stream("a-1", limit=cut, backwards=True)
        assert list(newest) == [event for event in whole[::-1] if event.version > len(new) - cut]
        raw = list(store.read_stream("a-1", upcast=False))
        assert [event.data for event in raw] == [event.data for event in new]


@pytest.mark.slow
@given(st.lists(shapes, min_size=2, max_size=8, unique=True))
def test_a_way_back_is_always_a_circle(way: list[Shape]) -> None:
    event_types = EventTypes()
    for source, target in pairwise(way):
        event_types.upcaster(source[0], from_version=source[1], to=target)(list)
    with pytest.raises(UpcasterCycle) as error:
        event_types.upcaster(way[-1][0], from_version=way[-1][1], to=way[0])(list)
    assert error.value.path == (way[-1], *way)


def test_expectations_are_of_the_stored_version() -> None:
    """A dropped event has a version too: who appends must expect it."""
    event_types = EventTypes()
    event_types.drop("a", from_version=1)
    with EventStore.in_memory(event_types=event_types) as store:
        store.append("a-1", [NewEvent("a")], expected_version=ANY)
        assert list(store.read_stream("a-1")) == []
        assert store.append("a-1", [NewEvent("b")], expected_version=store.stream_version("a-1")).version == 2
