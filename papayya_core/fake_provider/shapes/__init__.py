"""The dialects: how each provider's API writes requests, answers, streams and errors."""

from __future__ import annotations
