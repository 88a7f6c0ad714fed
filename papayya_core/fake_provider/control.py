"""
The control endpoints: what a test asks and tells the stand-in.

GET /_control/health; GET /_control/ledger?after=N (entries after that number, totals over all);
GET, POST and DELETE /_control/faults and /_control/limits (GET tells what is left, too); GET
/v1/models is here too, as it costs nothing.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from urllib.parse import parse_qs, urlsplit

from papayya_core.fake_provider.answer import CREATED
from papayya_core.fake_provider.ask import JsonObject
from papayya_core.fake_provider.book import totals
from papayya_core.fake_provider.faults import BadFault
from papayya_core.fake_provider.limits import BadLimit, read_limits
from papayya_core.fake_provider.plan import Plan, document
from papayya_core.fake_provider.prices import TABLE
from papayya_core.fake_provider.provider import Provider
from papayya_core.fake_provider.rules import read_rules
from papayya_core.fake_provider.use import by_minute

_MODELS = "/v1/models"
_NOT_FOUND = 404
_OWNERS = {"claude": "anthropic", "gemini": "google"}


@dataclass(frozen=True, slots=True)
class _Request:
    """What the endpoints get."""

    provider: Provider
    query: str
    body: bytes


def handle(provider: Provider, method: str, target: str, body: bytes) -> Plan:
    """Answer anything that is not a request to a model."""
    url = urlsplit(target)
    if method == "GET" and url.path.startswith(f"{_MODELS}/"):
        return _model(url.path.removeprefix(f"{_MODELS}/"))
    route = _ROUTES.get((method, url.path))
    if route is None:
        return _error(_NOT_FOUND, f"There is no {method} {url.path} here.")
    return route(_Request(provider, url.query, body))


def _error(status: int, message: str) -> Plan:
    """Plan an error that clients of all providers can read."""
    error = {"type": "not_found_error" if status == _NOT_FOUND else "invalid_request_error"}
    return document(status, {"type": "error", "error": {**error, "message": message}})


def _health(request: _Request) -> Plan:
    """Say that it is alive, and with what."""
    book = request.provider.ledger.book
    return document(
        200,
        {
            "status": "ok",
            "pid": os.getpid(),
            "seed": request.provider.seed,
            "ledger": None
            if request.provider.ledger.path is None
            else str(request.provider.ledger.path),
            "last_id": book.last_id,
            "torn_lines": book.torn_lines,
            "rules": len(request.provider.faults.rules),
        },
    )


def _ledger(request: _Request) -> Plan:
    """Give the ledger's entries after a number; totals and use are over all of them."""
    text = parse_qs(request.query).get("after", ["0"])[0]
    if not text.isascii() or not text.isdigit():
        return _error(400, f"after must be the number of an entry, not {text!r}.")
    entries = request.provider.ledger.entries()
    rows = [entry.row() for entry in entries if entry.id > int(text)]
    sums = {**totals(entries), "by_minute": by_minute(entries)}
    return document(200, {"entries": rows, "totals": sums})


def _faults(request: _Request) -> Plan:
    """List the rules in force, in the order in which they are tried."""
    return document(200, {"rules": [asdict(rule) for rule in request.provider.faults.rules]})


def _add_faults(request: _Request) -> Plan:
    """Put rules in force."""
    try:
        added = request.provider.add_rules(read_rules(json.loads(request.body)))
    except (BadFault, ValueError, RecursionError) as wrong:
        return _error(400, str(wrong))
    return document(200, {"rules": [asdict(rule) for rule in added]})


def _clear_faults(request: _Request) -> Plan:
    """Drop all rules."""
    request.provider.clear_rules()
    return document(200, {"rules": []})


def _limits(request: _Request) -> Plan:
    """List the limits in force, and what is left for the keys that have asked."""
    levels = [
        {"key": key, "model": model, "unit": unit, **asdict(gauge)}
        for key, model, unit, gauge in request.provider.levels()
    ]
    limits = [asdict(limit) for limit in request.provider.limiter.limits]
    return document(200, {"limits": limits, "left": levels})


def _put_limits(request: _Request) -> Plan:
    """Put limits in force."""
    try:
        request.provider.put_limits(read_limits(json.loads(request.body)))
    except (BadLimit, ValueError, RecursionError) as wrong:
        return _error(400, str(wrong))
    return _limits(request)


def _clear_limits(request: _Request) -> Plan:
    """Drop all limits."""
    request.provider.clear_limits()
    return _limits(request)


def _described(name: str) -> JsonObject:
    """Describe a model as OpenAI and Anthropic do, in one object."""
    owner = _OWNERS.get(name.partition("-")[0], "openai")
    made = datetime.fromtimestamp(CREATED, UTC).isoformat()
    openai = {"object": "model", "created": CREATED, "owned_by": owner}
    anthropic = {"type": "model", "display_name": name, "created_at": made, "lifecycle": "active"}
    return {"id": name, **openai, **anthropic}


def _models(_: _Request) -> Plan:
    """List the models that have a price."""
    names = sorted(TABLE)
    paging = {"has_more": False, "first_id": names[0], "last_id": names[-1]}
    return document(200, {"object": "list", "data": [_described(n) for n in names], **paging})


def _model(name: str) -> Plan:
    """Describe one model."""
    if name not in TABLE:
        return _error(_NOT_FOUND, f"The model {name!r} does not exist.")
    return document(200, _described(name))


_ROUTES: dict[tuple[str, str], Callable[[_Request], Plan]] = {
    ("GET", "/_control/health"): _health,
    ("GET", "/_control/ledger"): _ledger,
    ("GET", "/_control/faults"): _faults,
    ("POST", "/_control/faults"): _add_faults,
    ("DELETE", "/_control/faults"): _clear_faults,
    ("GET", "/_control/limits"): _limits,
    ("POST", "/_control/limits"): _put_limits,
    ("DELETE", "/_control/limits"): _clear_limits,
    ("GET", _MODELS): _models,
}
