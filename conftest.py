"""What all tests share, those of the documentation among them."""

from collections.abc import Callable

import pytest
from sqlalchemy import Engine

from eventstore import migrations

pytest_plugins = [
    "tests.fix_postgresql",
    "tests.fix_engines",
    "tests.fix_migrations",
    "tests.fix_documentation",
    "tests.fix_flights",
]


@pytest.fixture(scope="session")
def postgres_template_setup() -> Callable[[Engine], None]:
    """Put the tables into the template that `postgres_url` clones."""
    return migrations.upgrade
