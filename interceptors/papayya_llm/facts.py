"""What a recorded call says, read again from its bytes for people."""

from __future__ import annotations

from typing import Any

from papayya_core.call import Answered, CallFacts
from papayya_llm import schemas
from papayya_llm.schemas import Schema
from papayya_llm.streams import Watcher

_ANYONE = "openai/"  # it was recorded, so that whoever it was is a provider


def read(url: str, request: Any, response: Any) -> CallFacts | None:
    """Read a call by the path of its URL; None for one in a format that we do not know.

    ``request``: parsed JSON. ``response``: parsed JSON, the text of a stream, None.
    """
    host, slash, path = url.partition("/")
    found = schemas.find(host, slash + path, _ANYONE)
    if found is None or not isinstance(request, dict):
        return None
    schema, provider = found
    asked = schema.ask(slash + path, request, 0, provider)
    answered = None if response is None else _answered(schema, response)
    return CallFacts(asked, answered, schema.messages(request))


def _answered(schema: Schema, response: Any) -> Answered | None:
    if isinstance(response, dict):
        return schema.answer(response)
    if isinstance(response, list):
        heard = schema.stream()
        for each in response:
            heard.feed(None, each)
        return heard.done()
    body = str(response).encode("utf-8", "replace")
    watcher = Watcher(schema, keep=len(body))
    watcher.feed(body)
    watcher.flush()
    return watcher.finish().answered
