"""Take secrets out of texts and values."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from functools import lru_cache
from typing import Any

from papayya_core.redaction import names, people
from papayya_core.redaction.formats import FORMATS, Format
from papayya_core.redaction.marks import mark

SECRETS = ("secrets",)
_HINTS = tuple({hint for one in FORMATS for hint in one.hints})
_PAIR, _PASSES = 2, 8
WITHHELD = "[withheld: it could not be redacted]"


def redact(text: str, kinds: Collection[str] = SECRETS) -> str:
    """Replace secrets by what they are: ``[openai key …x3Fq]``. Never raises.

    ``kinds``: any of ``secrets`` (keys, tokens, passwords), ``email``, ``card``.
    """
    try:
        if "secrets" in kinds:
            text = _settled(text)
        if "email" in kinds:
            text = people.emails(text)
        return people.cards(text) if "card" in kinds else text
    except Exception:  # noqa: BLE001 - rather nothing than a secret
        return WITHHELD


def _settled(text: str) -> str:
    """Redact until nothing is left: what stood right after a secret starts only then."""
    for _ in range(_PASSES):
        before, text = text, names.withhold(_known(text))
        if text == before:
            break
    return text


def _known(text: str) -> str:
    for hint in _HINTS:  # most texts hold none; any() with a generator takes five times as long
        if hint in text:
            break
    else:
        return text
    for one in FORMATS:
        if any(hint in text for hint in one.hints):
            text = one.pattern.sub(_replacement(one), text)
    return text


def _replacement(one: Format) -> Callable[[re.Match[str]], str]:
    def replace(found: re.Match[str]) -> str:
        group = found.re.groups  # the last, or all of it
        secret, whole = found[group], found.group()
        start, end = found.start(group) - found.start(), found.end(group) - found.start()
        return whole[:start] + mark(one.name, secret, tail=one.tail) + whole[end:]

    return replace


def redact_headers(headers: Collection[tuple[str, str]]) -> list[list[str]]:
    """Redact the headers of an exchange: secrets, and whatever has a secret's name."""
    together = "\n".join([value for _, value in headers])
    clean = redact(together) == together  # one look at all of them: most hold no secret
    shown = []
    for name, value in headers:
        name_shown, secret = _header(name)
        value_shown = value if clean else redact(value)
        shown.append([name_shown, names.stand_in(secret, value_shown) if secret else value_shown])
    return shown


@lru_cache(1024)  # providers send the same names over and over
def _header(name: str) -> tuple[str, str | None]:
    """Redact a header's name; say what makes its value secret."""
    if names.is_header(name):
        return name, names.secret_name(name)
    return redact(name), None


def redact_data(
    value: Any, kinds: Collection[str] = SECRETS, text: Callable[[str], str] | None = None
) -> Any:
    """Redact a value in JSON terms: its texts, and whatever fields have a secret's name.

    ``text``: how texts are redacted, when it is not by ``redact``.
    """
    return _walk(value, kinds, text or (lambda each: redact(each, kinds)), None)


def _walk(value: Any, kinds: Collection[str], text: Callable[[str], str], name: str | None) -> Any:
    if isinstance(value, str):
        shown = text(value)
        return shown if name is None else names.stand_in(name, shown)
    if isinstance(value, dict):
        return {
            text(key) if isinstance(key, str) else key: _walk(
                part, kinds, text, _secret_name(key, kinds)
            )
            for key, part in value.items()
        }
    if isinstance(value, list | tuple):
        if name is None and len(value) == _PAIR and names.is_header(value[0]):
            name = _secret_name(value[0], kinds)  # a header in a list of pairs
            return [value[0], _walk(value[1], kinds, text, name)]
        return [_walk(part, kinds, text, name) for part in value]
    return value


def _secret_name(key: object, kinds: Collection[str]) -> str | None:
    return names.secret_name(str(key)) if "secrets" in kinds else None
