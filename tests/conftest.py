"""Fixtures of all tests."""

from collections.abc import Callable

import pytest
from sqlalchemy import Engine

from eventstore import migrations

pytest_plugins = ["tests.fix_postgresql", "tests.fix_engines"]


@pytest.fixture(scope="session")
def postgres_template_setup() -> Callable[[Engine], None]:
    return migrations.upgrade
