"""Makes calls inside items through the engine, for tests of what people see of them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from papayya_core import context
from papayya_core.call import (
    Answered,
    Asked,
    CallFacts,
    Ending,
    Held,
    Message,
    Recorded,
    Tokens,
    ToolCall,
    ToolResult,
)
from papayya_core.execution import Execution
from papayya_core.hookspecs import hookimpl
from tests.integration.cli_world import World, papayya

MODEL = "toy-1"
URL = "models.example/v1/talk"
USED = Tokens(input=1000, output=500, reasoning=100)
PRICE = 2_000_000  # nano-dollars of USED, at a dollar per million in and two out


_left: list[tuple[Execution, Held]] = []


class Talk:
    """A plugin that reads the wire format of these tests."""

    @hookimpl
    def normalise_call(self, url: str, request: Any, response: Any) -> CallFacts | None:
        """Read what ``talk`` sends."""
        if url != URL:
            return None
        given = tuple(ToolResult(*one) for one in request.get("given", ()))
        answered = None
        if response is not None:
            wants = tuple(ToolCall(*one) for one in response.get("wants", ()))
            answered = Answered(text=response["text"], tool_calls=wants)
        messages = tuple(Message(*one) for one in request["messages"])
        return CallFacts(Asked("example", "talk", MODEL, tool_results=given), answered, messages)


def price_list() -> None:
    """Give the model a price: USED costs PRICE."""
    papayya("prices", "set", MODEL, "--input", "1", "--output", "2", "--source", "a test")


def talk(
    world: World,
    *messages: tuple[str, str],
    text: str = "fine",
    wants: Sequence[tuple[str | None, str, str]] = (),
    given: Sequence[tuple[str | None, str, str]] = (),
    ending: Ending | None = None,
    leave: bool = False,
    **asked: Any,
) -> str:
    """Ask the model inside the current item, and return what it says.

    ``ending``: how it ends instead of with an answer; ``leave``: it does not end here.
    """
    request = {"messages": list(messages) or [("user", "how are you?")], "given": list(given)}
    what = replace(Asked("example", "talk", MODEL, max_tokens=1000, body_bytes=1000), **asked)
    ending = ending or answer(text, wants)
    body = exchange(world, what, URL, request, None if leave else ending)
    return str(json.loads(body)["text"]) if body else text


def exchange(
    world: World, asked: Asked, url: str, request: dict[str, Any], ending: Ending | None
) -> bytes | None:
    """Make a call inside the current item, and return the body of its answer, if it has one."""
    execution = context.current()
    assert execution is not None
    sent = json.dumps(request).encode()
    calls, key = world.engine.calls, hashlib.sha256(sent).digest()[:16]
    held = calls.begin(execution, context.current_step(), asked, key, sent, url=url)
    if isinstance(held, Recorded):
        return held.body
    assert held is not None
    if ending is None:
        _left.append((execution, held))
        return None
    calls.settle(execution, held, ending)
    return ending.body


def settle_left(world: World, ending: Ending) -> None:
    """End a call that was left without an end."""
    world.engine.calls.settle(*_left.pop(), ending)


def answer(text: str = "fine", wants: Sequence[tuple[str | None, str, str]] = ()) -> Ending:
    """Make the ending of a call that was answered."""
    said = Answered(
        f"{MODEL}-2026",
        "resp-1",
        "tool_calls" if wants else "stop",
        USED,
        text,
        tuple(ToolCall(*one) for one in wants),
    )
    body = json.dumps({"text": text, "wants": list(wants)}).encode()
    return Ending(
        "answered", 200, body=body, answered=said, seconds=1.5, first_seconds=0.25, request_id="r"
    )


TIMED_OUT = Ending("uncertain", error="it timed out", seconds=60.0)
REFUSED = Ending("failed", 429, retry_after=2.0, error="too many requests", seconds=0.1)
