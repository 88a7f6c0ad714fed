"""Whose item a map begins next."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from papayya import agent
from tests.integration.plain.script import Script

TENANTS = [*"aaaaaa", *"bb", "c"]


@agent
def echo(given: tuple[int, str]) -> str:
    return given[1]


@agent
async def aecho(given: tuple[int, str]) -> str:
    return given[1]


async def collected(results: Any) -> list[Any]:
    return [one async for one in results]


WAYS: dict[str, Callable[[list[Any], Any], list[Any]]] = {
    "threads": lambda items, of: list(echo.map(items, tenant=of, concurrency=1)),
    "a loop": lambda items, of: asyncio.run(collected(aecho.amap(items, tenant=of, concurrency=1))),
}


@pytest.mark.parametrize("way", WAYS)
def test_tenants_take_turns(script: Script, way: str) -> None:
    """A tenant with few items does not wait for all of the one that came first with many."""
    results = WAYS[way](list(enumerate(TENANTS)), lambda one: one[1])
    order = "".join(one.tenant for one in results)
    assert sorted(order) == sorted(TENANTS)
    assert order.rindex("b") <= 5
    assert order.index("c") <= 3
