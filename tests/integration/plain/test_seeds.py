"""The code that the product's texts show, run as it stands there; and what they claim of it.

The texts are kept word for word in seeds/; only the names that they leave undefined are supplied,
and the indentation that the essay's layout has lost.
"""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import papayya
from papayya import BudgetExhausted
from tests.integration.plain.script import Script, Till

SEEDS = Path(__file__).parent / "seeds"


def text(number: str) -> str:
    """Return the text of one seed."""
    [path] = SEEDS.glob(f"{number}_*.txt")
    return path.read_text(encoding="utf-8")


def calls(number: str) -> list[str]:
    """Find the lines of a seed that are calls of papayya() or run."""
    pattern = r"(?:papayya\(\)\.run|run\.task|run\.complete)\([^()]*\)"
    return re.findall(pattern, text(number))


def test_enrich(script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    """The function that is decorated in the essay is accountable per item, when it is called."""
    monkeypatch.setattr("papayya.retrieval._retriever", [])
    block = re.search(
        r"from papayya import agent, run\n@agent\n.*?\nreturn [^\n]*\n", text("001"), re.DOTALL
    )
    assert block is not None
    first, decorator, head, *body = block.group(0).splitlines()
    code = "\n".join([first, decorator, head, *(f"    {line}" for line in body)])
    asked = Till()

    def call_my_llm(item: Any, context: Any) -> dict[str, Any]:
        return {"id": item.id, "context": asked.buy(context)}

    names: dict[str, Any] = {"call_my_llm": call_my_llm}
    exec(compile(code, "seed", "exec"), names)
    papayya.retriever(lambda key: f"memory of {key}")
    enrich = names["enrich"]
    item = SimpleNamespace(id="t-47")
    assert enrich(item) == {"id": "t-47", "context": "memory of t-47"}
    results = list(enrich.map([SimpleNamespace(id=f"t-{n}") for n in range(3)], item="id"))
    assert {one.key for one in results} == {"t-0", "t-1", "t-2"}
    assert {one.outcome for one in results} == {"ok"}
    assert script.column("SELECT DISTINCT kind FROM papayya.step") == ["retrieval"]


def test_call_lines() -> None:
    """These are the calls that the texts show."""
    assert calls("002") == [
        'papayya().run("my-agent")',
        'run.task("search", fn)',
        'run.task("summarize", fn)',
        "run.complete(result)",
    ]
    assert calls("003")[0] == 'run.task("label", fn)'


@pytest.mark.parametrize("by", ["the handle", "the proxy"])
def test_my_agent(script: Script, by: str) -> None:
    """Tasks are checkpointed to Postgres one by one; the run is completed with its result."""
    seen: list[Any] = []

    def fn() -> str:
        seen.append(script.steps())
        return "found"

    opening, *lines, closing = calls("002")
    names: dict[str, Any] = {"papayya": papayya.papayya, "run": papayya.run, "fn": fn}
    handle = eval(opening, names)
    if by == "the handle":
        names["run"] = handle
    names["result"] = [eval(line, names) for line in lines]
    assert names["result"] == ["found", "found"]
    assert seen == [[], [("search", "completed", 1)]]
    assert script.steps() == [("search", "completed", 1), ("summarize", "completed", 1)]
    assert script.states() == {"my-agent": "running"}
    eval(closing, names)
    assert script.states() == {"my-agent": "completed"}
    assert handle.result == ["found", "found"]


def test_resume(script: Script) -> None:
    """After a restart with the same run id, cached tasks skip and uncached tasks run."""
    till = Till()
    names: dict[str, Any] = {"papayya": papayya.papayya, "run": papayya.run}
    opening, search, summarize, complete = calls("002")
    [label, *_] = calls("003")

    names["fn"] = lambda: till.buy("first")
    run_id = eval(opening, names).run_id
    assert eval(search, names) == "first"
    assert eval(label, names) == "first"

    script.start(run_id=run_id)  # the process ended: no complete
    names["fn"] = lambda: till.buy("second")
    eval(opening, names)
    assert [eval(line, names) for line in (search, label)] == ["first", "first"]
    assert eval(summarize, names) == "second"
    eval(complete, names | {"result": "done"})
    assert till == ["first", "first", "second"]
    assert script.states() == {"my-agent": "completed"}


def test_budget_by_hand(script: Script) -> None:
    """The budget is checked before each step; a step may pass it, and the next one raises."""
    names: dict[str, Any] = {"papayya": papayya.papayya, "run": papayya.run}
    opening, search, summarize, _ = calls("002")
    names["fn"] = lambda: papayya.run.cost(usd=3)
    with papayya.run("capped", budget_usd=2) as capped:
        pass
    script.start(run_id=capped.id)
    eval(opening, names)
    eval(search, names)
    with pytest.raises(BudgetExhausted):
        eval(summarize, names)
    assert script.one("SELECT cost_nusd FROM papayya.run_summary") == 3_000_000_000
    assert script.states() == {"my-agent": "paused"}
