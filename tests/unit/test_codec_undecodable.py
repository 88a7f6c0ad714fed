"""Stored text that gives no value back is refused with its reason, never half decoded."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import pathlib
import subprocess
import sys
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from papayya_core.codec import Undecodable, decode, plain

HERE = __name__

HOSTILE = [
    "os:system",
    "os:path",
    "subprocess:Popen",
    "builtins:eval",
    "builtins:dict",
    "builtins:tuple",
    "builtins:object",
    "collections:OrderedDict",
    "os:path.join",
    "no_such_module_anywhere:X",
    "..relative:X",
    ":X",
    "os:",
    "",
    "time:struct_time",
    "typing:Any",
    None,
    7,
    [],
    ["builtins:int", "builtins:int"],
    ["builtins:list", "builtins:int"],
    {"a": 1, "b": 2},
]


@pytest.mark.parametrize("name", HOSTILE, ids=repr)
@pytest.mark.parametrize("tag", ["$dataclass", "$model", "$namedtuple", "$enum", "$flag", "$url"])
def test_hostile_class_names_are_refused(tag: str, name: Any) -> None:
    """A class name that leads to anything but a class of the right kind is refused."""
    record = {"type": name, "fields": {"x": 1}}
    payload = [name, "x", 1] if tag == "$enum" else [name, "x"]

    with pytest.raises(Undecodable):
        decode(
            json.dumps({tag: record if tag in ("$dataclass", "$model", "$namedtuple") else payload})
        )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        '{"$unknown": 1}',
        '{"$x:plugin": 1}',
        '{"$int": "zz"}',
        '{"$bytes": "*"}',
        '{"$decimal": []}',
        '{"$tuple": 1}',
        '{"$dict": [[[], 1]]}',
        '{"$zoneinfo": "Atlantis/Capital"}',
        '{"$path": ["Popen", "x"]}',
        '{"$defaultdict": ["eval", []]}',
        '{"$model": 1}',
        '{"$enum": ["tests.unit.codec_values:Colour", "GONE", null]}',
        "[" * 100_000,
    ],
    ids=lambda text: text[:40],
)
def test_damaged_text_is_undecodable(text: str) -> None:
    """Text that gives no value back raises Undecodable, whatever is wrong with it."""
    with pytest.raises(Undecodable):
        decode(text)


@settings(deadline=None, max_examples=200)
@given(
    st.recursive(
        st.none() | st.integers() | st.text(max_size=3),
        lambda parts: (
            st.lists(parts, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    ["$tuple", "$dict", "$model", "$datetime", "$enum", "type", "fields"]
                ),
                parts,
                max_size=2,
            )
        ),
        max_leaves=10,
    )
)
def test_forged_tags_raise_nothing_else(forged: Any) -> None:
    """Any JSON is either decoded or Undecodable, and always has a plain view."""
    text = json.dumps(forged)
    assert plain(text) == plain(text)

    with contextlib.suppress(Undecodable):
        decode(text)


@dataclasses.dataclass
class Evolving:
    a: int
    b: list[int] = dataclasses.field(default_factory=list)
    c: str = "new"


class EvolvingModel(BaseModel):
    a: int
    b: list[int] = []


class EvolvingPair(NamedTuple):
    a: int
    b: str = "new"


@pytest.mark.parametrize(
    ("tag", "expected"),
    [
        ("dataclass", Evolving(1)),
        ("model", EvolvingModel(a=1)),
        ("namedtuple", EvolvingPair(1)),
    ],
)
def test_new_fields_take_their_default(tag: str, expected: Any) -> None:
    """A class may gain fields with defaults after a value was saved."""
    name = f"{HERE}:{type(expected).__name__}"

    assert decode(json.dumps({f"${tag}": {"type": name, "fields": {"a": 1}}})) == expected


@pytest.mark.parametrize("kind", [Evolving, EvolvingModel, EvolvingPair])
@pytest.mark.parametrize(
    ("fields", "why"), [({"b": 1}, "new field a"), ({"a": 1, "z": 1}, "field z")]
)
def test_lost_and_required_fields_are_named(kind: type, fields: dict[str, int], why: str) -> None:
    """A class that lost a field, or gained one without a default, is refused by that field's name."""
    tags = {Evolving: "$dataclass", EvolvingModel: "$model", EvolvingPair: "$namedtuple"}
    text = json.dumps({tags[kind]: {"type": f"{HERE}:{kind.__name__}", "fields": fields}})

    with pytest.raises(Undecodable, match=why):
        decode(text)


SCRIPT = """
import dataclasses, sys
from papayya_core.codec import decode, encode
@dataclasses.dataclass
class Mine:
    x: object
if len(sys.argv) == 1:
    print(encode(Mine((1, 2))))
else:
    assert decode(sys.argv[1]) == Mine((1, 2))
"""


def test_classes_of_a_script_come_back_in_the_script(tmp_path: pathlib.Path) -> None:
    """A class defined in the script itself is found when the script runs again, and only there."""
    script = tmp_path / "job.py"
    script.write_text(SCRIPT)
    command = [sys.executable, str(script)]

    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    subprocess.run([*command, text], check=True)

    with pytest.raises(Undecodable, match="the running script"):
        decode(text)
