"""The matrix, run by hand before a release: oldest paired with oldest, newest with newest.

`nox` runs all of it; `nox -s "tests-3.13(newest)"` one. An interpreter that is missing is an error; one of `NEWER`,
which few machines have yet, is reported as skipped.
"""

import shutil

import nox

nox.options.error_on_missing_interpreters = True
nox.options.default_venv_backend = "venv"

PYTHONS = ["3.11", "3.12", "3.13"]
NEWER = ["3.14"]
FOUND = [version for version in NEWER if shutil.which(f"python{version}")]
MISSING = [version for version in NEWER if version not in FOUND]

OLDEST = [
    "Django==4.2",
    "SQLAlchemy==2.0.36",
    "alembic==1.16.0",
    "msgpack==1.1.0",
    "msgspec==0.21.0",
    "psycopg[binary]==3.2.4",
    "zstandard==0.23.0",
    "pyarrow==18.0.0",
    "pandas==3.0.0",
    "polars==1.20.0",
    "duckdb==1.2.0",
]


@nox.session(python=[*PYTHONS, *FOUND])
@nox.parametrize("dependencies", ["oldest", "newest", "SQLAlchemy 2.0"], ids=["oldest", "newest", "sqlalchemy-2.0"])
def tests(session: nox.Session, dependencies: str) -> None:
    """Run the whole suite; arguments after `--` go to pytest."""
    packages: list[str] = []
    if dependencies == "oldest":
        if session.python != PYTHONS[0]:
            session.skip("the oldest dependencies are paired with the oldest Python")
        packages = OLDEST
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
