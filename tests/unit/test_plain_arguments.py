"""Arguments of the plain adapter that are refused at the call, with what is accepted."""

from __future__ import annotations

from typing import Any

import pytest

from papayya import agent, run


@pytest.mark.parametrize("tokens", [-1, 2**62, True, 1.5, "12", None])
def test_tokens(tokens: Any) -> None:
    """A number of tokens is an int that Postgres can hold."""
    with pytest.raises(ValueError, match="tokens must be a whole number"):
        run.cost(tokens=tokens)


@pytest.mark.parametrize(
    ("expect", "error"),
    [
        (-1, ValueError),
        (True, ValueError),
        (2**63, ValueError),
        (1.5, TypeError),
        ("ab", TypeError),
        (b"ab", TypeError),
        ([1, 2], ValueError),
    ],
)
def test_expect(expect: Any, error: type[Exception]) -> None:
    """What is expected is a count or a collection of keys."""
    with pytest.raises(
        error, match="must be a str" if isinstance(expect, list) else "expect= takes"
    ):
        run("nightly", expect=expect)


@pytest.mark.parametrize("budget", [1e-10, "0.0000000004"])
def test_a_budget_that_rounds_to_nothing(budget: Any) -> None:
    """A budget below the smallest amount is refused; 0 is a budget, too."""
    with pytest.raises(ValueError, match="billionth"):
        run("nightly", budget_usd=budget)
    with pytest.raises(ValueError, match="billionth"):
        agent(budget_usd=budget)(lambda n: n)
    run("nightly", budget_usd=0)
    run("nightly", budget_usd="0.00")


def test_an_agent_names_itself() -> None:
    """The repr of an agent has its name and version, where the function's would say neither."""

    @agent(name="tag_ticket")
    def tag(ticket: str) -> str:
        return ticket

    assert repr(tag) == f"<agent tag_ticket version {tag.definition.version}>"
