"""Made values fit the schema that was asked for, and broken ones do not."""

from __future__ import annotations

import enum
from datetime import date, datetime, timedelta
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest
from pydantic import BaseModel, Field

from papayya_core.fake_provider.ask import BadRequest
from papayya_core.fake_provider.conform import conforms
from papayya_core.fake_provider.dice import Dice
from papayya_core.fake_provider.schema import Sampler, broken

TOPIC = "The app crashes with an error when I open an invoice."


class Level(enum.Enum):
    """An enum, which becomes a $ref to $defs."""

    LOW = "low"
    HIGH = "high"


class Line(BaseModel):
    """A nested object."""

    label: Annotated[str, Field(min_length=3, max_length=12)]
    amount: Annotated[float, Field(gt=0, le=10)]
    steps: Annotated[int, Field(ge=10, lt=20, multiple_of=5)]


class Node(BaseModel):
    """A recursive object."""

    name: str
    children: list[Node]
    parent: Node | None = None


class Everything(BaseModel):
    """One property of each kind."""

    level: Level
    kind: Literal["a"]
    maybe: int | None
    either: Line | Level
    lines: Annotated[list[Line], Field(min_length=2, max_length=4)]
    labels: Annotated[set[Literal["x", "y", "z"]], Field(min_length=3)]
    pair: tuple[int, str]
    counts: dict[str, int]
    yes: bool
    nothing: None
    on: date
    at: datetime
    took: timedelta
    uid: UUID
    anything: Any
    negative: Annotated[int, Field(lt=-5)]
    tree: Node


def make(schema: dict[str, Any], seed: int = 0) -> Any:
    """Make a value."""
    return Sampler(schema, TOPIC).value(schema, Dice.of(seed))


@pytest.mark.parametrize("seed", range(25))
def test_values_fit(seed: int) -> None:
    """A made value passes an independent validator, and our own."""
    schema = Everything.model_json_schema()
    value = make(schema, seed)
    Everything.model_validate(value)
    assert conforms(value, schema, schema)


def test_same_dice_same_value() -> None:
    """The same dice make the same value; others make another."""
    schema = Everything.model_json_schema()
    assert make(schema, 1) == make(schema, 1) != make(schema, 2)


@pytest.mark.parametrize(
    ("schema", "kind"),
    [
        ({"properties": {"a": {"type": "null"}}}, dict),
        ({"items": {"type": "integer"}}, list),
        ({"minimum": 3}, float),
        ({"type": ["null", "boolean"]}, bool),
        ({"type": "null"}, type(None)),
        ({}, str),
        ({"allOf": [{"type": "object", "required": ["b"]}, {"properties": {"b": {}}}]}, dict),
        ({"oneOf": [{"type": "integer"}, {"type": "null"}]}, int),
        ({"type": "object", "minProperties": 2}, dict),
    ],
)
def test_implied_types(schema: dict[str, Any], kind: type) -> None:
    """A schema that names no single type gives a value that fits it anyway."""
    value = make(schema)
    assert type(value) is kind
    assert conforms(value, schema, schema)


def test_unreadable_schemas() -> None:
    """A reference to nowhere, a circle and an endless value are refused with a reason."""
    with pytest.raises(BadRequest, match="points nowhere"):
        make({"$ref": "#/$defs/None"})
    with pytest.raises(BadRequest, match="in a circle"):
        make({"$ref": "#/$defs/A", "$defs": {"A": {"$ref": "#/$defs/A"}}})
    endless = {"type": "object", "properties": {"next": {"$ref": "#"}}, "required": ["next"]}
    with pytest.raises(BadRequest, match="endless"):
        make(endless)


@pytest.mark.parametrize("how", [None, "enum", "missing", "type"])
@pytest.mark.parametrize("seed", range(5))
def test_broken_values(how: str | None, seed: int) -> None:
    """A broken value fails an independent validator, in the way that was asked for."""
    schema = Everything.model_json_schema()
    value = make(schema, seed)
    wrong = broken(value, schema, Dice.of(seed), how)
    with pytest.raises(ValueError, match="validation error"):
        Everything.model_validate(wrong)
    if how == "missing":
        assert len(wrong) == len(value) - 1
    if how == "enum":
        assert wrong["level"] == f"{value['level']}_other" or wrong.keys() == value.keys()


def test_unbreakable() -> None:
    """What fits any value can't be broken."""
    assert broken("x", {}, Dice.of(0)) is None


@pytest.mark.parametrize(
    ("value", "schema"),
    [
        (True, {"type": "integer"}),
        (1, {"enum": [True]}),
        (1.5, {"type": "integer"}),
        ([1, 1], {"uniqueItems": True}),
        ({"a": 1}, {"additionalProperties": False}),
        ({"a": 1}, {"additionalProperties": {"type": "string"}}),
        ("ab", {"maxLength": 1}),
        (7, {"multipleOf": 2}),
        ([1, "x"], {"prefixItems": [{"type": "integer"}], "items": {"type": "integer"}}),
        (None, {"anyOf": [{"type": "string"}, {"type": "integer"}]}),
        (0, False),
    ],
)
def test_what_does_not_conform(value: object, schema: Any) -> None:
    """The validator tells what does not fit."""
    assert not conforms(value, schema, schema if isinstance(schema, dict) else {})
