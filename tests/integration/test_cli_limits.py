"""`papayya limits`, `papayya limit`, `papayya.limit` and `papayya tenants`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from decimal import Decimal

import pytest

from papayya import InvalidLimit, RateLimit, limit
from papayya_core.cli import show
from papayya_core.errors import InvalidKey
from papayya_core.store.reads import UnknownName
from tests.integration.cli_world import (
    HOSTILE,
    World,
    broken,
    change,
    paid,
    papayya,
    papayya_json,
    program,
    program_when_off,
    world,
)

SET = ("limit", "set", "--tenant", "acme")
PRINT = "openai/0123456789abcdef"


@pytest.fixture
def filled(papayya_database: str) -> Iterator[World]:
    """A run of two tenants: one done at a dime, one failed, one queued."""
    with world(papayya_database) as made:
        run = made.run("r")
        made.carry(run, "done", paid)
        made.carry(run, "bad", broken, tenant="globex")
        made.submit(run, "open")
        yield made


@pytest.fixture
def in_program(papayya_database: str) -> Iterator[None]:
    """This process is a program with a runtime."""
    with program(papayya_database, heartbeat="off"):
        yield


def throttle(dsn: str, key: str, rate: int, minutes: int = 0) -> None:
    """Let an item wait for a limit, for so many minutes already."""
    sql = (
        "UPDATE papayya.item SET state = 'waiting', rate_id = %s, wants = 1, due_at = papayya.now(),"
        " throttled_at = papayya.now() - %s * interval '1 minute' WHERE key = %s"
    )
    change(dsn, sql, rate, minutes, key)


def tenant(name: str) -> dict[str, object]:
    """Read what `papayya tenants` says of a tenant."""
    found = papayya_json("tenants")["tenants"]
    return next(one for one in found if one["tenant"] == name)


@pytest.mark.usefixtures("papayya_database")
def test_none() -> None:
    """Without limits the list says how to set one."""
    assert "no limits were set or learned; papayya limit set" in papayya("limits").stdout
    assert papayya_json("limits") == {"limits": []}
    assert "give --requests, --tokens, or both" in papayya(*SET, code=2).stderr
    assert "say of what" in papayya("limit", "set", "--tokens", "1", code=2).stderr
    for wrong in ("0", "-1", "many"):
        assert "Error:" in papayya(*SET, "--tokens", wrong, code=2).stderr


def test_set(filled: World) -> None:
    """A limit is set, listed, set again without effect, and changed as a whole."""
    shown = papayya(*SET, "--tokens", "100000", "--requests", "60").stdout
    assert shown == "60 requests and 100,000 tokens a minute for tenant acme\n"
    again = papayya_json(*SET, "--tokens", "100000", "--requests", "60")
    assert (again["changed"], again["next"]) == (0, "")
    assert again["said"].startswith("nothing to do: 60 requests and 100,000 tokens a minute")
    [one] = papayya_json("limits")["limits"]
    assert (one["tenant"], one["requests"], one["tokens"], one["burst"]) == ("acme", 60, 100000, 6)
    assert (one["full"], one["waiting"], one["learned"], one["cool_until"]) == (0, 0, False, None)
    shown = papayya(*SET, "--tokens", "0.5", "--burst", "60").stdout
    assert "0.5 tokens a minute for tenant acme from now on; 60 requests and 100,000" in shown
    [line] = papayya("limits").stdout.splitlines()[1:]
    assert line.split()[1:7] == ["tenant", "acme", show.NONE, "0.5", "60", "s"]


def test_of_what(filled: World) -> None:
    """Limits of keys, providers and models are told apart, shared, and narrowed by each."""
    papayya("limit", "set", "--provider", "OpenAI", "--model", "GPT-5*", "--requests", "500")
    papayya("limit", "set", "--key", PRINT, "--tokens", "7")
    papayya(*SET, "--provider", "openai", "--tokens", "9")
    assert "all tenants, provider openai, model gpt-5*" in papayya("limits").stdout
    assert len(papayya_json("limits", "--provider", "openai")["limits"]) == 2
    [one] = papayya_json("limits", "--model", "gpt-5*")["limits"]
    assert (one["tenant"], one["provider"], one["requests"]) == (None, "openai", 500)
    [one] = papayya_json("limits", "--tenant", "acme")["limits"]
    assert one["tokens"] == 9
    assert "no tenant 'acmee'" in papayya("limits", "--tenant", "acmee", code=1).stderr
    assert (
        "no key 'mine'" in papayya("limit", "set", "--key", "mine", "--tokens", "1", code=1).stderr
    )


def test_a_provider_that_nobody_has_asked(filled: World) -> None:
    """A limit of a provider without a key says so, where keys of others were seen."""
    slip = ("limit", "set", "--provider", "opnai", "--tokens", "7")
    assert papayya_json(*slip)["next"] == ""
    papayya("limit", "set", "--key", PRINT, "--tokens", "7")
    papayya("limit", "remove", "--provider", "opnai")
    assert papayya_json(*slip)["next"] == "No key of opnai was seen yet, but of openai."
    assert papayya_json(*slip)["next"] == ""


def test_full_and_cooling(filled: World, papayya_database: str) -> None:
    """The list shows how full a limit is, who waits for it, until when it cools, and who says so."""
    papayya("limit", "set", "--provider", "openai", "--tokens", "600")
    [one] = papayya_json("limits")["limits"]
    sql = "UPDATE papayya.rate SET tokens_at = papayya.now() + interval '1 h', learned = true,"
    change(papayya_database, f"{sql} cool_until = papayya.now() + interval '1 h'")
    throttle(papayya_database, "open", one["id"])
    [one] = papayya_json("limits")["limits"]
    assert one["full"] > 1
    assert (one["waiting"], one["learned"]) == (1, True)
    assert one["cool_until"] is not None
    shown = papayya("limits").stdout
    assert "100 %" in shown
    assert "learned" in shown


def test_remove(filled: World, papayya_database: str) -> None:
    """A limit goes once, as it was set or by its id; what waits for it is due, a learned one too."""
    papayya(*SET, "--tokens", "5")
    [one] = papayya_json("limits")["limits"]
    throttle(papayya_database, "open", one["id"])
    done = papayya_json("limit", "remove", "--tenant", "acme")
    assert (done["changed"], done["next"]) == (1, "1 item that waited for it may go on.")
    assert (
        "nothing to do: no limit of tenant acme was set"
        in papayya("limit", "remove", "--tenant", "acme").stdout
    )
    assert papayya_json("limits") == {"limits": []}
    change(
        papayya_database,
        "INSERT INTO papayya.rate (provider, tokens, learned) VALUES ('x', 5, true)",
    )
    [one] = papayya_json("limits")["limits"]
    assert papayya_json("limit", "remove", "--provider", "x")["changed"] == 0
    assert papayya_json("limit", "remove", str(one["id"]))["changed"] == 1
    assert papayya_json("limit", "remove", str(one["id"]))["changed"] == 0
    assert "give the ID of a limit" in papayya("limit", "remove", code=2).stderr


@pytest.mark.usefixtures("in_program")
def test_in_python() -> None:
    """A program sets, reads and removes limits."""
    one = limit.set(tenant="acme", tokens=100_000, requests=60)
    assert isinstance(one, RateLimit)
    assert limit.get(tenant="acme") == one == limit.list()[0]
    assert limit.set(tenant="acme", requests=30, burst=60).tokens is None
    assert (limit.get(tenant="nobody"), limit.get(provider="openai")) == (None, None)
    assert limit.remove(tenant="acme")
    assert not limit.remove(tenant="acme")


@pytest.mark.usefixtures("in_program")
def test_in_python_what_is_wrong() -> None:
    """What cannot be a limit is refused before anything is written."""
    with pytest.raises(InvalidLimit, match="requests, tokens or both"):
        limit.set(tenant="acme")
    with pytest.raises(InvalidLimit, match="tenant, key, provider or model"):
        limit.set(tokens=1)
    for wrong in (0, -1, float("nan"), float("inf"), True, "7"):
        with pytest.raises(InvalidLimit, match="above 0"):
            limit.set(tenant="acme", tokens=wrong)  # type: ignore[arg-type]
    with pytest.raises(UnknownName, match="no key 'k'"):
        limit.set(key="k", tokens=1)
    with pytest.raises(InvalidKey):
        limit.set(model="", tokens=1)
    assert limit.list() == []


def test_in_python_when_off() -> None:
    """In the mode off no database is asked, and wrong numbers are still wrong."""
    with program_when_off():
        assert limit.set(tenant="acme", tokens=1).full == 0
        assert (limit.get(tenant="acme"), limit.list()) == (None, [])
        assert not limit.remove(tenant="acme")
        with pytest.raises(InvalidLimit):
            limit.set(tenant="acme", tokens=0)


def test_tenants(filled: World) -> None:
    """Tenants are shown with money, what is left, success rate, and what is open."""
    papayya("budget", "set", "--tenant", "acme", "--usd", "1")
    acme, globex = tenant("acme"), tenant("globex")
    assert (acme["cost_usd"], acme["held_usd"], acme["left_usd"]) == ("0.1", "0", "0.9")
    assert (acme["queued"], acme["success_rate"], acme["weight"]) == (1, 1.0, "1")
    assert (globex["success_rate"], globex["left_nusd"], globex["starved"]) == (0.0, None, False)
    shown = papayya("tenants").stdout.splitlines()
    assert shown[1].split()[:6] == ["acme", "$0.1000", "$0.0000", "$0.9000", "100", "%"]
    assert "WEIGHT" not in shown[0]
    assert [one["items"] for one in papayya_json("tenants", "--run", "r")["tenants"]] == [2, 1]


def test_throttled_and_starved(filled: World, papayya_database: str) -> None:
    """A tenant that waits is throttled; it is starved when the limit lets others in for a minute."""
    rate = papayya_json("limit", "set", "--provider", "openai", "--tokens", "5")["limit"]["id"]
    throttle(papayya_database, "open", rate)
    assert (tenant("acme")["throttled"], tenant("acme")["starved"]) == (1, False)
    assert "throttled" in papayya("tenants").stdout
    throttle(papayya_database, "open", rate, minutes=5)
    assert tenant("acme")["starved"] is False
    change(papayya_database, "UPDATE papayya.rate SET served_at = papayya.now()")
    assert tenant("acme")["starved"] is True
    assert "starved" in papayya("tenants").stdout


def test_weights(filled: World) -> None:
    """A weight is set, said, and shown once anybody has another one; a wrong one is wrong usage."""
    shown = papayya("tenants", "set", "acme", "--weight", "2").stdout
    assert "tenant acme has the weight 2 from now on, 1 before" in shown
    assert "nothing to do" in papayya("tenants", "set", "acme", "--weight", "2.0").stdout
    assert "it is new" in papayya("tenants", "set", "other", "--weight", "0.5").stdout
    assert "WEIGHT" in papayya("tenants").stdout
    assert Decimal(str(tenant("other")["weight"])) == Decimal("0.5")
    for wrong in ("0", "-1", "NaN", "heavy", "1e9"):
        assert "a weight is" in papayya("tenants", "set", "acme", "--weight", wrong, code=2).stderr


def test_watch(filled: World, papayya_database: str) -> None:
    """--watch draws the tenants again until Ctrl-C, which is no failure."""
    command = [sys.executable, "-m", "papayya_core", "tenants", "--watch"]
    env = {**os.environ, "PAPAYYA_DATABASE_URL": papayya_database, "COLUMNS": "200"}
    watching = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True)
    giving_up = threading.Timer(60, watching.kill)
    giving_up.start()
    try:
        assert watching.stdout is not None
        lines = [watching.stdout.readline() for _ in range(2)]
        assert "TENANT" in lines[0]
        assert lines[1].startswith("acme")
        watching.send_signal(signal.SIGINT)
        assert watching.wait() == 0
    finally:
        giving_up.cancel()
        watching.kill()
        watching.communicate()
    assert "Error:" in papayya("tenants", "--watch", "--json", code=2).stderr


def test_hostile_names(papayya_database: str) -> None:
    """What a name holds acts on no terminal."""
    papayya("tenants", "set", HOSTILE, "--weight", "2")
    for command in (
        ("limit", "set", "--tenant", HOSTILE, "--tokens", "1"),
        ("limits",),
        ("tenants",),
    ):
        assert not set("\x1b\x9b\u202e") & set(papayya(*command).stdout)
