"""The SQL of every statement is what reviewers have seen in tests/golden/sql/."""

import difflib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import pytest
from sqlalchemy import Engine, event

from eventstore import Append, EventFilter, EventStore, NewEvent
from eventstore.backends.postgresql.dialect import PostgreSQLDialect
from eventstore.backends.sqlite.dialect import SQLiteDialect
from tests.golden_sql import (
    COMMAND,
    DATABASES,
    DOCS,
    FOLDER,
    compiled,
    compiled_plainly,
    content,
    names,
    sections,
    unused,
    with_statements,
)
from tests.sql_layout import lay_out, unnamed

databases: Final = pytest.mark.parametrize("database", DATABASES)


@pytest.mark.slow
@databases
def test_every_statement_is_what_reviewers_have_seen(database: str) -> None:
    """It is the same by SQLAlchemy 2.0.36 and 2.1: what was reviewed is sent, whichever of them is there."""
    path = FOLDER / f"{database}.sql"
    seen, now = path.read_text(encoding="utf-8"), content(database)
    if seen != now:
        difference = difflib.unified_diff(seen.splitlines(), now.splitlines(), str(path), "now", lineterm="")
        pytest.fail(f"SQL has changed. Run `{COMMAND}` and review the difference:\n" + "\n".join(difference))


OF_TAGS: Final = (
    "append_tagged", "boundar", "citus_tags", "tag_locks", "tag_rows", "'tags'", "_rows(", "sizes", "table_upkeep",
    "browsing.count_tag", "browsing.end_of_window", "browsing.events_of_tags", "browsing.tags_",
)  # fmt: skip
"""What the names of statements that know of tags contain: those for tags, and those that measure all tables."""


@databases
def test_who_uses_no_tags_is_sent_nothing_about_them(database: str) -> None:
    entries = [entry for _, found in sections(database) for entry in found]
    about_tags = {entry.name for entry in entries if "tags" in entry.sql or "es_event_tags" in str(entry.constants)}
    assert {name for name in about_tags if not any(part in name for part in OF_TAGS)} <= {
        "postgresql.statistics.estimated_rows"
    }
    assert not [name for name in about_tags if "append" in name and "append_tagged" not in name]
    assert any("append_tagged" in name for name in about_tags) or database == "sqlite"


@databases
def test_but_for_white_space_the_file_has_exactly_what_is_sent(database: str) -> None:
    entries = [entry for _, found in sections(database) for entry in found]
    text = (FOLDER / f"{database}.sql").read_text(encoding="utf-8")
    blocks = [block for block in re.split(r"\n\n+", text.strip()) if re.match(r"-- \w+[./]", block)]
    for entry, block in zip(entries, blocks, strict=True):
        name, *lines = block.splitlines()
        assert name == f"-- {entry.name}"
        assert normal("\n".join(line for line in lines if not line.startswith("--"))) == normal(
            f"{entry.sql.rstrip()};"
        )


def normal(sql: str) -> str:
    """Return SQL on one line, without white space on the inner side of parentheses."""
    return re.sub(r"(?<=\() | (?=\))", "", " ".join(sql.split()))


@pytest.mark.slow
def test_the_docs_show_statements_as_they_are_sent() -> None:
    pages = {path.name: path.read_text(encoding="utf-8") for path in DOCS}
    assert [name for name, page in pages.items() if page != with_statements(page)] == [], f"run `{COMMAND}`"
    assert pages["append.md"].count("```sql\n-- postgresql.append") == 2


def test_nothing_changes_within_quotes() -> None:
    quoted = """'it''s ( , AND  FROM\n"' || "a ""b""  WHERE ( c" """.strip()
    long = ", ".join([quoted] * 20)
    laid_out = lay_out(f"SELECT {long} FROM t WHERE (a = {quoted} AND ({long}) IS NOT NULL) OR %(FROM)b = '%('")
    assert laid_out.count(quoted) == 41
    assert laid_out.splitlines()[0] == "SELECT"
    assert laid_out.endswith("\n    OR %(FROM)b = '%('")


