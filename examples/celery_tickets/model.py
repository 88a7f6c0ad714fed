"""One question to a model, through its provider's own client."""

from __future__ import annotations

import json
import os
from typing import Any

from openai import APIConnectionError, InternalServerError, OpenAI, RateLimitError

MODEL = "gpt-5.4-mini"
CATEGORIES = ["billing", "technical", "account", "shipping", "cancellation"]
STAND_IN = "http://localhost:8089/v1"  # papayya fake-provider --port 8089
UNAVAILABLE = (APIConnectionError, InternalServerError, RateLimitError)

_FORM: dict[str, Any] = {
    "name": "category",
    "strict": True,
    "schema": {
        "type": "object",
        "properties": {"category": {"type": "string", "enum": CATEGORIES}},
        "required": ["category"],
        "additionalProperties": False,
    },
}


def category_of(text: str, item: str) -> str:
    """Ask for the category of a ticket; raises the client's own errors."""
    client = OpenAI(
        base_url=os.environ.get("MODEL_URL", STAND_IN),
        api_key=os.environ.get("MODEL_KEY", "sk-stand-in"),
        max_retries=0,  # Celery tries again
    )
    with client:
        answer = client.chat.completions.create(
            model=MODEL,
            messages=[
                {"role": "system", "content": "Sort the mail of a support desk. Answer in JSON."},
                {"role": "user", "content": text},
            ],
            response_format={"type": "json_schema", "json_schema": _FORM},
            extra_headers={"x-item-key": item},
        )
    return json.loads(answer.choices[0].message.content or "")["category"]
