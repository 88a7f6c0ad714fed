"""The nouns, as they travel between the store, the engine and the adapters.

Frozen, without behaviour beyond what they are. Money is integer nano-dollars (``_nusd``);
hashes are raw bytes; times are aware datetimes from Postgres.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from decimal import Decimal

Capture = Literal["full", "hash", "off"]

UNATTRIBUTED = "unattributed"
"""The tenant of work that was submitted for nobody in particular."""

ItemState = Literal["queued", "running", "paused", "waiting", "completed", "failed", "cancelled"]
Outcome = Literal["ok", "degraded", "failed"]
Severity = Literal["note", "degraded", "failed"]
StepState = Literal["started", "completed", "failed", "unstored"]
Mode = Literal["enforce", "observe", "off"]
OpenVerdict = Literal[
    "go", "done", "failed", "cancelled", "wait", "busy", "pause", "drain", "drop", "unknown"
]
Pauser = Literal["budget", "hand", "code"]

ENDED: frozenset[str] = frozenset({"completed", "failed", "cancelled"})


@dataclass(frozen=True, slots=True)
class Agent:
    """The function that does one item, and its version (code and prompt fingerprint)."""

    name: str
    version: str
    entrypoint: str | None = None
    model: str | None = None
    instructions: str | None = None
    tools: tuple[str, ...] = ()
    max_steps: int | None = None
    max_seconds: float | None = None
    budget_nusd: int | None = None
    output: Any = None
    capture: Capture | None = None
    max_item_nusd: int | None = None
    clamp: bool | None = None


class AgentRef(NamedTuple):
    """An agent and its version, as Postgres knows them."""

    agent_id: int
    version_id: int


@dataclass(frozen=True, slots=True)
class Run:
    """One execution of agents over items. ``explicit``: somebody named it or gave its id."""

    id: int
    name: str
    existed: bool
    cancelled: bool
    explicit: bool = True
    tenant: str | None = None


class Body(NamedTuple):
    """A payload ready to be stored: hash of the exact text, codec, size before compression.

    Empty ``data``: only its name is kept.
    """

    hash: bytes
    codec: int
    size: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Submission:
    """One item to capture. ``ordinal`` None: the same key and digest mean the same item.

    ``envelope``: how its carrier sends it. ``cohort``, ``place``: what it is a part of, and where.
    ``follows``: the cohort that it is started by. ``again``: an ended item with the same digest is
    not meant (single messages only).
    """

    tenant: str
    key: str
    digest: bytes
    body: Body | None = None
    ordinal: int | None = None
    parent_id: int | None = None
    refusal: str | None = None
    envelope: Body | None = None
    cohort: str | None = None
    place: int | None = None
    follows: str | None = None
    again: bool = False


class Intake(NamedTuple):
    """Where messages are submitted: run (with the label it is made with), carrier and agent.

    ``seal``: their run has no other input. ``resend``: seconds until the pump may send what nobody
    has opened. ``most``: of a tenant's messages so many may be with the broker, the others wait in
    line; None: all may. ``delay``: seconds after which they are wanted.
    """

    run: str
    label: str
    seal: bool
    carrier: str
    agent: str
    resend: float
    most: int | None = None
    delay: float = 0.0


class Captured(NamedTuple):
    """What capture made of a submission; ``seq`` is its place in the batch.

    ``in_line``: it is not to be sent yet, the pump does that.
    """

    seq: int
    item_id: int
    key: str
    ordinal: int
    state: ItemState
    fresh: bool
    deliveries: int = 0
    in_line: bool = False


class StepKey(NamedTuple):
    """What makes a step the same step: its label, its explicit arguments, which call of both."""

    label: str
    args_hash: bytes
    ordinal: int


class Known(NamedTuple):
    """A step that an earlier dispatch left behind; ``text`` or ``result_hash`` is its result."""

    key: StepKey
    n: int
    state: StepState
    text: str | None
    result_hash: bytes | None
    attempts: int
    failure: str | None = None
    parent_n: int | None = None


class Opened(NamedTuple):
    """The answer to open: with the verdict ``go`` there is a fence, else a reason.

    ``delay``: seconds until it may be worth asking again (wait, busy). ``told``: the carrier of an
    ended item knows its end. ``passes``: rate limits that have let its next call in. ``spent_nusd``:
    what it has cost so far, at most. ``resumed``: it ran before.
    """

    verdict: OpenVerdict
    fence: int | None
    delay: float
    reason: str | None
    known: tuple[Known, ...]
    delivery: int | None
    left_nusd: int | None
    began: datetime | None
    told: bool = True
    passes: tuple[int, ...] = ()
    spent_nusd: int = 0
    resumed: bool = False


class Whose(NamedTuple):
    """Which item a message is about; all None when there is no such item."""

    key: str
    ordinal: int
    run_id: int
    run: str
    tenant: str


@dataclass(slots=True)
class StepRow:
    """One checkpoint on its way to Postgres. ``result`` is codec text when it is small."""

    fence: int
    item_id: int
    key: StepKey
    n: int
    kind: str
    state: StepState
    attempts: int
    seconds: float
    parent_n: int | None = None
    result: str | None = None
    body: Body | None = None
    error: dict[str, Any] | None = None
    cost_nusd: int = 0
    tokens: int = 0
    budgeted: bool = False


class Checkpointed(NamedTuple):
    """How an item may go on after a checkpoint."""

    verdict: Literal["go", "pause", "cancelled", "lost"]
    stored: bool
    left_nusd: int | None


class Closed(NamedTuple):
    """The end of an item: what it is now, and what it cost over all its dispatches."""

    verdict: Literal["completed", "failed", "cancelled", "lost"]
    outcome: Outcome | None
    cost_nusd: int


@dataclass(frozen=True, slots=True)
class Finding:
    """Why an outcome is not ok, or (severity ``note``) what a person may want to know."""

    check: str
    severity: Severity
    reason: str
    evidence: dict[str, Any] = field(default_factory=dict)
    n: int | None = None


@dataclass(frozen=True, slots=True)
class ItemResult:
    """What came of one item.

    ``output`` is the agent's return value when ``state`` is completed, else None. ``cost`` is in
    US dollars. ``error`` is the live exception when the item failed in this process, or says why
    the output of a finished item cannot be had.
    """

    key: str
    state: ItemState
    outcome: Outcome | None
    output: Any
    cost: Decimal
    findings: tuple[Finding, ...] = ()
    tenant: str = UNATTRIBUTED
    reason: str | None = None
    error: BaseException | None = None

    @property
    def done(self) -> bool:
        """Tell whether the item completed and its outcome is ok."""
        return self.state == "completed" and self.outcome == "ok"

    @property
    def flagged(self) -> bool:
        """Tell whether the outcome is degraded or failed: somebody should look."""
        return self.outcome in ("degraded", "failed")


class StepCall(NamedTuple):
    """One request to run a step: what to run, and what makes it the same step again."""

    label: str
    fn: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    args_hash: bytes
    kind: str = "task"
    max_cost_nusd: int | None = None
    side_effect: bool = False


@dataclass(frozen=True, slots=True)
class Send:
    """An item that the pump asks a carrier to send again.

    ``sends``: how often it was sent, this time included. ``parked``: seconds it was paused in all.
    ``digest``: what made it one submission. ``envelope``: as the carrier gave it, packed by
    ``codec``; None when it has none. ``ended``: so that its carrier learns the end.
    ``overtaken``: what was sent after it has arrived, so it is probably lost.
    """

    item_id: int
    key: str
    run: str
    carrier: str
    agent: str
    tenant: str
    dispatch_no: int
    envelope_hash: bytes | None
    sends: int = 0
    parked: float = 0.0
    digest: bytes | None = None
    codec: int | None = None
    envelope: bytes | None = None
    ended: bool = False
    overtaken: bool = False


@dataclass(frozen=True, slots=True)
class Transition:
    """An item has moved to another state; the fact handed to ``on_transition``.

    ``event`` outlier: it has not moved; its last finding says how it stands out in its run.
    """

    run: str
    tenant: str
    agent: str
    key: str
    item_id: int
    state: ItemState
    outcome: Outcome | None
    reason: str | None
    cost_nusd: int
    findings: tuple[Finding, ...] = ()
    event: Literal["state", "outlier"] = "state"
