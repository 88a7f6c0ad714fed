"""
Whether a value fits a JSON schema.

Read are: type, enum, const, $ref, allOf, anyOf and oneOf (both: any branch), properties,
required, additionalProperties, items, prefixItems, and the bounds of numbers, strings and arrays.
Everything else (pattern, format, not, if, …) is ignored.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from papayya_core.fake_provider.ask import BadRequest, JsonObject

Schema: TypeAlias = JsonObject | bool

_TYPES: dict[str, Callable[[Any], bool]] = {
    "object": lambda v: isinstance(v, dict),
    "array": lambda v: isinstance(v, list),
    "string": lambda v: isinstance(v, str),
    "boolean": lambda v: isinstance(v, bool),
    "null": lambda v: v is None,
    "number": lambda v: isinstance(v, int | float) and not isinstance(v, bool),
    "integer": lambda v: (
        not isinstance(v, bool)
        and (isinstance(v, int) or (isinstance(v, float) and v.is_integer()))
    ),
}
_BOUNDS: dict[str, tuple[type | tuple[type, ...], Callable[[Any, Any], bool]]] = {
    "minimum": ((int, float), lambda v, limit: v >= limit),
    "maximum": ((int, float), lambda v, limit: v <= limit),
    "exclusiveMinimum": ((int, float), lambda v, limit: v > limit),
    "exclusiveMaximum": ((int, float), lambda v, limit: v < limit),
    "multipleOf": ((int, float), lambda v, step: abs(v / step - round(v / step)) < _CLOSE),
    "minLength": (str, lambda v, limit: len(v) >= limit),
    "maxLength": (str, lambda v, limit: len(v) <= limit),
    "minItems": (list, lambda v, limit: len(v) >= limit),
    "maxItems": (list, lambda v, limit: len(v) <= limit),
    "uniqueItems": (list, lambda v, yes: not yes or distinct(v)),
    "minProperties": (dict, lambda v, limit: len(v) >= limit),
    "maxProperties": (dict, lambda v, limit: len(v) <= limit),
}
_CLOSE = 1e-9
_MOST_REFS = 32


def resolve(schema: Schema, root: JsonObject) -> JsonObject:
    """Follow $ref and merge allOf, so that what remains stands for itself."""
    plain = {} if schema is True else schema
    if not isinstance(plain, dict):
        raise BadRequest("The JSON schema has a part that no value can fit.")
    for _ in range(_MOST_REFS):
        if "$ref" in plain:
            beside = {name: plain[name] for name in plain if name != "$ref"}
            plain = {**_find(plain["$ref"], root), **beside}
        elif "allOf" in plain:
            parts = [resolve(part, root) for part in plain["allOf"]]
            plain = _merge([{name: plain[name] for name in plain if name != "allOf"}, *parts])
        elif isinstance(plain.get("properties", {}), dict):
            return plain
        else:
            raise BadRequest("The JSON schema's properties must be an object.")
    raise BadRequest("The JSON schema's $ref goes round in a circle.")


def _find(ref: object, root: JsonObject) -> JsonObject:
    """Find what a local reference such as #/$defs/Tag points at."""
    target: Any = root
    path = str(ref).removeprefix("#").strip("/")
    for step in path.split("/") if path else []:
        name = step.replace("~1", "/").replace("~0", "~")
        target = target.get(name) if isinstance(target, dict) else None
    if not str(ref).startswith("#") or not isinstance(target, dict):
        raise BadRequest(f"The JSON schema's $ref {ref!r} points nowhere: use #/$defs/....")
    return target


def _merge(parts: list[JsonObject]) -> JsonObject:
    """Join schemas that all apply; the later one wins where they collide."""
    merged: JsonObject = {}
    for part in parts:
        properties = {**merged.get("properties", {}), **part.get("properties", {})}
        required = [*merged.get("required", []), *part.get("required", [])]
        merged = {**merged, **part}
        merged |= {"properties": properties} if properties else {}
        merged |= {"required": required} if required else {}
    return merged


def branches(schema: JsonObject) -> list[JsonObject]:
    """List the alternatives of a resolved schema, each with what applies to all of them."""
    options = schema.get("anyOf") or schema.get("oneOf")
    if not options:
        return []
    shared = {name: schema[name] for name in schema if name not in {"anyOf", "oneOf"}}
    return [_merge([shared, {} if option is True else option]) for option in options if option]


def conforms(value: object, schema: Schema, root: JsonObject) -> bool:
    """Say whether the value fits the schema; `root` holds the $defs."""
    if schema is False:
        return False
    whole = resolve(schema, root)
    if options := branches(whole):
        return any(conforms(value, option, root) for option in options)
    return (
        _fits_type(value, whole)
        and all(_fits_bound(value, whole, name) for name in _BOUNDS.keys() & whole.keys())
        and _fits_items(value, whole, root)
        and _fits_properties(value, whole, root)
    )


def same(left: object, right: object) -> bool:
    """Compare JSON values, telling true from 1."""
    return isinstance(left, bool) == isinstance(right, bool) and left == right


def distinct(values: list[Any]) -> bool:
    """Say whether no two values are the same."""
    return not any(same(v, w) for n, v in enumerate(values) for w in values[:n])


def types(schema: JsonObject) -> list[str]:
    """List the types a schema names; none means any."""
    named = schema.get("type", [])
    return [named] if isinstance(named, str) else list(named)


def _fits_type(value: object, schema: JsonObject) -> bool:
    """Check type, const and enum."""
    named = types(schema)
    if named and not any(_TYPES.get(name, lambda _: False)(value) for name in named):
        return False
    if "const" in schema and not same(value, schema["const"]):
        return False
    return "enum" not in schema or any(same(value, option) for option in schema["enum"])


def _fits_bound(value: object, schema: JsonObject, name: str) -> bool:
    """Check one bound, if it speaks of the value's type."""
    kind, holds = _BOUNDS[name]
    return not isinstance(value, kind) or isinstance(value, bool) or holds(value, schema[name])


def _fits_items(value: object, schema: JsonObject, root: JsonObject) -> bool:
    """Check the elements of an array."""
    if not isinstance(value, list):
        return True
    first: list[Schema] = schema.get("prefixItems", [])
    rest: Schema = schema.get("items", True)
    return all(
        conforms(item, first[n] if n < len(first) else rest, root) for n, item in enumerate(value)
    )


def _fits_properties(value: object, schema: JsonObject, root: JsonObject) -> bool:
    """Check the properties of an object."""
    if not isinstance(value, dict):
        return True
    known: Mapping[str, Schema] = schema.get("properties", {})
    other: Schema = schema.get("additionalProperties", True)
    return all(name in value for name in schema.get("required", [])) and all(
        conforms(item, known.get(name, other), root) for name, item in value.items()
    )
