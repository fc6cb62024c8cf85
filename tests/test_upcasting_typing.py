"""What mypy accepts, and what it must refuse: an ignore that is not needed is an error of mypy's."""

from collections.abc import Iterator
from typing import Any, TypedDict

import pytest

from eventstore import ANY, EventStore, EventTypes, InvalidInput, NewEvent, RecordedEvent, caused_by, metadata_context


class Version1(TypedDict):
    who: str


class Version2(TypedDict):
    customer: str


@pytest.fixture
def recorded() -> RecordedEvent:
    with EventStore.in_memory() as store:
        store.append("a-1", [NewEvent("placed")], expected_version=ANY)
        return next(store.read_stream("a-1"))


def test_what_is_right_needs_no_ignore() -> None:
    event_types = EventTypes()

    @event_types.upcaster("placed", from_version=1)
    def typed(data: Version1) -> Version2:
        return {"customer": data["who"]}

    @event_types.upcaster("placed", from_version=2, to=("ordered", 1))
    def plain(data: dict[str, Any]) -> dict[str, Any]:
        return data

    @event_types.splitter("ordered", from_version=1, into=[("ordered", 2), ("named", 1)])
    def split(data: dict[str, Any]) -> Iterator[tuple[str, Any]]:
        yield "ordered", data

    @event_types.splitter("ordered", from_version=2, into=[("ordered", 3)])
    def perhaps(data: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
        return [("ordered", data)]

    result: Version2 = typed({"who": "Ada"})  # a decorated function keeps its type
    assert result == {"customer": "Ada"}
    assert event_types.upcast("placed", 1, {"who": "Ada"}) == [("ordered", 3, {"customer": "Ada"})]


def test_what_is_wrong_is_refused_by_mypy(recorded: RecordedEvent) -> None:
    event_types = EventTypes()

    @event_types.upcaster("placed", from_version=1)  # type: ignore[type-var]
    def forgets_to_return(data: dict[str, Any]) -> None:
        data["currency"] = "EUR"

    @event_types.upcaster("placed", from_version=2)  # type: ignore[type-var]
    def takes_too_much(data: dict[str, Any], more: int) -> dict[str, Any]:
        return data

    @event_types.splitter("placed", from_version=3, into=[("named", 1)])  # type: ignore[type-var]
    def returns_no_pairs(data: dict[str, Any]) -> dict[str, Any]:
        return data

    with pytest.raises(InvalidInput):
        event_types.upcaster("placed", from_version="4")  # type: ignore[arg-type]
    with pytest.raises(InvalidInput):
        event_types.upcaster("placed", from_version=4, to="named")  # type: ignore[arg-type]
    with pytest.raises(InvalidInput):
        event_types.splitter("placed", from_version=4, into=["named"])  # type: ignore[list-item]
    with pytest.raises(InvalidInput):
        EventTypes(newer="raw")  # type: ignore[arg-type]
    with pytest.raises(InvalidInput):
        caused_by(recorded.event_id)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="mapping"), metadata_context("text"):  # type: ignore[arg-type]
        pass
