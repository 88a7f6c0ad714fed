"""Pydantic models come back as they were, without being validated again."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Optional

import pytest
from anthropic.types import Message
from openai.lib._parsing._completions import parse_chat_completion
from openai.types.chat import ChatCompletion
from pydantic import BaseModel, Field, HttpUrl, PrivateAttr, TypeAdapter
from pydantic.dataclasses import dataclass as pydantic_dataclass

from papayya_core.codec import Unencodable, decode, encode
from tests.unit.codec_values import Label, Labels, Loose, Page, Usage, same


class Strict(BaseModel):
    """Refuses to be built twice, so that a second validation shows."""

    label: Label
    built: list[int] = Field(default_factory=list)

    def model_post_init(self, context: Any) -> None:
        self.built.append(1)


class Holder(BaseModel):
    name: str
    _handle: Any = PrivateAttr(default=None)


@pydantic_dataclass
class Checked:
    amount: int


COMPLETION: dict[str, Any] = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "gpt-5-mini",
    "choices": [
        {
            "index": 0,
            "finish_reason": "stop",
            "message": {"role": "assistant", "content": '["billing"]', "novel": {"$set": [1]}},
        }
    ],
    "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
    "unheard_of": [None, {"a": 1.5}],
}


@pytest.mark.parametrize(
    "value",
    [
        Usage(),
        Usage(prompt=3, nested=Usage(completion=1)),
        Usage.model_construct(prompt="not validated"),
        Loose(**{"id": "a", "url": "https://example.com/a?b=c", "more": (1,), "$odd": {"$odd": 1}}),  # type: ignore[arg-type]
        Loose(id="a", when="2026-11-21T10:00:00+05:30"),  # type: ignore[arg-type]
        Loose(id="a", when="2026-11-21T10:00:00Z"),  # type: ignore[arg-type]
        Labels(["a", "b"]),
        Page[int](rows=[1]),
        Page[Usage](rows=[Usage(prompt=1)]),
        Page[list[Usage]](rows=[[Usage(prompt=1)]]),
        Page[Page[str]](rows=[Page[str](rows=["a"])]),
        Page[Optional[int]](rows=[None]),  # noqa: UP045 - the older spelling is its own class
        Page[int | None](rows=[None]),
        Page[Any](rows=[{1}]),
        Page(rows=[1]),
    ],
    ids=repr,
)
def test_models_come_back(value: Any) -> None:
    """Models keep fields, the set of those that were set, extras and type parameters."""
    assert same(value, decode(encode(value)))


def test_private_attributes_come_back() -> None:
    """A private attribute with a plain value is kept."""
    value = Holder(name="a")
    value._handle = {"open": {1}}

    assert decode(encode(value))._handle == {"open": {1}}


def test_models_are_not_validated_again() -> None:
    """Reading a model back runs neither validators nor model_post_init."""
    value = Strict(label=Label.BILLING)
    value.built.append(2)

    assert decode(encode(value)).built == [1, 2]


def test_pydantic_dataclasses_come_back() -> None:
    """A pydantic dataclass is kept like any dataclass."""
    assert decode(encode(Checked(amount=3))) == Checked(amount=3)


def test_urls_come_back() -> None:
    """A pydantic URL keeps its class."""
    value = TypeAdapter(HttpUrl).validate_python("https://example.com/ü?q=1")

    assert same(value, decode(encode(value)))


def test_fixed_offsets_of_pydantic_come_back() -> None:
    """A datetime that pydantic parsed keeps pydantic's own time zone class."""
    value = TypeAdapter(datetime).validate_python("2026-11-21T10:00:00-03:30")

    assert same(value, decode(encode(value)))


def test_openai_responses_come_back() -> None:
    """A chat completion keeps unknown fields and its request id."""
    value = ChatCompletion.construct(**COMPLETION)
    value._request_id = "req_1"

    back = decode(encode(value))

    assert same(value, back)
    assert back._request_id == "req_1"
    assert back.unheard_of == [None, {"a": 1.5}]
    assert value.model_dump() == back.model_dump()


def test_parsed_openai_responses_come_back() -> None:
    """A parsed completion keeps its parametrised class and the parsed model inside."""
    value = parse_chat_completion(
        response_format=Labels,
        input_tools=[],
        chat_completion=ChatCompletion.construct(**COMPLETION),
    )

    back = decode(encode(value))

    assert same(value, back)
    assert back.choices[0].message.parsed == Labels(["billing"])


def test_anthropic_responses_come_back() -> None:
    """A message of the anthropic client keeps the classes of its blocks and what they hold."""
    value = Message.construct(
        id="msg_1",
        type="message",
        role="assistant",
        model="claude",
        content=[{"type": "tool_use", "id": "t", "name": "tag", "input": {"$set": [1]}}],
        usage={"input_tokens": 1, "output_tokens": 2, "novel": 3},
    )

    back = decode(encode(value))

    assert same(value, back)
    assert back.content[0].input == {"$set": [1]}


def test_models_with_unencodable_parts_name_the_part() -> None:
    """An open resource in a private attribute is refused under its own path."""
    value = Holder(name="a")
    value._handle = lambda: None

    with pytest.raises(Unencodable) as refused:
        encode({"holder": value})

    assert refused.value.path == "$.holder._handle"
    assert refused.value.type_name == "function"
