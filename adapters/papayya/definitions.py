"""What an agent is, read from the function and the arguments of the decorator."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any, get_args

from papayya_core import rules
from papayya_core.contract import Agent, Capture
from papayya_core.fingerprints import version_of


def define(
    fn: Callable[..., Any],
    *,
    name: str | None,
    model: str | None,
    instructions: str | None,
    tools: Iterable[Callable[..., Any]],
    max_steps: int | None,
    max_seconds: float | None,
    budget_usd: object,
    output: Any,
    capture: Capture | None = None,
    max_item_usd: object = None,
    clamp: bool | None = None,
) -> Agent:
    """Build the definition of an agent; its version is a fingerprint of code and prompt.

    Raises InvalidKey for a bad name, ValueError for limits that are not above zero.
    """
    for limit, what in ((max_steps, "max_steps"), (max_seconds, "max_seconds")):
        if limit is not None and not limit > 0:
            msg = f"{what} must be above 0, not {limit!r}; leave it out for no limit"
            raise ValueError(msg)
    if capture not in (None, *get_args(Capture)):
        msg = f"capture must be one of {', '.join(get_args(Capture))}, not {capture!r}"
        raise ValueError(msg)
    names = tuple(_tool_name(tool) for tool in tools)
    return Agent(
        name=rules.check_name(name or fn.__name__, "an agent's name"),
        version=version_of(fn, model, instructions, names, _schema(output)),
        entrypoint=f"{fn.__module__}:{fn.__qualname__}",
        model=model,
        instructions=instructions,
        tools=names,
        max_steps=max_steps,
        max_seconds=max_seconds,
        budget_nusd=budget_nusd(budget_usd),
        output=output,
        capture=capture,
        max_item_nusd=budget_nusd(max_item_usd, "max_item_usd"),
        clamp=None if clamp is None else bool(clamp),
    )


def budget_nusd(budget_usd: object, what: str = "budget_usd") -> int | None:
    """Convert a cap to nano-dollars. Raises ValueError for one too small to be told from none."""
    if budget_usd is None:
        return None
    nano = rules.nano_usd(budget_usd)
    if nano == 0 and budget_usd and Decimal(str(budget_usd)):
        msg = (
            f"{what}={budget_usd!r} is less than the smallest amount, a billionth of a US "
            "dollar; 0 pauses at once, None sets no cap"
        )
        raise ValueError(msg)
    return nano


def _tool_name(tool: Callable[..., Any]) -> str:
    return str(getattr(tool, "__name__", type(tool).__name__))


def _schema(output: Any) -> Any:
    if output is None:
        return None
    from pydantic import TypeAdapter

    try:
        return TypeAdapter(output).json_schema()
    except Exception as error:
        msg = f"output={output!r} is no type that pydantic can check: {rules.describe_error(error)}"
        raise TypeError(msg) from error
