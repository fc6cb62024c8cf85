"""Dates, times and decimals as text, because neither format has them."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from eventstore.codecs.refusals import NotStorableError


def _zoned(value: datetime | time) -> str:
    """Return ISO 8601 with the additions of RFC 9557: `2026-10-25T02:30:00+01:00[Europe/Berlin][_fold=1]`."""
    iso = value.isoformat()
    if iso[-16:-6] in ("+00:00:00.", "-00:00:00."):  # fromisoformat would read UTC
        raise NotStorableError("less than a second away from UTC")
    key = value.tzinfo.key if isinstance(value.tzinfo, ZoneInfo) else None
    return iso + (f"[{key}]" if key else "") + ("[_fold=1]" if value.fold else "")


def _unzoned(text: str) -> tuple[str, ZoneInfo | None, int]:
    """Return ISO 8601, the zone and the fold. The zone is None also if this machine does not know it."""
    if text[-1:] != "]":
        return text, None, 0
    plain = text.removesuffix("[_fold=1]")
    iso, _, key = plain.partition("[")
    try:
        zone = ZoneInfo(key[:-1]) if key else None
    except (ZoneInfoNotFoundError, ValueError, OSError):
        zone = None
    return iso, zone, int(plain != text)


def _datetime(text: str) -> datetime:
    """Return the same instant, and the same wall time unless the zone's rules have changed since."""
    iso, zone, fold = _unzoned(text)
    value = datetime.fromisoformat(iso)
    if fold:
        value = value.replace(fold=1)
    if zone is None:
        return value
    local = value.replace(tzinfo=zone)
    try:
        return local if local.utcoffset() == value.utcoffset() else value.astimezone(zone)
    except OverflowError:  # with the new rules it is outside the days that Python supports
        return value


def _time(text: str) -> time:
    iso, zone, fold = _unzoned(text)
    value = time.fromisoformat(iso).replace(fold=fold)
    return value.replace(tzinfo=zone) if zone else value


def _timedelta_text(value: timedelta) -> str:
    return f"{value.days} {value.seconds} {value.microseconds}"


def _timedelta(text: str) -> timedelta:
    return timedelta(*map(int, text.split()))


@dataclass(frozen=True, slots=True)
class Scalar:
    """How a type is written: its extension number in MessagePack, its tag in JSON, its text."""

    extension: int
    tag: str
    write: Callable[[Any], str]
    read: Callable[[str], Any]


SCALARS: Final[dict[type, Scalar]] = {
    datetime: Scalar(1, "$datetime", _zoned, _datetime),
    date: Scalar(2, "$date", date.isoformat, date.fromisoformat),
    time: Scalar(3, "$time", _zoned, _time),
    timedelta: Scalar(4, "$timedelta", _timedelta_text, _timedelta),
    Decimal: Scalar(5, "$decimal", str, Decimal),
}
