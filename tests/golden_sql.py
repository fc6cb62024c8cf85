"""Every SQL statement as it is compiled and sent, in one file for each database: reviewers see a changed one as SQL.

`python -m tests.golden_sql` writes the files, and what the docs show of them; `tests/test_golden_sql.py` compares.
Nothing has to be entered here for a new statement. For a new family, which makes statements at run time, add to
`_families` which of them to show. Entries stand by module and name, so that merges rarely conflict; if one does, run
the command again.
"""

import ast
import importlib
import inspect
import itertools
import pkgutil
import re
import textwrap
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, fields
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any, Final, get_origin, get_type_hints

from sqlalchemy import ColumnElement, FromClause
from sqlalchemy.sql import ClauseElement

import eventstore
from eventstore import statements
from eventstore.backends.postgresql.dialect import PostgreSQLDialect
from eventstore.backends.protocol import Dialect, Statement
from eventstore.backends.sqlite.dialect import SQLiteDialect
from eventstore.statements.columns import APPENDED_COLUMNS, POSITIONED_COLUMNS, STORED_COLUMNS
from eventstore.streams import Expectation, StreamOrder
from eventstore.tables import STREAMS_CAN_END, Layout, Tables
from tests.sql_layout import lay_out

FOLDER: Final = Path(__file__).parent / "golden" / "sql"
DOCS: Final = sorted((Path(__file__).parent.parent / "docs").rglob("*.md"))
COMMAND: Final = "python -m tests.golden_sql"
DATABASES: Final[dict[str, Callable[[], Dialect]]] = {"postgresql": PostgreSQLDialect, "sqlite": SQLiteDialect}

_PACKAGE: Final = Path(eventstore.__file__).parent
_FIELDS: Final = ("stream_ids", "event_types", "categories")
_TAGGED: Final = [(("tags",),), (("tags", "event_types"),), (("tags", "stream_ids", "categories"),)]
_SHOWN_IN_SCHEMA: Final = {
    "postgresql.append_one.append_one(Expectation.VERSION)", "postgresql.log_view.log_view",
    f"postgresql.copy.copy_events({APPENDED_COLUMNS})",
}  # fmt: skip
"""Enough for reviewers; a test compares all."""
_SHOWN_ON_OLDER_TABLES: Final = {
    "heads.write_head(Expectation.EXISTING)", "heads.write_head(Expectation.NOTHING)",
    "heads.write_head(Expectation.VERSION)", "deletion.find_tombstone",
}  # fmt: skip

