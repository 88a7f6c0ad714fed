"""Reading Amazon Bedrock's Converse."""

from __future__ import annotations

import json

from papayya_core.fake_provider.ask import (
    Ask,
    BadRequest,
    JsonObject,
    Message,
    Thinking,
    Tool,
    field,
    positive,
    required,
)
from papayya_core.fake_provider.shapes import thinking
from papayya_core.fake_provider.shapes.base import choice, function, objects

_MEDIA = {"audio", "document", "image", "video"}


def parse(body: JsonObject) -> Ask:
    """Read a request; `model` and `stream` are from its path."""
    limits = field(body, "inferenceConfig", dict, default={})
    tools, chosen = _tools(field(body, "toolConfig", dict, default={}))
    most = positive(limits, "maxTokens")
    return Ask(
        body=body,
        model=required(body, "model", str),
        messages=_messages(body),
        schema=_schema(body),
        tools=tools,
        tool_choice=chosen,
        max_tokens=most,
        stream=field(body, "stream", bool, default=False),
        thinking=_thinking(body, most),
    )


def caches(ask: Ask) -> bool:
    """Say whether the request marks anything for the cache."""
    return '"cachePoint"' in json.dumps(ask.body)


def _messages(body: JsonObject) -> tuple[Message, ...]:
    """Read the system's texts and the messages."""
    messages = objects(required(body, "messages", list), "messages")
    if not messages:
        raise BadRequest("'messages' must not be empty.")
    system = field(body, "system", list)
    first = [{"role": "system", "content": system}] if system else []
    return tuple(map(_message, [*first, *messages]))


def _message(item: JsonObject) -> Message:
    """Read one message: texts, media, and tools' uses with their results."""
    texts, media, is_result = [], 0, False
    for block in objects(required(item, "content", list), "content"):
        result = field(block, "toolResult", dict)
        inner = objects(field(result or {}, "content", list, default=[]), "content")
        is_result = is_result or result is not None
        for part in inner if result is not None else [block]:
            media += bool(_MEDIA & part.keys())
            texts += _texts(part)
    return Message(required(item, "role", str), "\n".join(texts), media, is_result)


def _texts(part: JsonObject) -> list[str]:
    """Read what a part says: a text, or anything else that is no picture nor a cache's mark."""
    if (_MEDIA | {"cachePoint"}) & part.keys():
        return []
    return [part["text"] if isinstance(part.get("text"), str) else json.dumps(part)]


def _tools(config: JsonObject) -> tuple[tuple[Tool, ...], str]:
    """Read the tools, and which of them to use."""
    listed = objects(field(config, "tools", list, default=[]), "tools")
    specs = [required(tool, "toolSpec", dict) for tool in listed if "cachePoint" not in tool]
    tools = tuple(function({**spec, **_input(spec)}, "json") for spec in specs)
    wanted = field(config, "toolChoice", dict, default={})
    named = field(wanted, "tool", dict)
    return tools, choice(named or {"type": next(iter(wanted), "auto")}, tools)


def _input(spec: JsonObject) -> JsonObject:
    """Find the schema of a tool's input."""
    return {"json": field(field(spec, "inputSchema", dict, default={}), "json", dict)}


def _schema(body: JsonObject) -> JsonObject | None:
    """Read outputConfig.textFormat, whose schema is written as a text."""
    config = field(body, "outputConfig", dict, default={})
    form = field(config, "textFormat", dict)
    if form is None:
        return None
    structure = required(form, "structure", dict)
    text = required(required(structure, "jsonSchema", dict), "schema", str)
    try:
        schema = json.loads(text)
    except ValueError as wrong:
        raise BadRequest(f"'jsonSchema.schema' is not JSON ({wrong}).") from wrong
    if not isinstance(schema, dict):
        raise BadRequest("'jsonSchema.schema' must be a JSON object.")
    return schema


def _thinking(body: JsonObject, most: int | None) -> Thinking:
    """Read the thinking that Anthropic's models take among the additional fields."""
    more = field(body, "additionalModelRequestFields", dict, default={})
    effort = field(field(body, "outputConfig", dict, default={}), "effort", str)
    wanted = thinking.anthropic(field(more, "thinking", dict), effort)
    if wanted.most is not None and most is not None and wanted.most >= most:
        raise BadRequest("'maxTokens' must be greater than 'thinking.budget_tokens'.")
    return wanted
