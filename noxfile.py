"""The matrix, run by hand before a release: all that `pyproject.toml` claims of Pythons and packages.

`nox` runs all of it; `nox -s "tests-3.13(newest)"` one; arguments after `--` go to pytest, such as the files to run.
An interpreter that is missing is an error; one of `NEWER`, which few machines have yet, is reported as skipped.
"""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import nox

nox.options.error_on_missing_interpreters = True
nox.options.default_venv_backend = "venv"

PYTHONS = ["3.11", "3.12", "3.13"]
NEWER = ["3.14"]
FOUND = [version for version in NEWER if shutil.which(f"python{version}")]
MISSING = [version for version in NEWER if version not in FOUND]

DJANGO = {"4.2": "3.12", "5.2": "3.13", "6.0": "3.13"}
"""Versions of Django before the newest, each with a Python that it knows."""


def oldest() -> Iterator[str]:
    """Return the oldest version of everything that the package and its extras allow."""
    project = nox.project.load_toml("pyproject.toml")["project"]
    extras = project["optional-dependencies"]
    of_users = [extras[name] for name in extras if name not in {"test", "benchmarks", "docs", "dev"}]
    for requirement in sum(of_users, project["dependencies"]):
        if match := re.match(r"([\w\[\]-]+)>=([\d.]+)", requirement):
            yield "==".join(match.groups())


@nox.session(python=[*PYTHONS, *FOUND])
@nox.parametrize("dependencies", ["oldest", "newest", "SQLAlchemy 2.0"], ids=["oldest", "newest", "sqlalchemy-2.0"])
def tests(session: nox.Session, dependencies: str) -> None:
    """Run the whole suite."""
    packages: list[str] = []
    if dependencies == "oldest":
        if session.python != PYTHONS[0]:
            session.skip("the oldest dependencies are paired with the oldest Python")
        packages = [*oldest()]
    if dependencies == "SQLAlchemy 2.0":
        if session.python != [*PYTHONS, *FOUND][-1]:
            session.skip("the newest SQLAlchemy 2.0 is paired with the newest Python")
        packages = ["SQLAlchemy>=2.0,<2.1"]
    session.install("--editable", ".[test]", *packages)
    session.run("pytest", *session.posargs)


@nox.session(python=False)
@nox.parametrize("version", MISSING, ids=MISSING)
def newer(session: nox.Session, version: str) -> None:
    """Report a newer Python that this machine does not have."""
    session.skip(f"there is no python{version} on the PATH")


@nox.session
@nox.parametrize("python,django", [(python, django) for django, python in DJANGO.items()], ids=[*DJANGO])
def django(session: nox.Session, django: str) -> None:
    """Run what is about Django with an older one."""
    session.install("--editable", ".[test]", f"Django~={django}.0")
    session.run("pytest", *_files("test_django*.py"), "examples/django_shop", *session.posargs)


@nox.session(python="3.13")
def pandas(session: nox.Session) -> None:
    """Run what is about data frames with pandas 2.2."""
    session.install("--editable", ".[test]", "pandas~=2.2.0")
    session.run("pytest", *_files("test_frames*.py"), *session.posargs)


@nox.session(python="3.13")
def prerelease(session: nox.Session) -> None:
    """Run what depends on private parts of SQLAlchemy against its newest release, pre-releases included."""
    session.install("--editable", ".[test]")
    session.install("--pre", "--upgrade", "SQLAlchemy")
    session.run(
        "pytest",
        "tests/test_sqlalchemy_private.py",
        "tests/test_direct_append.py",
        "tests/test_unwatched.py",
        "tests/test_sqlite_unwatched.py",
        *session.posargs,
    )


def _files(pattern: str) -> list[str]:
    """Return the files of tests that a pattern matches."""
    return sorted(str(path) for path in Path("tests").glob(pattern))
