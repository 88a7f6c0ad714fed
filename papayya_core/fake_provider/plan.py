"""How an answer is sent: as JSON or SSE, late, cut, or never."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from papayya_core.fake_provider.answer import Answer
from papayya_core.fake_provider.ask import JsonObject
from papayya_core.fake_provider.faults import Fault
from papayya_core.fake_provider.shapes.base import Failure, Shape

SLOW_S = 5.0
SILENT_S = 600.0
_JSON = {"content-type": "application/json"}
_ZIPPED = {"content-encoding": "gzip", "vary": "accept-encoding"}
_GZIP_FORMAT = 31


@dataclass(frozen=True, slots=True)
class Plan:
    """
    How to answer: wait, then send the frames.

    `length` is the announced size (None: chunked). If not `whole`, the connection is cut after
    the frames; if `silent`, nothing is sent at all, and if `torn`, the connection is reset on
    top of that. `entry` is the ledger's number of it.
    """

    status: int
    headers: Mapping[str, str]
    frames: tuple[bytes, ...]
    length: int | None = None
    wait_s: float = 0.0
    whole: bool = True
    silent: bool = False
    torn: bool = False
    entry: int | None = None


def document(status: int, value: JsonObject, headers: Mapping[str, str] | None = None) -> Plan:
    """Plan a JSON answer."""
    body = json.dumps(value, separators=(",", ":")).encode()
    return Plan(status, {**_JSON, **(headers or {})}, (body,), len(body))


def success(shape: Shape, answer: Answer) -> Plan:
    """Plan an answer as the request wants it."""
    headers = shape.headers(answer)
    if not answer.ask.stream:
        return document(200, shape.document(answer), headers)
    kind = {"content-type": shape.stream_type, "cache-control": "no-cache"}
    return Plan(200, {**kind, **headers}, tuple(shape.events(answer)))


def failed(shape: Shape, failure: Failure) -> Plan:
    """Plan an error answer."""
    after = failure.retry_after_s
    headers = {} if after is None else {"retry-after": f"{after:g}"}
    vendor = shape.vendor
    return document(
        failure.status, vendor.error(failure), {**headers, **vendor.error_headers(failure)}
    )


def zipped(plan: Plan) -> Plan:
    """Encode a plan with gzip, frame by frame where it is a stream."""
    headers = {**plan.headers, **_ZIPPED}
    if plan.length is None:
        return replace(plan, headers=headers, frames=tuple(_zip(plan.frames)))
    body = gzip.compress(b"".join(plan.frames), mtime=0)
    return replace(plan, headers=headers, frames=(body,), length=len(body))


def _zip(frames: Iterable[bytes]) -> Iterator[bytes]:
    """Compress frames so that each can be read as soon as it has come."""
    packer = zlib.compressobj(wbits=_GZIP_FORMAT)
    packed = [packer.compress(each) + packer.flush(zlib.Z_SYNC_FLUSH) for each in frames]
    yield from packed[:-1]
    yield b"".join(packed[-1:]) + packer.flush()


def disturbed(plan: Plan, fault: Fault) -> Plan:
    """Change how an answer is sent: late, never, or not to its end."""
    if fault.kind == "slow":
        return replace(plan, wait_s=plan.wait_s + fault.number("seconds", SLOW_S))
    if fault.kind == "timeout":
        return replace(plan, wait_s=fault.number("seconds", SILENT_S), silent=True)
    if fault.kind == "reset":
        return replace(plan, wait_s=fault.number("seconds", 0), silent=True, torn=True)
    if fault.kind != "cut_stream":
        return plan
    if plan.length is not None:
        (body,) = plan.frames
        return replace(plan, frames=(body[: len(body) // 2],), whole=False)
    most = len(plan.frames) - 1
    kept = min(most, int(fault.number("after", len(plan.frames) // 2)))
    return replace(plan, frames=plan.frames[:kept], whole=False)
