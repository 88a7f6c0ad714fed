"""An ordinary script that spends: ``budget_map.py ITEMS CONCURRENCY``, and again to go on.

Prints how many items are in which state.
"""

# ruff: noqa: T201
from __future__ import annotations

import json
import os
import sys
from collections import Counter

from papayya import agent, run
from tests.chaos.budget_ask import ask, names


@agent(name="spend")
def spend(name: str) -> str:
    """Ask once."""
    return ask(name)


def main(number: int, concurrency: int) -> None:
    """Spend until all is done, or the budget is."""
    with run("spend", tenant="acme", budget_usd=os.environ["CAP_USD"], expect=names(number)):
        results = spend.map(names(number), item=str, concurrency=concurrency)
        print(json.dumps(Counter(result.state for result in results)))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
