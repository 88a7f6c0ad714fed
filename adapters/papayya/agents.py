"""``@agent``: the function you already have, made accountable per item."""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import AsyncIterable, Callable, Iterable
from typing import Any, Generic, ParamSpec, TypeVar, overload

from papayya import amapping, calls, calls_async, mapping, runs
from papayya.definitions import define
from papayya.mapresults import AsyncMapResults, MapResults
from papayya.submissions import Pick
from papayya.unread import Reading
from papayya_core import rules
from papayya_core.contract import Agent, Capture

P = ParamSpec("P")
R = TypeVar("R")

CONCURRENCY = 8
registry: dict[str, AgentFunction[Any, Any]] = {}


class AgentFunction(Generic[P, R]):
    """An agent: calling it runs one item; ``map`` and ``amap`` run many."""

    def __init__(
        self, fn: Callable[P, R], definition: Agent, tools: dict[str, Callable[..., Any]]
    ) -> None:
        functools.update_wrapper(self, fn)
        self.fn = fn
        self.definition = definition
        self.tools = tools
        self.is_async = inspect.iscoroutinefunction(fn)
        if self.is_async:
            _mark_coroutine(self)
        registry[definition.name] = self

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run one item and return what the function returns; its exceptions pass unchanged."""
        run: Any = calls_async.call if self.is_async else calls.call
        return run(self, args, kwargs)  # type: ignore[no-any-return]

    def __repr__(self) -> str:
        return f"<agent {self.definition.name} version {self.definition.version}>"

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        return self if instance is None else types.MethodType(self, instance)

    def map(
        self,
        items: Iterable[Any],
        *,
        tenant: Callable[[Any], object] | str | None = None,
        item: Pick = None,
        concurrency: int = CONCURRENCY,
    ) -> MapResults:
        """Run the agent over items side by side; yield one ItemResult each, as they end.

        ``tenant``: the tenant of all of them, or a function of the item. ``item``: what names an
        item, a function of it or a dotted path into it; without it an item is named by its
        content. An item that raises yields a failed result and stops nothing.
        """
        _check_map(concurrency, tenant)
        run = amapping.map_coroutines if self.is_async else mapping.map_items
        reading = Reading(self.definition.name, runs.named_run())
        return MapResults(reading, run(self, items, tenant, item, concurrency, reading))

    def amap(
        self,
        items: Iterable[Any] | AsyncIterable[Any],
        *,
        tenant: Callable[[Any], object] | str | None = None,
        item: Pick = None,
        concurrency: int = CONCURRENCY,
    ) -> AsyncMapResults:
        """Do what ``map`` does, in the running event loop."""
        _check_map(concurrency, tenant)
        reading = Reading(self.definition.name, runs.named_run())
        results = amapping.amap_items(self, items, tenant, item, concurrency, reading)
        return AsyncMapResults(reading, results)


def _check_map(concurrency: int, tenant: object) -> None:
    if concurrency < 1:
        msg = f"concurrency must be 1 or more, not {concurrency!r}"
        raise ValueError(msg)
    if tenant is not None and not callable(tenant):
        rules.check_name(tenant, "a tenant")


def _mark_coroutine(function: Any) -> None:
    if hasattr(inspect, "markcoroutinefunction"):
        inspect.markcoroutinefunction(function)
    else:  # Python 3.11: what asyncio.iscoroutinefunction looks for
        import asyncio.coroutines

        function._is_coroutine = asyncio.coroutines._is_coroutine  # type: ignore[attr-defined]  # noqa: SLF001


@overload
def agent(fn: Callable[P, R], /) -> AgentFunction[P, R]: ...
@overload
def agent(
    *,
    name: str | None = None,
    model: str | None = None,
    instructions: str | None = None,
    tools: Iterable[Callable[..., Any]] = (),
    max_steps: int | None = None,
    max_seconds: float | None = None,
    budget_usd: object = None,
    output: Any = None,
    capture: Capture | None = None,
    max_item_usd: object = None,
    clamp: bool | None = None,
) -> Callable[[Callable[P, R]], AgentFunction[P, R]]: ...
def agent(
    fn: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    model: str | None = None,
    instructions: str | None = None,
    tools: Iterable[Callable[..., Any]] = (),
    max_steps: int | None = None,
    max_seconds: float | None = None,
    budget_usd: object = None,
    output: Any = None,
    capture: Capture | None = None,
    max_item_usd: object = None,
    clamp: bool | None = None,
) -> Any:
    """Make a function an agent: each call of it is an item with steps, an outcome and a cost.

    ``name``: the function's by default. ``model``, ``instructions``, ``tools``: part of its
    version, and at hand in the item as ``run.agent`` and ``run.tools``. ``max_steps``,
    ``max_seconds``: an item that passes them ends as failed. ``budget_usd``: what the agent may
    spend in one run before its items pause. ``output``: a type that every output must match; one
    that does not is flagged (``schema_violation``), never changed. ``capture``: what is kept of
    its prompts and answers (``full``, ``hash``, ``off``) when PAPAYYA_CAPTURE is not to say it.
    ``max_item_usd``: what one item may spend on calls; the call that could pass it is not sent, and
    the item parks. ``clamp``: lower a request's limit of output to what its budgets leave, or never
    do, when PAPAYYA_CLAMP is not to say it.
    """

    def decorate(function: Callable[..., Any]) -> AgentFunction[Any, Any]:
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            msg = f"{function.__name__} is a generator: an agent returns one result per item"
            raise TypeError(msg)
        chosen = tuple(tools)
        definition = define(
            function,
            name=name,
            model=model,
            instructions=instructions,
            tools=chosen,
            max_steps=max_steps,
            max_seconds=max_seconds,
            budget_usd=budget_usd,
            output=output,
            capture=capture,
            max_item_usd=max_item_usd,
            clamp=clamp,
        )
        return AgentFunction(function, definition, dict(zip(definition.tools, chosen, strict=True)))

    return decorate if fn is None else decorate(fn)
