"""
Values that fit a JSON schema, and values that just don't.

Enums follow the text they are about (see `words.best_label`); everything else is by hash. A
`pattern` is not obeyed: give an enum where it matters.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from papayya_core.fake_provider.ask import BadRequest, JsonObject
from papayya_core.fake_provider.conform import (
    Schema,
    branches,
    conforms,
    distinct,
    resolve,
    types,
)
from papayya_core.fake_provider.dice import Dice
from papayya_core.fake_provider.words import best_label, phrase

DEEP = 6
DEEPEST = 40
_SPAN = 100
_TRIES = 20
_FORMATS: dict[str, Callable[[Dice], str]] = {
    "date": lambda dice: f"2026-{1 + dice.number(12):02}-{1 + dice.child('day').number(28):02}",
    "time": lambda dice: f"{dice.number(24):02}:{dice.child('minute').number(60):02}:00Z",
    "date-time": lambda dice: f"2026-01-{1 + dice.number(28):02}T{dice.number(24):02}:30:00Z",
    "duration": lambda dice: f"PT{1 + dice.number(59)}M",
    "email": lambda dice: f"{dice.hex(8)}@example.com",
    "hostname": lambda dice: f"{dice.hex(8)}.example.com",
    "ipv4": lambda dice: f"192.0.2.{dice.number(255)}",
    "ipv6": lambda dice: f"2001:db8::{dice.number(65_535):x}",
    "uri": lambda dice: f"https://example.com/{dice.hex(8)}",
    "uuid": lambda dice: "{}-{}-4{}-8{}-{}".format(*_slices(dice.hex(32), 8, 4, 3, 3, 12)),
}


def _slices(text: str, *sizes: int) -> list[str]:
    """Cut a text into parts of the given sizes."""
    starts = [sum(sizes[:n]) for n in range(len(sizes))]
    return [text[start : start + size] for start, size in zip(starts, sizes, strict=True)]


@dataclass(frozen=True, slots=True)
class Sampler:
    """Makes values for one schema, about one topic."""

    root: JsonObject
    topic: str

    def value(self, schema: Schema, dice: Dice, depth: int = 0) -> Any:
        """Make a value that fits the schema, shallow once `DEEP` levels down."""
        if depth > DEEPEST:
            raise BadRequest("The JSON schema requires an endless value: make a part optional.")
        whole = resolve(schema, self.root)
        if "const" in whole:
            return whole["const"]
        if whole.get("enum"):
            return best_label(whole["enum"], self.topic, dice)
        if options := branches(whole):
            return self.value(self._branch(options, dice, depth), dice.child("branch"), depth + 1)
        return self._typed(whole, dice, depth)

    def _branch(self, options: list[JsonObject], dice: Dice, depth: int) -> JsonObject:
        """Choose an alternative: not null nor a pattern, but the simplest when deep down."""
        plain = [resolve(option, self.root) for option in options]
        if depth > DEEP:
            return min(plain, key=lambda option: len(json.dumps(option)))
        good = [o for o in plain if types(o) != ["null"] and "pattern" not in o]
        return dice.pick(good or plain)

    def _typed(self, schema: JsonObject, dice: Dice, depth: int) -> Any:
        """Make a value of the type that the schema names, or that its words imply."""
        kind = dice.child("type").pick(_kinds(schema))
        if kind == "object":
            return self._object(schema, dice, depth)
        if kind == "array":
            return self._array(schema, dice, depth)
        if kind == "string":
            return self._string(schema, dice)
        if kind == "null":
            return None
        if kind == "boolean":
            return dice.number(2) == 1
        return _integer(schema, dice) if kind == "integer" else _number(schema, dice)

    def _object(self, schema: JsonObject, dice: Dice, depth: int) -> JsonObject:
        """Fill the properties (only the required ones when deep down)."""
        known: dict[str, Schema] = schema.get("properties", {})
        needed = schema.get("required", [])
        names = [n for n in known if known[n] is not False and (n in needed or depth <= DEEP)]
        made = {n: self.value(known[n], dice.child("property", n), depth + 1) for n in names}
        other: Schema = schema.get("additionalProperties", True)
        extra = [n for n in needed if n not in known]
        extra += [f"key_{n + 1}" for n in range(schema.get("minProperties", 0) - len(made))]
        more = {n: self.value(other, dice.child("property", n), depth + 1) for n in extra}
        return made | more

    def _array(self, schema: JsonObject, dice: Dice, depth: int) -> list[Any]:
        """Make one or two elements, within the schema's bounds."""
        first: list[Schema] = schema.get("prefixItems", [])
        rest: Schema = schema.get("items", not first)
        least = schema.get("minItems", 0)
        wanted = least if depth > DEEP else max(least, len(first) or 1 + dice.number(2))
        made: list[Any] = []
        for n in range(min(wanted, schema.get("maxItems", wanted))):
            kind = first[n] if n < len(first) else rest
            if kind is not False:
                made += self._another(made, kind, schema, dice.child("item", n), depth)
        return made

    def _another(
        self, made: list[Any], kind: Schema, schema: JsonObject, dice: Dice, depth: int
    ) -> list[Any]:
        """Make an element, different from those made if it must be; [] if there is none."""
        for attempt in range(_TRIES):
            item = self.value(_without(kind, made, self.root), dice.child(attempt), depth + 1)
            if not schema.get("uniqueItems") or distinct([*made, item]):
                return [item]
        return []

    def _string(self, schema: JsonObject, dice: Dice) -> str:
        """Write a phrase of the right length, or a value of the named format."""
        if form := _FORMATS.get(schema.get("format", "")):
            return form(dice)
        text = phrase(self.topic, dice)
        least = schema.get("minLength", 0)
        while len(text) < least:
            text += " " + text
        return text[: schema.get("maxLength", len(text))]


