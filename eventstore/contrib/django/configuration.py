"""The setting `EVENTSTORE`: a dictionary, in which every key is optional."""

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
    """Return the options of the store, by the names of its constructor.

    Raises:
        ImproperlyConfigured: The setting has an unknown key, or the path of something that can't be imported.
    """
    return {_STORE_OPTIONS[key]: _imported(key, value) for key, value in _setting().items() if key != _PROJECTIONS}


def projections() -> list[Projection]:
    """Return the projections of the setting.

    Raises:
        ImproperlyConfigured: An item is not a projection, can't be imported, or has the name of another one.
    """
    by_name: dict[str, Projection] = {}
    for item in _setting().get(_PROJECTIONS, ()):
        projection = _imported(_PROJECTIONS, item)
        if not isinstance(projection, Projection):
            msg = f"{NAME}[{_PROJECTIONS!r}] lists Projections, or paths to them; {item!r} is neither"
            raise ImproperlyConfigured(msg)
        if projection.name in by_name:
            msg = f"{NAME}[{_PROJECTIONS!r}] has two projections named {projection.name!r}"
            raise ImproperlyConfigured(msg)
        by_name[projection.name] = projection
    return list(by_name.values())


def _setting() -> dict[str, Any]:
    options = getattr(settings, NAME, {})
    if not isinstance(options, dict):
        msg = f"{NAME} must be a dictionary, not {type(options).__name__}"
        raise ImproperlyConfigured(msg)
    unknown = sorted(set(options) - {*_STORE_OPTIONS, _PROJECTIONS})
    if unknown:
        known = ", ".join([*_STORE_OPTIONS, _PROJECTIONS])
        msg = f"{NAME} has no key {', '.join(map(repr, unknown))}; its keys are {known}"
        raise ImproperlyConfigured(msg)
    return options


def _imported(key: str, value: Any) -> Any:
    """Import what a path such as `shop.events.event_types` names; return any other value unchanged."""
    if isinstance(value, list | tuple):
        return [_imported(key, item) for item in value]
    if not isinstance(value, str):
        return value
    try:
        return import_string(value)
    except ImportError as error:
        msg = f"{NAME}[{key!r}]: {error}"
        raise ImproperlyConfigured(msg) from error
