"""Values without parts: how each type is written, and how it is read back.

Each type has its two directions next to one another. Written parts are already decoded when the
reading side sees them.
"""

from __future__ import annotations

import base64
import math
import pathlib
import re
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any
from uuid import UUID

Wire = Any  # what json.dumps takes: None, bool, int, float, str, list, dict with str keys

BIG = 1 << 2000  # below the shortest limit that Python may set on decimal digits of an int
_UNSAFE = re.compile("[\x00\ud800-\udfff]")
_ESCAPED = re.compile("[\x00\ud800-\udfff\\\\]")
_ESCAPE = re.compile(r"\\([0-9a-f]{4})")
_PATHS = {
    kind.__name__: kind
    for kind in (
        pathlib.PurePosixPath,
        pathlib.PureWindowsPath,
        pathlib.PosixPath,
        pathlib.WindowsPath,
    )
}


def keep(value: Wire) -> Wire:
    """Write a value that JSON keeps as it is."""
    return value


def write_str(value: str) -> Wire:
    """Write text; NUL and lone surrogates, which Postgres refuses, are escaped."""
    if "\x00" not in value and (value.isascii() or not _UNSAFE.search(value)):
        return value
    return {"$str": _ESCAPED.sub(lambda found: f"\\{ord(found[0]):04x}", value)}


def read_str(payload: str) -> str:
    return _ESCAPE.sub(lambda found: chr(int(found[1], 16)), payload)


def write_int(value: int) -> Wire:
    """Write an int; hexadecimal beyond Python's limit on decimal digits."""
    return value if -BIG < value < BIG else {"$int": hex(value)}


def read_int(payload: str) -> int:
    return int(payload, 16)


def write_float(value: float) -> Wire:
    return value if math.isfinite(value) else {"$float": repr(value)}


def write_bytes(value: bytes | bytearray) -> str:
    return base64.b64encode(value).decode()


def read_bytes(payload: str) -> bytes:
    return base64.b64decode(payload, validate=True)


def write_fraction(value: Fraction) -> list[Wire]:
    return [write_int(value.numerator), write_int(value.denominator)]


def read_fraction(payload: list[int]) -> Fraction:
    numerator, denominator = payload
    return Fraction(numerator, denominator)


def write_complex(value: complex) -> list[Wire]:
    return [write_float(value.real), write_float(value.imag)]


def read_complex(payload: list[float]) -> complex:
    real, imag = payload
    return complex(real, imag)


def write_range(value: range) -> list[Wire]:
    return [write_int(value.start), write_int(value.stop), write_int(value.step)]


def read_range(payload: list[int]) -> range:
    start, stop, step = payload
    return range(start, stop, step)


def write_path(value: pathlib.PurePath) -> list[Wire]:
    return [type(value).__name__, write_str(str(value))]


def read_path(payload: list[str]) -> pathlib.PurePath:
    kind, text = payload
    return _PATHS[kind](text)


def tagged(tag: str, write: Callable[[Any], Wire]) -> Callable[[Any], Wire]:
    """Make a writer put its result under a tag."""
    return lambda value: {tag: write(value)}


WRITERS: dict[type, Callable[[Any], Wire]] = {
    type(None): keep,
    bool: keep,
    str: write_str,
    int: write_int,
    float: write_float,
    bytes: tagged("$bytes", write_bytes),
    bytearray: tagged("$bytearray", write_bytes),
    Decimal: tagged("$decimal", str),
    Fraction: tagged("$fraction", write_fraction),
    UUID: tagged("$uuid", str),
    complex: tagged("$complex", write_complex),
    range: tagged("$range", write_range),
    **dict.fromkeys(_PATHS.values(), tagged("$path", write_path)),
}
READERS: dict[str, Callable[[Any], Any]] = {
    "$str": read_str,
    "$int": read_int,
    "$float": float,
    "$bytes": read_bytes,
    "$bytearray": lambda payload: bytearray(read_bytes(payload)),
    "$decimal": Decimal,
    "$fraction": read_fraction,
    "$uuid": UUID,
    "$complex": read_complex,
    "$range": read_range,
    "$path": read_path,
}
