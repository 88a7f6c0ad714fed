"""The way into a map: inputs become submissions, batches of them are captured, jobs come out."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from papayya.submissions import Job, Occurrences, Prepared, pick, prepare, refuse
from papayya_core import redaction, rules
from papayya_core.checks import Identity
from papayya_core.contract import ENDED

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from papayya.submissions import Pick
    from papayya_core.contract import AgentRef, Captured, Run
    from papayya_core.engine_async import AsyncEngine
    from papayya_core.runtime import Runtime

logger = redaction.logger("papayya")


class AsyncIntake:
    """Captures the inputs of one map; knows the jobs that have not ended yet by item."""

    def __init__(
        self,
        here: Runtime,
        engine: AsyncEngine,
        agent: str,
        ref: AgentRef,
        run: Run,
        tenant: Callable[[Any], object] | str | None,
        item: Pick,
    ) -> None:
        self._here = here
        self._engine = engine
        self._agent = agent
        self._ref = ref
        self._run = run
        self._tenant = tenant
        self._item = item
        self._occurrences = Occurrences()
        self.jobs: dict[int, Job] = {}

    async def take(self, chunk: Sequence[Any]) -> tuple[list[Job], list[int]]:
        """Capture inputs; return the jobs to run and the items that had ended before."""
        batch = [self._prepare(value) for value in chunk]
        found = await self._engine.store.capture(
            self._run.id, self._ref.agent_id, [one.submission for one in batch]
        )
        new: list[Job] = []
        ended: list[int] = []
        for captured in found:
            if captured.state in ENDED:
                ended.append(captured.item_id)
            elif captured.item_id in self.jobs:
                self.jobs[captured.item_id].copies += 1
            else:
                new.append(self._job(batch[captured.seq], captured))
        return new, ended

    def _job(self, one: Prepared, captured: Captured) -> Job:
        if captured.fresh and captured.ordinal > 1:
            logger.warning(
                "item %r was submitted again: this is another item, %s#%d",
                captured.key,
                captured.key,
                captured.ordinal,
            )
        job = Job(captured.item_id, one.submission.tenant, captured.key, captured.ordinal)
        job.args, job.kwargs, job.unstored = one.args, one.kwargs, one.unstored
        job.deliveries = captured.deliveries
        self.jobs[captured.item_id] = job
        return job

    def _prepare(self, value: Any) -> Prepared:
        encoders = self._here.plugins.encoders
        limit = self._here.settings.max_payload_bytes
        try:
            one = prepare((value,), {}, self._identify(value), encoders, limit)
        except Exception as error:  # noqa: BLE001 - item= and tenant= are the user's code
            reason = f"it could not be named: {rules.describe_error(error)}"
            one = refuse((value,), reason, encoders, limit)
        if self._run.explicit:
            return one
        name = one.submission
        ordinal = self._occurrences.next(self._agent, name.tenant, name.key)
        return replace(one, submission=replace(name, ordinal=ordinal))

    def _identify(self, value: Any) -> Identity:
        found = self._here.plugins.identify(self._agent, (value,), {})
        tenant = (
            pick(self._tenant, value, "tenant")
            if callable(self._tenant)
            else self._tenant or found.tenant or self._run.tenant
        )
        return Identity(tenant, pick(self._item, value, "item") or found.item)
