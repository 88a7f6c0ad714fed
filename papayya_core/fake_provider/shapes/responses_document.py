"""What OpenAI's responses say, as JSON."""

from __future__ import annotations

from papayya_core.fake_provider.answer import Answer
from papayya_core.fake_provider.ask import JsonObject
from papayya_core.fake_provider.shapes.openai import prompt_details

ID_PREFIX = "resp_"
_ECHOED = (
    "background",
    "conversation",
    "instructions",
    "max_output_tokens",
    "metadata",
    "previous_response_id",
    "reasoning",
    "temperature",
    "top_p",
    "user",
)


def _usage(answer: Answer) -> JsonObject:
    """Write the usage, cached tokens inside the input's and thoughts inside the output's."""
    used = answer.usage
    return {
        "input_tokens": used.prompt,
        "input_tokens_details": prompt_details(answer),
        "output_tokens": used.output,
        "output_tokens_details": {"reasoning_tokens": answer.reasoning},
        "total_tokens": used.prompt + used.output,
    }


def status_of(answer: Answer) -> str:
    """Say whether the answer was cut short."""
    return "incomplete" if answer.first.finish == "length" else "completed"


def part(answer: Answer) -> JsonObject:
    """Write the content of the message."""
    if answer.first.finish == "refusal":
        return {"type": "refusal", "refusal": answer.first.text}
    text = answer.first.text
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def items(answer: Answer) -> list[JsonObject]:
    """Write the output: the thoughts, if there are any, and what they came to, if they ended."""
    made = answer.first
    if not made.thought:
        return [_item(answer)]
    endless = made.finish == "length" and not made.text and not made.tool
    return [_thoughts(answer)] if endless else [_thoughts(answer), _item(answer)]


def _thoughts(answer: Answer) -> JsonObject:
    """Write the thoughts, which only a summary shows."""
    said = [{"type": "summary_text", "text": answer.first.thought}]
    summary = said if answer.ask.thinking.shown else []
    return {"id": f"rs_{answer.id}", "type": "reasoning", "summary": summary}


def _item(answer: Answer) -> JsonObject:
    """Write a message or a function call."""
    made, status = answer.first, status_of(answer)
    if made.tool:
        call = {"call_id": f"call_{answer.id}", "name": made.tool, "arguments": made.text}
        return {"id": f"fc_{answer.id}", "type": "function_call", "status": status, **call}
    said = {"role": "assistant", "content": [part(answer)]}
    return {"id": f"msg_{answer.id}", "type": "message", "status": status, **said}


def document(answer: Answer) -> JsonObject:
    """Write an answer as JSON."""
    status = status_of(answer)
    ended = {
        "status": status,
        "completed_at": answer.created,
        "incomplete_details": {"reason": "max_output_tokens"} if status == "incomplete" else None,
        "output": items(answer),
        "usage": _usage(answer),
    }
    return {**head(answer), **ended}


def head(answer: Answer) -> JsonObject:
    """Write a response that is still in progress."""
    body = answer.ask.body
    return {
        "id": f"{ID_PREFIX}{answer.id}",
        "object": "response",
        "created_at": answer.created,
        "status": "in_progress",
        "error": None,
        "incomplete_details": None,
        "model": answer.ask.model,
        "output": [],
        "parallel_tool_calls": body.get("parallel_tool_calls", True),
        "tool_choice": body.get("tool_choice") or "auto",
        "tools": body.get("tools") or [],
        "text": body.get("text") or {"format": {"type": "text"}},
        "truncation": "disabled",
        "usage": None,
        **{name: body.get(name) for name in _ECHOED},
    }
