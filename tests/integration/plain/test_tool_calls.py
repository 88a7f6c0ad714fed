"""Tools and retrievals: each is a call, with what went in, what came out, and its own cost."""

from __future__ import annotations

from typing import Any

import pytest

import papayya
from papayya import NonRetriable, agent, retrieval, run
from papayya_core import codec
from papayya_core.store import rows
from tests.integration.plain.script import Script

CALLS = "SELECT kind::text, model, state::text, error, cost_nusd FROM papayya.call ORDER BY id"
SUMS = "SELECT i.cost_nusd, i.calls, (SELECT sum(cost_nusd) FROM papayya.spend) FROM papayya.item i"


def stored(script: Script, which: str) -> list[Any]:
    """Read the requests or responses of calls, in order."""
    found = script.rows(
        f"SELECT p.codec, p.body FROM papayya.call k LEFT JOIN papayya.payload p"
        f" ON p.hash = k.{which}_hash ORDER BY k.id"
    )
    return [body and codec.decode(rows.unpack(number, body)) for number, body in found]


def test_tool(script: Script) -> None:
    """A tool's call has its arguments, its answer and what it said to have cost; once."""

    def search(query: str, limit: int = 3) -> list[str]:
        run.cost(usd="0.25", tokens=4)
        return [query] * limit

    @agent
    def ask(query: str) -> list[str]:
        run.cost(usd="0.5")
        found: list[str] = run.tool("search")(search)(query, limit=2)
        return found

    assert ask("q") == ["q", "q"]
    assert script.rows(CALLS) == [("tool", "search", "answered", None, 250_000_000)]
    assert stored(script, "request") == [{"args": ["q"], "kwargs": {"limit": 2}}]
    assert stored(script, "response") == [["q", "q"]]
    assert script.one(SUMS) == (750_000_000, 1, 750_000_000)


def test_failed_tool(script: Script) -> None:
    """A tool that raised is a failed call, each time it was tried, and what it cost stays."""

    def broken() -> None:
        run.cost(usd=1)
        raise NonRetriable("no such page")

    @agent
    def ask(item: str) -> None:
        run.tool("fetch")(broken)()

    with pytest.raises(NonRetriable):
        ask("a")
    [(kind, model, state, error, cost)] = script.rows(CALLS)
    assert (kind, model, state, cost) == ("tool", "fetch", "failed", 10**9)
    assert error == "NonRetriable: no such page"
    assert script.one(SUMS) == (10**9, 1, 10**9)


def test_finished_tool(script: Script) -> None:
    """A finished tool is not called again when its item runs again."""
    called: list[str] = []

    @agent
    def ask(item: str) -> int:
        run.tool("count")(called.append)(item)
        if len(called) == 1 and not script.rows("SELECT FROM papayya.finding"):
            raise RuntimeError
        return len(called)

    with run("nightly", run_id="n"):
        with pytest.raises(RuntimeError):
            ask("a")
        script.rows("SELECT papayya.retry_v1('n', NULL)")
        assert ask("a") == 1
    assert len(script.rows(CALLS)) == 1


@pytest.mark.anyio
async def test_async_tool(script: Script) -> None:
    """An async tool is recorded just the same."""

    async def fetch(url: str) -> str:
        return f"<{url}>"

    @agent
    async def ask(url: str) -> str:
        found: str = await run.tool("fetch")(fetch)(url)
        return found

    assert await ask("u") == "<u>"
    assert stored(script, "response") == ["<u>"]


def test_retrieval(script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was retrieved is a call of kind retrieval."""
    monkeypatch.setattr(retrieval, "_retriever", [])

    @papayya.retriever
    def lookup(key: str) -> list[str]:
        return [f"doc {key}"]

    @agent
    def ask(key: str) -> list[str]:
        found: list[str] = run.retrieve(key)
        return found

    assert ask("k") == ["doc k"]
    assert script.rows(CALLS) == [("retrieval", "retrieve", "answered", None, 0)]
    assert stored(script, "response") == [["doc k"]]


def test_what_cannot_be_stored(script: Script) -> None:
    """A tool whose arguments cannot be stored works all the same, and is a call."""

    @agent
    def ask(item: str) -> bool:
        made: object = run.tool("make")(lambda _: object())(object())
        return made is not None

    assert ask("a") is True
    assert script.rows(CALLS) == [("tool", "make", "answered", None, 0)]
    assert stored(script, "request") == [None]
