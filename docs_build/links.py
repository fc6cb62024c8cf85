"""An extension of Griffe: names in docstrings that the reference describes, such as `EventFilter` or `EventStore.append`, become links to it."""

import re
from pathlib import Path
from typing import Any, Final

import griffe

REFERENCE: Final = Path(__file__).parent.parent / "docs" / "reference"
_NAME: Final = re.compile(r"(?<![`\[\w])`([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)?)`(?![`\]])")


class Links(griffe.Extension):
    """Links the names in the docstrings of a package."""

    def on_package(self, *, pkg: griffe.Module, **_: Any) -> None:
        """Link the names in all docstrings, when all objects are known."""
        paths = described(pkg)
        for obj in _objects(pkg):
            if obj.docstring is not None:
                obj.docstring.value = linked(obj.docstring.value, paths, obj.name)


def described(package: griffe.Module) -> dict[str, str]:
    """Return the paths of what the reference describes, by the names that docstrings use; none for a name of two objects."""
    paths: dict[str, str] = {}
    ambiguous: set[str] = set()
    directives = [path for page in REFERENCE.glob("*.md") for path in re.findall(r"^::: (\S+)", page.read_text(), re.M)]
    for path in directives:
        obj: Any = package[path.partition(".")[2]]
        names = {obj.name: path}
        if obj.is_class:
            names |= {f"{obj.name}.{name}": f"{path}.{name}" for name, member in obj.members.items() if _shown(member)}
        ambiguous |= {name for name in names if name in paths and paths[name] != names[name]}
        paths |= names
    return {name: path for name, path in paths.items() if name not in ambiguous}


def linked(docstring: str, paths: dict[str, str], own_name: str) -> str:
    """Return the docstring with links, but for the object's own name."""

    def link(found: re.Match[str]) -> str:
        name = found[1]
        path = None if name == own_name else paths.get(name)
        return f"[`{name}`][{path}]" if path else found[0]

    return _NAME.sub(link, docstring)


def _shown(member: Any) -> bool:
    return not member.is_alias and member.is_public and member.has_docstring


def _objects(obj: Any) -> Any:
    yield obj
    for member in obj.members.values():
        if not member.is_alias:
            yield from _objects(member)
