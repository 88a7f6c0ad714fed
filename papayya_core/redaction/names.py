"""Values that are secret because of the name before them: ``password=…``, ``"api_key": "…"``."""

from __future__ import annotations

import re
from functools import cache

from papayya_core.redaction.marks import MARK, mark

# What has a strong name is secret; what is merely called a token must look like one.
_STRONG = (
    r"passw(?:or)?d|passphrase|pwd"
    r"|(?:api|secret|private|signing|encryption|account|auth|master|service)[_-]?key"
    r"|(?:secret[_-]?)?access[_-]?key|(?:client|app|webhook|aws|shared)[_-]?secret|credentials?"
    r"|x-[a-z-]{0,30}key"
)
_WEAK = r"secret|token|session[_-]?id|authorization|(?:set-)?cookie"
_HINTS = ("pass", "pwd", "key", "secret", "token", "session", "authoriz", "cookie", "credential")
_SEPARATOR = r"(?:\\{0,3}[\"'`])?[ \t]{0,8}(?:=>|:=|=|:)[ \t]{0,8}"
_SCHEME = r"(?:bearer|basic|token|digest|apikey|negotiate)[ \t]{1,8}"
_QUOTED = (
    r"[bBrRuU]?(?:\\{1,3}\"(?P<escaped>[^\"\\\n]{1,4096})"
    r"|\"(?P<double>(?:[^\"\\\n]|\\.){1,4096})\""
    r"|'(?P<single>(?:[^'\\\n]|\\.){1,4096})')"
)
_QUOTES = frozenset({"escaped", "double", "single"})
_HEADER = r"(?:proxy-)?authorization|x-[a-z-]{0,30}(?:key|token)|api-key|(?:set-)?cookie"
_IS_HEADER = re.compile(_HEADER, re.IGNORECASE)
_NAME = re.compile(rf"(?P<name>{_STRONG}|{_WEAK})[0-9]{{0,2}}\Z", re.IGNORECASE)
_IS_STRONG = re.compile(_STRONG, re.IGNORECASE)
_IS_PASSWORD = re.compile(r"passw|passphrase|pwd", re.IGNORECASE)
_STARTS_WITH_SCHEME = re.compile(_SCHEME, re.IGNORECASE)
_TEMPLATE = re.compile(r"\$[{(A-Z_]|%[({]|[{<(\[]|\*{3}|\.{3}|…")
_CODE = re.compile(r"[A-Za-z_][A-Za-z0-9_.]{0,128}[(\[]")
_WORDS = re.compile(r"[A-Za-z_.:-]+")
_DIGITS = re.compile(r"[0-9]")
_MIXED = re.compile(r"[0-9]|[a-z][A-Z]")
_LEAST = 8
_ORDINARY = re.compile(
    r"(?:none|null|true|false|undefined|string|text|str|bytes|bool|optional|required|missing|invalid"
    r"|incorrect|wrong|expired|rejected|accepted|empty|unset|redacted|hidden|masked|changed|reset"
    r"|forgotten|failed|error|password|passwd|secret|token|value|example|your|the)",
    re.IGNORECASE,
)


@cache
def _patterns() -> tuple[re.Pattern[str], ...]:
    cookies = (
        r"(?P<name>(?:set-)?cookie)[ \t]{0,3}:[ \t]{0,3}"
        r"(?P<line>[^\s=:;,\"'\[]{1,128}=[^\r\n\"'\\]{1,4096})"
    )
    paired = rf"[\"'](?P<name>{_HEADER})[\"'][ \t]{{0,3}},\s{{0,16}}{_QUOTED}"
    assigned = (
        rf"(?P<name>{_STRONG}|{_WEAK})[0-9]{{0,2}}(?![A-Za-z0-9]){_SEPARATOR}"
        rf"(?:{_QUOTED}|(?:{_SCHEME})?(?P<bare>[^\s\"'`,;&<>\\]{{4,1024}}))"
    )
    return tuple(re.compile(one, re.IGNORECASE) for one in (cookies, paired, assigned))


