"""The answer to a request, in one form for all providers."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

from papayya_core.fake_provider import tokens
from papayya_core.fake_provider.ask import Ask, BadRequest, JsonObject, Tool
from papayya_core.fake_provider.dice import Dice
from papayya_core.fake_provider.faults import Fault
from papayya_core.fake_provider.prices import Usage
from papayya_core.fake_provider.schema import Sampler, broken
from papayya_core.fake_provider.words import best_label, paragraph

CREATED = 1_767_225_600
CACHE_FROM = 1_024
CACHE_STEP = 128
_REFUSAL = "I'm sorry, but I can't help with that."
_LABELS = ("billing", "technical", "account", "shipping", "general")


@dataclass(frozen=True, slots=True)
class Choice:
    """
    One sampled answer.

    `finish` is "stop", "tool", "length" or "refusal"; `tool` is the called tool's name, and
    `text` then its arguments as JSON. A refusal's words are in `text`.
    """

    text: str
    finish: str = "stop"
    tool: str | None = None

    @property
    def tokens(self) -> int:
        """Count the output; even an empty answer costs its end."""
        return max(1, tokens.count(self.text) + tokens.count(self.tool or ""))

    def arguments(self) -> JsonObject:
        """Give a tool's arguments as an object; {} if they are null or cut off."""
        try:
            value = json.loads(self.text)
        except ValueError:
            return {}
        return value if isinstance(value, dict) else {}


@dataclass(frozen=True, slots=True)
class Answer:
    """Everything an answer says; `id` is 24 hexadecimal digits, `created` a fixed time."""

    ask: Ask
    id: str
    choices: tuple[Choice, ...]
    usage: Usage
    created: int = CREATED

    @property
    def first(self) -> Choice:
        """The only choice, for shapes that have one."""
        return self.choices[0]


def compose(
    ask: Ask, own_id: str, dice: Dice, fault: Fault | None, *, repeated: bool, caches: bool
) -> Answer:
    """
    Answer a request; what is said follows from the dice.

    `repeated` says that the same body was processed before, `caches` that the provider would
    keep a long prompt: it is then written to the cache at first, and read from it later.
    """
    choices = tuple(_choice(ask, dice.child("choice", n), fault) for n in range(ask.samples))
    output = sum(choice.tokens for choice in choices)
    return Answer(ask, own_id, choices, _usage(ask, output, repeated=repeated, caches=caches))


def _usage(ask: Ask, output: int, *, repeated: bool, caches: bool) -> Usage:
    """Split the prompt's tokens into those read from the cache, written to it, and plain ones."""
    prompt = ask.prompt_tokens
    kept = prompt // CACHE_STEP * CACHE_STEP if prompt >= CACHE_FROM and caches else 0
    if repeated:
        return Usage(input=prompt - kept, cached=kept, output=output)
    return Usage(input=prompt - kept, written=kept, output=output)


def _choice(ask: Ask, dice: Dice, fault: Fault | None) -> Choice:
    """Make one sample: the honest one, then the fault, then the request's token limit."""
    kind = fault.kind if fault else ""
    if kind == "empty":
        return Choice("")
    if fault and kind == "refusal":
        return Choice(str(fault.params.get("text", _REFUSAL)), "refusal")
    tool = _tool(ask, dice.child("tool"), wanted=kind == "null_tool_call")
    honest = _honest(ask, tool, dice, fault if kind == "schema_violation" else None)
    if kind == "null_tool_call":
        return replace(honest, text="null")
    if fault and kind == "truncation":
        honest = _cut(honest, int(fault.number("tokens", tokens.count(honest.text) // 2)))
    return honest if ask.max_tokens is None else _limit(honest, ask.max_tokens)


def _cut(choice: Choice, most: int) -> Choice:
    """Cut an answer short."""
    kept = tokens.cut(choice.text, most) or choice.text[: len(choice.text) // 2]
    return replace(choice, text=kept, finish="length")


def _limit(choice: Choice, most: int) -> Choice:
    """Cut an answer that is longer than the request allows."""
    room = most - tokens.count(choice.tool or "")
    if tokens.count(choice.text) <= room:
        return choice
    return replace(choice, text=tokens.cut(choice.text, room), finish="length")


def _tool(ask: Ask, dice: Dice, *, wanted: bool) -> Tool | None:
    """Choose a tool to call: on "auto", as long as no tool has answered yet."""
    named = {tool.name: tool for tool in ask.tools}
    if ask.tool_choice in named:
        return named[ask.tool_choice]
    answered = bool(ask.messages) and ask.messages[-1].is_result
    willing = ask.tool_choice == "any" or (ask.tool_choice == "auto" and not answered)
    if not named or not (wanted or willing):
        return None
    described = {f"{tool.name} {tool.description}": tool for tool in ask.tools}
    return described[best_label(tuple(described), ask.topic, dice)]


def _honest(ask: Ask, tool: Tool | None, dice: Dice, violation: Fault | None) -> Choice:
    """Answer as asked; with `violation`, break the schema that was asked for."""
    schema = tool.schema if tool else ask.schema
    if schema is None:
        return Choice(paragraph(ask.topic, dice))
    finish, name = ("tool", tool.name) if tool else ("stop", None)
    try:
        text = _value(schema, ask.topic, dice, violation, object_only=tool is not None)
    except BadRequest:
        raise
    except (AttributeError, IndexError, KeyError, TypeError, ValueError, RecursionError) as wrong:
        raise BadRequest(f"The JSON schema can't be read: {wrong!r}.") from wrong
    return Choice(text, finish, name)


def _value(
    schema: JsonObject, topic: str, dice: Dice, violation: Fault | None, *, object_only: bool
) -> str:
    """Write a value for a schema, or one that violates it."""
    if schema:
        value = Sampler(schema, topic).value(schema, dice.child("value"))
    else:
        label = best_label(_LABELS, topic, dice.child("label"))
        value = {} if object_only else {"category": label, "answer": paragraph(topic, dice)}
    if violation is None:
        return _json(value)
    how = str(violation.params.get("how", "")) or None
    wrong = broken(value, schema, dice.child("broken"), how)
    return _json(value)[:-1] if wrong is None else _json(wrong)


def _json(value: object) -> str:
    """Write JSON as a model does: compact, and not escaped."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