def test_a_statement_that_nothing_sends_is_removed() -> None:
    assert unused() == set()


@pytest.mark.slow
def test_all_that_code_can_name_is_in_the_files() -> None:
    shown = {each.name.split("(")[0] for name in DATABASES for each in compiled_plainly(name)}
    assert {".".join(each) for each in names()} <= shown


@databases
def test_every_statement_has_only_parameters_of_the_driver(database: str) -> None:
    """A list given to `in_`, say, is filled in by SQLAlchemy alone, and the store executes text."""
    assert [each.name for each in compiled_plainly(database) if "POSTCOMPILE" in each.sql] == []


@pytest.mark.slow
@databases
def test_every_expression_parameter_and_alias_has_a_name_of_ours(database: str) -> None:
    """Not one of SQLAlchemy's, such as `anon_1`, `max_1` or `param_1`: people read this in pg_stat_statements."""
    assert {each.name: found for each in compiled_plainly(database) if (found := unnamed(each.sql))} == {}


def test_what_has_no_name_of_ours_is_seen() -> None:
    assert unnamed("SELECT a.b, c, max(d) AS largest, (SELECT e.* FROM e) AS f FROM a WHERE EXISTS (SELECT 1)") == []
    assert unnamed("SELECT 1, NULL, a = b FROM c UNION SELECT DISTINCT c.*, true FROM d") == [
        "1",
        "NULL",
        "a = b",
        "true",
    ]
    assert unnamed("SELECT max(a) AS max_1 FROM b WHERE c > %(param_1)b") == ["max_1", "param_1"]
    assert unnamed("WITH a AS (INSERT INTO b SELECT c, d + 1 FROM e RETURNING f, g(h, i)) SELECT count(*) FROM a") == [
        "d + 1", "g(h, i)", "count(*)",
    ]  # fmt: skip


def test_in_a_schema_statements_are_the_same_but_for_the_names_of_tables() -> None:
    plain, in_schema = compiled_plainly("postgresql"), compiled(PostgreSQLDialect(schema="Shop"), "postgresql")
    assert [each.sql.replace('"Shop".', "") for each in in_schema] == [each.sql for each in plain]


@pytest.mark.slow
def test_for_django_statements_are_the_same_but_for_the_form_of_parameters() -> None:
    plain, on_django = compiled_plainly("sqlite"), compiled(SQLiteDialect(paramstyle="pyformat"), "sqlite")
    assert [re.sub(r"%\((\w+)\)s", r":\1", each.sql).replace("%%", "%") for each in on_django] == [
        each.sql for each in plain
    ]


@pytest.mark.slow
def test_what_a_store_sends_is_in_the_file(any_engine: Engine) -> None:
    database = any_engine.dialect.name
    known = {each.sql for _, found in sections(database) for each in found}
    store = EventStore(any_engine)
    with sent(any_engine) as executed:
        store.append("order-1", [NewEvent("placed"), NewEvent("paid")], expected_version=0)
        store.append("order-1", [NewEvent("shipped")], expected_version=2)
        store.append_many([Append(f"order-{number}", [NewEvent("placed")], expected_version=0) for number in (2, 3)])
        assert list(store.read_all())
        assert list(store.read_all(EventFilter(event_types=["placed"], categories=["order"])))
        with store.transaction() as tx:
            tx.delete_stream("order-2", expected_version=1, reason="a test")
    assert executed
    assert [sql for sql in executed if sql not in known] == []


@contextmanager
def sent(engine: Engine) -> Iterator[list[str]]:
    texts: list[str] = []

    def note(_: Any, __: Any, sql: str, *___: Any) -> None:
        texts.append(sql)

    event.listen(engine, "before_cursor_execute", note)
    yield texts
    event.remove(engine, "before_cursor_execute", note)
