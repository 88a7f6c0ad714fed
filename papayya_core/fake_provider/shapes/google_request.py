"""Reading Google's generateContent: names in camel or snake case, types in capitals."""

from __future__ import annotations

import json
import re
from typing import Any

from papayya_core.fake_provider.ask import (
    Ask,
    BadRequest,
    JsonObject,
    Message,
    Tool,
    field,
    positive,
    required,
)
from papayya_core.fake_provider.shapes import thinking
from papayya_core.fake_provider.shapes.base import function, objects

MOST_SAMPLES = 8
_MEDIA = {"inlineData", "fileData"}
_MODES = {"ANY": "any", "NONE": "none"}
_SNAKE = re.compile(r"(?<=[a-z])_([a-z])")
# What is below these has names of the user's own.
_OPAQUE = {
    "_responseJsonSchema",
    "args",
    "parameters",
    "parametersJsonSchema",
    "response",
    "responseJsonSchema",
    "responseSchema",
}


def parse(body: JsonObject) -> Ask:
    """Read a request; `model` and `stream` are from its path."""
    given = _camel(body)
    config = field(given, "generationConfig", dict, default={})
    samples = positive(config, "candidateCount") or 1
    if samples > MOST_SAMPLES:
        raise BadRequest(f"'candidateCount' must be at most {MOST_SAMPLES}, not {samples}.")
    chosen, tools = _tools(given)
    return Ask(
        body=body,
        model=required(given, "model", str),
        messages=_messages(given),
        schema=_schema(config),
        tools=tools,
        tool_choice=chosen,
        max_tokens=positive(config, "maxOutputTokens"),
        samples=samples,
        stream=field(given, "stream", bool, default=False),
        thinking=thinking.google(field(config, "thinkingConfig", dict)),
    )


def _camel(value: Any) -> Any:
    """Write Google's own names in camel case; both are accepted."""
    if isinstance(value, list):
        return [_camel(each) for each in value]
    if not isinstance(value, dict):
        return value
    named = {_SNAKE.sub(lambda m: m[1].upper(), name): each for name, each in value.items()}
    return {n: each if n in _OPAQUE else _camel(each) for n, each in named.items()}


def _messages(given: JsonObject) -> tuple[Message, ...]:
    """Read the instruction and the contents."""
    contents = objects(required(given, "contents", list), "contents")
    if not contents:
        raise BadRequest("'contents' must not be empty.")
    instruction = field(given, "systemInstruction", dict)
    system = [{**instruction, "role": "system"}] if instruction else []
    return tuple(map(_message, [*system, *contents]))


def _message(content: JsonObject) -> Message:
    """Read one content: texts, media, and calls with their results."""
    texts, media, is_result = [], 0, False
    for part in objects(field(content, "parts", list, default=[]), "parts"):
        is_result = is_result or "functionResponse" in part
        if _MEDIA & part.keys():
            media += 1
        else:
            said = field(part, "text", str)
            texts.append(json.dumps(part) if said is None else said)
    role = field(content, "role", str, default="user")
    return Message(role, "\n".join(texts), media, is_result)


def _tools(given: JsonObject) -> tuple[str, tuple[Tool, ...]]:
    """Read whether a function must be called, and which ones may be."""
    listed = objects(field(given, "tools", list, default=[]), "tools")
    declared = [
        each
        for tool in listed
        for each in objects(field(tool, "functionDeclarations", list, default=[]), "tools")
    ]
    tools = tuple(map(_tool, declared))
    config = field(given, "toolConfig", dict, default={})
    calling = field(config, "functionCallingConfig", dict, default={})
    allowed = field(calling, "allowedFunctionNames", list, default=[])
    if unknown := [name for name in allowed if name not in [tool.name for tool in tools]]:
        raise BadRequest(f"'allowedFunctionNames' has {unknown}, which are not among the tools.")
    mode = _MODES.get(field(calling, "mode", str, default="AUTO").upper(), "auto")
    return mode, tuple(tool for tool in tools if not allowed or tool.name in allowed)


def _tool(declared: JsonObject) -> Tool:
    """Read one declaration, whose parameters are in JSON schema or in Google's."""
    if "parametersJsonSchema" in declared:
        return function(declared, "parametersJsonSchema")
    return function({**declared, "parameters": _plain(declared.get("parameters"))}, "parameters")


def _schema(config: JsonObject) -> JsonObject | None:
    """Read the schema of the answer; {} for any JSON, None for text."""
    kind = field(config, "responseMimeType", str, default="text/plain")
    if kind == "text/plain":
        return None
    if kind != "application/json":
        raise BadRequest(f"'responseMimeType' must be text/plain or application/json, not {kind}.")
    names = ("responseJsonSchema", "_responseJsonSchema")
    given = [found for name in names if (found := field(config, name, dict))]
    schema: JsonObject = (
        given[0] if given else _plain(field(config, "responseSchema", dict, default={}))
    )
    return schema


def _plain(schema: Any) -> Any:
    """Turn Google's schema into JSON schema: there types are not in capitals."""
    if isinstance(schema, list):
        return [_plain(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        name: each.lower() if name == "type" and isinstance(each, str) else _plain(each)
        for name, each in schema.items()
    }
