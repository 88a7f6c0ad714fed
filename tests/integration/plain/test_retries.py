"""What is tried again, where it waits meanwhile, and what is not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from papayya import ItemFailed, NonRetriable, Reject, RetryDecision, agent, hookimpl, run
from tests.integration.plain.script import Script, Till


class ProviderError(Exception):
    """An error as openai and anthropic raise it."""

    def __init__(self, status: int, **headers: str) -> None:
        super().__init__(f"status {status}")
        self.status_code = status
        self.response = type("Response", (), {"headers": headers})()


class Flaky:
    """Raises what it was given, one at a time; then returns."""

    def __init__(self, *troubles: BaseException) -> None:
        self.troubles = list(troubles)
        self.calls = 0

    def __call__(self) -> str:
        self.calls += 1
        if self.troubles:
            raise self.troubles.pop(0)
        return "ok"


def limited(ms: int = 0, status: int = 429) -> ProviderError:
    return ProviderError(status, **{"retry-after-ms": str(ms)})


def asking(flaky: Callable[[], Any], **options: Any) -> Any:
    @agent
    def ask(n: int) -> Any:
        return run.task("ask", flaky, **options)

    return ask


def test_tried_again_in_place(script: Script) -> None:
    """A short Retry-After is waited out in place; the item notes how often it was tried."""
    flaky = Flaky(limited(), ProviderError(503, **{"retry-after": "0"}), ConnectionError("reset"))
    script.start(plugins=[Soon()])
    [result] = asking(flaky).map([1])
    assert (result.output, result.outcome, flaky.calls) == ("ok", "ok", 4)
    assert script.steps() == [("ask", "completed", 4)]
    assert script.checks("1") == ["retried"]
    assert script.one("SELECT deliveries FROM papayya.item") == 1


class Soon:
    """A plugin that tries again at once."""

    @hookimpl
    def decide_retry(self, error: BaseException, attempts: int, limit: int) -> RetryDecision | None:
        """Keep the limit; wait no longer than asked."""
        if attempts >= limit or isinstance(error, ProviderError):
            return None
        return RetryDecision(0.0, "soon")


@pytest.mark.parametrize("way", ["map", "call", "async"])
def test_waiting(script: Script, way: str) -> None:
    """A longer Retry-After frees the slot: the item waits, due then, and goes on from its steps."""
    till = Till()
    flaky = Flaky(limited(150))
    script.start(retry_inline_seconds=0)
    seen: list[Any] = []

    @agent
    def ask(n: int) -> str:
        run.task("before", till.buy, n)
        seen.append(script.one("SELECT state::text, deliveries FROM papayya.item"))
        return str(run.task("ask", flaky))

    @agent
    async def aask(n: int) -> str:
        return ask.fn(n)

    if way == "map":
        assert [one.output for one in ask.map([1])] == ["ok"]
    elif way == "call":
        assert ask(1) == "ok"
    else:
        assert asyncio.run(aask(1)) == "ok"
    assert till == [1]
    assert seen == [("running", 1)] * 2
    assert script.steps() == [("before", "completed", 1), ("ask", "completed", 2)]
    assert script.column("SELECT ending::text FROM papayya.dispatch ORDER BY id") == [
        "waiting",
        "completed",
    ]


def test_others_go_on_meanwhile(script: Script) -> None:
    """While one item waits its turn, the slot it freed works on the others."""
    flaky = Flaky(limited(400))
    order: list[int] = []

    @agent
    def ask(n: int) -> int:
        if n == 0:
            run.task("ask", flaky)
        order.append(n)
        return n

    script.start(retry_inline_seconds=0)
    assert len(list(ask.map(range(4), concurrency=1))) == 4
    assert order == [1, 2, 3, 0]


PERMANENT = [
    ProviderError(400),
    ProviderError(401),
    ProviderError(404),
    ValueError("bad"),
    KeyError("k"),
    NonRetriable("never"),
    Reject("unusable"),
    ZeroDivisionError(),
]


def test_permanent_errors(script: Script) -> None:
    """Where trying again cannot help, the step fails at once with the error it raised."""
    for n, trouble in enumerate(PERMANENT):
        flaky = Flaky(trouble)
        with pytest.raises(type(trouble)) as caught:
            asking(flaky)(n)
        assert caught.value is trouble
        assert flaky.calls == 1
    assert set(script.steps()) == {("ask", "failed", 1)}


def test_the_limit(script: Script) -> None:
    """A step is tried five times over all deliveries, then its item fails with the last error."""
    flaky = Flaky(*(limited(0, 503) for _ in range(2)), *(limited(50, 503) for _ in range(9)))
    script.start(retry_inline_seconds=0.01)
    [result] = asking(flaky).map([1])
    assert (result.state, flaky.calls) == ("failed", 5)
    assert isinstance(result.error, ProviderError)
    assert script.steps() == [("ask", "failed", 5)]
    script.start(retry_inline_seconds=0, run_id=script.run())
    with pytest.raises(ItemFailed, match="papayya retry"):
        asking(flaky)(1)
    script.change("SELECT papayya.retry_v1(%s, NULL)", script.run())
    flaky.troubles.clear()
    script.start(run_id=script.run())
    assert asking(flaky)(1) == "ok"
    assert script.one("SELECT outcome::text FROM papayya.item") == "ok"


def test_a_limit_is_no_fault(script: Script) -> None:
    """However often a provider says that there are too many requests, the item does not fail."""
    flaky = Flaky(*(limited(10) for _ in range(7)))
    script.start(retry_inline_seconds=0, step_attempts=2)
    [result] = asking(flaky).map([1])
    assert (result.state, flaky.calls) == ("completed", 8)


def test_step_attempts_setting(script: Script) -> None:
    """PAPAYYA_STEP_ATTEMPTS=1 tries nothing again."""
    flaky = Flaky(ConnectionError("reset"))
    script.start(step_attempts=1)
    with pytest.raises(ConnectionError):
        asking(flaky)(1)
    assert flaky.calls == 1


def test_side_effects(script: Script) -> None:
    """A step with a side effect is not tried again by itself, and is noted when a crash repeats it."""
    flaky = Flaky(ConnectionError("reset"), KeyboardInterrupt())
    ask = asking(flaky, side_effect=True)
    with pytest.raises(ConnectionError):
        ask(1)
    assert flaky.calls == 1
    with pytest.raises(KeyboardInterrupt):
        ask(2)
    assert script.steps("2") == [("ask", "started", 0)]
    names = script.column("SELECT name FROM papayya.run")
    script.start(run_id=names[0])
    assert ask(2) == "ok"
    assert script.checks("2") == ["side_effect_repeated"]
    assert script.steps("2") == [("ask", "completed", 1)]


def test_a_step_inside_another(script: Script) -> None:
    """When a step is tried again, the finished steps inside it are not: they were paid."""
    till = Till()
    flaky = Flaky(limited(), limited())

    def outer() -> list[Any]:
        parts = [run.task("inner", till.buy, n) for n in (1, 1, 2)]
        return [*parts, flaky()]

    @agent
    def work(n: int) -> Any:
        return run.task("outer", outer)

    assert work(1) == [1, 1, 2, "ok"]
    assert till == [1, 1, 2]
    assert script.steps() == [("outer", "completed", 3), *[("inner", "completed", 1)] * 3]
    assert script.column("SELECT parent_n FROM papayya.step ORDER BY n") == [None, 1, 1, 1]


def test_exceptions_inside_the_agent(script: Script) -> None:
    """An exception that the agent handles is its own business: the item completes."""

    @agent
    def work(n: int) -> str:
        try:
            run.task("ask", Flaky(ValueError("bad")))
        except ValueError:
            return "fallback"
        return "ok"

    [result] = work.map([1])
    assert (result.output, result.outcome) == ("fallback", "ok")
    assert script.steps() == [("ask", "failed", 1)]
