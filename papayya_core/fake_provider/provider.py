"""
What happens to a request: read, find its fault, answer, write down - and a plan to send it.

Everything between reading and writing down is under one lock, so that a body's attempts are
counted one after another; sending, waiting and rendering are not.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from hashlib import sha256
from threading import Lock

from papayya_core.fake_provider.answer import Answer, Keeping, compose
from papayya_core.fake_provider.ask import Ask, BadRequest, read_json
from papayya_core.fake_provider.book import Entry, key_label
from papayya_core.fake_provider.call import Call
from papayya_core.fake_provider.dice import Dice
from papayya_core.fake_provider.faults import (
    UNANSWERED,
    UNBILLED,
    BadFault,
    Fault,
    FaultBook,
    Request,
    Rule,
)
from papayya_core.fake_provider.ledger import Ledger
from papayya_core.fake_provider.plan import Plan, disturbed, failed, success, zipped
from papayya_core.fake_provider.prices import lookup, price
from papayya_core.fake_provider.routes import Route, find
from papayya_core.fake_provider.rules import from_header
from papayya_core.fake_provider.shapes.base import Failure, Shape

_UNSEEN = {
    "labels",
    "metadata",
    "prompt_cache_key",
    "requestMetadata",
    "safety_identifier",
    "service_tier",
    "store",
    "stream",
    "stream_options",
    "user",
}
_REQUEST_IDS = ("x-request-id", "request-id", "x-amzn-requestid")
_SAID = {
    "rate_limit": "Rate limit reached: wait as long as Retry-After says, then send it again.",
    "server_error": "The server had an error while processing your request.",
    "overloaded": "Overloaded: the server is busy, send it again later.",
}


@dataclass(frozen=True, slots=True)
class _Decision:
    """What was decided about a request, under the lock."""

    entry: Entry
    fault: Fault | None = None
    answer: Answer | None = None
    failure: Failure | None = None


@dataclass(frozen=True, slots=True)
class Latency:
    """How long an ordinary answer takes: from `least` to `most` milliseconds, by hash."""

    least: float = 0.0
    most: float = 0.0

    def seconds(self, dice: Dice) -> float:
        """Roll a latency."""
        return (self.least + (self.most - self.least) * dice.unit()) / 1_000


@dataclass(slots=True)
class Provider:
    """The stand-in without its wires: a call in, a plan out, an entry in the ledger."""

    ledger: Ledger
    seed: int = 0
    latency: Latency = field(default_factory=Latency)
    rules: tuple[Rule, ...] = ()
    gzip: bool = False
    faults: FaultBook = field(init=False)
    _lock: Lock = field(init=False, default_factory=Lock)

    def __post_init__(self) -> None:
        """Put the start-up rules in force, as far as they haven't fired in an earlier life."""
        fired = self.ledger.book.fired
        self.faults = FaultBook(self.seed, list(self.rules), lambda *of: fired[of])

    def answer(self, call: Call) -> Plan:
        """Process a request that has a route; it is in the ledger when this returns."""
        route = find(call.path)
        if route is None:
            raise LookupError(f"There is no model behind {call.path}: see `routes`.")
        try:
            ask, wrong = route.shape.parse(read_json(call.body) | route.given), None
        except BadRequest as bad:
            ask, wrong = None, bad
        with self._lock:
            decision = self._decide(call, route, ask, wrong)
            entry = self.ledger.append(decision.entry)
        self.ledger.sync()
        return self._plan(call, route.shape, replace(decision, entry=entry))

    def add_rules(self, rules: list[Rule]) -> list[Rule]:
        """Put rules in force, before those that are."""
        with self._lock:
            return self.faults.add(rules, self.ledger.book.last_id)

    def clear_rules(self) -> None:
        """Drop all rules."""
        with self._lock:
            self.faults.clear()

    def _decide(
        self, call: Call, route: Route, ask: Ask | None, wrong: BadRequest | None
    ) -> _Decision:
        """Decide what becomes of a request that could be read, or not."""
        draft = self._draft(call, route, ask)
        if ask is None:
            return _refused(draft, Failure(400, "invalid_request", str(wrong)))
        try:
            fault = self._fault(call, draft, ask)
            if fault and fault.kind in UNBILLED:
                return _failed(draft, fault, route.shape)
            return self._processed(draft, ask, route.shape, fault)
        except (BadRequest, BadFault) as bad:
            return _refused(draft, Failure(400, "invalid_request", str(bad)))

    def _draft(self, call: Call, route: Route, ask: Ask | None) -> Entry:
        """Begin the ledger's entry with what is known of any request."""
        # The same body for another model, named by the path, is another request.
        told = f"{route.path}\n".encode() if route.given else b""
        digest = sha256(told + call.body).hexdigest()
        body = ask.body if ask else {}
        user = body.get("user")
        return Entry(
            time=datetime.now(UTC).isoformat(timespec="microseconds"),
            key=key_label(call.api_key),
            path=route.path,
            model=ask.model if ask else str(route.given.get("model", "")),
            body_sha256=digest,
            attempt=self.ledger.book.attempts[digest] + 1,
            price_known=ask is not None and lookup(ask.model) is not None,
            status=200,
            stream=ask is not None and ask.stream,
            item_key=call.headers.get("x-item-key"),
            idempotency_key=call.headers.get("idempotency-key"),
            user=user if isinstance(user, str) else None,
            metadata=body.get("metadata", body.get("requestMetadata", body.get("labels"))),
        )

    def _fault(self, call: Call, draft: Entry, ask: Ask) -> Fault | None:
        """Find the fault for a request."""
        number = self.ledger.book.last_id + 1
        request = Request(call.body, draft.body_sha256, ask, call.api_key, draft.item_key, number)
        header = call.headers.get("x-fake-fault")
        return self.faults.choose(request, from_header(header) if header else None)

    def _processed(self, draft: Entry, ask: Ask, shape: Shape, fault: Fault | None) -> _Decision:
        """Answer a request and bill it."""
        ordinal = self.ledger.book.ordinals[draft.body_sha256] + 1
        dice = self._dice(shape.path, ask).child(ordinal)
        # Fields that no model sees do not change what is said, but each answer has its own id.
        own = Dice.of(self.seed, draft.path, draft.body_sha256, ordinal).hex(24)
        keeping = Keeping(shape.caches(ask), shape.writes, repeated=ordinal > 1)
        made = compose(ask, own, dice, fault, keeping)
        used = made.usage
        entry = replace(
            draft,
            ordinal=ordinal,
            prompt_tokens=used.prompt,
            cached_tokens=used.cached,
            cache_write_tokens=used.written,
            output_tokens=used.output,
            reasoning_tokens=made.reasoning,
            cost_nusd=price(ask.model, used),
            status=None if fault and fault.kind in UNANSWERED else 200,
            response_id=None if shape.id_prefix is None else f"{shape.id_prefix}{own}",
        )
        return _Decision(_blame(entry, fault), fault, made)

    def _dice(self, path: str, ask: Ask) -> Dice:
        """Make the die of a request from what a model would see of it."""
        seen = {name: value for name, value in ask.body.items() if name not in _UNSEEN}
        return Dice.of(self.seed, path, json.dumps(seen, sort_keys=True))

    def _plan(self, call: Call, shape: Shape, decision: _Decision) -> Plan:
        """Render a decision."""
        entry, answer, fault = decision.entry, decision.answer, decision.fault
        dice = Dice.of(self.seed, "latency", entry.body_sha256, entry.attempt)
        wait_s = self.latency.seconds(dice)
        if answer is None:
            failure = decision.failure or Failure(500, "server_error", "")
            plan = failed(shape, failure)
        else:
            plan = success(shape, answer)
        traced = dict.fromkeys(_REQUEST_IDS, f"req_{entry.id}")
        headers = {**plan.headers, **traced, "x-fake-ledger-id": str(entry.id)}
        plan = replace(plan, headers=headers, wait_s=wait_s, entry=entry.id)
        if call.takes_gzip and (self.gzip or call.wants_gzip):
            plan = zipped(plan)
        return disturbed(plan, fault) if fault else plan


def _blame(entry: Entry, fault: Fault | None) -> Entry:
    """Note the fault and what asked for it."""
    return replace(entry, fault=fault.kind, rule=fault.rule) if fault else entry


def _refused(draft: Entry, failure: Failure) -> _Decision:
    """Decide to turn a request down; nothing is billed."""
    return _Decision(replace(draft, status=failure.status), failure=failure)


def _failed(draft: Entry, fault: Fault, shape: Shape) -> _Decision:
    """Decide to fail a request on purpose; nothing is billed."""
    usual = {"rate_limit": 429, "server_error": 500, "overloaded": shape.overloaded}
    status = int(fault.number("status", usual[fault.kind]))
    after = fault.params.get("retry_after", 1 if fault.kind == "rate_limit" else None)
    seconds = None if after is None else float(after)
    failure = Failure(status, fault.kind, _SAID[fault.kind], seconds)
    return _Decision(_blame(replace(draft, status=status), fault), fault, failure=failure)
