"""A hold and its settlement: what a call and a step that holds have in common."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from papayya_core import aio
from papayya_core.call import Ending
from papayya_core.contract import Checkpointed
from papayya_core.errors import SpoolFull
from papayya_core.refusals import signal_of
from papayya_core.store import callparams
from papayya_core.store.callrows import HoldRow, SettleRow

if TYPE_CHECKING:
    from papayya_core.away_async import AsyncAway
    from papayya_core.call import Held, Priced, Tokens
    from papayya_core.contract import Body
    from papayya_core.errors import Signal
    from papayya_core.execution import Execution, Step

_VOID = Ending("void", error="given up before it was sent")


class AsyncHolding:
    """Holds before money is spent, and settles after; each is one round trip."""

    def __init__(self, away: AsyncAway) -> None:
        self._away = away

    async def hold(
        self, execution: Execution, step: Step | None, held: Held, params: dict[str, Any]
    ) -> HoldRow | None:
        """Ask for a hold, and name it in ``held``. None: Postgres is away, and it is spooled.

        ``params``: what of ``hold`` does not say whose it is. If the caller is cancelled meanwhile,
        it is given up. Raises StoreError.
        """
        token, spare = callparams.token(), callparams.token()
        params = params | {
            "item": execution.item_id,
            "fence": execution.fence,
            "n": step.n if step is not None else 0,
            **_named(held),
            "call": None,
            "token": token,
            "spare": spare,
        }

        def known(found: list[Any] | None) -> HoldRow | None:
            if found is None:
                held.tokens = token, spare
                return None
            row = HoldRow._make(found[0])
            held.id = row.call_id or 0
            return row

        async def ask() -> list[Any] | None:
            keep = self._away.may_spend(execution, step)
            return await self._away.run(execution, "hold", params, keep=keep)

        async def take_back(found: list[Any] | None) -> None:
            known(found)
            if held.id or held.tokens:
                with suppress(SpoolFull):  # it stays, until somebody reconciles it
                    await self.give_up(execution, held)

        return known(await aio.claim(ask, take_back))

    def refusal(self, held: Held, row: HoldRow) -> Signal | None:
        """Return the signal of a hold that was refused."""
        return signal_of(row.refusal, held.asked.provider, held.asked.model)

    def obey(self, execution: Execution, step: Step | None, row: HoldRow) -> None:
        """Take in how the item may go on. Raises the signal that keeps it from that."""
        if row.verdict in ("pause", "cancelled", "lost"):
            execution.told(Checkpointed(row.verdict, stored=False, left_nusd=None))
            execution.obey()
        if row.reason is not None:  # of an observer
            check = "would_pause" if row.rate_id is None else "would_wait"
            execution.note_once(check, row.reason, step.n if step is not None else None)

    async def give_up(self, execution: Execution, held: Held) -> None:
        """Void a hold under which nothing was sent. Raises StoreError."""
        await self.settle(execution, held, _VOID)

    async def settle(
        self,
        execution: Execution,
        held: Held,
        ending: Ending,
        *,
        tokens: Tokens | None = None,
        estimated: bool = False,
        priced: Priced | None = None,
        body: Body | None = None,
    ) -> SettleRow | None:
        """Settle a hold. None: Postgres is away, and it is spooled. Raises StoreError.

        ``body``: what the journal keeps of the answer.
        """
        nusd, source = priced or (None, None)
        token, spare = held.tokens or (None, None)
        params = callparams.settle_params(ending) | callparams.token_params(tokens)
        params |= callparams.payload(body) | {
            "item": execution.item_id,
            **_named(held),
            "call": held.id if held.tokens is None else None,
            "token": token,
            "spare": spare,
            "cost": nusd,
            "source": source,
            "estimated": estimated,
        }
        if held.tokens is not None:  # nothing may overtake its beginning
            if not self._away.keep(execution, "settle", params):
                raise SpoolFull("the spool holds its beginning, and has no room for its end")
            return None
        found = await self._away.run(execution, "settle", params, keep=True)
        return None if found is None else SettleRow._make(found[0])


def _named(held: Held) -> dict[str, Any]:
    """Name the parameters that say which call of its item it is."""
    return {"scope": held.scope, "key": held.key, "ordinal": held.ordinal}
