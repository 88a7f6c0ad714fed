"""``run``: the current run and item, wherever code asks for it."""

from __future__ import annotations

import functools
import inspect
import uuid
from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from types import FunctionType, MappingProxyType
from typing import Any

from papayya import retrieval
from papayya.runs import NamedRun, named_run
from papayya_core import codec, context, rules
from papayya_core.contract import Agent, StepCall
from papayya_core.errors import NotInItem, Signal
from papayya_core.execution import Execution
from papayya_core.runtime import runtime


class ItemMethods:
    """What code inside an item may ask for. Subclasses say which item is meant."""

    def _execution(self) -> Execution | None:
        raise NotImplementedError

    def _item(self, verb: str) -> Execution:
        execution = self._execution()
        if execution is None:
            msg = (
                f"run.{verb} needs an item: call it inside an @agent, after papayya().run(…), or, "
                "in a thread of your own, through papayya.bind"
            )
            raise NotInItem(msg)
        return execution

    def task(
        self,
        label: str,
        fn: Callable[..., Any],
        *args: Any,
        key: object = None,
        max_cost: object = None,
        side_effect: bool = False,
        **kwargs: Any,
    ) -> Any:
        """Run a step at once, or return its finished result. Await it when ``fn`` is async.

        A step is the same again when its label, its arguments and how often both came are the
        same; ``key`` stands in for the arguments. ``max_cost``: US dollars; without that much
        left of a budget the item pauses instead. ``side_effect``: record that it began, never try
        it twice in one go, and say so when a crash makes it run again.
        """
        return self._step(label, fn, args, kwargs, key, max_cost, side_effect, "task")

    def _step(
        self,
        label: str,
        fn: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        key: object = None,
        max_cost: object = None,
        side_effect: bool = False,
        kind: str = "task",
    ) -> Any:
        if _is_off():
            return fn(*args, **kwargs)
        call = StepCall(
            rules.check_name(label, "a label"),
            fn,
            args,
            kwargs,
            _args_hash(args, kwargs, key),
            kind,
            None if max_cost is None else rules.nano_usd(max_cost),
            side_effect,
        )
        execution = self._item("task")
        if is_async(fn):
            return _arun(execution, call)
        try:
            return runtime().engine().steps.run(execution, call)
        except Signal:
            _leave(execution)
            raise

    def tool(self, name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Record every call of a function as a step of kind ``tool``: ``run.tool("search")(fn)``."""

        def wrap(fn: Callable[..., Any]) -> Callable[..., Any]:
            @functools.wraps(fn)
            def recorded(*args: Any, **kwargs: Any) -> Any:
                return self._step(name, fn, args, kwargs, kind="tool")

            return recorded

        return wrap

    @property
    def tools(self) -> Mapping[str, Callable[..., Any]]:
        """The agent's own tools by name, each recorded when it is called."""
        from papayya.agents import registry

        owner = registry.get(self._item("tools").agent.name)
        tools = owner.tools if owner is not None else {}
        return MappingProxyType({name: self.tool(name)(fn) for name, fn in tools.items()})

    def retrieve(self, id: object) -> Any:  # noqa: A002 - the product's word
        """Fetch what is known about ``id``, as a step of kind ``retrieval``.

        Through the function given to ``papayya.retriever``; without one, the newest output that
        was stored under this key for the same tenant, or None.
        """
        execution = self._item("retrieve")
        fn = retrieval.current() or functools.partial(retrieval.remembered, execution.item_id)
        return self._step("retrieve", fn, (id,), {}, kind="retrieval")

    def cost(self, usd: object = 0, tokens: int = 0) -> None:
        """Report what the current step cost; outside any step, the item. US dollars, tokens."""
        execution = self._execution()
        if execution is None and _is_off():
            return
        if not isinstance(tokens, int) or isinstance(tokens, bool) or not 0 <= tokens < 2**62:
            msg = f"tokens must be a whole number (int) from 0 to below 2**62, not {tokens!r}"
            raise ValueError(msg)
        self._item("cost").add_cost(context.current_step(), rules.nano_usd(usd), tokens)

    def complete(self, result: Any) -> None:
        """Make ``result`` the item's output, whatever the function returns."""
        self._item("complete").complete(result)

    def idempotency_key(self, label: str) -> str:
        """Return a key for the effect of a step: the same in all its attempts and after a crash."""
        return self._item("idempotency_key").idempotency_key(label, context.current_step())

    def now(self) -> datetime:
        """Return when the item began: the same in every execution of it."""
        began = self._item("now").began
        assert began is not None  # noqa: S101 - set by open
        return began

    def uuid(self) -> uuid.UUID:
        """Return the item's next UUID: the n-th is the same in every execution of it."""
        return self._item("uuid").next_uuid()

    @property
    def agent(self) -> Agent:
        """The current agent's definition: model, instructions, limits."""
        return self._item("agent").agent

    @property
    def key(self) -> str:
        """The current item's key."""
        return self._item("key").shown_key

    @property
    def tenant(self) -> str:
        """The current item's tenant."""
        return self._item("tenant").tenant


class CurrentRun(ItemMethods):
    """The proxy ``papayya.run``: methods of the current item; called, a named run."""

    def _execution(self) -> Execution | None:
        return context.current()

    def __call__(
        self,
        name: str,
        *,
        tenant: str | None = None,
        budget_usd: object = None,
        expect: int | Collection[str] | None = None,
        run_id: str | None = None,
    ) -> NamedRun:
        """Open a named run: ``with run("nightly", tenant="acme", expect=1000) as nightly:``.

        ``tenant``: for all its items. ``budget_usd``: a cap; its items pause there. ``expect``: a
        number of items or their keys; the audit names what never came. ``run_id``: go on with it.
        """
        return NamedRun(name, tenant=tenant, budget_usd=budget_usd, expect=expect, run_id=run_id)

    @property
    def id(self) -> str | None:
        """The id of the current run; None outside any."""
        current = named_run()
        return current.name if current is not None else None


def is_async(fn: Callable[..., Any]) -> bool:
    """Tell whether calling ``fn`` gives something to await."""
    while isinstance(fn, functools.partial):
        fn = fn.func
    if getattr(fn, "is_async", False) is True or inspect.iscoroutinefunction(fn):
        return True
    if isinstance(fn, FunctionType):
        return False
    return inspect.iscoroutinefunction(getattr(fn, "__call__", None))  # noqa: B004


async def _arun(execution: Execution, call: StepCall) -> Any:
    engine = await runtime().async_engine()
    try:
        return await engine.steps.run(execution, call)
    except Signal:
        _leave(execution)
        raise


def _leave(execution: Execution) -> None:
    """Let an item that is opened by hand turn a signal into an exception, at the outermost step."""
    if execution.on_signal is not None and context.current_step() is None:
        execution.on_signal()


def _is_off() -> bool:
    """Tell whether nothing is to be recorded here: by the settings, or of this piece of work."""
    return context.is_left_alone() or runtime().settings.mode == "off"


def _args_hash(args: tuple[Any, ...], kwargs: dict[str, Any], key: object) -> bytes:
    if key is not None:
        args, kwargs = ("key=", key), {}
    return codec.arguments_digest(args, kwargs)[:16]
