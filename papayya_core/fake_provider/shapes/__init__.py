"""The dialects: how each provider's API writes requests, answers, streams and errors."""

from __future__ import annotations

from papayya_core.fake_provider.shapes.base import Failure, Shape
from papayya_core.fake_provider.shapes.chat import CHAT
from papayya_core.fake_provider.shapes.messages import MESSAGES
from papayya_core.fake_provider.shapes.responses import RESPONSES

__all__ = ["SHAPES", "Failure", "Shape"]

SHAPES = {shape.path: shape for shape in (CHAT, RESPONSES, MESSAGES)}
