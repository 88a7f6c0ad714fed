"""Bare calls: an agent that is called like the function it was."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from papayya import NotInItem, agent, bind, run
from tests.integration.plain.script import Script, Till


@agent
def shout(word: Any) -> str:
    """Say it loud."""
    return str(run.task("upper", lambda: str(word).upper()))


@agent
async def ashout(word: str) -> str:
    async def upper(text: str) -> str:
        await asyncio.sleep(0)
        return text.upper()

    return str(await run.task("upper", upper, word))


def test_sync_and_async(script: Script, capsys: pytest.CaptureFixture[str]) -> None:
    """A call returns what the function returns, as one item with its steps; its run is printed."""
    assert shout("hi") == "HI"
    assert shout.__doc__ == "Say it loud."
    assert asyncio.run(ashout("ho")) == "HO"
    assert script.states() == {"hi": "completed", "ho": "completed"}
    assert script.steps("ho") == [("upper", "completed", 1)]
    printed = capsys.readouterr().err
    names = script.column("SELECT name FROM papayya.run ORDER BY id")
    assert [name.partition("-")[0] for name in names] == ["shout", "ashout"]
    assert all(f"PAPAYYA_RUN_ID={name}" in printed for name in names)
    script.start()
    assert None not in script.column("SELECT sealed_at FROM papayya.run")


def test_methods_and_tasks(script: Script) -> None:
    """An agent may be a method, and many async calls share one loop."""

    class Desk:
        prefix = "re: "

        @agent(name="answer")
        def answer(self, text: str) -> str:
            return self.prefix + text

    assert Desk().answer("hello") == "re: hello"

    async def many() -> list[str]:
        return await asyncio.gather(*(ashout(f"w{n}") for n in range(20)))

    assert asyncio.run(many()) == [f"W{n}" for n in range(20)]
    assert list(script.states().values()) == ["completed"] * 21


def test_exceptions_pass_unchanged(script: Script) -> None:
    """The function's own exception object reaches the caller; the item failed, others go on."""
    trouble = ValueError("no such word")

    @agent
    def picky(word: str) -> str:
        if word == "bad":
            raise trouble
        return word

    with pytest.raises(ValueError, match="no such word") as caught:
        picky("bad")
    assert caught.value is trouble
    assert picky("good") == "good"
    assert script.states() == {"bad": "failed", "good": "completed"}
    assert script.checks("bad") == ["exception"]
    assert script.one("SELECT outcome::text FROM papayya.item WHERE key = 'bad'") == "failed"


@pytest.mark.parametrize("in_loop", [False, True])
def test_empty_inputs(script: Script, in_loop: bool) -> None:
    """None, 0, "", [] and False are inputs like any other, each an item of its own."""
    values: list[Any] = [None, 0, "", [], False, 0.0, {}, 1, True, "1"]

    @agent
    def echo(value: Any) -> Any:
        return value

    if in_loop:
        found = [(one.state, one.output) for one in echo.map(values, concurrency=1)]
        assert [repr(output) for _, output in found] == [repr(value) for value in values]
    else:
        assert [repr(echo(value)) for value in values] == [repr(value) for value in values]
    assert len(script.states()) == len(values)
    assert set(script.states().values()) == {"completed"}


def test_no_arguments_and_keywords(script: Script) -> None:
    """An agent may take no input at all, or many and by keyword; equal calls have equal keys."""

    @agent
    def nothing() -> int:
        return 1

    @agent
    def several(a: int, *rest: int, b: str = "x", **more: Any) -> str:
        return f"{a}{rest}{b}{more}"

    assert nothing() == 1
    assert several(1, 2, b="y", c=3) == "1(2,)y{'c': 3}"
    with run("named"):
        assert several(1, 2, c=3, b="y") == several(1, 2, b="y", c=3)
    assert script.one("SELECT count(*) FROM papayya.item WHERE run_id = 3") == 1


def test_same_key_in_an_explicit_run(script: Script, caplog: pytest.LogCaptureFixture) -> None:
    """In a named run the same input is the same item, paid once; another input is key#2."""
    paid: list[str] = []

    @agent
    def ask(question: str) -> str:
        paid.append(question)
        return question + "!"

    class Named:
        def __init__(self, body: str) -> None:
            self.body = body

    @agent
    def tell(ticket: dict[str, str]) -> str:
        paid.append(ticket["body"])
        return ticket["body"]

    with run("nightly") as nightly:
        assert [ask("a"), ask("a")] == ["a!", "a!"]
        assert paid == ["a"]
        tickets = [{"id": "t1", "body": body} for body in ("x", "y", "x")]
        results = list(tell.map(tickets, item="id", concurrency=1))
    assert sorted((one.key, one.output) for one in results) == [
        ("t1", "x"),
        ("t1", "x"),
        ("t1#2", "y"),
    ]
    assert sorted(paid) == ["a", "x", "y"]
    assert "t1#2" in caplog.text
    caplog.clear()

    script.start()
    with run("nightly", run_id=nightly.id):
        again = list(tell.map(reversed(tickets), item="id", concurrency=1))
    assert {one.output for one in again} == {"x", "y"}
    assert sorted(paid) == ["a", "x", "y"]
    assert not caplog.text


