"""Which requests are the same, and where two differ."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from papayya_core.redaction.names import secret_name
from papayya_llm import journal, schemas

CHAT = schemas.by_name("openai.chat")
PATH = "/v1/chat/completions"
BODY = {
    "model": "m",
    "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}],
    "temperature": 0.2,
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=12,
)


def key(body: Any, path: str = PATH) -> bytes:
    """Name a chat request."""
    return journal.key(CHAT, path, body)


def test_a_key() -> None:
    """A key is 16 bytes, and stays what it is: rows of older versions must be found."""
    assert len(key(BODY)) == 16
    assert key(BODY).hex() == "38f6c5abd3551194ce33979df3e54263"


def test_order_and_space_do_not_count() -> None:
    """The same fields in another order are the same request."""
    assert key(json.loads(json.dumps(BODY, indent=2))) == key(dict(reversed(BODY.items())))


@pytest.mark.parametrize(
    "name",
    ["user", "metadata", "stream_options", "service_tier", "store", "prompt_cache_key",
     "safety_identifier"],
)  # fmt: skip
def test_volatile(name: str) -> None:
    """What does not change the question does not change the key."""
    assert key({**BODY, name: {"a": 1}}) == key(BODY)


@pytest.mark.parametrize(
    "changes",
    [
        {"temperature": 0.3},
        {"temperature": 1},
        {"stream": True},
        {"model": "m2"},
        {"messages": []},
        {"n": None},
    ],
)
def test_what_counts(changes: dict[str, Any]) -> None:
    """Everything else does, and so does how the answer is to come."""
    assert key({**BODY, **changes}) != key(BODY)


def test_numbers_as_sent() -> None:
    """1 and 1.0 are not the same bytes, and true is no number."""
    assert len({key({**BODY, "seed": seed}) for seed in (1, 1.0, True, "1")}) == 4


def conversation(form: str, id_: str, *, answered: str = "") -> dict[str, Any]:
    """Write a call of a tool and its result, whose id is the client's own."""
    answered = answered or id_
    call: dict[str, Any] = {"name": "look", "args": {"call_id": "of a phone"}, "id": id_}
    result = {"name": "look", "response": {"found": 1}, "id": answered}
    use = {"toolUseId": id_, "name": "look", "input": {}}
    forms: dict[str, dict[str, Any]] = {
        "chat": {"messages": [{"role": "assistant", "tool_calls": [call]},
                              {"role": "tool", "tool_call_id": answered, "content": "1"}]},
        "responses": {"input": [{"type": "function_call", "call_id": id_, "name": "look"},
                                {"type": "function_call_output", "call_id": answered}]},
        "messages": {"messages": [{"content": [{"type": "tool_use", "id": id_, "input": {}}]},
                                  {"content": [{"type": "tool_result", "tool_use_id": answered}]}]},
        "google": {"contents": [{"parts": [{"functionCall": call}]},
                                {"parts": [{"functionResponse": result}]}]},
        "converse": {"messages": [{"content": [{"toolUse": use}]},
                                  {"content": [{"toolResult": {"toolUseId": answered}}]}]},
    }  # fmt: skip
    return forms[form]


@pytest.mark.parametrize("form", ["chat", "responses", "messages", "google", "converse"])
def test_made_up_ids(form: str) -> None:
    """Ids of tool calls that a client makes anew each time do not count; which call is meant does."""
    old, new = conversation(form, "call_1f3a"), conversation(form, "call_99d0")
    assert key(old) == key(new)
    assert journal.difference(old, new) == ""
    assert key(old) != key(conversation(form, "call_1f3a", answered="call_of_another"))


def test_other_ids_count() -> None:
    """An id that names something the provider keeps, or that is a tool's argument, counts."""
    kept = [{"input": [{"type": "item_reference", "id": id_}]} for id_ in ("msg_1", "msg_2")]
    assert key(kept[0]) != key(kept[1])
    given = [conversation("google", "c"), conversation("google", "c")]
    given[1]["contents"][0]["parts"][0]["functionCall"]["args"]["call_id"] = "of another phone"
    assert key(given[0]) != key(given[1])


def test_format_and_path_count() -> None:
    """The same body to another path, or in another format, is another request."""
    responses = schemas.by_name("openai.responses")
    assert len({key(BODY), key(BODY, "/v2"), journal.key(responses, PATH, BODY)}) == 3


