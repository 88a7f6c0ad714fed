"""Reading fault rules: from JSON, and from the short form of headers and the command line."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from hashlib import sha256
from typing import Any

from papayya_core.fake_provider.ask import JsonObject
from papayya_core.fake_provider.faults import HEADER, KINDS, STARTUP, BadFault, Rule

_ENDLESS = 86_400
_CHECKS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "match": (lambda v: isinstance(v, str) and v != "", "a text"),
    "item": (lambda v: isinstance(v, str) and v != "", "a text"),
    "key": (lambda v: isinstance(v, str) and v != "", "a text"),
    "nth": (lambda v: type(v) is int and v >= 1, "a whole number from 1"),
    "times": (lambda v: type(v) is int and v >= 1, "a whole number from 1, or absent for always"),
    "rate": (lambda v: type(v) in (int, float) and 0 <= v <= 1, "a number from 0 to 1"),
    "params": (lambda v: isinstance(v, dict), "an object"),
}
_FIELDS = ("kind", *_CHECKS)


def read_rules(value: object) -> list[Rule]:
    """Read one rule, a list of rules, or {"rules": [...]}; raise `BadFault` on any mistake."""
    if isinstance(value, dict) and "rules" in value:
        value = value["rules"]
    return [_read_rule(each) for each in (value if isinstance(value, list) else [value])]


def _read_rule(value: object) -> Rule:
    """Check one rule, field by field."""
    if not isinstance(value, dict):
        raise BadFault(
            f"A fault rule must be an object such as {{'kind': 'empty'}}, not {value!r}."
        )
    if unknown := value.keys() - set(_FIELDS):
        known = ", ".join(_FIELDS)
        raise BadFault(f"A fault rule has no {', '.join(sorted(unknown))}; it has {known}.")
    for name, given in value.items():
        holds, what = _CHECKS.get(name, (lambda _: True, ""))
        if given is not None and not holds(given):
            raise BadFault(f"A fault rule's {name} must be {what}, not {given!r}.")
    given = {name: each for name, each in value.items() if each is not None}
    kind, params = str(given.get("kind", "")), given.get("params", {})
    _check(kind, params)
    digest = sha256(json.dumps(given, sort_keys=True).encode()).hexdigest()[:8]
    return Rule(**{**given, "kind": kind, "id": STARTUP + digest})


def _check(kind: str, params: Mapping[str, object]) -> None:
    """Check a kind and its parameters."""
    if kind not in KINDS:
        raise BadFault(f"There is no fault {kind!r}; there are {', '.join(KINDS)}.")
    for name, value in params.items():
        if name not in KINDS[kind]:
            has = ", ".join(KINDS[kind]) or "none"
            raise BadFault(f"Fault {kind} has no parameter {name!r}; it has {has}.")
        textual = name in {"how", "text"}
        if isinstance(value, bool) or not isinstance(value, str if textual else int | float):
            what = "a text" if textual else "a number"
            raise BadFault(f"Fault {kind}: {name} must be {what}, not {value!r}.")
        least, most = (400, 599) if name == "status" else (0, _ENDLESS)
        if isinstance(value, int | float) and not least <= value <= most:
            raise BadFault(f"Fault {kind}: {name} must be from {least} to {most}, not {value!r}.")


def read_spec(spec: str) -> Rule:
    """Read the short form ``kind[=rate][;times=N][;name=value]...`` as a rule."""
    head, *parts = [part.strip() for part in spec.split(";")]
    kind, _, rate = head.partition("=")
    given: JsonObject = {"kind": kind.strip(), "params": {}}
    given |= {"rate": _number(rate)} if rate else {}
    for part in filter(None, parts):
        name, _, text = (each.strip() for each in part.partition("="))
        if name == "times":
            given["times"] = None if text == "all" else _number(text)
        else:
            given["params"][name] = text if name in {"how", "text"} else _number(text)
    return _read_rule(given)


def _number(text: str) -> float | str:
    """Read a number; leave what isn't one for the checks to name."""
    try:
        return int(text) if text.lstrip("+-").isdecimal() else float(text)
    except ValueError:
        return text


def rates(specs: Iterable[str]) -> list[Rule]:
    """Read ``--fault-rate`` values; each body is hit once unless ``times=`` says otherwise."""
    found = []
    for spec in specs:
        rule = read_spec(spec if "times=" in spec else f"{spec};times=1")
        if rule.rate is None:
            raise BadFault(f"--fault-rate {spec!r} names no rate: write {rule.kind}=0.01.")
        found.append(rule)
    return found


def from_header(spec: str) -> Rule:
    """Read the header ``x-fake-fault``; its `times` are counted by kind of fault."""
    rule = read_spec(spec)
    return replace(rule, id=HEADER + rule.kind)
