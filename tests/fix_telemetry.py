"""OpenTelemetry for one test."""

from collections.abc import Iterator

import pytest

from tests.telemetry import Telemetry, exporting


@pytest.fixture
def telemetry() -> Iterator[Telemetry]:
    with exporting() as telemetry:
        yield telemetry
