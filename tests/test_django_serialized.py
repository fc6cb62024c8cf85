"""Django's own test runner brings back the events of data migrations (`serialized_rollback`)."""

import os
import re
from pathlib import Path
from typing import Final

import pytest
from sqlalchemy import make_url

from tests.processes import run_python

pytestmark = pytest.mark.slow

DJANGO_TEST: Final = """
import warnings
warnings.simplefilter("error")
from django.core.management import execute_from_command_line
execute_from_command_line(["django", "test", "tests.django_serialized"])
"""


@pytest.mark.parametrize("database", ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def test_tests_that_commit_find_the_events_of_migrations(
    database: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "tests.django_serialized.settings", "DATABASE_URL": ""}
    environment["PYTHONPATH"] = str(Path(__file__).parent.parent)
    if database == "postgresql":
        url = make_url(request.getfixturevalue("empty_postgres_url")).set(drivername="postgresql")
        environment["DATABASE_URL"] = url.render_as_string(hide_password=False)
    done = run_python("-c", DJANGO_TEST, cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"Ran 4 tests", done.stderr)
