"""What calls said: parsed from what is stored of them when somebody looks, and redacted then."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from papayya_core import codec
from papayya_core.call import Message, ToolCall, ToolResult
from papayya_core.store import callviews, rows
from papayya_core.store.callviews import CallPayloads, CallRow

if TYPE_CHECKING:
    from papayya_core.plugins import Plugins
    from papayya_core.store.reads import Connection

BYTES = 4_000_000  # what is larger is not looked into
NOT_KEPT = "not kept: capture is off"
ONLY_HASH = "only its hash is kept: capture is hash, or it is too large"


@dataclass(frozen=True, slots=True)
class Said:
    """What one call said, redacted. ``why``: what keeps the text from being shown, if anything.

    ``asked``, ``answer``: what went into a tool or retriever, and came out of it, in plain terms;
    of a call to a model, only where no plugin knows its wire format.
    """

    messages: tuple[Message, ...] = ()
    text: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    tool_results: tuple[ToolResult, ...] = ()
    asked: Any = None
    answer: Any = None
    why: str | None = None


@dataclass(frozen=True, slots=True)
class ToolUse:
    """A tool that a model asked for, and what it was given back, in which calls."""

    call: int
    id: str | None
    name: str
    arguments: str
    given_in: int | None = None
    content: str | None = None
    is_error: bool = False


class Reader:
    """Reads what calls said. ``clean`` takes out of a text what people must not see."""

    def __init__(
        self, connection: Connection, plugins: Plugins, clean: Callable[[str], str]
    ) -> None:
        self._connection = connection
        self._plugins = plugins
        self._clean = clean

    def read(self, calls: Sequence[CallRow]) -> dict[int, Said]:
        """Read what calls said, by their ids."""
        ids = [one.id for one in calls]
        if not ids:
            return {}
        stored = callviews.list_payloads(self._connection, ids, BYTES)
        return {one.id: self._said(one, stored[one.id]) for one in calls if one.id in stored}

    def _said(self, one: CallRow, stored: CallPayloads) -> Said:
        if stored.request_size is None and stored.response_size is None:
            return Said(why=ONLY_HASH if one.request_hash else NOT_KEPT)
        try:
            asked = _opened(stored.request_codec, stored.request_body)
            answer = _opened(stored.response_codec, stored.response_body)
        except Exception as error:  # noqa: BLE001 - a page must not fail for one payload
            return Said(why=" ".join(str(error).split()) or type(error).__name__)
        if one.schema is None:
            return Said(asked=self._plain(asked), answer=self._plain(answer))
        return self._parsed(one, asked, answer)

    def _parsed(self, one: CallRow, asked: str | None, answer: str | None) -> Said:
        request, response = _json(asked), None if answer is None else _json(answer)
        facts = self._plugins.normalise_call(one.url or "", request, response)
        if facts is None:
            return Said(asked=self._plain(asked), answer=self._plain(answer))
        clean, answered = self._clean, facts.answered
        return Said(
            tuple(Message(said.role, clean(said.text)) for said in facts.messages),
            clean(answered.text) if answered else "",
            tuple(c._replace(arguments=clean(c.arguments)) for c in answered.tool_calls)
            if answered
            else (),
            tuple(r._replace(content=clean(r.content)) for r in facts.asked.tool_results),
        )

    def _plain(self, text: str | None) -> Any:
        return None if text is None else _each(codec.plain(text), self._clean)


def _opened(number: int | None, body: bytes | None) -> str | None:
    if number is None or body is None:
        return None
    return rows.unpack_bytes(number, body).decode("utf-8", "replace")


def _json(text: str | None) -> Any:
    try:
        return json.loads(text or "null")
    except ValueError:
        return text


def _each(value: Any, clean: Callable[[str], str]) -> Any:
    """Clean every text of a value in JSON terms."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, dict):
        return {clean(str(name)): _each(part, clean) for name, part in value.items()}
    return [_each(part, clean) for part in value] if isinstance(value, list) else value


def trace(calls: Sequence[CallRow], said: dict[int, Said]) -> list[ToolUse]:
    """Join the tools that models asked for with what they were given back, in order of time.

    Matched by id, else by name and order; replays say again what is said already.
    """
    paid = [one for one in calls if one.state != "replayed" and one.id in said]
    given = [(one.id, back) for one in paid for back in said[one.id].tool_results]
    uses: list[ToolUse] = []
    for one in paid:
        for asked in said[one.id].tool_calls:
            found = next((g for g in given if g[0] > one.id and _answers(asked, g[1])), None)
            uses.append(_use(one.id, asked, found))
            if found is not None and asked.id is None:
                given.remove(found)
    return uses


def _answers(asked: ToolCall, back: ToolResult) -> bool:
    if asked.id is not None or back.id is not None:
        return asked.id == back.id
    return asked.name == back.name


def _use(call: int, asked: ToolCall, found: tuple[int, ToolResult] | None) -> ToolUse:
    if found is None:
        return ToolUse(call, asked.id, asked.name, asked.arguments)
    given_in, back = found
    return ToolUse(
        call, asked.id, asked.name, asked.arguments, given_in, back.content, back.is_error
    )
