"""What code inside an item may ask ``run`` for."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import pytest

from papayya import InvalidKey, NotInItem, agent, retrieval, retriever, run
from tests.integration.plain.script import Script, Till


def test_outside_of_any_item(script: Script) -> None:
    """Every method that needs an item says so where there is none, and how to get one."""
    asks: list[Any] = [
        lambda: run.task("a", int),
        run.tool("a")(int),
        lambda: run.retrieve(1),
        lambda: run.cost(usd=1),
        lambda: run.complete(1),
        lambda: run.idempotency_key("a"),
        run.now,
        run.uuid,
        lambda: run.key,
        lambda: run.tenant,
        lambda: run.agent,
        lambda: run.tools,
    ]
    for ask in asks:
        with pytest.raises(NotInItem, match="needs an item"):
            ask()
    assert run.id is None


def test_tasks(script: Script) -> None:
    """Arguments pass through; labels and keys that cannot be stored are refused before the work."""
    till = Till()

    async def later(a: int, *, b: int) -> int:
        return int(till.buy(a + b))

    @agent
    async def work(n: int) -> list[int]:
        sync = run.task("sync", lambda a, b: till.buy(a * b), n, b=3)
        with pytest.raises(InvalidKey):
            run.task("", till.buy, 1)
        with pytest.raises(InvalidKey):
            run.task("a\x00", till.buy, 1)
        with pytest.raises(TypeError):
            run.task("missing")  # type: ignore[call-arg]
        several = await asyncio.gather(*(run.task("several", later, k, b=1) for k in range(5)))
        return [sync, await run.task("async", later, n, b=4), *several]

    assert asyncio.run(work(2)) == [6, 6, 1, 2, 3, 4, 5]
    assert len(till) == 7
    assert len(script.steps("2")) == 7


def test_a_coroutine_that_nobody_awaits(script: Script) -> None:
    """A function that returns something to await is refused with the cause; nothing is stored."""

    async def ask(n: int) -> int:
        return n

    @agent
    def work(n: int) -> Any:
        return run.task("ask", lambda: ask(n))

    with pytest.raises(TypeError, match=r"Pass the async function itself and await run\.task"):
        work(1)
    assert script.steps("1") == [("ask", "failed", 1)]


def test_keys_of_steps(script: Script) -> None:
    """A step is known by label, arguments and ordinal; key= stands in for the arguments."""
    till = Till()
    again = [False]

    @agent
    def work(n: int) -> list[Any]:
        noise = object() if again[0] else b"other"
        found = [run.task("same", till.buy, 1), run.task("same", till.buy, 1)]
        found.append(run.task("same", till.buy, 2))
        found.append(run.task("keyed", lambda _: till.buy("k"), noise, key=("doc", n)))
        found.append(run.task("bare", lambda: till.buy("b")))
        if not again[0]:
            raise KeyboardInterrupt
        return found

    with pytest.raises(KeyboardInterrupt):
        work(1)
    again[0] = True
    script.start(run_id=script.run())
    assert work(1) == [1, 1, 2, "k", "b"]
    assert till == [1, 1, 2, "k", "b"]
    assert script.column("SELECT n FROM papayya.step ORDER BY n") == [1, 2, 3, 4, 5]
    assert script.checks("1") == []


def test_changed_arguments(script: Script) -> None:
    """A known label with other arguments runs again, and the item notes step_input_changed."""
    till = Till()
    version = ["v1"]

    @agent
    def work(n: int) -> str:
        found = run.task("ask", till.buy, version[0])
        if version[0] == "v1":
            raise KeyboardInterrupt
        return str(found)

    with pytest.raises(KeyboardInterrupt):
        work(1)
    version[0] = "v2"
    script.start(run_id=script.run())
    assert work(1) == "v2"
    assert till == ["v1", "v2"]
    assert script.checks("1") == ["step_input_changed"]
    assert script.one("SELECT outcome::text FROM papayya.item") == "ok"


def test_tools(script: Script) -> None:
    """run.tool records each call of a function; run.tools are the agent's own, recorded."""

    def search(query: str) -> list[str]:
        """Search the web."""
        return [query, query]

    async def fetch(url: str) -> str:
        return f"<{url}>"

    @agent(tools=[search, fetch], model="m", instructions="be brief")
    async def work(n: int) -> Any:
        found = run.tool("other")(search)("q")
        assert sorted(run.tools) == ["fetch", "search"]
        assert run.tools["search"].__doc__ == "Search the web."
        page = await run.tools["fetch"]("u")
        assert (run.agent.model, run.agent.instructions) == ("m", "be brief")
        return [found, run.tools["search"]("r"), page]

    assert asyncio.run(work(1)) == [["q", "q"], ["r", "r"], "<u>"]
    assert script.rows("SELECT label, kind, state::text FROM papayya.step ORDER BY n") == [
        ("other", "tool", "completed"),
        ("fetch", "tool", "completed"),
        ("search", "tool", "completed"),
    ]
    assert script.one("SELECT tools, model, instructions FROM papayya.agent_version") == (
        ["search", "fetch"],
        "m",
        "be brief",
    )


