"""How an answer is sent: as JSON or SSE, late, cut, or never."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace

from papayya_core.fake_provider.answer import Answer
from papayya_core.fake_provider.ask import JsonObject
from papayya_core.fake_provider.faults import Fault
from papayya_core.fake_provider.shapes import Failure, Shape

SLOW_S = 5.0
SILENT_S = 600.0
_JSON = {"content-type": "application/json"}
_SSE = {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache"}


@dataclass(frozen=True, slots=True)
class Plan:
    """
    How to answer: wait, then send the frames.

    `length` is the announced size (None: chunked). If not `whole`, the connection is cut after
    the frames; if `silent`, nothing is sent at all. `entry` is the ledger's number of it.
    """

    status: int
    headers: Mapping[str, str]
    frames: tuple[bytes, ...]
    length: int | None = None
    wait_s: float = 0.0
    whole: bool = True
    silent: bool = False
    entry: int | None = None


def document(status: int, value: JsonObject, headers: Mapping[str, str] | None = None) -> Plan:
    """Plan a JSON answer."""
    body = json.dumps(value, separators=(",", ":")).encode()
    return Plan(status, {**_JSON, **(headers or {})}, (body,), len(body))


def success(shape: Shape, answer: Answer) -> Plan:
    """Plan an answer as the request wants it."""
    if answer.ask.stream:
        return Plan(200, _SSE, tuple(shape.events(answer)))
    return document(200, shape.document(answer))


def failed(shape: Shape, failure: Failure) -> Plan:
    """Plan an error answer."""
    after = failure.retry_after_s
    headers = {} if after is None else {"retry-after": f"{after:g}"}
    return document(
        failure.status, shape.error(failure), {**headers, **shape.error_headers(failure)}
    )


def disturbed(plan: Plan, fault: Fault) -> Plan:
    """Change how an answer is sent: late, never, or not to its end."""
    if fault.kind == "slow":
        return replace(plan, wait_s=plan.wait_s + fault.number("seconds", SLOW_S))
    if fault.kind == "timeout":
        return replace(plan, wait_s=fault.number("seconds", SILENT_S), silent=True)
    if fault.kind != "cut_stream":
        return plan
    if plan.length is not None:
        (body,) = plan.frames
        return replace(plan, frames=(body[: len(body) // 2],), whole=False)
    most = len(plan.frames) - 1
    kept = min(most, int(fault.number("after", len(plan.frames) // 2)))
    return replace(plan, frames=plan.frames[:kept], whole=False)
