"""Fault rules: how they are written, and when they apply."""

from __future__ import annotations

from typing import Any

import pytest

from papayya_core.fake_provider.ask import Ask, Message, Tool
from papayya_core.fake_provider.faults import BadFault, FaultBook, Request, Rule
from papayya_core.fake_provider.rules import from_header, rates, read_rules, read_spec


def request(body: str = "{}", **more: Any) -> Request:
    """Make a request as rules see it."""
    ask = Ask({}, "m", (Message("user", body),), **more.pop("ask", {}))
    given = {"api_key": "sk-aa", "item_key": None, "number": 1, **more}
    return Request(body.encode(), body, ask, **given)


def book(*rules: Rule, fired: dict[str, int] | None = None) -> FaultBook:
    """Put rules in force; `fired` counts by body."""
    return FaultBook(0, list(rules), lambda _, body: (fired or {}).get(body, 0))


def kind(faults: FaultBook, of: Request, header: str | None = None) -> str | None:
    """Name the fault that is chosen."""
    fault = faults.choose(of, from_header(header) if header else None)
    return fault.kind if fault else None


def test_spec() -> None:
    """The short form names kind, rate, times and parameters."""
    rule = read_spec("rate_limit=0.25; times=2; retry_after=0.5")
    assert (rule.kind, rule.rate, rule.times) == ("rate_limit", 0.25, 2)
    assert rule.params == {"retry_after": 0.5}
    assert read_spec("refusal;text=No").params == {"text": "No"}


def test_rates() -> None:
    """A rate hits each body once, unless it says otherwise."""
    once, always, thrice = rates(["empty=0.1", "empty=1;times=all", "slow=0.5;times=3"])
    assert (once.times, always.times, thrice.times) == (1, None, 3)


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ({"kind": "boom"}, "there are rate_limit"),
        ({}, "There is no fault ''"),
        ({"kind": "empty", "tims": 1}, "has no tims"),
        ({"kind": "empty", "times": 0}, "times must be a whole number from 1"),
        ({"kind": "empty", "nth": True}, "nth must be"),
        ({"kind": "empty", "rate": 1.5}, "rate must be a number from 0 to 1"),
        ({"kind": "empty", "match": ""}, "match must be a text"),
        ({"kind": "slow", "params": {"second": 1}}, "it has seconds"),
        ({"kind": "slow", "params": {"seconds": "1"}}, "must be a number"),
        ({"kind": "slow", "params": {"seconds": -1}}, "from 0 to"),
        ({"kind": "slow", "params": {"seconds": float("nan")}}, "from 0 to"),
        ({"kind": "rate_limit", "params": {"status": 200}}, "from 400 to 599"),
        ({"kind": "schema_violation", "params": {"how": 1}}, "must be a text"),
        (["empty"], "must be an object"),
    ],
)
def test_wrong_rules(value: object, says: str) -> None:
    """A mistake in a rule is named, with what is possible."""
    with pytest.raises(BadFault, match=says):
        read_rules(value)


def test_wrong_specs() -> None:
    """A mistake in the short form is named."""
    with pytest.raises(BadFault, match="must be a number"):
        read_spec("slow;seconds=long")
    with pytest.raises(BadFault, match="names no rate"):
        rates(["slow"])


def test_conditions() -> None:
    """All of a rule's conditions must hold."""
    (rule,) = read_rules({"kind": "empty", "match": "twice", "item": "i-1", "key": "aa", "nth": 3})
    fits = {"item_key": "i-1", "number": 3}
    assert kind(book(rule), request("charged twice", **fits)) == "empty"
    assert kind(book(rule), request("charged once", **fits)) is None
    assert kind(book(rule), request("charged twice", **fits | {"item_key": "i-2"})) is None
    assert kind(book(rule), request("charged twice", **fits | {"number": 4})) is None
    assert kind(book(rule), request("charged twice", **fits, api_key="sk-ab")) is None


def test_match_in_escaped_text() -> None:
    """A text is found in a message even where the body has it escaped."""
    (rule,) = read_rules({"kind": "empty", "match": "café"})
    of = Request(b'"caf\\u00e9"', "x", Ask({}, "m", (Message("user", "café"),)), "", None, 1)
    assert kind(book(rule), of) == "empty"


def test_times() -> None:
    """A rule stops after its times, for each body on its own."""
    (rule,) = read_rules({"kind": "empty", "times": 2})
    faults = book(rule, fired={"a": 1, "b": 2})
    assert kind(faults, request("a")) == "empty"
    assert kind(faults, request("b")) is None


def test_rate_is_by_body() -> None:
    """A rate chooses the same bodies each time, about as many as it says."""
    (rule,) = rates(["empty=0.2;times=all"])
    hit = [n for n in range(1_000) if kind(book(rule), request(f"{n}"))]
    assert 150 < len(hit) < 250
    assert hit == [n for n in range(1_000) if kind(book(rule), request(f"{n}"))]


def test_order() -> None:
    """The header comes before posted rules, and these before those from the start-up."""
    faults = book(*read_rules({"kind": "empty"}))
    assert kind(faults, request()) == "empty"
    (posted,) = faults.add(read_rules({"kind": "slow"}), since=7)
    assert posted.id.startswith("live-7-")
    assert kind(faults, request()) == "slow"
    assert kind(faults, request(), "refusal") == "refusal"
    faults.clear()
    assert kind(faults, request()) is None


def test_nth_counts_from_the_post() -> None:
    """A posted rule counts requests from when it was posted."""
    faults = book()
    faults.add(read_rules({"kind": "empty", "nth": 2}), since=10)
    assert kind(faults, request(number=2)) is None
    assert kind(faults, request(number=12)) == "empty"


def test_faults_that_make_no_sense() -> None:
    """A rule passes over requests that its fault makes no sense for; a header says so."""
    faults = book(*read_rules([{"kind": "null_tool_call"}, {"kind": "schema_violation"}]))
    assert kind(faults, request()) is None
    assert kind(faults, request(ask={"schema": {}})) == "schema_violation"
    assert kind(faults, request(ask={"tools": (Tool("t", "", {}),)})) == "null_tool_call"
    with pytest.raises(BadFault, match="needs a request with tools"):
        kind(faults, request(), "null_tool_call")