def _kinds(schema: JsonObject) -> Sequence[str]:
    """List the types a value may have, null last of all."""
    named = [kind for kind in types(schema) if kind != "null"]
    if named or "type" in schema:
        return named or ["null"]
    if "properties" in schema or "required" in schema:
        return ["object"]
    if "items" in schema or "prefixItems" in schema:
        return ["array"]
    bounded = {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"}
    return ["number"] if bounded & schema.keys() else ["string"]


def _without(schema: Schema, made: list[Any], root: JsonObject) -> Schema:
    """Take what was already made out of an enum, as long as something is left."""
    whole = resolve(schema, root)
    left = [option for option in whole.get("enum", []) if option not in made]
    return {**whole, "enum": left} if left else schema


def _limits(schema: JsonObject, span: float) -> tuple[float, float]:
    """Find the closed range of a number; exclusive bounds are dealt with by the caller."""
    lows = [schema[n] for n in ("minimum", "exclusiveMinimum") if n in schema]
    highs = [schema[n] for n in ("maximum", "exclusiveMaximum") if n in schema]
    if lows:
        return max(lows), min(highs) if highs else max(lows) + span
    return (min(0, min(highs) - span), min(highs)) if highs else (0, span)


def _integer(schema: JsonObject, dice: Dice) -> int:
    """Make an integer within bounds, 0 to 100 by default."""
    low, high = _limits(schema, _SPAN)
    least, most = math.ceil(low), math.floor(high)
    least += least == schema.get("exclusiveMinimum")
    most -= most == schema.get("exclusiveMaximum")
    step = math.ceil(schema.get("multipleOf", 1)) or 1
    first = -(-least // step)
    return step * (first + dice.number(max(1, most // step - first + 1)))


def _number(schema: JsonObject, dice: Dice) -> float:
    """Make a number within bounds, 0.0 to 1.0 by default."""
    low, high = _limits(schema, 1)
    if step := schema.get("multipleOf"):
        first, last = math.ceil(low / step), math.floor(high / step)
        first += first * step == schema.get("exclusiveMinimum")
        last -= last * step == schema.get("exclusiveMaximum")
        return float(step * (first + dice.number(max(1, last - first + 1))))
    value = round(low + (high - low) * dice.unit(), 2)
    return float(value) if low < value < high else (low + high) / 2


def broken(value: Any, schema: JsonObject, dice: Dice, how: str | None = None) -> Any:
    """
    Break a value so that it no longer fits; None if the schema takes anything.

    `how` is "enum" (an option that isn't listed), "missing" (a required field left out) or
    "type"; without it one of the first two, if they are possible.
    """
    parts = [o for o in _broken_parts(value) if not conforms(o[1], schema, schema)]
    wholes: list[Any] = [{"unexpected": value}, "unexpected"]
    options = parts or [("type", w) for w in wholes if not conforms(w, schema, schema)]
    asked = [o for o in options if o[0] == how]
    usual = [o for o in options if o[0] != "type"]
    pool = asked or usual or options
    return dice.pick(pool)[1] if pool else None


def _broken_parts(value: Any) -> list[tuple[str, Any]]:
    """List ways to break one property of an object, possible or not."""
    ways: list[tuple[str, Any]] = []
    for name, item in value.items() if isinstance(value, dict) else []:
        if isinstance(item, str):
            ways.append(("enum", {**value, name: f"{item}_other"}))
        ways.append(("missing", {n: value[n] for n in value if n != name}))
        ways.append(("type", {**value, name: {"unexpected": item}}))
    return ways
