"""Loading an adapter by its name, `module:Class`."""

from importlib import import_module
from typing import Any, Final

from eventstore.testing.adversary.adapter import Adapter
from eventstore.testing.adversary.places import CanNotRun

OURS: Final = "eventstore.testing.adversary.ours:Ours"
_REQUIRED: Final = (
    "name", "readers", "page_size", "takes_schema", "spans_streams", "prepare", "append", "version", "read", "close",
)  # fmt: skip


def load_adapter(name: str) -> type[Adapter]:
    """Import the class of an adapter.

    Raises:
        CanNotRun: There is no class of that name, or it lacks a member of `Adapter`.
    """
    module_name, _, class_name = name.partition(":")
    try:
        cls: Any = getattr(import_module(module_name), class_name)
    except (ImportError, AttributeError, ValueError) as error:
        raise CanNotRun(f"there is no adapter {name!r}; name it in the form module:Class ({error})") from error
    missing = [each for each in _REQUIRED if not hasattr(cls, each)]
    if missing:
        raise CanNotRun(f"the adapter {name} lacks {', '.join(missing)}: see eventstore.testing.adversary.Adapter")
    adapter: type[Adapter] = cls
    return adapter
