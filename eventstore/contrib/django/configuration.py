"""The one setting, `EVENTSTORE`: a dictionary, of which everything may be left out."""

from typing import Any, Final

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from eventstore.core.options import CoreOptions
from eventstore.projections import Projection

NAME: Final = "EVENTSTORE"
_STORE_OPTIONS: Final = {name.upper(): name for name in (*CoreOptions.__annotations__, "notify")}
_PROJECTIONS: Final = "PROJECTIONS"


def store_options() -> dict[str, Any]:
    """Return the options for the store, as its constructor calls them.

    Raises:
        ImproperlyConfigured: The setting has a key that is unknown, or names what can't be imported.
    """
    return {_STORE_OPTIONS[key]: _imported(key, value) for key, value in _setting().items() if key != _PROJECTIONS}


def projections() -> list[Projection]:
    """Return the projections that the setting names.

    Raises:
        ImproperlyConfigured: One of them is none, can't be imported, or has the name of another.
    """
    found: dict[str, Projection] = {}
    for given in _setting().get(_PROJECTIONS, ()):
        projection = _imported(_PROJECTIONS, given)
        if not isinstance(projection, Projection):
            msg = f"{NAME}[{_PROJECTIONS!r}] lists Projections, or paths to them; {given!r} is none"
            raise ImproperlyConfigured(msg)
        if projection.name in found:
            msg = f"{NAME}[{_PROJECTIONS!r}] has two projections named {projection.name!r}"
            raise ImproperlyConfigured(msg)
        found[projection.name] = projection
    return list(found.values())


def _setting() -> dict[str, Any]:
    given = getattr(settings, NAME, {})
    if not isinstance(given, dict):
        msg = f"{NAME} is a dictionary, not {type(given).__name__}"
        raise ImproperlyConfigured(msg)
    unknown = sorted(set(given) - {*_STORE_OPTIONS, _PROJECTIONS})
    if unknown:
        known = ", ".join([*_STORE_OPTIONS, _PROJECTIONS])
        msg = f"{NAME} has no key {', '.join(map(repr, unknown))}; there are {known}"
        raise ImproperlyConfigured(msg)
    return given


def _imported(key: str, value: Any) -> Any:
    """Return what a path such as `shop.events.event_types` names; anything else as it is."""
    if isinstance(value, list | tuple):
        return [_imported(key, item) for item in value]
    if not isinstance(value, str):
        return value
    try:
        return import_string(value)
    except ImportError as error:
        msg = f"{NAME}[{key!r}]: {error}"
        raise ImproperlyConfigured(msg) from error