_SHOWN_ON_PARTITIONED_LOGS: Final = {
    "postgresql.log_view.log_view",
    "reading.read_forwards", "postgresql.read_page.read_matching((('event_types',),))",
    "postgresql.read_page.read_matching((('stream_ids',),), backwards=True)",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Golden:
    """A statement in a file.

    Attributes:
        name: Where it is made, such as `reading.read_forwards`.
        sql: What is sent.
        constants: The values of parameters that are part of the statement.
    """

    name: str
    sql: str
    constants: dict[str, Any]

    def __str__(self) -> str:
        lines = [f"-- {self.name}"]
        if self.constants:
            constants = ", ".join(f"{name} = {value!r}" for name, value in self.constants.items())
            lines += textwrap.wrap(constants, 118, initial_indent="-- with ", subsequent_indent="--   ")
        return "\n".join([*lines, f"{lay_out(self.sql)};"])


@cache
def content(database: str) -> str:
    """Return what the file of a database should be."""
    title = f"-- What the store sends to {database}. Made by `{COMMAND}`: change the code, not this file."
    parts = [f"-- {'=' * 8} {heading}\n\n" + "\n\n".join(map(str, found)) for heading, found in sections(database)]
    return "\n\n\n".join([title, *parts]) + "\n"


@cache
def sections(database: str) -> list[tuple[str, list[Golden]]]:
    """Return what the file has in it, with headings."""
    found = [
        ("statements", compiled_plainly(database)),
        ("written as text", list(written_as_text(database))),
    ]
    older = DATABASES[database]()
    older.suit(Layout.of(STREAMS_CAN_END - 1, is_partitioned=False), 0)
    found.append((f"on tables before version {STREAMS_CAN_END}", compiled(older, database, _SHOWN_ON_OLDER_TABLES)))
    if database == "postgresql":
        partitioned = PostgreSQLDialect()
        partitioned.suit(Layout(is_partitioned=True), 0)
        found.append(("on a partitioned log", compiled(partitioned, database, _SHOWN_ON_PARTITIONED_LOGS)))
        in_schema = PostgreSQLDialect(schema="Shop")
        found.append(('with schema="Shop"', compiled(in_schema, database, _SHOWN_IN_SCHEMA)))
    return found


@cache
def compiled_plainly(database: str) -> list[Golden]:
    """Return all statements that are sent to a database by a store with no options, by module and name."""
    return compiled(DATABASES[database](), database)


def compiled(dialect: Dialect, database: str, names: Collection[str] | None = None) -> list[Golden]:
    """Return the statements that are sent to a database, by module and name: all, or those with some names."""
    return [
        Golden(name, *dialect.sql(statement))
        for name, statement in _statements_of(database)
        if names is None or name in names
    ]


def _statements_of(database: str) -> Iterator[tuple[str, Statement]]:
    families, users = _families(), _users()
    for module_name, function in _public_functions():
        name = f"{module_name}.{function.__name__}"
        if database not in users.get((module_name, function.__name__), set()):
            continue
        if not _makes_statements(function):
            yield name, function
            continue
        if function.__name__ not in families:
            raise LookupError(f"{name} makes statements at run time: add to _families with which arguments to show it")
        for arguments, named in families[function.__name__]:
            shown = ", ".join([*map(_show, arguments), *(f"{key}={value}" for key, value in named.items())])
            yield f"{name}({shown})", function(*arguments, **named)


def _show(argument: Any) -> str:
    return str(argument) if isinstance(argument, Enum) else repr(argument)


@cache
def _public_functions() -> list[tuple[str, Callable[..., Any]]]:
    """Find each function that returns a statement, or makes functions that do; one for an expression is neither."""
    functions = []
    for found in sorted(
        pkgutil.walk_packages(statements.__path__, f"{statements.__name__}."), key=lambda found: found.name
    ):
        module = importlib.import_module(found.name)
        for name, function in sorted(vars(module).items()):
            is_own = getattr(function, "__module__", None) == module.__name__ and inspect.isroutine(function)
            if is_own and not name.startswith("_") and (_is_statement(function) or _makes_statements(function)):
                functions.append((found.name.removeprefix(f"{statements.__name__}."), function))
    return functions


def _is_statement(function: Callable[..., Any]) -> bool:
    hints = get_type_hints(function)
    returned = hints.pop("return")
    returned = get_origin(returned) or returned
    return (
        list(hints.values()) == [Tables]
        and inspect.isclass(returned)
        and issubclass(returned, ClauseElement)
        and not issubclass(returned, ColumnElement | FromClause)
    )


@cache
def _makes_statements(function: Callable[..., Any]) -> bool:
    return get_origin(get_type_hints(inspect.unwrap(function))["return"]) is get_origin(Callable[..., Any])


def _families() -> dict[str, list[tuple[tuple[Any, ...], dict[str, Any]]]]:
    """Return the arguments with which the statements of each family are shown."""
    truths = (False, True)
    combinations = [named for size in range(4) for named in itertools.combinations(_FIELDS, size)]
    shapes: list[tuple[tuple[str, ...], ...]] = [
        *((named,) for named in combinations), (("categories", "event_types"), ("stream_ids",), ()), *_TAGGED,
    ]  # fmt: skip
    of_category = [((), {"of_category": value}) for value in truths]
    bounded = [((), {"bounded": value}) for value in truths]
    expectations: list[tuple[tuple[Any, ...], dict[str, Any]]] = [((expectation,), {}) for expectation in Expectation]
    return {
        "append": expectations,
        "append_one": expectations,
        "append_tagged": expectations,
        "copy_events": [((columns,), {}) for columns in (APPENDED_COLUMNS, STORED_COLUMNS, POSITIONED_COLUMNS)],
        "count_rows": [((table.name,), {}) for table in fields(Tables) if table.name not in {"metadata", "permission"}],
        "count_matching": [
            ((shape,), {"in_period": value}) for shape in [((),), *_TAGGED, *shapes[-4:-3]] for value in truths
        ],
        "drawn_positions": [(("public", "es_events_position_seq"), {})],
        "ends_of_part": [(("a_part",), {})],
        "events_without_stream": bounded,
        "events_of_tags": [((count,), {}) for count in (0, 2)],
        "find_by_metadata": [((key,), {}) for key in ("correlation_id", "causation_id")],
        "heads_of_recent_events": of_category,
        "insert_event": [((columns,), {}) for columns in (APPENDED_COLUMNS, STORED_COLUMNS, POSITIONED_COLUMNS)],
        "insert_rows": [((count,), {}) for count in (1, 10)],
        "largest_streams_of_sample": of_category,
        "list_snapshots": of_category,
        "list_streams": [
            ((order,), {"of_category": category, "is_first": first})
            for order, category, first in itertools.product(StreamOrder, truths, truths)
        ],
        "page_of_part": [(("a_part",), {})],
        "page_of_part_by_stream": [(("a_part",), {})],
        "read_matching": [
            *[((shape,), {}) for shape in shapes],
            *[((shape,), {"backwards": True}) for shape in shapes],
        ],
        "read_page_of_types": [((2,), {"backwards": value}) for value in truths],
        "read_partition": [((shape,), {}) for shape in [((),), (("categories",),), (("tags",), ("stream_ids",))]],
        "setting": [((name,), {}) for name in ("foreign_keys", "journal_mode", "synchronous")],
        "snapshot_coverage": of_category,
        "some_by_metadata": [((key,), {}) for key in ("correlation_id", "causation_id")],
        "stream_states": bounded,
        "write_head": expectations,
    }


# --- documentation


def with_statements(page: str) -> str:
    """Return a page of the documentation, where a block of SQL that begins with the name of a statement has its SQL."""

    def as_sent(block: re.Match[str]) -> str:
        return f"```sql\n{_by_name()[block[1]]}\n```" if block[1] in _by_name() else block[0]

    return re.sub(r"```sql\n-- (\S.*)\n[^`]*```", as_sent, page)


@cache
def _by_name() -> dict[str, Golden]:
    return {each.name: each for database in DATABASES for _, found in sections(database) for each in found}


# --- who uses what


def unused() -> set[tuple[str, str]]:
    """Return the statements that no code of the package imports: their modules and names."""
    return names() - _users().keys()


def names() -> set[tuple[str, str]]:
    """Return the modules and names of all functions that return a statement, or make functions that do."""
    return {(module, function.__name__) for module, function in _public_functions()}


@cache
def _users() -> dict[tuple[str, str], set[str]]:
    """Return the databases of each statement: that of its folder, otherwise those of the modules that import it."""
    users: dict[tuple[str, str], set[str]] = {}
    prefix = f"{statements.__name__}."
    for path in _modules():
        if "statements" in path.relative_to(_PACKAGE).parts:
            continue
        for node in ast.walk(_parsed(path)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(prefix):
                module = str(node.module).removeprefix(prefix)
                of_folder = [database for database in DATABASES if module.startswith(f"{database}.")]
                for alias in node.names:
                    users.setdefault((module, alias.name), set()).update(of_folder or _databases_of(path))
    return users


@cache
def _modules() -> list[Path]:
    return sorted(path for path in _PACKAGE.rglob("*.py") if "testing" not in path.relative_to(_PACKAGE).parts)


@cache
def _parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _databases_of(path: Path) -> list[str]:
    name = path.relative_to(_PACKAGE).as_posix()
    if name == "contrib/django/engines.py":
        return ["postgresql"]  # SET ROLE
    return [database for database in DATABASES if database in name] or list(DATABASES)


# --- text


_SQL: Final = re.compile(
    r"(BEGIN|COMMIT|ROLLBACK)$|"
    r"(ALTER|BEGIN|CALL|COMMIT|COPY|CREATE|DEALLOCATE|DELETE|DISCARD|DO|DROP|EXECUTE|INSERT|LISTEN|LOCK|NOTIFY|PRAGMA|"
    r"PREPARE|RELEASE|RESET|ROLLBACK|SAVEPOINT|SELECT|SET|SHOW|TRUNCATE|UNLISTEN|UPDATE|VACUUM|VALUES|WITH)\s"
)
_REVISED: Final = {"tables/immutability.py", "tables/definition.py"}
"""What revisions do stands in tests/golden/postgresql.sql."""


def written_as_text(database: str) -> Iterator[Golden]:
    """Find SQL that is written as text in the code, but for migrations and for the advice that people get."""
    for path in _modules():
        name = path.relative_to(_PACKAGE).as_posix()
        if name.startswith(("statements/", "migrations/")) or name in _REVISED or database not in _databases_of(path):
            continue
        texts = dict.fromkeys(_texts(_parsed(path), name))
        for where, text in sorted(texts, key=lambda found: found[0]):
            if _SQL.match(text.lstrip()):
                yield Golden(where, text, {})


def _texts(node: ast.AST, where: str) -> Iterator[tuple[str, str]]:
    if _is_prose(node):
        return
    if isinstance(node, ast.JoinedStr):
        yield where, "".join(str(part.value) if isinstance(part, ast.Constant) else "{…}" for part in node.values)
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield where, node.value
    else:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            where += f".{node.name}" if ":" in where else f": {node.name}"
        for child in ast.iter_child_nodes(node):
            yield from _texts(child, where)


def _is_prose(node: ast.AST) -> bool:
    if isinstance(node, ast.Assign):
        return any(isinstance(target, ast.Name) and target.id == "advice" for target in node.targets)
    if isinstance(node, ast.Call):
        return ast.unparse(node.func) == "Finding"
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for each in DATABASES:
        (FOLDER / f"{each}.sql").write_text(content(each), encoding="utf-8")
    for path in DOCS:
        path.write_text(with_statements(path.read_text(encoding="utf-8")), encoding="utf-8")
