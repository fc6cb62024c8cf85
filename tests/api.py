"""The public API: its names and signatures in one file, so that a change of it is a line in a diff.

`python -m tests.api` writes the file; `tests/test_public_api.py` compares. Public is what `docs/reference` shows. It is
read from the source, without imports: the file is the same whatever extras are installed.
"""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parent.parent
FILE: Final = Path(__file__).parent / "golden" / "api.txt"
COMMAND: Final = "python -m tests.api"
REFERENCE: Final = ROOT / "docs" / "reference"

_SHOWN_SPECIAL_METHODS: Final = {
    "__init__", "__call__", "__iter__", "__next__", "__len__", "__getitem__", "__contains__", "__enter__", "__exit__",
    "__aiter__", "__anext__", "__aenter__", "__aexit__",
}  # fmt: skip
_MADE_HERE: Final = {
    "AsyncIteration", "AsyncSubscription", "DeadLetters", "Frame", "ProjectionScenario", "Scenario", "SnapshotStore",
    "Subscription",
}  # fmt: skip
"""Methods return these; applications don't construct them."""
_NO_PROMISE: Final = "without any promise"
"""What says so in its docstring is for the package itself."""
_OPTIONS: Final = re.compile(r"^::: (?P<path>[\w.]+)\n(?P<options>(?: +\S.*\n)*)", re.MULTILINE)
_MEMBERS: Final = re.compile(r"members: *(?:\[(?P<inline>[^]]*)\]|\n(?P<lines>(?: +- \w+\n)+))")

Function = ast.FunctionDef | ast.AsyncFunctionDef
Definition = ast.ClassDef | Function | ast.Assign | ast.AnnAssign


def content() -> str:
    """Return what the file should be."""
    lines = [
        f"The public API. Made by `{COMMAND}`: change the code, or docs/reference, not this file.",
        "",
        "eventstore",
    ]
    lines += [
        f"    {name} from {_imported('eventstore', name) or 'eventstore.' + name}" for name in exported("eventstore")
    ]
    for module, names in sorted(documented().items()):
        lines += ["", module]
        lines += [f"    {line}" for name in sorted(names) for line in described(name, definition(module, name))]
    return "\n".join(lines) + "\n"


def documented() -> dict[str, set[str]]:
    """Return the public names of each module. One that is at the root belongs to the module it is imported from."""
    found: dict[str, set[str]] = defaultdict(set)
    for page in sorted(REFERENCE.glob("*.md")):
        for block in _OPTIONS.finditer(page.read_text(encoding="utf-8")):
            path, members = block["path"], _MEMBERS.search(block["options"])
            module, _, name = path.rpartition(".")
            if not _path(module).exists() and not _path(path).exists():
                continue  # a method: its class is shown, too
            origin = _imported(module, name)
            if origin is None and _path(path).exists():
                named = re.findall(r"\w+", members["inline"] or members["lines"]) if members else exported(path)
                found[path].update(named)
            else:
                found[origin if origin and module == "eventstore" else module].add(name)
    return found


def exported(module: str) -> list[str]:
    """Return the names that a module offers: its `__all__`, or all that it defines without an underscore."""
    for node in _tree(module).body:
        if isinstance(node, ast.Assign) and _targets(node) == ["__all__"]:
            names: list[str] = ast.literal_eval(node.value)
            return names
    return [name for name in _defined(_tree(module).body) if not name.startswith("_")]


def definition(module: str, name: str) -> list[Definition]:
    """Return where a name is defined, through imports; several times if it is overloaded."""
    found = _defined(_tree(module).body).get(name)
    if found is None:
        origin = _imported(module, name)
        if origin is None:
            msg = f"docs/reference shows {module}.{name}, which is not there"
            raise LookupError(msg)
        return definition(origin, name)
    return found


def described(name: str, nodes: list[Definition]) -> Iterator[str]:
    """Yield a line for a name, and for each public member of a class."""
    for node in nodes:
        match node:
            case ast.ClassDef(bases=bases, body=body):
                shown = ", ".join(ast.unparse(base) for base in bases)
                yield f"class {name}({shown})" if shown else f"class {name}"
                yield from (
                    f"    {line}" for line in _members(body) if name not in _MADE_HERE or "__init__" not in line
                )
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                yield _signature(node, is_method=False)
            case _:
                yield ast.unparse(node)


def _members(body: list[ast.stmt]) -> Iterator[str]:
    for name, nodes in _defined(body).items():
        if not name.startswith("_") or name in _SHOWN_SPECIAL_METHODS:
            for node in nodes:
                if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                    yield ast.unparse(node)
                elif _NO_PROMISE not in (ast.get_docstring(node) or ""):
                    yield _signature(node, is_method=True)
        if name == "__init__":
            yield from _attributes(nodes[-1])


def _attributes(init: Definition) -> Iterator[str]:
    """Yield the public attributes that a constructor sets, with the types of the parameters that they are."""
    types = {node.arg: node.annotation for node in ast.walk(init) if isinstance(node, ast.arg)}
    for node in ast.walk(init):
        match node:
            case (
                ast.Assign(targets=[ast.Attribute(value=ast.Name(id="self"), attr=name)], value=value)
                | ast.AnnAssign(target=ast.Attribute(value=ast.Name(id="self"), attr=name), value=value)
            ) if not name.startswith("_"):
                annotation = types.get(value.id) if isinstance(value, ast.Name) else None
                yield f"{name}: {ast.unparse(annotation)}" if annotation else name


def _signature(node: Function, *, is_method: bool) -> str:
    decorators = {ast.unparse(decorator).partition("(")[0] for decorator in node.decorator_list}
    returned = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    if "property" in decorators:
        return f"{node.name}: {ast.unparse(node.returns) if node.returns else 'Any'} (property)"
    parameters = ast.unparse(node.args)
    if is_method and "staticmethod" not in decorators:
        parameters = re.sub(r"^(self|cls)(, /)?(, )?", "", parameters)
    prefix = "".join(f"{decorator} " for decorator in sorted(decorators))
    prefix += "async " if isinstance(node, ast.AsyncFunctionDef) else ""
    return f"{prefix}{node.name}({parameters}){returned}"


def _defined(body: list[ast.stmt]) -> dict[str, list[Definition]]:
    found: dict[str, list[Definition]] = {}
    for node in body:
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                found.setdefault(name, []).append(node)
            case ast.ClassDef(name=name):
                found[name] = [node]
            case ast.Assign() | ast.AnnAssign():
                found.update((target, [node]) for target in _targets(node))
    return {name: _without_implementation(nodes) for name, nodes in found.items()}


def _without_implementation(nodes: list[Definition]) -> list[Definition]:
    return nodes[:-1] if len(nodes) > 1 and "overload" in ast.unparse(nodes[0]) else nodes


def _targets(node: ast.Assign | ast.AnnAssign) -> list[str]:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    return [target.id for target in targets if isinstance(target, ast.Name)]


def _imported(module: str, name: str) -> str | None:
    """Return the module that another imports a name from."""
    for node in ast.walk(_tree(module)):
        if (
            isinstance(node, ast.ImportFrom)
            and node.module not in {None, module}
            and any(alias.name == name for alias in node.names)
        ):
            return node.module
    return None


def _path(module: str) -> Path:
    path = ROOT.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


@cache
def _tree(module: str) -> ast.Module:
    return ast.parse(_path(module).read_text(encoding="utf-8"))


if __name__ == "__main__":
    FILE.write_text(content(), encoding="utf-8")
