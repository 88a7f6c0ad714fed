"""The stand-in as a process, and the providers' own clients connected to it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import IO, Any, Self

import anthropic
import openai

PATIENCE_S = 20.0
KEY = "sk-test-org-aa"
GPT = "gpt-4.1-mini"
CLAUDE = "claude-sonnet-5"
TICKET = "I was charged twice for my last invoice and want a refund."


def item(name: str, fault: str | None = None) -> dict[str, str]:
    """Make headers that name an item and ask for a fault."""
    return {"x-item-key": name} | ({"x-fake-fault": fault} if fault else {})


def user(text: str = TICKET) -> Any:
    """Make a conversation of one message."""
    return [{"role": "user", "content": text}]


class StandIn:
    """One stand-in on one ledger; it can be killed and started again."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.ledger_path = folder / "ledger.jsonl"
        self._arguments = arguments
        self._process: subprocess.Popen[str] | None = None
        self._clients: list[Any] = []
        self.url = ""

    def __enter__(self) -> Self:
        """Start it."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End it, whatever happened."""
        self.end(signal.SIGTERM)

    def start(self) -> None:
        """Start it and wait until it says that it listens."""
        module = ["-m", "papayya_core.fake_provider", "--ledger", str(self.ledger_path)]
        self._process = subprocess.Popen(
            [sys.executable, *module, "--seed", "7", *self._arguments],
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.url = self._output.readline().strip().rpartition(" ")[2]
        assert self.url.startswith("http://127.0.0.1:")

    @property
    def process(self) -> subprocess.Popen[str]:
        """The running process."""
        assert self._process is not None
        return self._process

    @property
    def _output(self) -> IO[str]:
        """What it prints."""
        assert self.process.stdout is not None
        return self.process.stdout

    def end(self, order: signal.Signals) -> int:
        """End it by a signal, and give its exit code."""
        for client in self._clients:
            client.close()
        self._clients.clear()
        self.process.send_signal(order)
        code = self.process.wait(PATIENCE_S)
        self._output.close()
        return code

    def restart(self) -> None:
        """Kill it without warning, and start it again."""
        self.end(signal.SIGKILL)
        self.start()

    def openai(self, key: str = KEY, **options: Any) -> openai.OpenAI:
        """Connect OpenAI's client, without its own retries."""
        client = openai.OpenAI(
            base_url=f"{self.url}/v1", api_key=key, **{"max_retries": 0, **options}
        )
        self._clients.append(client)
        return client

    def anthropic(self, key: str = KEY, **options: Any) -> anthropic.Anthropic:
        """Connect Anthropic's client, without its own retries."""
        client = anthropic.Anthropic(
            base_url=self.url, api_key=key, **{"max_retries": 0, **options}
        )
        self._clients.append(client)
        return client

    def control(self, method: str, path: str, body: object = None) -> Any:
        """Call a control endpoint."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}/_control/{path}", data, method=method)
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            return json.load(answer)

    def entries(self, item: str | None = None) -> list[dict[str, Any]]:
        """Give the ledger's entries, of one item or of all."""
        found: list[dict[str, Any]] = self.control("GET", "ledger")["entries"]
        return [entry for entry in found if item in (None, entry["item_key"])]

    def entry(self, item: str, *, settled: bool = True) -> dict[str, Any]:
        """Give an item's only entry, once it is known whether it was delivered."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            (entry,) = self.entries(item)
            if entry["delivered"] is not None or not settled:
                return entry
            assert time.monotonic() < deadline
            time.sleep(0.01)