def withhold(text: str) -> str:
    """Take out of a text what names in it say is secret."""
    lowered = text.lower()
    if not any(hint in lowered for hint in _HINTS):
        return text
    for pattern in _patterns():
        text = pattern.sub(_replace, text)
    return text


def secret_name(key: str) -> str | None:
    """Return what makes the name of a field a secret's: its last words."""
    found = _NAME.search(key)
    return found["name"] if found else None


def is_header(name: object) -> bool:
    """Tell whether this names a header whose value is secret."""
    return isinstance(name, str) and _IS_HEADER.fullmatch(name) is not None


def stand_in(name: str, value: str) -> str:
    """Replace the value of a field; leave it when it cannot be a secret."""
    start = _after_scheme(name, value)
    if not _is_secret(name, value[start:], bare=False, ends=True):
        return value
    return value[:start] + _marked(name, value[start:])


def _replace(found: re.Match[str]) -> str:
    group = found.lastgroup or "bare"
    name, value, bare = found["name"], found[group], group == "bare"
    start, end = 0 if bare else _after_scheme(name, value), len(value)
    if bare:
        end = len(value.rstrip(").:]}|"))
    at, shown = found.start(group) - found.start(), found.group()
    if not _is_secret(name, value[start:end], bare=bare, ends=_ends(found, group, end)):
        quoted = group in _QUOTES  # it may hold some
        return shown[:at] + withhold(value) + shown[at + len(value) :] if quoted else shown
    return shown[: at + start] + _marked(name, value[start:end]) + shown[at + end :]


def _ends(found: re.Match[str], group: str, end: int) -> bool:
    """Tell whether a value is the last of its line, or of a part of a query or command."""
    text, start, stop = found.string, found.start(group), found.end(group)
    before, after = text[start - 1], text[stop : stop + 1]
    if end < len(found[group]):
        return False
    return not after or after in "\r\n\\" or (after in " &;" and before == "=")


def _after_scheme(name: str, value: str) -> int:
    """Where the credentials of an Authorization header begin."""
    scheme = _STARTS_WITH_SCHEME.match(value) if name.lower() == "authorization" else None
    return scheme.end() if scheme else 0


def _is_secret(name: str, value: str, *, bare: bool, ends: bool) -> bool:
    """Tell a secret from a template, code or a word. ``ends``: nothing of its line follows it."""
    if MARK.match(value) or _TEMPLATE.match(value) or _ORDINARY.fullmatch(value):
        return False
    if bare and (_CODE.match(value) or (name.lower() == "pwd" and value[:1] in "/~")):
        return False
    if _IS_PASSWORD.match(name):
        letters = bare and _WORDS.fullmatch(value) is not None
        return not letters or (ends and secret_name(value) is None)
    if any(map(str.isspace, value)) or _is_pair(name, value):
        return _is_pair(name, value)
    return _looks_random(value, strong=_IS_STRONG.match(name) is not None, bare=bare)


def _is_pair(name: str, value: str) -> bool:
    """Tell cookies and credentials of many parts."""
    return "=" in value and name.lower().endswith(("cookie", "authorization"))


def _looks_random(value: str, *, strong: bool, bare: bool) -> bool:
    if strong:
        return _WORDS.fullmatch(value) is None if bare else len(value) >= _LEAST
    mixed = _DIGITS.search(value) and not value.isdigit() if bare else _MIXED.search(value)
    return bool(mixed) and len(value) >= _LEAST


def _marked(name: str, secret: str) -> str:
    words = re.sub(r"([a-z])([A-Z])", r"\1 \2", name)
    kind = " ".join(re.split(r"[_-]+", words.lower())).removeprefix("x ").strip()
    return mark(kind, secret, tail=_IS_PASSWORD.match(name) is None)
