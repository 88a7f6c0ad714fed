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
    `text` then its arguments as JSON. A refusal's words are in `text`, and what was thought
    before in `thought`. Of a vector it holds the text to embed, "" for a vector of zeros.
    """

    text: str
    finish: str = "stop"
    tool: str | None = None
    thought: str = ""

    @property
    def reasoning(self) -> int:
        """Count the thoughts; they are a part of the output."""
        return tokens.count(self.thought)

    @property
    def tokens(self) -> int:
        """Count the output; even an empty answer costs its end."""
        return max(1, tokens.count(self.text) + tokens.count(self.tool or "") + self.reasoning)

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

    @property
    def reasoning(self) -> int:
        """Count the thoughts of all choices."""
        return sum(choice.reasoning for choice in self.choices)


@dataclass(frozen=True, slots=True)
class Keeping:
    """
    What the provider's prompt cache does with a request.

    `caches` says that it would keep a long prompt, `writes` that keeping it is billed as such,
    and `repeated` that it was kept before: it is then read from there.
    """

    caches: bool = False
    writes: bool = True
    repeated: bool = False


def compose(ask: Ask, own_id: str, dice: Dice, fault: Fault | None, keeping: Keeping) -> Answer:
    """Answer a request; what is said follows from the dice."""
    if ask.dimensions is not None:
        empty = fault is not None and fault.kind == "empty"
        texts = tuple(Choice("" if empty else message.text) for message in ask.messages)
        return Answer(ask, own_id, texts, Usage(input=ask.prompt_tokens))
    choices = tuple(_choice(ask, dice.child("choice", n), fault) for n in range(ask.samples))
    output = sum(choice.tokens for choice in choices)
    return Answer(ask, own_id, choices, _usage(ask.prompt_tokens, output, keeping))


def _usage(prompt: int, output: int, keeping: Keeping) -> Usage:
    """Split the prompt's tokens into those read from the cache, written to it, and plain ones."""
    kept = prompt // CACHE_STEP * CACHE_STEP if prompt >= CACHE_FROM and keeping.caches else 0
    if keeping.repeated:
        return Usage(input=prompt - kept, cached=kept, output=output)
    written = kept if keeping.writes else 0
    return Usage(input=prompt - written, written=written, output=output)


def _choice(ask: Ask, dice: Dice, fault: Fault | None) -> Choice:
    """Make one sample: think, speak, and stop at the request's token limit."""
    said = replace(_said(ask, dice, fault), thought=_thought(ask, dice.child("thought")))
    return said if ask.max_tokens is None else _limit(said, ask.max_tokens)


def _thought(ask: Ask, dice: Dice) -> str:
    """Think as much as the request wants."""
    wanted = ask.thinking
    parts = [paragraph(ask.topic, dice.child(n)) for n in range(wanted.paragraphs)]
    text = "\n".join(parts)
    return text if wanted.most is None else tokens.cut(text, wanted.most)


def _said(ask: Ask, dice: Dice, fault: Fault | None) -> Choice:
    """Say the honest answer, or what the fault makes of it."""
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
        return _cut(honest, int(fault.number("tokens", tokens.count(honest.text) // 2)))
    return honest


def _cut(choice: Choice, most: int) -> Choice:
    """Cut an answer short."""
    kept = tokens.cut(choice.text, most) or choice.text[: len(choice.text) // 2]
    return replace(choice, text=kept, finish="length")


def _limit(choice: Choice, most: int) -> Choice:
    """Cut an answer that is longer than the request allows: the thoughts come first."""
    thought = tokens.cut(choice.thought, most)
    room = most - tokens.count(thought) - tokens.count(choice.tool or "")
    if room < 0 or thought != choice.thought:
        return Choice("", "length", thought=thought)
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
