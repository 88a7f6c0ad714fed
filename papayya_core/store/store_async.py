"""Everything that is written to or read from Postgres on the way of an item.

One method is one statement is one round trip. Every write may be sent twice, so a statement whose
answer was lost with its connection is simply sent again, for up to ``db_patience`` seconds.
"""

from __future__ import annotations

import secrets
import time
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.types.json import Jsonb
from psycopg.types.numeric import Int8Dumper
from psycopg_pool import AsyncConnectionPool, PoolClosed, PoolTimeout

from papayya_core import aio, redaction, rules, vault
from papayya_core.contract import AgentRef, Captured, Checkpointed, Closed, Opened, Run, Whose
from papayya_core.errors import StoreRefused, StoreUnavailable
from papayya_core.spool_order_async import hurry, in_order_async
from papayya_core.store import rows
from papayya_core.store.combine_async import AsyncCombiner
from papayya_core.store.cutting import within
from papayya_core.store.sql import statements

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from papayya_core.contract import (
        Agent,
        Body,
        Finding,
        Intake,
        Pauser,
        StepRow,
        Submission,
    )
    from papayya_core.settings import Settings
    from papayya_core.spool import Spool

logger = redaction.logger("papayya.store")

_AGAIN = (
    psycopg.OperationalError,
    psycopg.errors.AdminShutdown,
    psycopg.errors.DeadlockDetected,
    psycopg.errors.SerializationFailure,
    PoolTimeout,
)
_CHECKPOINT_LANES = 4
_LEAST = 1.0  # seconds that a statement has at least before it is cut
_UNCUT = nullcontext()


