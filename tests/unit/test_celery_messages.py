"""What a message says of itself, and what it is named by, without a broker."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kombu.serialization import loads

from papayya_celery import Message, carried, envelopes
from papayya_celery.apps import Installation
from papayya_celery.carried import Carried
from papayya_celery.naming import choose
from papayya_core.contract import Body
from papayya_core.errors import InvalidKey

NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)
IDS = st.integers(1, 2**62 - 1)
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
FIELDS = ["id", "no", "run", "tenant", "parent", "item", "handed_back", "other"]
JSON, PICKLE = "json", "pickle"


@given(
    run=NAMES.filter(lambda name: len(name) < 100),
    tenant=st.just("acme") | st.none(),
    item=IDS | st.none(),
    parent=IDS | st.none(),
    no=st.integers(0, 2**31),
)
def test_header_round_trip(
    run: str, tenant: str | None, item: int | None, parent: int | None, no: int
) -> None:
    """What is written into a header is read from it."""
    said = Carried(run, tenant, parent, item, no)
    assert carried.read({"papayya": carried.write(said)}) == said


@given(st.dictionaries(st.sampled_from(FIELDS), ANYTHING) | ANYTHING)
def test_any_header_can_be_read(header: Any) -> None:
    """A header never raises; what is read of it is well-formed or left out."""
    found = carried.read({"papayya": header})
    if not isinstance(header, dict):
        assert found is None
        return
    assert found is not None
    for name in (found.run, found.tenant, found.key):
        assert name is None or (isinstance(name, str) and name)
    for number in (found.item, found.parent):
        assert number is None or (type(number) is int and 0 < number < 2**62)


def test_digest_depends_on_id_and_nesting() -> None:
    """A message and what replaced it have one id, and are two submissions."""
    digests = {carried.digest("a"), carried.digest("a", 1), carried.digest("b")}
    assert len(digests) == 3
    assert carried.digest("a", 0) == carried.digest("a")


def _run(doc: Any, customer: str = "nobody", *rest: Any, **more: Any) -> None:
    """Be a task."""


@pytest.mark.parametrize(
    ("choice", "args", "kwargs", "expected"),
    [
        ("doc", ("d",), {}, "d"),
        ("doc", (), {"doc": 7}, "7"),
        ("customer", ("d",), {}, "nobody"),
        ("extra", ("d",), {"extra": "e"}, "e"),
        ("missing", ("d",), {}, None),
        ("doc.owner.id", ({"owner": SimpleNamespace(id="o")},), {}, "o"),
        ("doc", (None,), {}, None),
        (lambda message: f"{message.task}/{message['doc']}", ("d",), {}, "tag/d"),
        (lambda message: None, ("d",), {}, None),
        (None, ("d",), {}, None),
    ],
)
def test_choices(choice: Any, args: Any, kwargs: Any, expected: str | None) -> None:
    """An argument's name, a path into it or a function names a message, or leaves it unnamed."""
    message = Message("tag", "id", args, kwargs, _run)
    assert choose(choice, message, "an item's key") == expected


def test_choice_without_a_signature() -> None:
    """A task that is known by name alone has its keyword arguments."""
    message = Message("tag", "id", ("d",), {"customer": "acme"})
    assert choose("customer", message, "a tenant") == "acme"
    assert choose("doc", message, "a tenant") is None


def test_choice_with_arguments_that_do_not_fit() -> None:
    """A call that the task itself will refuse is named by what it has."""
    message = Message("tag", "id", (), {"customer": "acme"}, lambda: None)
    assert choose("customer", message, "a tenant") == "acme"


@pytest.mark.parametrize(("choice", "error"), [("doc.no", AttributeError), ("doc", InvalidKey)])
def test_choices_that_raise(choice: str, error: type[Exception]) -> None:
    """A path that leads nowhere raises, and so does what cannot be a name."""
    with pytest.raises(error):
        choose(choice, Message("tag", "id", ("nul\0",), {}, _run), "a tenant")


@pytest.mark.parametrize(
    ("only", "managed"),
    [
        (None, {"billing.tag", "other"}),
        ("billing.*", {"billing.tag"}),
        (("x", "other"), {"other"}),
        (lambda name: name.startswith("o"), {"other"}),
        ((), set()),
    ],
)
def test_only(only: Any, managed: set[str]) -> None:
    """Patterns or a function choose the tasks that are items; Celery's own never are."""
    inst = Installation(None, only=only)
    names = ("billing.tag", "other", "celery.backend_cleanup", "celery.chord_unlock")
    assert {name for name in names if inst.manages(name)} == managed


@pytest.mark.parametrize(
    ("args", "kwargs", "expected"),
    [
        ((), {"task": {"task": "tag"}, "it": []}, "celery.map(tag)"),
        (({"task": "tag"}, []), {}, "celery.map(tag)"),
        ((), {"task": {"task": "celery.tag"}}, None),
        ((), {"task": "tag"}, None),
        ((), {}, None),
    ],
)
def test_maps(args: Any, kwargs: Any, expected: str | None) -> None:
    """A map is one item of an agent that is named by what it maps."""
    assert Installation(None).agent_name("celery.map", args, kwargs) == expected


@pytest.mark.parametrize(
    ("args", "by"),
    [
        ([1, "a", None], JSON),
        ([(1, 2)], PICKLE),
        ([{1}], PICKLE),
        ([math.nan], JSON),
        ([b"\xff"], JSON),
    ],
)
def test_serialized_alike(args: list[Any], by: str) -> None:
    """A body is rebuilt by the first serializer that gives the same again, if there is one."""
    body: tuple[Any, ...] = (args, {}, {"callbacks": None})
    found = envelopes.serialize_alike(body, {"headers": {}}, [JSON, PICKLE])
    assert found is not None
    data, options = found
    kind, encoding = options["content_type"], options["content_encoding"]
    assert (PICKLE in kind or "python" in kind) == (by == PICKLE)
    again = loads(data, kind, encoding, force=True)
    assert repr(list(again)) == repr(list(body))


def test_no_serializer_takes_it() -> None:
    """A body that no serializer takes has no envelope."""
    assert envelopes.serialize_alike(([object()], {}, {}), {"headers": {}}, [JSON]) is None


def test_envelope_round_trip() -> None:
    """An envelope keeps what a broker and a worker are given, and not our own header."""
    options = {
        "headers": {"id": "1", "task": "tag", "papayya": {"id": 5}, "mine": ["x"]},
        "exchange": "e",
        "routing_key": "r",
        "priority": 3,
        "serializer": JSON,
        "expiration": 5,
        "retry": True,
        "reply_to": None,
    }
    data, options = envelopes.serialize(([b"\0\xff"], {}, {}), options)
    packed: Body = envelopes.pack("app", data, options)
    found = envelopes.unpack(packed.codec, packed.data)
    assert (found["app"], found["data"]) == ("app", data)
    assert found["headers"] == {"id": "1", "task": "tag", "mine": ["x"]}
    assert (found["exchange"], found["routing_key"], found["queues"]) == ("e", "r", [])
    assert found["properties"] == {"priority": 3}


def test_expiry_moves_with_the_time_parked() -> None:
    """A message that was parked for a while may expire that much later."""
    headers = {"expires": "2030-01-01T00:00:00+00:00"}
    envelopes.prolong(headers, 90.0)
    assert headers["expires"] == "2030-01-01T00:01:30+00:00"
