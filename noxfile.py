"""The matrix, run by hand before a release: oldest paired with oldest, newest with newest.

`nox` runs all of it; `nox -s "tests-3.13(newest)"` one. Interpreters that are not there are an error, not skipped.
"""

import nox

nox.options.error_on_missing_interpreters = True
nox.options.default_venv_backend = "venv"

OLDEST = [
    "Django==4.2",
    "SQLAlchemy==2.0.36",
    "alembic==1.16.0",
    "msgpack==1.1.0",
    "msgspec==0.19.0",
    "psycopg[binary]==3.2.3",
    "zstandard==0.23.0",
    "pyarrow==18.0.0",
    "pandas==3.0.0",
    "polars==1.20.0",
    "duckdb==1.2.0",
]


@nox.session(python=["3.11", "3.12", "3.13"])
@nox.parametrize("dependencies", ["oldest", "newest"], ids=["oldest", "newest"])
def tests(session: nox.Session, dependencies: str) -> None:
    """Run the whole suite; arguments after `--` go to pytest."""
    oldest = session.python == "3.11" and dependencies == "oldest"
    if dependencies == "oldest" and not oldest:
        session.skip("the oldest dependencies are paired with the oldest Python")
    session.install("--editable", ".[test]", *(OLDEST if oldest else []))
    session.run("pytest", *session.posargs)


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
