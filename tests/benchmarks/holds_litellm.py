"""LiteLLM's budget path, to be run by an environment of its own (see ``tools/litellm.sh``).

What its proxy does with a budget around each request: ``reserve_budget_for_request`` before it, and
``reconcile_budget_reservation`` after it, on ``spend_counter_cache``, which is in the process or in
Redis. No database: what it reads there, once a minute or so, is not counted. Reads one JSON object
for each measurement from its standard input, and answers with one.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
import time
from typing import Any

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
os.environ.setdefault("LITELLM_LOG", "ERROR")

MODEL, OUTPUT, MOST = "benchmark", 50, 0.15
ROUTE = "/v1/chat/completions"
LET_THROUGH = 20  # calls before processes are killed
PRICE = {"input_cost_per_token": 0.0, "output_cost_per_token": MOST / OUTPUT, "mode": "chat"}
PRICE |= {"max_output_tokens": OUTPUT, "max_input_tokens": 1000, "litellm_provider": "openai"}
BODY = {"model": MODEL, "messages": [{"role": "user", "content": "x"}], "max_tokens": OUTPUT}


class Keeper:
    """One process's worth of LiteLLM."""

    def __init__(self, given: dict[str, Any]) -> None:
        import litellm
        from litellm.caching.redis_cache import RedisCache
        from litellm.proxy import proxy_server
        from litellm.proxy._types import UserAPIKeyAuth

        self.refusal = litellm.BudgetExceededError
        cache = proxy_server.spend_counter_cache
        if given["redis"]:
            cache.redis_cache = RedisCache(url=given["redis"])
        self.cache, self.proxy = cache, proxy_server
        self.warm = UserAPIKeyAuth(token="key-warm", max_budget=10**6, spend=0.0)
        self.tokens = [
            UserAPIKeyAuth(token=f"key-{given['name']}-{n}", max_budget=given["cap"], spend=0.0)
            for n in range(given["accounts"])
        ]

    async def hold(self, token: Any = None) -> Any:
        from litellm.proxy.spend_tracking.budget_reservation import reserve_budget_for_request

        return await reserve_budget_for_request(
            request_body=dict(BODY),
            route=ROUTE,
            llm_router=None,
            valid_token=token or random.choice(self.tokens),
            team_object=None,
            user_object=None,
            prisma_client=None,
            user_api_key_cache=self.proxy.user_api_key_cache,
            proxy_logging_obj=self.proxy.proxy_logging_obj,
        )

    async def settle(self, reservation: Any, usd: float) -> None:
        from litellm.proxy.spend_tracking.budget_reservation import reconcile_budget_reservation

        await reconcile_budget_reservation(reservation, usd)


async def speed(keeper: Keeper, given: dict[str, Any], over: float) -> dict[str, int]:
    done = 0

    async def work() -> None:
        nonlocal done
        while time.perf_counter() < over:
            reservation = await keeper.hold()
            if reservation is None:
                raise AssertionError("nothing was reserved")
            if given["mode"] == "pairs":
                await keeper.settle(reservation, random.uniform(0.05, 0.15))
            done += 1

    await asyncio.gather(*(work() for _ in range(given["tasks"])))
    return {"done": done}


async def cap(keeper: Keeper, given: dict[str, Any], told: int) -> dict[str, int]:
    """Work until a hold is refused; each call that goes is told at once, in nano-dollars."""

    async def work() -> None:
        while True:
            try:
                reservation = await keeper.hold()
            except keeper.refusal:
                return
            usd = random.uniform(0.05, 0.15)
            os.write(told, f"{round(usd * 10**9)}\n".encode())
            await asyncio.sleep(random.uniform(0.005, 0.02))
            await keeper.settle(reservation, usd)
            os.write(told, f"s{round(usd * 10**9)}\n".encode())

    await asyncio.gather(*(work() for _ in range(given["tasks"])))
    return {}


async def child(given: dict[str, Any], ready: int, go: int, told: int) -> dict[str, Any]:
    keeper = Keeper(given)
    for _ in range(8):  # of an account of its own: connections are made
        await keeper.settle(await keeper.hold(keeper.warm), 0.0)
    os.write(ready, b".")
    os.read(go, 1)
    used, began = time.process_time(), time.perf_counter()
    if given["mode"] == "cap":
        counts = await cap(keeper, given, told)
    else:
        counts = await speed(keeper, given, began + given["seconds"])
    return counts | {"client": time.process_time() - used}


def spawn(given: dict[str, Any], ready: int, go: int, told: int, out: int) -> int:
    """Fork one process; return its id."""
    pid = os.fork()
    if pid == 0:
        try:
            said = asyncio.run(child(given, ready, go, told))
            os.write(out, (json.dumps(said) + "\n").encode())
        finally:
            os._exit(0)
    return pid


def told_until_all_ended(told: int, victims: list[int]) -> list[str]:
    """Read what calls are told; kill the victims once there were a few."""
    lines = b""
    while piece := os.read(told, 65536):
        lines += piece
        while victims and lines.count(b"\n") >= LET_THROUGH:
            os.kill(victims.pop(), 9)
    return lines.decode().split()


def measure(given: dict[str, Any]) -> dict[str, Any]:
    """Fork the processes, let them begin at once, and add up what they say."""
    ready, go, told, out = (os.pipe() for _ in range(4))
    pids = [spawn(given, ready[1], go[0], told[1], out[1]) for _ in range(given["processes"])]
    os.close(told[1])
    os.close(out[1])
    for _ in pids:
        os.read(ready[0], 1)
    began = time.perf_counter()
    os.write(go[1], b"." * len(pids))
    lines = told_until_all_ended(told[0], pids[: given.get("kill", 0)])
    with os.fdopen(out[0]) as lines_said:
        said = [json.loads(line) for line in lines_said]
    for pid in pids:
        os.waitpid(pid, 0)
    for end in (*ready, *go, told[0]):
        os.close(end)
    return {
        "seconds": time.perf_counter() - began,
        "done": sum(one.get("done", 0) for one in said),
        "client": sum(one["client"] for one in said),
        "spent": sum(int(line) for line in lines if not line.startswith("s")),
        "settled": sum(int(line[1:]) for line in lines if line.startswith("s")),
    }


def answer(said: Any) -> None:
    sys.stdout.write(json.dumps(said) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Answer measurement after measurement."""
    import litellm
    from litellm.proxy import proxy_server  # noqa: F401 - once, before the forks

    litellm.register_model({MODEL: PRICE})
    answer("ready")
    for line in sys.stdin:
        answer(measure(json.loads(line)))


if __name__ == "__main__":
    main()
