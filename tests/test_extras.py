"""What works without an extra, and what is said if one is missing."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow

CLI = ("click", "rich")
BROWSER = ("jinja2", "werkzeug")


def without(packages: tuple[str, ...], code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run code in a process in which packages can't be imported."""
    missing = "".join(f"sys.modules[{package!r}] = None; " for package in packages)
    command = [sys.executable, "-W", "error", "-c", f"import sys; {missing}\n{code}", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


USED = """
from eventstore import EventStore, NewEvent, maintenance, migrations, projections, repository, transfer
from eventstore.contrib import frames
from eventstore.testing import contract, scenario

with EventStore.in_memory() as store:
    store.append("order-1", [NewEvent("placed")], expected_version=0)
    event = lambda row: NewEvent("placed", row)
    frames.append(store, [{"id": 1}], stream_id=lambda row: "order-2", event=event, key="id")
    assert migrations.verify(store.engine) == []
    print(len(list(store.read_all())))
"""


IMPORTED = """
ours = [name.removeprefix("eventstore.") for name in sys.modules if name.startswith("eventstore.")]
print(*(name for name in ours if name.endswith((".asyncio", ".tasks", ".asynchronous"))))
"""


def test_all_else_works_without_any_extra_and_imports_nothing_of_asyncio() -> None:
    asynchronous = ("aiosqlite", "fastapi", "greenlet", "sqlalchemy.ext.asyncio")
    done = without((*CLI, *BROWSER, *asynchronous), USED + IMPORTED)
    assert (done.stdout, done.stderr) == ("2\n\n", "")


@pytest.mark.parametrize(
    ("package", "way_in"),
    [
        ("click", "import runpy; runpy.run_module('eventstore', run_name='__main__')"),
        ("rich", "from eventstore.__main__ import main; main()"),
    ],
)
def test_the_command_says_in_one_line_what_to_install(way_in: str, package: str) -> None:
    done = without((package,), way_in, "check")
    said = f"eventstore: {package} is not installed; install sqlalchemy-eventstore[cli]\n"
    assert (done.returncode, done.stdout, done.stderr) == (1, "", said)


def test_the_adversary_says_in_one_line_what_to_install() -> None:
    done = without(("click",), "import runpy; runpy.run_module('eventstore.testing.adversary', run_name='__main__')")
    said = "click is not installed; install sqlalchemy-eventstore[cli]\n"
    assert (done.returncode, done.stdout, done.stderr) == (1, "", said)


BROWSE = """
from eventstore import EventStore
from eventstore.__main__ import main
from eventstore import migrations
url = f"sqlite:///{sys.argv.pop()}/shop.db"
with EventStore.from_url(url) as store:
    migrations.upgrade(store.engine)
sys.argv += ["browse", "--url", url]
main()
"""


@pytest.mark.parametrize("package", BROWSER)
def test_the_browser_says_in_one_line_what_to_install(tmp_path: object, package: str) -> None:
    done = without((package,), BROWSE, str(tmp_path))
    said = f"error: {package} is not installed; install sqlalchemy-eventstore[browser]\n"
    assert (done.returncode, done.stdout, done.stderr) == (1, "", said)


def test_a_progress_bar_says_what_to_install() -> None:
    code = USED.replace('key="id"', 'key="id", progress=True')
    done = without(("rich",), code)
    said = "eventstore.errors.ExtraMissing: rich is not installed; install sqlalchemy-eventstore[cli]"
    assert (done.returncode, done.stderr.splitlines()[-1]) == (1, said)


FLASK = """
from flask import Flask
from eventstore.contrib.flask import FlaskEventStore, current_store

app = Flask("shop")
app.config["EVENTSTORE_URL"] = f"sqlite:///{sys.argv[1]}/shop.db"
FlaskEventStore(app)
with app.app_context():
    current_store.engine.dispose()
print("eventstore" in app.cli.commands)
"""


@pytest.mark.parametrize(("packages", "has_command"), [((), True), (("rich",), False)])
def test_flask_has_the_command_only_with_its_extra(
    tmp_path: object, packages: tuple[str, ...], *, has_command: bool
) -> None:
    done = without(packages, FLASK, str(tmp_path))
    assert (done.stdout, done.stderr) == (f"{has_command}\n", "")


DJANGO = """
from django.conf import settings
settings.configure(INSTALLED_APPS=["eventstore.contrib.django"], EVENTSTORE={})
import django
django.setup()
from django.core.management import execute_from_command_line
execute_from_command_line(["manage.py", "eventstore", "check"])
"""


def test_django_says_in_one_line_what_to_install() -> None:
    done = without(CLI, DJANGO)
    said = "CommandError: click is not installed; install sqlalchemy-eventstore[cli]\n"
    assert (done.returncode, done.stdout, done.stderr) == (1, "", said)


ASYNCIO = """
import asyncio
from eventstore import NO_STREAM, NewEvent
from eventstore.contrib.asyncio import AsyncEventStore

async def main():
    async with AsyncEventStore.in_memory() as store:
        print((await store.append("order-1", NewEvent("placed"), expected_version=NO_STREAM)).version)

asyncio.run(main())
"""


@pytest.mark.parametrize("package", ["greenlet", "aiosqlite"])
def test_asyncio_says_what_to_install(package: str) -> None:
    done = without((package,), ASYNCIO)
    said = f"eventstore.errors.ExtraMissing: {package} is not installed; install sqlalchemy-eventstore[asyncio]"
    assert (done.returncode, done.stderr.splitlines()[-1]) == (1, said)


def test_asyncio_needs_its_extra_only() -> None:
    done = without((*CLI, "fastapi", "starlette", "uvicorn", "httpx", "psycopg"), ASYNCIO)
    assert (done.stdout, done.stderr) == ("1\n", "")
