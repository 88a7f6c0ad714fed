"""What is kept of calls, and what follows: by capture, by size, by encryption and its keys."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import httpx
import pytest
from cryptography.fernet import Fernet

from papayya import agent, run
from papayya_core import vault
from papayya_core.settings import Capture
from papayya_core.store import rows
from tests.integration.llm import shapes
from tests.integration.llm.shapes import ASK, EMBED
from tests.integration.llm.world import World

KEY, LATER = (Fernet.generate_key().decode() for _ in range(2))
PAYLOADS = "SELECT p.hash, p.codec, p.body FROM papayya.payload p JOIN papayya.call c ON p.hash = "
FINDINGS = "SELECT check_name, reason FROM papayya.finding ORDER BY id"
HEADER = "a header's own secret, like no other"
Ask = Callable[[str], Any]
Keys = tuple[str, ...]


@pytest.fixture(autouse=True)
def _no_key_is_left() -> Iterator[None]:
    yield
    vault.use(None)


class Lives:
    """An item whose first execution dies at its end, and that runs again, in another process."""

    def __init__(self, world: World, capture: Capture | None = None) -> None:
        self.world = world
        self.asks: Ask | None = None

        @agent(capture=capture)
        def body(item: dict[str, int]) -> Any:
            answer = self.asks(world.url) if self.asks else None
            if self.dies:
                raise RuntimeError("it dies here")
            return answer

        self.body = body
        self.dies = True

    def live(
        self, ask: Ask, *, dies: bool = False, lose: Keys | None = None, **settings: Any
    ) -> int:
        """Run the item in a process with these settings; return how many requests were sent.

        ``lose``: the keys that are left when it has begun.
        """
        self.world.script.start(**settings)
        self.asks, self.dies = ask, dies
        before = len(self.world.stand_in.entries())
        with run("lives", run_id="lives"), suppress(RuntimeError):
            if lose is not None:
                vault.use(lose)
            self.body({"number": 1})
        return len(self.world.stand_in.entries()) - before

    def retry(self) -> None:
        """Queue it again."""
        self.world.retry("lives")

    def findings(self) -> list[str]:
        """List what was found about it."""
        return [check for check, _ in self.world.findings()]


def chat(url: str) -> Any:
    """Ask, with a header of one's own."""
    with shapes.gpt(url) as client:
        return client.chat.completions.create(**ASK, extra_headers={"x-own": HEADER}).id


def stream(url: str) -> Any:
    """Ask, streaming."""
    with shapes.gpt(url) as client:
        return [one.id for one in client.chat.completions.create(**ASK, stream=True)]


def stored(world: World, column: str) -> list[Any]:
    """Read the payloads of calls."""
    return world.script.rows(f"{PAYLOADS}c.{column}_hash")


@pytest.mark.parametrize(("ask", "by_agent"), [(chat, False), (stream, True)])
@pytest.mark.parametrize("capture", ["full", "hash", "off"])
def test_modes(world: World, capture: Capture, by_agent: bool, ask: Ask) -> None:
    """All is kept and paid once; or its hash, or nothing, and it is paid again, which is said."""
    lives = Lives(world, capture if by_agent else None)
    settings: Any = {"capture": "full" if by_agent else capture}
    assert lives.live(ask, dies=True, **settings) == 1
    lives.retry()
    assert lives.live(ask, **settings) == (0 if capture == "full" else 1)

    found = world.calls("lives", "state, request_hash IS NOT NULL, response_hash IS NOT NULL")
    again = "replayed" if capture == "full" else "answered"
    assert found == [(state, capture != "off", capture != "off") for state in ("answered", again)]
    assert bool(stored(world, "request")) is bool(stored(world, "response")) is (capture == "full")
    told = [reason for check, reason in world.findings() if check == "paid_again"]
    assert len(told) == (capture != "full")
    assert all(f"its answer was not kept (capture is {capture})" in reason for reason in told)


@pytest.mark.parametrize("capture", ["full", "hash", "off"])
def test_headers_of_requests(world: World, capture: Capture) -> None:
    """No header of a request is stored, whatever is captured."""
    assert Lives(world).live(chat, capture=capture) == 1
    tables = world.script.column(
        "SELECT table_name FROM information_schema.tables"
        " WHERE table_schema = 'papayya' AND table_type = 'BASE TABLE'"
    )
    for table in tables:
        told = repr(world.script.rows(f"SELECT * FROM papayya.{table}"))
        assert HEADER not in told
        assert shapes.KEY not in told


def embed(url: str) -> Any:
    """Ask for what is long."""
    with shapes.gpt(url) as client:
        return len(client.embeddings.create(**EMBED).data)


def lengthy(url: str) -> Any:
    """Ask at length, streaming."""
    asked = {**ASK, "messages": [{"role": "user", "content": "Say more. " * 200}]}
    with shapes.gpt(url) as client:
        return len(list(client.chat.completions.create(**asked, stream=True)))


@pytest.mark.parametrize(
    ("ask", "large"), [(embed, ["an answer"]), (lengthy, ["a request", "an answer"])]
)
def test_too_large(world: World, ask: Ask, large: list[str]) -> None:
    """What is too large is not kept, with a note; the call works, and is paid again."""
    lives = Lives(world)
    assert lives.live(ask, dies=True, max_payload_bytes=1024) == 1
    told = [reason for check, reason in world.findings() if check == "too_large"]
    assert [reason.partition(" was not kept: ")[0] for reason in told] == large
    assert all("more than PAPAYYA_MAX_PAYLOAD_BYTES=1,024; " in reason for reason in told)
    lives.retry()
    assert lives.live(ask, max_payload_bytes=1024) == 1
    assert "paid_again" in lives.findings()
    assert stored(world, "response") == []
    assert world.calls("lives", "state, cost_nusd > 0") == [("answered", True)] * 2