def test_same_key_without_a_run(script: Script, caplog: pytest.LogCaptureFixture) -> None:
    """Calls without a run are each an item: key#2, with a warning; a resume matches them again."""
    paid: list[int] = []

    @agent
    def draw(lot: str) -> int:
        paid.append(len(paid))
        return paid[-1]

    assert [draw("a"), draw("a")] == [0, 1]
    assert script.states() == {"a": "completed", "a#2": "completed"}
    assert "a#2" in caplog.text
    script.start(run_id=script.run())
    assert [draw("a"), draw("a")] == [0, 1]
    assert [draw("a")] == [2]
    results = {one.key: one.output for one in draw.map(["a", "a"])}
    assert results == {"a": 0, "a#2": 1}


def test_nested_agents(script: Script) -> None:
    """A call inside an item is an item of its own, for the same tenant and with a parent."""
    calls: list[str] = []

    @agent
    def inner(part: str) -> str:
        calls.append(part)
        return part * 2

    @agent
    def outer(word: str) -> str:
        return inner(word[0]) + inner(word[1]) + inner(word[0])

    with run("nest", tenant="acme") as nest:
        assert outer("ab") == "aabbaa"
    assert script.states() == {
        "ab": "completed",
        "ab/a": "completed",
        "ab/b": "completed",
        "ab/a#2": "completed",
    }
    assert set(script.column("SELECT tenant FROM papayya.item_now")) == {"acme"}
    parent = script.one("SELECT id FROM papayya.item WHERE key = 'ab'")
    assert script.column("SELECT parent_id FROM papayya.item WHERE key <> 'ab'") == [parent] * 3
    with run("nest", run_id=nest.id, tenant="acme"):
        assert outer("ab") == "aabbaa"
    assert calls == ["a", "b", "a"]


def test_a_failing_part(script: Script) -> None:
    """An exception of a nested agent reaches the agent that called it, which may go on."""

    @agent
    def part(n: int) -> int:
        return 1 // n

    @agent
    def whole(n: int) -> str:
        try:
            return str(part(n))
        except ZeroDivisionError as error:
            return type(error).__name__

    assert whole(0) == "ZeroDivisionError"
    assert script.states() == {"0": "completed", "0/0": "failed"}


def test_threads(script: Script) -> None:
    """A thread of the agent's own is in the item through bind, and outside without it."""

    @agent
    def fan(word: str) -> list[str]:
        with ThreadPoolExecutor(4) as pool:
            tasks = [pool.submit(bind(run.task), "letter", str.upper, letter) for letter in word]
            outside = pool.submit(run.task, "letter", str.upper, "z")
            assert isinstance(outside.exception(), NotInItem)
            return [task.result() for task in tasks]

    assert fan("abcd") == list("ABCD")
    assert script.steps("abcd") == [("letter", "completed", 1)] * 4
    assert script.one("SELECT count(DISTINCT n) FROM papayya.step") == 4


def test_calls_from_many_threads(script: Script) -> None:
    """Threads may call agents at the same time; each call is an item."""
    done: list[str] = []
    threads = [threading.Thread(target=lambda n=n: done.append(shout(f"t{n}"))) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(done) == [f"T{n}" for n in range(8)]
    assert len(script.column("SELECT name FROM papayya.run")) == 1


def test_interrupted(script: Script) -> None:
    """Ctrl-C puts the item back into the queue with its finished steps; a resume goes on there."""
    paid = Till()
    interrupt = [True]

    @agent
    def patient(word: str) -> str:
        first = run.task("first", lambda: paid.buy(word).upper())
        if interrupt[0]:
            raise KeyboardInterrupt
        return str(first)

    with pytest.raises(KeyboardInterrupt):
        patient("w")
    assert script.states() == {"w": "queued"}
    interrupt[0] = False
    script.start(run_id=script.run())
    assert patient("w") == "W"
    assert paid == ["w"]


def test_a_cancelled_task(script: Script) -> None:
    """A cancelled asyncio task puts its item back into the queue, and stays cancelled."""
    begun = asyncio.Event()

    @agent
    async def slow(n: int) -> int:
        begun.set()
        await asyncio.Event().wait()
        return n

    async def work() -> None:
        task = asyncio.ensure_future(slow(1))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(work())
    assert script.states() == {"1": "queued"}


def test_refused_definitions() -> None:
    """What cannot be an agent is refused where it is defined."""
    with pytest.raises(TypeError, match="generator"):

        @agent
        def generate(n: int) -> Any:
            yield n

    with pytest.raises(ValueError, match="max_steps must be above 0"):
        agent(max_steps=0)(lambda: None)
    with pytest.raises(ValueError, match="finite number"):
        agent(budget_usd="a lot")(lambda: None)
