"""What is bought in this process: an agent over real clients, a stand-in, and the books of budgets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import openai
import pytest

from papayya import agent, run
from papayya_core import runtime
from papayya_core.contract import ItemResult
from tests.chaos.purse import RUN, Purse

MODEL = "gpt-5.4"  # $2.50 and $15 for a million tokens
KEY = "sk-till-first"
MOST = 100  # tokens of output; what is said has 27 to 85
WARNED = """
SELECT i.key FROM papayya.finding f JOIN papayya.item i ON i.id = f.item_id
WHERE f.check_name = 'would_pause'
"""
SLOW: dict[str, Any] = {"kind": "slow", "times": 1, "params": {"seconds": 1.5}}


class Till:
    """Spends in this process, item by item."""

    def __init__(self, dsn: str, folder: Path, stack: ExitStack, patch: pytest.MonkeyPatch) -> None:
        self.purse = Purse(dsn, folder, stack, "0:5")
        self._patch = patch
        self._pool = stack.enter_context(ThreadPoolExecutor(1))

    def start(self, **settings: str) -> None:
        """Start anew, with other settings."""
        for name, value in settings.items():
            self._patch.setenv(f"PAPAYYA_{name.upper()}", value)
        runtime.reset()

    @contextmanager
    def gpt(self, key: str = KEY) -> Iterator[openai.OpenAI]:
        """Give a client of OpenAI."""
        url = f"{self.purse.provider.url}/v1"
        with closing(openai.OpenAI(api_key=key, base_url=url, max_retries=2)) as client:
            yield client

    def ask(self, name: str, key: str = KEY, model: str = MODEL, most: int = MOST) -> str:
        """Ask once; return why the answer ended."""
        with self.gpt(key) as client:
            done = client.chat.completions.create(
                model=model,
                messages=[{"role": "user", "content": f"{name}/only: I was charged twice."}],
                max_completion_tokens=most,
                extra_headers={"x-item-key": name, "idempotency-key": f"{name}/only"},
            )
        return str(done.choices[0].finish_reason)

    def spend(
        self, number: int, ask: Callable[[str], Any] | None = None, **options: Any
    ) -> dict[str, ItemResult]:
        """Ask for so many items, one after the other; again, to go on."""
        body = ask or self.ask

        @agent(name="spend", **options)
        def spend(name: str) -> Any:
            return body(name)

        with run("spend", tenant="acme", run_id=RUN):
            names = [f"m{n}" for n in range(number)]
            found = list(spend.map(names, item=str, concurrency=1))
        return {result.key: result for result in found}

    def spending(self, number: int) -> Future[dict[str, ItemResult]]:
        """Begin to spend, and come back when the first request is under way, for a while."""
        begun = self.purse.provider.last()
        self.purse.provider.faults(SLOW)
        future = self._pool.submit(self.spend, number)
        self.purse.until(lambda: self.purse.provider.last() > begun or future.done(), "a request")
        return future

    def budget(self, *words: object) -> None:
        """Set a budget with the command line."""
        self.purse.papayya("budget", "set", *words)

    def now(self, columns: str) -> list[Any]:
        """Read the budgets."""
        return self.purse.query(f"SELECT {columns} FROM papayya.budget_now AS b ORDER BY id")

    def warned(self) -> set[str]:
        """Name the items that would have been parked."""
        return {key for (key,) in self.purse.query(WARNED)}


def states(results: dict[str, ItemResult]) -> Counter[str]:
    """Count results by state."""
    return Counter(result.state for result in results.values())