@pytest.mark.parametrize("keys", [None, (KEY,)])
def test_names_of_what_is_not_kept(world: World, keys: tuple[str, ...] | None) -> None:
    """With a key, a hash that is kept confirms no guess of what was hashed."""
    lives, sent = Lives(world), json.dumps(ASK).encode()

    def ask(url: str) -> int:
        kind = {"content-type": "application/json", "user-agent": "OpenAI/Python 3.0"}
        asked = httpx.post(f"{url}/v1/chat/completions", content=sent, headers=kind)
        return asked.status_code

    assert lives.live(ask, capture="hash", encryption_key=keys) == 1
    [name] = world.calls("lives", "request_hash")
    assert (name == hashlib.sha256(sent).digest()) is (keys is None)
    assert name == vault.name(sent)


def test_rotation(world: World) -> None:
    """A new key before the old one: what was paid is replayed, what is new opens by the new one."""
    lives = Lives(world)
    assert lives.live(chat, dies=True, encryption_key=(KEY,)) == 1
    old = stored(world, "response")
    lives.retry()

    def both(url: str) -> Any:
        return chat(url), embed(url)

    assert lives.live(both, encryption_key=(LATER, KEY)) == 1
    new = [row for row in stored(world, "response") if row not in old]
    assert world.calls("lives") == ["answered", "replayed", "answered"]
    vault.use((LATER,))
    assert all(rows.unpack_bytes(codec, body) for _, codec, body in new)
    assert {codec for _, codec, _ in old + new} == {rows.ENCRYPTED}
    with pytest.raises(vault.Locked):
        rows.unpack_bytes(*old[0][1:])


def careful(url: str) -> Any:
    """Go on with something else whatever goes wrong."""
    try:
        return chat(url)
    except Exception:
        return embed(url)


def claude(url: str) -> Any:
    """Ask Anthropic's client, which tries again by itself."""
    with shapes.claude(url) as client:
        again = client.with_options(max_retries=2)
        return again.messages.create(**shapes.ASK_CLAUDE).id


def on_a_loop(url: str) -> Any:
    """Ask on an event loop."""

    async def ask() -> str:
        async with shapes.agpt(url) as client:
            answer = await client.chat.completions.create(**ASK)
            return str(answer.id)

    return asyncio.run(ask())


def in_a_step(url: str) -> Any:
    """Ask in a step, whose result is kept."""
    return run.task("ask", chat, url)


@pytest.mark.parametrize("ask", [chat, careful, stream, claude, on_a_loop, in_a_step])
def test_lost_key(world: World, ask: Ask) -> None:
    """Without the key an item stops, saying why, and pays for nothing; with it, it goes on."""
    lives = Lives(world)
    assert lives.live(ask, dies=True, encryption_key=(KEY,)) == 1
    lives.retry()
    before = len(world.stand_in.entries())
    with pytest.raises(vault.Locked, match=r"what was paid for cannot be read: .*ENCRYPTION_KEY"):
        lives.live(ask, encryption_key=(KEY,), lose=() if ask is chat else (LATER,))
    assert len(world.stand_in.entries()) == before
    assert lives.findings()[-1] == "locked"
    assert set(world.script.states().values()) == {"failed"}
    lives.retry()
    assert lives.live(ask, encryption_key=(KEY,)) == 0
    assert world.script.one("SELECT count(*) FROM papayya.call WHERE state = 'answered'") == 1


@pytest.mark.parametrize("keys", [None, (LATER,)], ids=["no key", "another key"])
def test_run_without_its_key(world: World, keys: Keys | None) -> None:
    """A process without the key does not go on with a run: its items would be other ones."""
    lives = Lives(world)
    assert lives.live(chat, dies=True, encryption_key=(KEY,)) == 1
    with pytest.raises(vault.Locked, match=r"run lives was begun with an .*ENCRYPTION_KEY"):
        lives.live(chat, encryption_key=keys)
    assert len(world.script.states()) == 1


def test_key_within_a_run(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """A key that is set within a run is warned of."""
    lives = Lives(world)
    assert lives.live(chat) == 1
    assert lives.live(chat, encryption_key=(KEY,)) == 0
    assert "run lives was begun without an encryption key" in caplog.text


def other(url: str) -> Any:
    """Ask something else."""
    with shapes.gpt(url) as client:
        asked = {**ASK, "messages": [{"role": "user", "content": "something else"}]}
        return client.chat.completions.create(**asked).id


def test_changed_request(world: World) -> None:
    """With a key, a request that was changed is compared by its path alone; without it, not at all."""
    lives = Lives(world)
    assert lives.live(chat, dies=True, encryption_key=(KEY,)) == 1
    lives.retry()
    assert lives.live(other, dies=True, encryption_key=(KEY,)) == 1
    [reason] = [reason for check, reason in world.findings() if check == "replay_miss"]
    assert reason.endswith(": $.messages[0].content")
    lives.retry()
    assert lives.live(embed, encryption_key=(KEY,), lose=(LATER,)) == 1
    assert "locked" not in lives.findings()
