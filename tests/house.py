"""How large the package is, how far its modules reach into each other, and which way a call takes through it.

`python -m tests.house [FOLDER]` prints the figures of a checkout: this one, or another, to compare with.
"""

import argparse
import ast
import importlib
import io
import re
import statistics
import sys
import tokenize
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Final

from tests.sql_layout import unnamed

_ROOT: Final = Path(__file__).parents[1]
_NO_CODE: Final = {
    tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENCODING,
    tokenize.ENDMARKER,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Touch:
    """A use of a private attribute in a module that does not define it.

    Attributes:
        module: The path of the module, below the package.
        line: Where in it.
        attribute: The attribute.
        owners: The classes that define it, in other modules of the package.
    """

    module: str
    line: int
    attribute: str
    owners: frozenset[str]


def modules(folder: Path) -> dict[str, ast.Module]:
    """Return the syntax trees of the package in a checkout, by path below the package."""
    package = folder / "eventstore"
    return {
        path.relative_to(package).as_posix(): ast.parse(path.read_text(encoding="utf-8"))
        for path in sorted(package.rglob("*.py"))
    }


def code_lines(source: str) -> int:
    """Return how many lines have code: no blank ones, no comments, no docstrings, of attributes neither."""
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in _NO_CODE:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            lines.difference_update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return len(lines)


def private_touches(trees: dict[str, ast.Module]) -> list[Touch]:
    """Return each `x._name` for which `x` is not `self` or `cls`, and `_name` is another module's.

    That is: a class of another module of the package defines `_name`, and no class of this module does.
    """
    defined = {module: dict(_private_attributes(tree)) for module, tree in trees.items()}
    owners: dict[str, set[str]] = {}
    for attributes in defined.values():
        for attribute, class_name in attributes.items():
            owners.setdefault(attribute, set()).add(class_name)
    return [
        Touch(module, node.lineno, node.attr, frozenset(owners[node.attr]))
        for module, tree in trees.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and _is_private(node.attr)
        and not _is_own(node.value)
        and node.attr in owners
        and node.attr not in defined[module]
    ]


def _private_attributes(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Find the private attributes that the classes of a module define, with the class."""
    for owner in ast.walk(tree):
        if not isinstance(owner, ast.ClassDef):
            continue
        for node in ast.walk(owner):
            names = []
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and _is_own(node.value):
                names = [node.attr]
            elif isinstance(node, ast.FunctionDef) and node in owner.body:
                names = [node.name]
            elif isinstance(node, ast.AnnAssign | ast.Assign) and node in owner.body:
                targets = [node.target] if isinstance(node, ast.AnnAssign) else node.targets
                names = [target.id for target in targets if isinstance(target, ast.Name)]
            yield from ((name, owner.name) for name in names if _is_private(name))


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def _is_own(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id in {"self", "cls"}


def names_at_the_root(tree: ast.Module) -> list[str]:
    """Return what `__all__` of `eventstore/__init__.py` lists."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and [ast.unparse(target) for target in node.targets] == ["__all__"]:
            return [str(name) for name in ast.literal_eval(node.value)]
    raise LookupError("eventstore/__init__.py has no __all__")


def with_unnamed_expressions(golden: str) -> list[str]:
    """Return the statements of a golden file of SQL with a name of SQLAlchemy's, such as `coalesce_1`, or none."""
    found = []
    statements, _, _ = golden.partition("-- ======== written as text")
    for block in re.split(r"\n\n+", statements.strip()):
        head, *lines = block.splitlines()
        if unnamed("\n".join(line for line in lines if not line.startswith("--")).removesuffix(";")):
            found.append(head.removeprefix("-- "))
    return found


def static_figures(folder: Path) -> dict[str, str]:
    """Return what can be counted without running anything."""
    trees = modules(folder)
    package = folder / "eventstore"
    sizes = {path: code_lines((package / path).read_text(encoding="utf-8")) for path in trees}
    largest = max(sizes, key=lambda path: sizes[path])
    touches = private_touches(trees)
    files = {touch.module for touch in touches}
    of_store = sum("EventStore" in touch.owners for touch in touches)
    at_root = [path for path in trees if "/" not in path]
    figures = {
        "code lines": f"{sum(sizes.values()):,}",
        "files": str(len(sizes)),
        "median file": f"{statistics.median(sizes.values()):.0f} code lines",
        "largest file": f"{sizes[largest]} code lines, {largest}",
        "modules at the root": str(len(at_root)),
        "names at the root": str(len(names_at_the_root(trees["__init__.py"]))),
        "private touches": f"{len(touches)} in {len(files)} files, {of_store} of EventStore's",
    }
    for path in sorted((folder / "tests" / "golden" / "sql").glob("*.sql")):
        count = len(with_unnamed_expressions(path.read_text(encoding="utf-8")))
        figures[f"statements with an unnamed expression, {path.stem}"] = str(count)
    return figures


def main() -> None:
    """Print the figures of a checkout."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=_ROOT, help="the checkout; defaults to this one")
    parser.add_argument("--touches", action="store_true", help="list the private touches")
    parser.add_argument("--calls", action="store_true", help="list the calls of an append and of a batch, in order")
    folder: Path = (arguments := parser.parse_args()).folder.resolve()
    for name, figure in static_figures(folder).items():
        print(f"{name:<50} {figure}")
    if arguments.touches:
        touches = private_touches(modules(folder))
        for attribute, count in Counter(touch.attribute for touch in touches).most_common():
            places = ", ".join(f"{touch.module}:{touch.line}" for touch in touches if touch.attribute == attribute)
            print(f"  {count:3} {attribute}: {places}")
    assert "eventstore" not in sys.modules
    sys.path.insert(0, str(folder))  # so that `eventstore` is the one of that checkout
    for name, trip in importlib.import_module("tests.trips").all_trips().items():
        figure = f"{trip.files} files, {trip.moves} moves, {trip.own_calls} calls, {trip.calls} with what they call"
        print(f"{name:<50} {figure}")
        print(f"  {' > '.join(trip.way)}")
        for file, stops in groupby(trip.stops if arguments.calls else (), key=lambda stop: stop.file):
            print(f"    {file:<40} {', '.join(stop.function for stop in stops)}")


if __name__ == "__main__":
    main()