class AsyncStore:
    """The statements of the contract over a connection pool."""

    def __init__(self, dsn: str, settings: Settings, owner: str) -> None:
        self._settings = settings
        self.patience = settings.db_patience
        self.revive: Callable[[], object] | None = None  # starts a server that is ours to start
        self.before_lease: Callable[[], None] | None = None  # sees to it that leases are renewed
        self.spool: Spool | None = (
            None  # keeps what cannot be written; nothing of its items goes first
        )
        self.dsn = dsn
        self._owner = owner
        self._sql = statements()
        adapters = psycopg.adapt.AdaptersMap(psycopg.adapters)
        adapters.register_dumper(int, Int8Dumper)  # one prepared statement, whatever the values
        self._pool = AsyncConnectionPool(
            dsn,
            min_size=1,
            max_size=settings.pool_size,
            timeout=5.0,
            open=False,
            kwargs={
                "autocommit": True,
                "context": _Context(adapters),
                "prepare_threshold": 0 if settings.prepare else None,
                "application_name": "papayya",
            },
        )
        self._checkpoints = AsyncCombiner(self._flush_steps, _CHECKPOINT_LANES)
        self._hasty = AsyncCombiner(self._flush_hasty, _CHECKPOINT_LANES)

    async def open_pool(self) -> None:
        """Connect; must run before anything else."""
        await self._pool.open(wait=True)

    async def close_pool(self) -> None:
        """Give the connections back."""
        await self._pool.close()

    async def fetch(
        self, name: str, params: Any, patience: float | None = None, *, cut: bool = False
    ) -> list[Any]:
        """Run a named statement; wait and send it again while Postgres is away.

        ``patience``: for how many seconds, when it is not the store's own. ``cut``: no longer,
        either, where an answer does not come though the connection stands.
        """
        began, delay = time.monotonic(), 0.05
        patience = self.patience if patience is None else patience
        timeout = min(5.0, patience)
        while True:
            try:
                connection = await self._pool.getconn(timeout)
                try:
                    left = patience - (time.monotonic() - began)
                    with within(connection, max(_LEAST, left)) if cut else _UNCUT:
                        cursor = await connection.execute(self._sql[name], params)
                    result = cursor.pgresult
                    return await cursor.fetchall() if result and result.nfields else []
                finally:
                    await self._pool.putconn(connection)
            except PoolClosed as error:
                raise StoreUnavailable("the connections of this process were closed") from error
            except _AGAIN as error:
                waited = time.monotonic() - began
                if waited > patience:
                    raise StoreUnavailable(_away(waited)) from error
                if delay > 1:
                    logger.warning("Postgres is away (%s); trying again", _line(error))
                await self._try_to_revive()
            except psycopg.Error as error:
                raise StoreRefused(_refused(name, error)) from error
            await aio.sleep(delay)
            delay = min(2.0, delay * 2)

    async def _try_to_revive(self) -> None:
        if self.revive is not None:
            try:
                await aio.aside(self.revive)
            except Exception as error:  # noqa: BLE001 - the next try will tell
                logger.warning("the embedded Postgres does not start: %s", _line(error))

    async def register_agent(self, agent: Agent) -> AgentRef:
        """Make the agent and its version known."""
        [row] = await self.fetch(
            "register_agent",
            {
                "name": agent.name,
                "version": agent.version,
                "entrypoint": agent.entrypoint,
                "model": agent.model,
                "instructions": rules.presentable(agent.instructions or "") or None,
                "tools": Jsonb(list(agent.tools)),
                "max_steps": agent.max_steps,
                "max_seconds": agent.max_seconds,
                "budget_nusd": agent.budget_nusd,
            },
        )
        return AgentRef(*row)

    async def start_run(
        self,
        name: str,
        *,
        label: str | None = None,
        carrier: str = "plain",
        expect_count: int | None = None,
        expect_keys: Sequence[str] | None = None,
        budget_nusd: int | None = None,
        explicit: bool = True,
        tenant: str | None = None,
    ) -> Run:
        """Make a run, or go on with the one of that name.

        Raises Locked where its items are encrypted, and cannot be read here.
        """
        [row] = await self.fetch(
            "start_run",
            {
                "name": name,
                "label": label,
                "carrier": carrier,
                "expect_count": expect_count,
                "expect_keys": list(expect_keys) if expect_keys is not None else None,
                "budget_nusd": budget_nusd,
            },
        )
        run_id, existed, cancelled = row
        if existed:
            await self._check_key(name, run_id)
        return Run(run_id, name, existed, cancelled, explicit, tenant)

    async def _check_key(self, name: str, run_id: int) -> None:
        """Look whether an input of a run can be read; else its items would be other ones here."""
        for codec, body in await self.fetch("sample_input", {"run": run_id}):
            try:
                rows.unpack_bytes(codec, body)
            except vault.Locked as error:
                raise vault.Locked(
                    f"run {name} was begun with an encryption key: {error}"
                ) from None
            if vault.is_on() and codec != rows.ENCRYPTED:
                logger.warning(
                    "run %s was begun without an encryption key: with one, items that are named by"
                    " their input are other items, and are paid for again",
                    name,
                )

    async def set_budget(self, run_id: int, agent_id: int | None, limit_nusd: int) -> None:
        """Cap what a run, or one agent within it, may spend."""
        await self.fetch("set_budget", {"run": run_id, "agent": agent_id, "limit_nusd": limit_nusd})

    async def seal_run(self, run_id: int) -> None:
        """Say that the run's input was read to its end."""
        await self.fetch("seal_run", {"run": run_id})

    async def capture(
        self, run_id: int, agent_id: int, batch: Sequence[Submission]
    ) -> list[Captured]:
        """Submit items: a row each and a ledger row per tenant, in one transaction."""
        doc, bodies = rows.submission_doc(batch)
        found = await self.fetch(
            "capture",
            {"run": run_id, "agent": agent_id, "source": self._owner, "doc": doc, "bodies": bodies},
        )
        return [Captured(*row) for row in found]

    async def open(
        self,
        item_id: int,
        ref: AgentRef,
        *,
        max_seconds: float | None = None,
        lane: str = "",
        dispatch_no: int | None = None,
        takeover: bool = False,
    ) -> Opened:
        """Lease an item; with the verdict ``go`` its finished steps come along."""
        params = self._lease(ref, max_seconds) | {"digest": None}
        params |= {"item": item_id, "lane": lane, "dispatch_no": dispatch_no, "takeover": takeover}
        await self._in_order(item_id)

        async def give_back(opened: Opened) -> None:
            await self._give_back(item_id, opened)

        async def claim() -> Opened:
            [row] = await self.fetch("open", params)
            return _opened(row)

        return await aio.claim(claim, give_back)

    async def receive(
        self,
        item_id: int,
        ref: AgentRef,
        *,
        digest: bytes,
        dispatch_no: int,
        takeover: bool = False,
        max_deliveries: int | None = None,
    ) -> tuple[Opened, Whose]:
        """Lease the item that a message is about; ``unknown`` when it is not of this submission.

        ``max_deliveries``: of this agent, when it is not the setting's.
        """
        params = self._lease(ref, None) | {"item": item_id, "lane": "", "takeover": takeover}
        params |= {"dispatch_no": dispatch_no, "digest": digest}
        if max_deliveries is not None:
            params["max_deliveries"] = max_deliveries
        await self._in_order(item_id)

        async def give_back(received: tuple[Opened, Whose]) -> None:
            await self._give_back(item_id, received[0])

        async def claim() -> tuple[Opened, Whose]:
            [row] = await self.fetch("receive", params)
            return _opened(row[:-5]), Whose(*row[-5:])

        return await aio.claim(claim, give_back)

    async def enter(
        self, run_id: int, ref: AgentRef, one: Submission, *, max_seconds: float | None = None
    ) -> tuple[Captured, Opened]:
        """Capture one item and lease it, in one round trip."""
        doc, bodies = rows.submission_doc([one])
        params = self._lease(ref, max_seconds)
        params |= {"run": run_id, "agent": ref.agent_id, "source": self._owner}
        params |= {"doc": doc, "bodies": bodies}

        async def give_back(entered: tuple[Captured, Opened]) -> None:
            await self._give_back(entered[0].item_id, entered[1])

        async def claim() -> tuple[Captured, Opened]:
            [(item_id, key, ordinal, fresh, *opened)] = await self.fetch("enter", params)
            return Captured(0, item_id, key, ordinal, "queued", fresh), _opened(opened)

        return await aio.claim(claim, give_back)

    async def _give_back(self, item_id: int, opened: Opened) -> None:
        """End a lease that nobody will use: its caller was interrupted while it was asked for."""
        if opened.verdict == "go" and opened.fence is not None:
            await self.release(item_id, opened.fence, "queued", reason="interrupted")

    def _lease(self, ref: AgentRef, max_seconds: float | None) -> dict[str, Any]:
        if self.before_lease is not None:
            self.before_lease()
        return {
            "owner": self._owner,
            "lease": self._settings.lease_seconds,
            "version": ref.version_id,
            "max_seconds": max_seconds,
            "max_deliveries": self._settings.max_deliveries,
            "token": secrets.randbits(62),
            "enforce": self._settings.mode == "enforce",
        }

    async def _in_order(self, item_id: int) -> None:
        await in_order_async(self.spool, item_id, self.patience)

    async def checkpoint(self, row: StepRow, *, hurry: bool = False) -> Checkpointed:
        """Write one step, together with those of concurrent callers.

        ``hurry``: wait no longer than somebody does who may go on without.
        """
        return await (self._hasty if hurry else self._checkpoints).submit(row)

    async def _flush_hasty(self, batch: list[StepRow]) -> list[Checkpointed]:
        return await self._flush_steps(batch, hurry(self.patience))

    async def _flush_steps(
        self, batch: list[StepRow], patience: float | None = None
    ) -> list[Checkpointed]:
        cut = patience is not None
        if len(batch) == 1:
            row = batch[0]
            if row.parent_n is None and row.error is None and row.body is None:
                plain = rows.plain_params(row)
                [found] = await self.fetch("checkpoint_plain", plain, patience, cut=cut)
            else:
                params = rows.step_params(row)
                [found] = await self.fetch("checkpoint_one", params, patience, cut=cut)
            return [Checkpointed(*found)]
        doc, bodies = rows.step_doc(batch)
        budgeted = any(row.budgeted for row in batch)
        params = {"doc": doc, "bodies": bodies, "budgeted": budgeted}
        found = await self.fetch("checkpoint", params, patience, cut=cut)
        return [Checkpointed(verdict, stored, left) for _, verdict, stored, left in found]

    async def close(
        self,
        item_id: int,
        fence: int,
        state: str,
        *,
        reason: str | None = None,
        body: Body | None = None,
        findings: Sequence[Finding] = (),
        cost_nusd: int = 0,
        tokens: int = 0,
        tell: float | None = None,
    ) -> Closed:
        """End an item; the verdict is completed, failed, cancelled, or lost (an old fence).

        ``tell``: seconds until its carrier is told, unless it says before that it knows.
        """
        params = _ending(item_id, fence, state, reason, findings, cost_nusd, tokens)
        params |= {"hash": None, "codec": None, "size": None, "body": None, "tell": tell}
        if body is not None:
            params |= {"hash": body.hash, "codec": body.codec, "size": body.size, "body": body.data}
        await self._in_order(item_id)
        [row] = await self.fetch("close", params)
        return Closed(*row)

    async def release(
        self,
        item_id: int,
        fence: int,
        state: str,
        *,
        reason: str | None = None,
        delay: float = 0.0,
        findings: Sequence[Finding] = (),
        cost_nusd: int = 0,
        tokens: int = 0,
        lost: bool = False,
        paused_by: Pauser | None = None,
        budget: int | None = None,
        rate: int | None = None,
        wants: int | None = None,
        passes: Sequence[int] = (),
    ) -> tuple[str, int]:
        """End a dispatch, not its item: queued, waiting (``delay`` seconds) or paused.

        ``lost``: its body was left in the middle; what it had in flight may be paid once more.
        ``budget`` or ``rate``: what refused it ``wants``. ``passes``: limits that let it in in vain.
        Returns how it ended, and what the item has cost so far.
        """
        params = _ending(item_id, fence, state, reason, findings, cost_nusd, tokens)
        params |= {"delay": delay, "lost": lost, "paused_by": paused_by}
        params |= {"budget": budget, "rate": rate, "wants": wants, "passes": list(passes)}
        await self._in_order(item_id)
        [[verdict, cost]] = await self.fetch("release", params)
        return str(verdict), cost or 0

    async def publish(
        self, batch: Sequence[Submission], into: Intake, patience: float | None = None
    ) -> list[Captured]:
        """Submit messages before their broker sees them; the run and agent are made when new."""
        if len(batch) == 1 and batch[0].refusal is None:
            params = rows.message_params(batch[0], into, self._owner)
            name = "publish_one"
            if into.most is not None:
                name, params = "publish_one_in_line", (*params, into.most, into.delay)
            [[item_id, ordinal, *rest]] = await self.fetch(name, params, patience)
            return [Captured(0, item_id, batch[0].key, ordinal, *rest)]
        doc, bodies = rows.submission_doc(batch)
        envelopes = [one.envelope.data if one.envelope else None for one in batch]
        fields = into._asdict() | {"source": self._owner, "doc": doc, "bodies": bodies}
        name = "publish" if into.most is None else "publish_in_line"
        found = await self.fetch(name, fields | {"envelopes": envelopes}, patience)
        return [Captured(*row) for row in found]

    async def hand_over(
        self,
        item_id: int,
        fence: int,
        envelope: Body | None,
        *,
        reason: str,
        delay: float,
        resend: float,
        findings: Sequence[Finding] = (),
        cost_nusd: int = 0,
        tokens: int = 0,
    ) -> tuple[str, int]:
        """End the dispatch of an item whose worker is about to send it again by itself.

        Without an envelope the one before stays. Returns the verdict (waiting, queued, or how else
        it ended) and the envelope's number.
        """
        params = _ending(item_id, fence, "queued", reason, findings, cost_nusd, tokens)
        params |= {"delay": delay, "resend": resend}
        fields = ("hash", "codec", "size", "body")
        params |= dict(zip(fields, envelope or (None,) * len(fields), strict=True))
        await self._in_order(item_id)
        [[verdict, number]] = await self.fetch("hand_over", params)
        return str(verdict), int(number)

    async def load_payload(self, item_id: int, payload: bytes) -> str | None:
        """Fetch a payload of the item's tenant as codec text."""
        found = await self.fetch("load_payload", {"item": item_id, "hash": payload})
        return rows.unpack(*found[0]) if found else None


