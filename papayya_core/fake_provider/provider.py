"""
What happens to a request: read, find its fault, answer, write down - and a plan to send it.

Everything between reading and writing down is under one lock, so that a body's attempts are
counted one after another; sending, waiting and rendering are not.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from threading import Lock

from papayya_core.fake_provider.answer import Answer, Keeping, compose
from papayya_core.fake_provider.ask import Ask, BadRequest, read_json
from papayya_core.fake_provider.book import Entry
from papayya_core.fake_provider.call import Call
from papayya_core.fake_provider.dice import Dice
from papayya_core.fake_provider.draft import begun, clock
from papayya_core.fake_provider.failures import by_fault, by_limit, invalid
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
from papayya_core.fake_provider.limiter import Gate, Gauge, Limiter
from papayya_core.fake_provider.limits import Cost, Limit
from papayya_core.fake_provider.plan import Plan, disturbed, failed, success, zipped
from papayya_core.fake_provider.prices import price
from papayya_core.fake_provider.routes import Route, find
from papayya_core.fake_provider.rules import from_header
from papayya_core.fake_provider.shapes.base import Failure, Shape
from papayya_core.fake_provider.shapes.limits import exhausted
from papayya_core.fake_provider.use import cost, moment

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


@dataclass(frozen=True, slots=True)
class _Decision:
    """What was decided about a request at `now`; `gate` is what it takes from, if limited."""

    entry: Entry
    fault: Fault | None = None
    answer: Answer | None = None
    failure: Failure | None = None
    gate: Gate | None = None
    gauges: dict[str, Gauge] = field(default_factory=dict)
    now: int = 0


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
    """
    The stand-in without its wires: a call in, a plan out, an entry in the ledger.

    Whoever carries a plan out tells `end`; `clock` gives microseconds after 1970.
    """

    ledger: Ledger
    seed: int = 0
    latency: Latency = field(default_factory=Latency)
    rules: tuple[Rule, ...] = ()
    gzip: bool = False
    limits: tuple[Limit, ...] = ()
    clock: Callable[[], int] = clock
    faults: FaultBook = field(init=False)
    limiter: Limiter = field(init=False, default_factory=Limiter)
    _under_way: dict[int, tuple[Gate, Cost]] = field(init=False, default_factory=dict)
    _lock: Lock = field(init=False, default_factory=Lock)

    def __post_init__(self) -> None:
        """Put limits in force, and the start-up rules that haven't fired in an earlier life."""
        self.limiter.put(self.limits)
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
            if decision.gate:
                self._under_way[entry.id] = decision.gate, cost(entry)
        self.ledger.sync()
        return self._plan(call, route.shape, replace(decision, entry=entry))

    def end(self, entry: int, *, delivered: bool) -> None:
        """Note that an answer has ended: what it counts for the limits is known now."""
        self.ledger.deliver(entry, delivered=delivered)
        with self._lock:
            if passed := self._under_way.pop(entry, None):
                gate, used = passed
                gate.correct(used, self.clock())

    def add_rules(self, rules: list[Rule]) -> list[Rule]:
        """Put rules in force, before those that are."""
        with self._lock:
            return self.faults.add(rules, self.ledger.book.last_id)

    def clear_rules(self) -> None:
        """Drop all rules."""
        with self._lock:
            self.faults.clear()

    def put_limits(self, limits: list[Limit]) -> None:
        """Put limits in force, each in place of the one for the same key and model."""
        with self._lock:
            self.limiter.put(limits)

    def clear_limits(self) -> None:
        """Drop all limits."""
        with self._lock:
            self.limiter.clear()

    def levels(self) -> list[tuple[str, str | None, str, Gauge]]:
        """List what is left: (the key's label, the limit's model, unit, gauge)."""
        with self._lock:
            return list(self.limiter.levels(self.clock()))

    def _decide(
        self, call: Call, route: Route, ask: Ask | None, wrong: BadRequest | None
    ) -> _Decision:
        """Decide what becomes of a request that could be read, or not."""
        now = self.clock()
        draft = begun(call, route, ask, self.ledger.book.attempts, now)
        if ask is None:
            return _refused(draft, invalid(wrong or BadRequest("")))
        gate = self.limiter.gate(call.api_key, ask, now)
        try:
            fault = self._fault(call, draft, ask)
            decision = self._judged(draft, ask, route.shape, fault, gate, now)
        except (BadRequest, BadFault) as bad:
            decision = _refused(draft, invalid(bad))
        return replace(decision, gauges=gate.gauges(now), now=now)

    def _judged(
        self, draft: Entry, ask: Ask, shape: Shape, fault: Fault | None, gate: Gate, now: int
    ) -> _Decision:
        """Fail a request on purpose, turn it down for a limit, or answer it."""
        if fault and fault.kind in UNBILLED:
            return _refused(_blame(draft, fault), by_fault(fault, shape.vendor), fault)
        if lack := gate.shortage(now):
            return _refused(replace(draft, refused=lack.unit), by_limit(ask.model, lack))
        decision = self._processed(draft, ask, shape, fault)
        gate.take(now)
        return replace(decision, gate=gate if gate.buckets else None)

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
            plan = failed(shape, decision.failure or Failure(500, "server_error", ""))
        else:
            plan = success(shape, answer)
        left = shape.vendor.limits(_told(decision), moment(decision.now))
        traced = dict.fromkeys(_REQUEST_IDS, f"req_{entry.id}")
        headers = {**plan.headers, **left, **traced, "x-fake-ledger-id": str(entry.id)}
        plan = replace(plan, headers=headers, wait_s=wait_s, entry=entry.id)
        if call.takes_gzip and (self.gzip or call.wants_gzip):
            plan = zipped(plan)
        return disturbed(plan, fault) if fault else plan


def _told(decision: _Decision) -> dict[str, Gauge]:
    """Say what is left of the limits, or what a fault pretends."""
    if decision.fault is None or decision.fault.kind != "rate_limit":
        return decision.gauges
    after_s = decision.failure.retry_after_s if decision.failure else None
    return exhausted(decision.gauges, round((after_s or 0) * 1_000_000))


def _blame(entry: Entry, fault: Fault | None) -> Entry:
    """Note the fault and what asked for it."""
    return replace(entry, fault=fault.kind, rule=fault.rule) if fault else entry


def _refused(draft: Entry, failure: Failure, fault: Fault | None = None) -> _Decision:
    """Decide to turn a request down; nothing is billed."""
    return _Decision(replace(draft, status=failure.status), fault, failure=failure)
