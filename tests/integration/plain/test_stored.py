"""What is stored of inputs, step results and outputs; and what is done where that is impossible."""

from __future__ import annotations

import dataclasses
import enum
import io
import math
import uuid
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from pydantic import BaseModel

from papayya import OutputUnavailable, agent, run
from tests.integration.plain.script import Script, Till


class Colour(enum.Enum):
    """An enum."""

    RED = "red"


@dataclasses.dataclass(frozen=True)
class Point:
    """A dataclass."""

    x: int
    y: Decimal


class Label(BaseModel):
    """A pydantic model."""

    name: str
    score: float
    at: datetime | None = None


VALUES: list[Any] = [
    datetime(2026, 11, 21, 9, tzinfo=UTC),
    date(2026, 11, 21),
    timedelta(seconds=1.5),
    Decimal("1.10"),
    uuid.UUID(int=7),
    b"\x00\xff",
    {1, 2},
    (1, (2, "x")),
    {"a": None, 1: "int key", None: 0},
    Point(1, Decimal("0.1")),
    Label(name="n", score=0.5),
    Colour.RED,
    None,
    "",
    "NUL \x00 and \ud800",
    [0, False, 0.0, -0.0],
    10**40,
    "x" * 5000,  # not inline
]


def test_types_come_back(script: Script) -> None:
    """Inputs, step results and outputs are the same and of the same type after a resume."""
    till = Till()
    interrupt = [True]

    @agent
    def keep(values: list[Any]) -> list[Any]:
        found = [run.task("one", till.buy, value) for value in values]
        found.append(run.task("NaN", till.buy, math.nan))
        if interrupt[0]:
            raise KeyboardInterrupt
        return found

    with pytest.raises(KeyboardInterrupt):
        keep(VALUES)
    bought = len(till)
    interrupt[0] = False
    for _ in range(2):  # steps come back, then the whole output
        script.start(run_id=script.run())
        *found, nan = keep(VALUES)
        assert repr(found) == repr(VALUES)
        assert found == VALUES
        assert math.isnan(nan)
        assert [type(value) for value in found] == [type(value) for value in VALUES]
    assert len(till) == bought == len(VALUES) + 1


class Socket:
    """A live thing that cannot be stored."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.stream = io.StringIO()


def test_unstorable_inputs(script: Script) -> None:
    """An input that cannot be stored still runs, alive; the item says that it was not kept."""
    live = [Socket("a"), Socket("b")]
    seen: list[Any] = []

    @agent
    def use(socket: Socket) -> str:
        seen.append(socket)
        return socket.name

    results = {one.key: one for one in use.map(live, item=lambda one: one.name)}
    assert [results[key].output for key in ("a", "b")] == ["a", "b"]
    assert [each.check for each in results["a"].findings] == ["input_unstored"]
    assert results["a"].outcome == "ok"
    assert set(map(id, seen)) == set(map(id, live))
    assert script.column("SELECT input_hash FROM papayya.item") == [None, None]
    assert use(Socket("c")) == "c"


def test_unstorable_results(script: Script) -> None:
    """A result that cannot be stored reaches its caller alive; only it is run again on resume."""
    till = Till()
    interrupt = [True]

    @agent
    def work(name: str) -> str:
        socket = run.task("connect", lambda: till.buy(Socket(name)))
        assert isinstance(socket, Socket)
        word = run.task("read", lambda: till.buy(socket.name.upper()))
        if interrupt[0]:
            raise KeyboardInterrupt
        return str(word)

    with pytest.raises(KeyboardInterrupt):
        work("n")
    assert script.steps("n") == [("connect", "unstored", 1), ("read", "completed", 1)]
    assert script.checks("n") == ["unstored"]
    interrupt[0] = False
    script.start(run_id=script.run())
    assert work("n") == "N"
    assert [one for one in till if isinstance(one, str)] == ["N"]
    assert len(till) == 3
    assert script.steps("n") == [("connect", "unstored", 2), ("read", "completed", 1)]


def test_unstorable_outputs(script: Script) -> None:
    """An output that cannot be stored is returned all the same; the item is degraded."""

    @agent
    def connect(name: str) -> Socket:
        return Socket(name)

    with run("named") as named:
        assert connect("a").name == "a"
        [result] = connect.map(["b"])
        assert result.output.name == "b"
        assert (result.state, result.outcome, result.done) == ("completed", "degraded", False)
        assert [each.check for each in result.findings] == ["unstored"]
    script.start()
    with run("named", run_id=named.id):
        with pytest.raises(OutputUnavailable, match="was not stored"):
            connect("a")
        [again] = connect.map(["b"])
    assert (again.state, again.outcome, again.output) == ("completed", "degraded", None)


class Odd:
    """A class whose own code breaks when it is looked at."""

    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError(name)


def test_hostile_objects(script: Script) -> None:
    """Objects whose own code raises, and structures without an end, break nothing."""
    loop: list[Any] = []
    loop.append(loop)
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]

    @agent
    def give(which: int) -> Any:
        return run.task("make", lambda: [Odd(), loop, {(): object()}, deep][which])

    for which in range(3):
        give(which)
    assert set(script.states().values()) == {"completed"}
    assert {state for _, state, _ in script.steps()} <= {"unstored", "completed"}
    assert give.fn is not None


def test_large_payloads(script: Script) -> None:
    """What is larger than the limit is not stored, and says how large it was; nothing is lost."""
    till = Till()
    large = "x" * 50_000_000

    @agent
    def swell(text: str) -> str:
        return str(run.task("swell", lambda: till.buy(text)))

    [result] = swell.map([large], item=lambda _: "large")
    assert result.output == large
    assert (result.state, result.outcome) == ("completed", "degraded")
    assert [each.check for each in result.findings] == [
        "input_unstored",
        "too_large",
        "too_large",
    ]
    assert all("50,000,0" in each.reason for each in result.findings)
    assert all("PAPAYYA_MAX_PAYLOAD_BYTES" in each.reason for each in result.findings)
    assert script.one("SELECT count(*) FROM papayya.payload") == 0
    assert script.steps("large") == [("swell", "unstored", 1)]

    script.start(max_payload_bytes=64_000_000)
    [result] = swell.map([large], item=lambda _: "large")
    assert result.outcome == "ok"
    assert script.one("SELECT count(*), max(size) >= 50000000 FROM papayya.payload") == (2, True)


def test_a_result_that_cannot_be_read_back(script: Script) -> None:
    """A stored result that no longer reads runs its step again, and both payments are counted."""
    till = Till()
    interrupt = [True]

    def pay() -> str:
        run.cost(usd="0.01")
        return str(till.buy("r"))

    @agent
    def work(name: str) -> str:
        found = run.task("step", pay)
        if interrupt[0]:
            raise KeyboardInterrupt
        return str(found)

    with pytest.raises(KeyboardInterrupt):
        work("n")
    script.change("""UPDATE papayya.step SET result = '{"$gone.away": 1}'""")
    interrupt[0] = False
    script.start(run_id=script.run())
    assert work("n") == "r"
    assert till == ["r", "r"]
    assert script.checks("n") == ["unreadable"]
    assert script.one("SELECT cost_nusd FROM papayya.item") == 20_000_000