class _Context:
    """Carries our adapters into every connection of the pool (psycopg's AdaptContext)."""

    def __init__(self, adapters: psycopg.adapt.AdaptersMap) -> None:
        self.adapters = adapters
        self.connection = None


def _opened(row: Sequence[Any]) -> Opened:
    verdict, fence, until, reason, known, delivery, left, began, clock, told, passes, spent = row
    delay = max(0.0, (until - clock).total_seconds()) if until is not None else 0.0
    steps, knows = rows.known_steps(known), told is not False
    passes, resumed = tuple(passes or ()), began is not None and began < clock
    about = reason, steps, delivery, left, began, knows, passes, spent or 0, resumed
    return Opened(verdict, fence, delay, *about)


def _ending(
    item_id: int,
    fence: int,
    state: str,
    reason: str | None,
    findings: Sequence[Finding],
    cost_nusd: int,
    tokens: int,
) -> dict[str, Any]:
    return {
        "item": item_id,
        "fence": fence,
        "state": state,
        "reason": reason,
        "findings": rows.finding_doc(findings) if findings else None,
        "cost_nusd": cost_nusd,
        "tokens": tokens,
    }


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


def _away(waited: float) -> str:
    return (
        f"Postgres has been away for {waited:.0f} s. Nothing that was committed is lost: start it, "
        "then run the same command again with PAPAYYA_RUN_ID set to this run."
    )


def _refused(name: str, error: psycopg.Error) -> str:
    if isinstance(error, psycopg.errors.InsufficientPrivilege):
        return f"Postgres refused {name}: {_line(error)}. docs/operations.md lists the grants."
    return f"Postgres refused {name}: {_line(error)}. `papayya doctor` checks the database."
