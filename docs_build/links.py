"""An extension of Griffe: names in docstrings, such as `EventFilter` or `EventStore.append`, link to the reference.

A name is looked up as Python would, in the class and in the module of the docstring. One with a capital letter or a dot
may also be one that the reference describes anywhere. A parameter is no link, and neither is the object's own name.
"""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import griffe

REFERENCE: Final = Path(__file__).parent.parent / "docs" / "reference"
_DIRECTIVE: Final = re.compile(r"^::: (\S+)$((?:\n {4}.*|\n(?=\n))*)", re.MULTILINE)
_NAME: Final = re.compile(r"(?<![`\[\w])`([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)?)`(?![`\]])")


class Links(griffe.Extension):
    """Links the names in the docstrings of a package."""

    def on_package(self, *, pkg: griffe.Module, **_: Any) -> None:
        """Link the names in all docstrings, now that all objects are known."""
        _let_every_module_see_the_errors(pkg)
        reference = Reference(pkg)
        for obj in _objects(pkg):
            if obj.docstring is not None:
                obj.docstring.value = reference.linked(obj)


class Reference:
    """What the pages of the reference describe, and under which path."""

    def __init__(self, package: griffe.Module) -> None:
        self._paths: dict[str, str] = {}  # by where an object is defined
        self._names: dict[str, set[str]] = {}  # by what it is called
        for page in REFERENCE.glob("*.md"):
            for path, options in _DIRECTIVE.findall(page.read_text(encoding="utf-8")):
                obj = package[path.partition(".")[2]]
                for name, each, its_path in _described(obj.final_target if obj.is_alias else obj, path, options):
                    self._paths[each.canonical_path] = its_path
                    self._names.setdefault(name, set()).add(its_path)

    def linked(self, obj: Any) -> str:
        """Return the docstring of an object with its links."""
        own_names = {obj.name, *(parameter.name for parameter in getattr(obj, "parameters", ()))}

        def link(found: re.Match[str]) -> str:
            path = None if found[1] in own_names else self._path(found[1], obj)
            return f"[{found[0]}][{path}]" if path else found[0]

        return _NAME.sub(link, str(obj.docstring.value))

    def _path(self, name: str, obj: Any) -> str | None:
        scope = obj
        while scope is not None:
            member = scope.members.get(name)
            if member is not None:
                return self._paths.get(member.target_path if member.is_alias else member.path)
            scope = scope.parent
        known = self._names.get(name, set())
        return next(iter(known)) if len(known) == 1 and (name[0].isupper() or "." in name) else None


def _described(obj: Any, path: str, options: str) -> Iterable[tuple[str, Any, str]]:
    """Return what one directive describes: an object, a class with its members, or those of a module that it lists."""
    shown = {name: member for name, member in obj.members.items() if not member.is_alias and member.is_public}
    if obj.is_module:
        _, lists, listed = options.partition("members:")
        names = [name for name in shown if not lists or re.search(rf"\b{name}\b", listed)]
        yield from ((name, shown[name], f"{path}.{name}") for name in names)
    elif obj.parent.is_class:
        yield f"{obj.parent.name}.{obj.name}", obj, path
    else:
        yield obj.name, obj, path
        if "members: false" not in options:
            documented = (name for name in shown if shown[name].has_docstring)
            yield from ((f"{obj.name}.{name}", shown[name], f"{path}.{name}") for name in documented)


def _let_every_module_see_the_errors(package: griffe.Module) -> None:
    """Let `Raises:` link to errors that a function raises by others, so that its module does not import them."""
    errors = package["errors"]
    for module in [obj for obj in _objects(package) if obj.is_module]:
        for name in errors.classes:
            if name not in module.members:
                module.set_member(name, griffe.Alias(name, f"{errors.path}.{name}"))


def _objects(obj: Any) -> Iterable[Any]:
    yield obj
    for member in obj.members.values():
        if not member.is_alias:
            yield from _objects(member)