def test_retrieve(script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    """run.retrieve finds the newest output under a key, of the same tenant; or asks a retriever."""
    monkeypatch.setattr(retrieval, "_retriever", [])

    @agent
    def learn(doc: dict[str, str]) -> str:
        return doc["text"]

    @agent
    def recall(key: str) -> Any:
        return run.retrieve(key)

    docs = [{"id": "d1", "text": "old"}, {"id": "d2", "text": "two"}]
    list(learn.map(docs, item="id", tenant="acme"))
    list(learn.map([{"id": "d1", "text": "new"}], item="id", tenant="acme"))
    list(learn.map([{"id": "d1", "text": "secret"}], item="id", tenant="other"))
    found = {one.key: one.output for one in recall.map(["d1", "d2", "d3"], tenant="acme")}
    assert found == {"d1": "new", "d2": "two", "d3": None}
    assert script.one("SELECT count(*) FROM papayya.step WHERE kind = 'retrieval'") == 3

    @retriever
    def look(key: object) -> str:
        return f"about {key}"

    assert recall("d9") == "about d9"


def test_cost(script: Script) -> None:
    """Costs go to the step that reports them, or to the item; all of them are the item's."""

    @agent
    def work(n: int) -> None:
        run.task("paid", lambda: run.cost(usd=0.001, tokens=10))
        run.task("also", lambda: run.cost(usd=Decimal("0.0000000015")))
        run.cost(usd="0.1", tokens=5)
        run.cost(tokens=1)
        with pytest.raises(ValueError, match="tokens"):
            run.cost(tokens=-1)
        with pytest.raises(ValueError, match="US dollars"):
            run.cost(usd=-0.1)

    [result] = work.map([1])
    assert result.cost == Decimal("0.101000002")
    assert script.rows("SELECT n, cost_nusd, tokens FROM papayya.step ORDER BY n") == [
        (0, 100_000_000, 6),
        (1, 1_000_000, 10),
        (2, 2, 0),
    ]
    assert script.one("SELECT cost_nusd, tokens FROM papayya.item") == (101_000_002, 16)


def test_cost_of_an_interrupted_item(script: Script) -> None:
    """What an interrupted execution has cost is kept, in steps and outside of them."""
    interrupt = [True]

    @agent
    def work(n: int) -> None:
        run.task("paid", lambda: run.cost(usd="0.02"))
        run.cost(usd="0.01")
        if interrupt[0]:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        work(1)
    interrupt[0] = False
    script.start(run_id=script.run())
    [result] = work.map([1])
    assert result.cost == Decimal("0.04")


def test_complete(script: Script) -> None:
    """run.complete gives the item its output, whatever the function returns."""

    @agent
    def work(n: int) -> Any:
        run.complete({"answer": n})
        return "ignored"

    assert [one.output for one in work.map([1])] == [{"answer": 1}]
    assert work(2) == {"answer": 2}


def test_stable_values(script: Script) -> None:
    """Idempotency keys, run.now and run.uuid are the same in every attempt and execution."""
    seen: list[Any] = []
    trouble = [True, True]

    def charge() -> str:
        key = run.idempotency_key("charge")
        seen.append(key)
        if trouble[0]:
            trouble[0] = False
            raise ConnectionError("try again")
        return key

    @agent
    def work(n: int) -> Any:
        facts = [run.now(), run.uuid(), run.uuid(), run.idempotency_key("charge")]
        charged = run.task("charge", charge)
        second = run.task("charge", charge)
        assert charged != second
        seen.append((facts, charged, second))
        if trouble[1]:
            trouble[1] = False
            raise KeyboardInterrupt
        return facts

    with pytest.raises(KeyboardInterrupt):
        work(1)
    script.start(run_id=script.run())
    work(1)
    attempt_1, attempt_2, _, first, second = seen
    assert attempt_1 == attempt_2
    assert first == second
    assert first[0][1] != first[0][2]
    work(2)
    assert seen[-1][0][1] != first[0][1]


def test_the_names_of_an_item(script: Script) -> None:
    """run.id, run.key and run.tenant name what is current."""

    @agent
    def who(word: str) -> Any:
        return [run.id, run.key, run.tenant]

    with run("named", tenant="acme") as named:
        assert run.id == named.id
        assert who("w") == [named.id, "w", "acme"]
    assert who("w")[0] != named.id
