"""Dates, times and their zones.

A time with a plain offset is one ISO string. A named zone or the second pass of a repeated hour
needs more: ``[iso, fold, zone]``. The wall clock time is what is kept; the offset of a named zone
is looked up again.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, time, timedelta, timezone, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

from papayya_core.codec.failures import Refused, Undecodable, type_name
from papayya_core.codec.scalars import Wire, tagged, write_str

_MICROSECOND = timedelta(microseconds=1)


def write_moment(value: datetime | time) -> Wire:
    """Write a datetime or a time."""
    zone = value.tzinfo
    if zone is None or (isinstance(zone, timezone) and not _has_name(zone)):
        return [value.isoformat(), value.fold, None] if value.fold else value.isoformat()
    written = write_zone(zone)
    return [value.isoformat(), value.fold, written]


def read_datetime(payload: str | list[Any]) -> datetime:
    if isinstance(payload, str):
        return datetime.fromisoformat(payload)
    iso, fold, zone = payload
    value = datetime.fromisoformat(iso)
    return value.replace(fold=fold, tzinfo=zone or value.tzinfo)


def read_time(payload: str | list[Any]) -> time:
    if isinstance(payload, str):
        return time.fromisoformat(payload)
    iso, fold, zone = payload
    value = time.fromisoformat(iso)
    return value.replace(fold=fold, tzinfo=zone or value.tzinfo)


def write_zone(zone: tzinfo) -> Wire:
    """Write a zone of the standard library, or the fixed offset that pydantic makes."""
    if isinstance(zone, timezone):
        return write_timezone(zone)
    if type(zone) is ZoneInfo:
        return write_zoneinfo(zone)
    kind = type(zone)
    if kind.__name__ == "TzInfo" and kind.__module__.startswith("pydantic_core"):
        return {"$pydantic_zone": round(_offset(zone).total_seconds())}
    raise Refused(f"a time zone of type {type_name(kind)} is not kept; use zoneinfo.ZoneInfo")


def write_timezone(zone: timezone) -> Wire:
    name = write_str(zone.tzname(None)) if _has_name(zone) else None
    return {"$timezone": [_offset(zone) // _MICROSECOND, name]}


def read_timezone(payload: list[Any]) -> timezone:
    microseconds, name = payload
    offset = timedelta(microseconds=microseconds)
    return timezone(offset) if name is None else timezone(offset, name)


def write_zoneinfo(zone: ZoneInfo) -> Wire:
    if zone.key is None:
        raise Refused("a ZoneInfo made from a file has no key; use ZoneInfo(key)")
    return {"$zoneinfo": zone.key}


def read_zoneinfo(payload: str) -> ZoneInfo:
    try:
        return ZoneInfo(payload)
    except Exception as exc:
        raise Undecodable(f"no time zone {payload!r} here; install the package tzdata") from exc


def read_pydantic_zone(payload: float) -> tzinfo:
    from pydantic_core import TzInfo

    return TzInfo(payload)


def write_timedelta(value: timedelta) -> Wire:
    return [value.days, value.seconds, value.microseconds]


def read_timedelta(payload: list[int]) -> timedelta:
    days, seconds, microseconds = payload
    return timedelta(days, seconds, microseconds)


def _offset(zone: tzinfo) -> timedelta:
    offset = zone.utcoffset(None)
    if offset is None:
        raise Refused("a time zone without a fixed offset is not kept")
    return offset


def _has_name(zone: timezone) -> bool:
    return zone.tzname(None) != timezone(_offset(zone)).tzname(None)


WRITERS: dict[type, Callable[[Any], Wire]] = {
    datetime: tagged("$datetime", write_moment),
    date: tagged("$date", date.isoformat),
    time: tagged("$time", write_moment),
    timedelta: tagged("$timedelta", write_timedelta),
    timezone: write_timezone,
    ZoneInfo: write_zoneinfo,
}
READERS: dict[str, Callable[[Any], Any]] = {
    "$datetime": read_datetime,
    "$date": date.fromisoformat,
    "$time": read_time,
    "$timedelta": read_timedelta,
    "$timezone": read_timezone,
    "$zoneinfo": read_zoneinfo,
    "$pydantic_zone": read_pydantic_zone,
}
