"""
Faults: what can go wrong, and the rules that say when.

A fault is asked for by the header ``x-fake-fault: kind;name=value``, by a rule given at start-up
(``--faults FILE.json``, ``--fault-rate kind=0.01``) or by one posted to ``/_control/faults``. A
rule is a JSON object of a `kind` and of conditions that must all hold:

=========  ===================================================================================
match      this text occurs in the request's body or in one of its messages
item       the header ``x-item-key`` is this
key        the API key ends with this
nth        it is the n-th request (from the ledger's start, or since the rule was posted)
rate       this share of the bodies, chosen by seed and body
times      only the first N matching requests of each distinct body (absent: all of them)
params     see `KINDS`
=========  ===================================================================================

The header comes first, then the rules, latest post first; the first that applies is the one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from papayya_core.fake_provider.ask import Ask
from papayya_core.fake_provider.dice import Dice

Params: TypeAlias = dict[str, str | float]

KINDS: dict[str, dict[str, str]] = {
    "rate_limit": {"retry_after": "seconds, default 1", "status": "default 429"},
    "server_error": {"retry_after": "seconds", "status": "default 500"},
    "overloaded": {"retry_after": "seconds", "status": "default 529 (Anthropic) or 503"},
    "no_credit": {"status": "default 429, of Anthropic 400, of Bedrock 403"},
    "slow": {"seconds": "before the answer, default 5"},
    "timeout": {"seconds": "of silence before the connection closes, default 600"},
    "reset": {"seconds": "before the connection is reset without an answer, default 0"},
    "cut_stream": {"after": "events sent before the cut, default half"},
    "schema_violation": {"how": "enum, missing or type"},
    "refusal": {"text": "of the refusal"},
    "truncation": {"tokens": "left of the answer, default half"},
    "empty": {},
    "null_tool_call": {},
}
UNBILLED = frozenset({"rate_limit", "server_error", "overloaded", "no_credit"})
UNANSWERED = frozenset({"timeout", "reset"})
_WORDS = frozenset({"refusal", "truncation"})
_FORMS = frozenset({"schema_violation", "null_tool_call"})
HEADER = "header-"
STARTUP = "start-"


class BadFault(ValueError):
    """A fault was asked for that can't be; the message says what is possible."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault to apply to one request; `rule` is the id of what asked for it."""

    kind: str
    params: Mapping[str, str | float] = field(default_factory=dict)
    rule: str = ""

    def number(self, name: str, default: float) -> float:
        """Read a numeric parameter."""
        return float(self.params.get(name, default))


@dataclass(frozen=True, slots=True)
class Request:
    """What rules look at."""

    body: bytes
    body_sha256: str
    ask: Ask
    api_key: str
    item_key: str | None
    number: int

    def says(self, text: str) -> bool:
        """Say whether a text occurs in the body as sent, or in one of its messages."""
        return text.encode("utf-8", "surrogatepass") in self.body or any(
            text in message.text for message in self.ask.messages
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """When to apply which fault; see the module's docstring."""

    kind: str
    match: str | None = None
    item: str | None = None
    key: str | None = None
    nth: int | None = None
    rate: float | None = None
    times: int | None = None
    params: Params = field(default_factory=dict)
    id: str = ""
    since: int = 0

    def wants(self, request: Request, seed: int) -> bool:
        """Say whether all conditions but `times` hold."""
        return (
            (self.match is None or request.says(self.match))
            and (self.item is None or request.item_key == self.item)
            and (self.key is None or request.api_key.endswith(self.key))
            and (self.nth is None or request.number - self.since == self.nth)
            and (self.rate is None or self._chosen(request.body_sha256, seed))
        )

    def _chosen(self, body_sha256: str, seed: int) -> bool:
        """Choose bodies by hash, independently for each kind of fault."""
        return Dice.of(seed, "fault", self.kind, body_sha256).unit() < (self.rate or 0)


def applies(kind: str, ask: Ask) -> bool:
    """Say whether a fault makes sense for a request: some need words, tools or a JSON answer."""
    if ask.dimensions is not None:
        return kind not in _WORDS | _FORMS
    if kind == "null_tool_call":
        return bool(ask.tools)
    if kind == "schema_violation":
        return ask.schema is not None or bool(ask.tools)
    return True


class FaultBook:
    """The rules in force; `fired(rule, body)` says how often a rule was applied to a body."""

    def __init__(self, seed: int, rules: list[Rule], fired: Callable[[str, str], int]) -> None:
        self._seed = seed
        self._rules = list(rules)
        self._fired = fired
        self._posted = 0

    @property
    def rules(self) -> list[Rule]:
        """The rules, in the order in which they are tried."""
        return list(self._rules)

    def add(self, rules: list[Rule], since: int) -> list[Rule]:
        """Put rules before the others; `since` is the last request's number."""
        fresh = []
        for rule in rules:
            self._posted += 1
            fresh.append(replace(rule, id=f"live-{since}-{self._posted}", since=since))
        self._rules = fresh + self._rules
        return fresh

    def clear(self) -> None:
        """Drop all rules, those from the start-up too."""
        self._rules = []

    def choose(self, request: Request, header: Rule | None) -> Fault | None:
        """Find the fault for a request; raise `BadFault` if the header asks the impossible."""
        asked = [header] if header else []
        if header and not applies(header.kind, request.ask):
            what = "for words" if header.kind in _WORDS else "with tools or a JSON answer"
            raise BadFault(f"Fault {header.kind} needs a request {what}.")
        for rule in [*asked, *self._rules]:
            if not (applies(rule.kind, request.ask) and rule.wants(request, self._seed)):
                continue
            if rule.times is None or self._fired(rule.id, request.body_sha256) < rule.times:
                return Fault(rule.kind, rule.params, rule.id)
        return None
