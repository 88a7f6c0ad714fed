"""What becomes of an item's statements while Postgres is away: they wait, or they are spooled.

What is paid is spooled in any case, and the caller gets its answer. Whether new money may be spent
meanwhile is the policy: `stop` waits, `continue` spools what is about to be done as well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from papayya_core.contract import Checkpointed
from papayya_core.errors import StoreUnavailable
from papayya_core.spool_order_async import hurry, in_order_async
from papayya_core.store import rows

if TYPE_CHECKING:
    from collections.abc import Mapping

    from papayya_core.contract import StepRow
    from papayya_core.execution import Execution, Step
    from papayya_core.settings import Settings
    from papayya_core.spool import Spool
    from papayya_core.store.store_async import AsyncStore


class AsyncStatements(Protocol):
    """The part of a store that calls need."""

    @property
    def spool(self) -> Spool | None:
        """What is kept while Postgres is away; None: nothing, all waits."""

    @property
    def patience(self) -> float:
        """For how many seconds a statement waits for Postgres."""

    async def fetch(
        self, name: str, params: Any, patience: float | None = None, *, cut: bool = False
    ) -> list[Any]:
        """Run a named statement."""
        ...


class AsyncAway:
    """Runs the statements of an item, or spools them."""

    def __init__(self, store: AsyncStatements, settings: Settings) -> None:
        self._store = store
        self._settings = settings

    def may_spend(self, execution: Execution, step: Step | None) -> bool:
        """Tell whether new money may be spent without Postgres.

        What ran before waits: the journal may have the answer that it is about to ask for.
        """
        return self.goes_on(execution) and not execution.may_be_answered(step)

    def goes_on(self, execution: Execution) -> bool:
        """Tell whether an item may go on without Postgres."""
        spool, policy = self._store.spool, self._settings.away
        if spool is None or spool.is_closed or not execution.fence:
            return False
        return policy == "continue" or (policy is None and not execution.is_budgeted)

    async def run(
        self, execution: Execution, name: str, params: Mapping[str, Any], *, keep: bool
    ) -> list[Any] | None:
        """Run a statement after what is spooled of its item; None: it is spooled now, too.

        ``keep``: it may be spooled; else it waits. Raises StoreError.
        """
        item = execution.item_id
        spool = self._store.spool
        if spool is not None and keep:
            try:
                return await self._hurry(spool, name, params, item)
            except StoreUnavailable:
                if spool.keep(name, params, item):
                    return None
        await in_order_async(spool, item, self._store.patience)
        return await self._store.fetch(name, params, cut=True)

    async def _hurry(
        self, spool: Spool, name: str, params: Mapping[str, Any], item: int
    ) -> list[Any]:
        if spool.is_away:
            raise StoreUnavailable("Postgres was away just now")
        patience = hurry(self._store.patience)
        await in_order_async(spool, item, patience)
        return await self._store.fetch(name, params, patience, cut=True)

    def keep(self, execution: Execution, name: str, params: Mapping[str, Any]) -> bool:
        """Spool what belongs to something that is spooled; False when that cannot be done."""
        spool = self._store.spool
        return spool is not None and spool.keep(name, params, execution.item_id)


class AsyncCheckpoints:
    """Writes checkpoints, or spools them where an item may go on without Postgres."""

    def __init__(self, store: AsyncStore, settings: Settings) -> None:
        self._store = store
        self._away = AsyncAway(store, settings)

    async def write(self, execution: Execution, row: StepRow) -> Checkpointed:
        """Write one step. Raises StoreError."""
        spool = self._store.spool
        if spool is not None and self._away.goes_on(execution):
            try:
                return await self._hurry(spool, row)
            except StoreUnavailable:
                if self._away.keep(execution, "checkpoint_one", rows.step_params(row)):
                    return Checkpointed("go", stored=False, left_nusd=None)
        await in_order_async(spool, row.item_id, self._store.patience)
        return await self._store.checkpoint(row)

    async def _hurry(self, spool: Spool, row: StepRow) -> Checkpointed:
        if spool.is_away:
            raise StoreUnavailable("Postgres was away just now")
        patience = hurry(self._store.patience)
        await in_order_async(spool, row.item_id, patience)
        return await self._store.checkpoint(row, hurry=True)
