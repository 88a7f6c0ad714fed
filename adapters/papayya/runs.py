"""Runs of plain Python: named ones as context managers, and the ambient one of bare calls."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Collection
from types import TracebackType
from typing import Self

from papayya import unread
from papayya.definitions import budget_nusd
from papayya.say import say
from papayya.submissions import Occurrences
from papayya_core import context, rules
from papayya_core.contract import Agent, Run
from papayya_core.runtime import Runtime, runtime

CARRIER = "plain"


def new_name(label: str) -> str:
    """Make a run's name: what it is of, when it began, and four random digits."""
    stamp = time.strftime("%Y%m%d-%H%M%S")
    return f"{label[:80]}-{stamp}-{secrets.token_hex(2)}"


def say_resume(run: Run) -> None:
    """Tell, on stderr, which run this is and how to go on with it."""
    verb = " resumes" if run.existed else ""
    say(f"run {run.name}{verb}; to go on with it: PAPAYYA_RUN_ID={run.name}")


class NamedRun:
    """``with run("nightly", tenant="acme") as nightly:`` groups calls and maps under one run.

    ``name`` is what kind of run it is; each start makes a new one with an id of its own, printed,
    unless ``run_id`` names one to go on with. Leaving the block without an exception seals it, if
    each of its maps was read to its end.
    """

    def __init__(
        self,
        name: str,
        *,
        tenant: str | None = None,
        budget_usd: object = None,
        expect: int | Collection[str] | None = None,
        run_id: str | None = None,
    ) -> None:
        self._label = rules.check_name(name, "a run's name")
        self._tenant = rules.check_name(tenant, "a tenant") if tenant is not None else None
        self._budget = budget_nusd(budget_usd)
        self._count, self._keys = _expected(expect)
        self._id = run_id
        self._before: Run | None = None
        self._unread: frozenset[unread.Reading] = frozenset()
        self.run: Run | None = None

    @property
    def id(self) -> str:
        """The run's id; give it as ``run_id`` or PAPAYYA_RUN_ID to go on with it."""
        if self.run is None:
            msg = "the run has no id before its block is entered"
            raise RuntimeError(msg)
        return self.run.name

    def __enter__(self) -> Self:
        here = runtime()
        if here.settings.mode == "off":
            return self
        given = self._id or here.settings.run_id
        self.run = here.engine().store.start_run(
            rules.check_name(given or new_name(self._label), "a run id"),
            label=self._label,
            carrier=CARRIER,
            expect_count=self._count,
            expect_keys=self._keys,
            budget_nusd=self._budget,
            tenant=self._tenant,
        )
        if not given:
            say_resume(self.run)
        self._unread = unread.of(self.run.id)
        self._before = context.block_run()
        context.enter_run(self.run)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        if self.run is None:
            return
        context.enter_run(self._before)
        if kind is not None:
            return
        if unread.of(self.run.id) <= self._unread:
            runtime().engine().store.seal_run(self.run.id)
        else:
            say(
                f"run {self.run.name} is not sealed: a map was not read to its end; to go on with "
                f"it: PAPAYYA_RUN_ID={self.run.name}"
            )

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self.__exit__(kind, error, tb)


def _expected(expect: object) -> tuple[int | None, list[str] | None]:
    """Return how many items a run expects, and their keys if it knows them."""
    if expect is None:
        return None, None
    if isinstance(expect, int) and not isinstance(expect, bool) and 0 <= expect < 2**62:
        return expect, None
    if isinstance(expect, Collection) and not isinstance(expect, str | bytes):
        keys = sorted(rules.check_name(key, "a key in expect=") for key in expect)
        return len(keys), keys
    msg = f"expect= takes a number of items (0 or more) or a collection of keys, not {expect!r}"
    raise (ValueError if isinstance(expect, int) else TypeError)(msg)


class _Ambient:
    """The runs of bare calls: one per process and agent."""

    def __init__(self, here: Runtime) -> None:
        self.owner = here
        self.occurrences = Occurrences()
        self._runs: dict[str, Run] = {}
        self._lock = threading.Lock()

    def run(self, agent: str) -> Run:
        with self._lock:
            if agent not in self._runs:
                store = self.owner.engine().store
                given = self.owner.settings.run_id
                name = rules.check_name(given or new_name(agent), "PAPAYYA_RUN_ID")
                started = store.start_run(name, label=agent, carrier=CARRIER, explicit=False)
                self._runs[agent] = started
                say_resume(started)
                before = unread.of(started.id)

                def seal() -> None:
                    if unread.of(started.id) <= before:
                        store.seal_run(started.id)

                self.owner.at_exit(seal)
            return self._runs[agent]


_ambient: _Ambient | None = None
_ambient_lock = threading.Lock()


def ambient() -> _Ambient:
    """Return the ambient runs of this process's runtime."""
    global _ambient  # noqa: PLW0603 - one per runtime
    with _ambient_lock:
        here = runtime()
        if _ambient is None or _ambient.owner is not here:
            _ambient = _Ambient(here)
        return _ambient


def named_run() -> Run | None:
    """Return the run that is current here: the current item's, else the block's."""
    execution = context.current()
    return execution.run if execution is not None else context.block_run()


def cap(here: Runtime, run: Run, agent: Agent) -> None:
    """Put the agent's budget on its part of a run, once per process."""
    if agent.budget_nusd is None:
        return
    ref = here.register(agent)
    mark = (run.id, ref.version_id)
    if mark not in here.capped:
        here.engine().store.set_budget(run.id, ref.agent_id, agent.budget_nusd)
        here.capped.add(mark)