def test_own_volatile_fields() -> None:
    """The caller may say which fields do not count."""
    assert journal.key(CHAT, PATH, {**BODY, "x": 1}, {"x"}) == journal.key(CHAT, PATH, BODY, {"x"})
    assert journal.key(CHAT, PATH, {**BODY, "user": "u"}, ()) != key(BODY)


@pytest.mark.parametrize("text", ["\ud800", "\x00", "é", "\U0001f600"])
def test_any_text(text: str) -> None:
    """Any text has a key, a lone surrogate too."""
    assert key({"model": text}) != key({"model": text + "a"})


def test_too_deep() -> None:
    """A body that is no JSON has no key, and says so."""
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(ValueError, match="no journal key"):
        key({"messages": deep})


@pytest.mark.parametrize(
    ("changes", "shown"),
    [
        ({}, ""),
        ({"user": "someone else"}, ""),
        ({"temperature": 0.3}, "$.temperature: 0.2 → 0.3"),
        ({"temperature": None}, "$.temperature: 0.2 → null"),
        ({"n": 2}, "$.n: absent → 2"),
        ({"x-y": "z"}, '$["x-y"]: absent → "z"'),
        ({"model": 5}, '$.model: "m" → 5'),
        ({"messages": BODY["messages"][:1]}, "$.messages[1]: an object of 2 → absent"),  # type: ignore[index]
        (
            {"messages": [BODY["messages"][0], {"role": "user", "content": "Ho"}]},  # type: ignore[index]
            '$.messages[1].content: "Hi" → "Ho"',
        ),
        ({"messages": "Hi"}, '$.messages: a list of 2 → "Hi"'),
    ],
)
def test_difference(changes: dict[str, Any], shown: str) -> None:
    """The first path that differs is named, with both values."""
    assert journal.difference(BODY, {**BODY, **changes}, volatile=CHAT.volatile) == shown


def test_long_texts() -> None:
    """Of long texts the place where they differ is shown."""
    old, new = ("a" * 500 + middle + "\n" + "b" * 500 for middle in ("old", "new"))
    shown = journal.difference({"t": old}, {"t": new})
    assert shown == (f'$.t: "…{"a" * 20}old\\n{"b" * 16}…" → "…{"a" * 20}new\\n{"b" * 16}…"')


def test_redacted() -> None:
    """A text is redacted whole before it is cut, and a secret that changed stays unseen."""

    def redact(text: str) -> str:
        return "[key]" if text.startswith("sk-") else text

    old, new = {"k": "sk-" + "a" * 60}, {"k": "sk-" + "a" * 59 + "b"}
    assert journal.difference(old, new, redact=redact) == "$.k: differs in what is withheld"
    assert journal.difference(old, {"k": 1}, redact=redact) == '$.k: "[key]" → 1'


def test_difference_withholds_by_name() -> None:
    """The value of a field with a secret's name is not shown, nor any value where none may be."""
    old = {"arguments": [{"password": ["hunter2"]}]}
    new = {"arguments": [{"password": ["hunter3"]}]}
    path = "$.arguments[0].password[0]"
    assert "hunter2" in journal.difference(old, new)
    shown = journal.difference(old, new, is_secret=secret_name)
    assert shown == f"{path}: differs in what is withheld"
    assert journal.difference(old, new, values=False) == path
    odd = journal.difference({"x-api-key": "a1"}, {"x-api-key": "b2"}, is_secret=secret_name)
    assert odd == '$["x-api-key"]: differs in what is withheld'


def test_deep_bodies_differ() -> None:
    """A body nested without end is compared without recursion."""
    old: Any = 1
    new: Any = 2
    for _ in range(5_000):
        old, new = [old], [new]
    assert journal.difference(old, new).endswith(": 1 → 2")


@given(JSON, JSON)
def test_keys_and_differences_agree(old: Any, new: Any) -> None:
    """Two bodies differ exactly when their keys do."""
    same = journal.key(CHAT, PATH, {"v": old}) == journal.key(CHAT, PATH, {"v": new})
    assert (journal.difference(old, new) == "") is same
    assert journal.difference(old, old) == ""
