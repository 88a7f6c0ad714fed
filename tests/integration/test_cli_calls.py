"""What people see of calls: the waterfall of an item, lists, what was said, and reconciling."""

from __future__ import annotations

import base64
import json
import shlex
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from papayya_core.call import Answered, Asked, Ending
from papayya_core.cli import item as item_command
from papayya_core.errors import Reject
from papayya_core.plugins import Plugins
from tests.integration.cli_calls import (
    MODEL,
    PRICE,
    REFUSED,
    TIMED_OUT,
    Talk,
    answer,
    exchange,
    price_list,
    settle_left,
    talk,
)
from tests.integration.cli_world import (
    HOSTILE,
    World,
    change,
    paid,
    papayya,
    papayya_json,
    papayya_lines,
    step,
    world,
)

KEY = "sk-proj-Abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGH"

VAULT_KEY = base64.urlsafe_b64encode(bytes(32)).decode()


@pytest.fixture
def filled(papayya_database: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A database where the model has a price, and people's commands can read what it says."""
    monkeypatch.setattr(item_command, "Plugins", partial(Plugins, extra=[Talk()]))
    price_list()
    with world(papayya_database) as made:
        yield made


def once(world: World, *messages: tuple[str, str], key: str = "k", **asked: Any) -> None:
    """Carry an item of run r that makes one call, in a step."""
    world.carry(world.run("r"), key, lambda _: step("ask", lambda: talk(world, *messages, **asked)))


def again(world: World, fault: Exception) -> None:
    """Carry an item that makes one call and fails; then once more, and it does not."""

    def body(_: object) -> None:
        talk(world)
        if faults:
            raise faults.pop()

    faults = [fault]
    world.carry(world.run("r"), "k", body)
    papayya("retry", "r")
    world.carry(world.run("r"), "k", body)


def table(shown: str, title: str) -> list[list[str]]:
    """Return the cells of the lines that follow a title, up to an empty one."""
    lines = shown.splitlines()
    found = lines[lines.index(title) + 2 :]
    return [line.split() for line in found[: found.index("")]]


def test_calls_stand_beneath_their_step(filled: World) -> None:
    """The waterfall has steps and calls in order of time, calls and inner steps further in."""

    def outer(_: object) -> str:
        talk(filled, ("user", "one"))
        step("inner", lambda: talk(filled, ("user", "two")))
        return talk(filled, ("user", "three"))

    def body(_: object) -> None:
        talk(filled, ("user", "before"))
        step("outer", outer, 1)

    filled.carry(filled.run("r"), "k", body)
    shown = papayya("item", "k").stdout.splitlines()
    begin = shown.index("Steps and calls") + 2
    names = [line.split("  completed")[0].split("  answered")[0].rstrip() for line in shown[begin:]]
    assert names[: names.index("")] == [
        f"   {MODEL}-2026",
        "1  outer",
        f"     {MODEL}-2026",
        "  2  inner",
        f"       {MODEL}-2026",
        f"     {MODEL}-2026",
    ]


def test_a_call_shows_its_facts(filled: World) -> None:
    """A call's line has model, state, tokens by class, cost, times and finish reason."""
    once(filled)
    [_, call] = table(papayya("item", "k").stdout, "Steps and calls")
    shown = " ".join(call)
    for part in (
        f"{MODEL}-2026 answered 1,000 → 500 (100 reasoning) $0.0020 1.500 s",
        "stop, first token 0.250 s",
    ):
        assert part in shown


def test_a_step_costs_what_its_calls_cost(filled: World) -> None:
    """A step's cost is what it reported and what its calls cost; all of them are the item's."""

    def body(value: str) -> None:
        paid(value)
        step("ask", lambda: talk(filled))
        talk(filled)

    filled.carry(filled.run("r"), "k", body)
    document = papayya_json("item", "k")
    costs = [(one["cost_nusd"], one["reported_nusd"]) for one in document["checkpoints"]]
    assert costs == [(100_000_000, 100_000_000), (PRICE, 0)]
    assert (document["cost_nusd"], document["calls"]) == (100_000_000 + 2 * PRICE, 2)
    assert papayya_json("runs")["runs"][0]["cost_nusd"] == document["cost_nusd"]


def test_what_is_not_known_is_loud(filled: World) -> None:
    """Uncertain and unpriced calls stand beside every sum of money that they are missing from."""
    once(filled, ending=TIMED_OUT)
    once(filled, key="free", model="nobody-knows-9")
    doubt = "$0.0000 + ≤ $0.0030 + 1 unpriced"
    assert doubt in papayya("runs").stdout
    assert doubt in papayya("tenants").stdout
    assert "$0.0000 + ≤ $0.0030 (1 uncertain) + 1 unpriced" in papayya("run", "r").stdout
    assert "≤ $0.0030 (1 uncertain)" in papayya("audit", "r").stdout
    lines = papayya("items").stdout.splitlines()
    assert "$0.0000 + 1 unpriced" in lines[1]
    assert "$0.0000 + ≤ $0.0030 " in lines[2]
    assert "ok  $0.0000 + ≤ $0.0030\n" in papayya("results", "r").stdout
    page = papayya("item", "k").stdout
    assert "$0.0000 + ≤ $0.0030 (1 uncertain), 0 tokens" in page
    assert "≤ $0.0030 uncertain" in page
    assert "unpriced" in papayya("item", "free").stdout


def test_a_bound_that_is_not_known_is_not_zero(filled: World) -> None:
    """An uncertain call whose price nothing bounds is shown as such, with the reason."""
    once(filled, ending=TIMED_OUT, unbounded="a stored conversation")
    page = papayya("item", "k").stdout
    assert "1 uncertain without a bound" in page
    assert "no bound uncertain" in page
    assert "a stored conversation" in page
    assert "$0.0000 + no bound" in papayya("runs").stdout
    assert papayya_json("audit", "r")["unbounded_calls"] == 1


def test_attempts_are_lines_of_their_own(filled: World) -> None:
    """A refused send and the one after it are two calls, and the second says so."""

    def ask() -> None:
        talk(filled, ending=replace(REFUSED, retry_after=0.0))  # or the second one waits
        talk(filled)

    filled.carry(filled.run("r"), "k", lambda _: step("ask", ask))
    _, first, second = table(papayya("item", "k").stdout, "Steps and calls")
    assert "failed" in first
    assert "HTTP 429, retry after 0 s, too many requests" in " ".join(first)
    assert "attempt 2" in " ".join(second)


def test_replays_say_what_they_repeat(filled: World) -> None:
    """A call that the journal answered is a line that costs nothing, and names the original."""

    again(filled, RuntimeError("crash"))
    first, then = papayya_json("item", "k")["exchanges"]
    assert (then["state"], then["replay_of"], then["cost_nusd"]) == ("replayed", first["id"], 0)
    line = " ".join(table(papayya("item", "k").stdout, "Calls")[1])
    assert "replayed $0.0000" in line
    assert f"of call {first['id']}" in line
    report = papayya_json("audit", "r")
    assert (report["replayed_calls"], report["saved_nusd"]) == (1, PRICE)
    assert "1 replayed, which saved $0.0020" in papayya("calls").stdout


def test_an_answer_that_was_no_good_says_so(filled: World) -> None:
    """A rejected answer and the one that was asked for in its place are marked."""
    again(filled, Reject("not JSON"))
    page = papayya("item", "k").stdout
    assert "answered, rejected" in page
    assert "answered, resampled" in page


def test_what_was_said_is_shown(filled: World) -> None:
    """The end of the prompt and the answer of the first calls are on the page, clipped."""
    long = "\n".join(f"line {number}" for number in range(100))
    messages = [("system", "be kind"), *[("user", f"m{number}") for number in range(4)]]
    once(filled, *messages, ("user", long), text="It is 42.")
    page = papayya("item", "k").stdout
    for part in ("(3 messages before)", "  user: m3", "answer: It is 42.", "line 11 …"):
        assert part in page
    for part in ("be kind", "line 12"):
        assert part not in page
    [call] = papayya_json("item", "k")["exchanges"]
    assert call["said"]["messages"][-1] == {"role": "user", "text": long}
    assert call["said"]["text"] == "It is 42."


def test_only_the_first_texts_are_shown(filled: World) -> None:
    """Of many calls the text of the first is shown, and --calls shows that of more, or of none."""
    run = filled.run("r")
    filled.carry(run, "k", lambda _: [talk(filled, ("user", f"q{n}")) for n in range(5)])
    page = papayya("item", "k").stdout
    assert ("q2" in page, "q3" in page) == (True, False)
    assert "the text of 2 more calls: --calls 5" in page
    assert "q4" in papayya("item", "k", "--calls", "5").stdout
    assert "q0" not in papayya("item", "k", "--calls", "0").stdout


def test_tools_are_traced_across_calls(filled: World) -> None:
    """A tool that the model asked for is joined with what the next call gave back."""

    def ask() -> None:
        talk(filled, ("user", "q"), wants=[("t1", "find", '{"x": 1}'), ("t2", "lost", "{}")])
        talk(filled, ("user", "q"), ("tool", "7"), given=[("t1", "find", "7")])

    filled.carry(filled.run("r"), "k", lambda _: step("ask", ask))
    page = papayya("item", "k").stdout
    assert '  wants: find {"x": 1}\n    given: 7 (in call 2)' in page
    assert "  wants: lost {}\n    nothing was given back" in page
    assert "asks for find, lost" in page
    found, lost = papayya_json("item", "k")["tool_trace"]
    assert (found["arguments"], found["content"], found["given_in"]) == ('{"x": 1}', "7", 2)
    assert (lost["name"], lost["given_in"]) == ("lost", None)


def test_known_wire_formats_are_read(papayya_database: str) -> None:
    """What was said in a format of papayya_llm is shown, whole and streamed, with its tools."""
    asked = Asked("openai", "openai.chat", "gpt-5")
    tool = {"id": "t1", "type": "function", "function": {"name": "find", "arguments": '{"x": 1}'}}
    question = {"role": "user", "content": "what is x?"}
    whole = {"choices": [{"message": {"role": "assistant", "content": None, "tool_calls": [tool]}}]}
    given = {"role": "tool", "tool_call_id": "t1", "content": "7"}
    more = [question, whole["choices"][0]["message"], given]
    stream = 'data: {"choices": [{"delta": {"content": "It is 7."}}]}\n\ndata: [DONE]\n\n'

    def body(_: object) -> None:
        for messages, said in (([question], json.dumps(whole)), (more, stream)):
            ending = Ending("answered", 200, body=said.encode(), answered=Answered())
            request = {"model": "gpt-5", "messages": messages}
            exchange(made, asked, "api.openai.com/v1/chat/completions", request, ending)

    with world(papayya_database) as made:
        made.carry(made.run("r"), "k", body)
    page = papayya("item", "k").stdout
    for part in ("user: what is x?", 'wants: find {"x": 1}', "given: 7 (in call 2)", "It is 7."):
        assert part in page


def test_secrets_are_taken_out(filled: World) -> None:
    """Keys in prompts, answers, arguments and errors are on no page and in no document."""
    wants = [("t1", "find", f'{{"key": "{KEY}"}}')]
    once(filled, ("user", f"my key is {KEY}"), text=f"yours is {KEY}", wants=wants)
    once(filled, key="bad", ending=Ending("failed", 401, error=f"wrong key {KEY}"))
    for command in (["item", "k"], ["item", "bad"], ["calls"]):
        for form in ([], ["--json"]):
            assert KEY not in papayya(*command, *form).stdout, command


@pytest.mark.parametrize(
    ("capture", "why"), [("hash", "only its hash is kept"), ("off", "not kept")]
)
def test_what_was_not_kept_is_said_so(papayya_database: str, capture: str, why: str) -> None:
    """Where the text of calls is not kept, the page says that."""
    with world(papayya_database, capture=capture) as made:
        once(made)
    page = papayya("item", "k").stdout
    assert why in page
    assert "how are you?" not in page


def test_what_is_encrypted_says_what_opens_it(
    papayya_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the key the page has all but the text, and names the setting; with it, the text."""
    monkeypatch.setattr(item_command, "Plugins", partial(Plugins, extra=[Talk()]))
    with world(papayya_database, encryption_key=(VAULT_KEY,)) as made:
        once(made)
    page = papayya("item", "k").stdout
    assert "answered" in page
    assert "how are you?" not in page
    assert "PAPAYYA_ENCRYPTION_KEY" in page.partition("call 1, step 1")[2]
    monkeypatch.setenv("PAPAYYA_ENCRYPTION_KEY", VAULT_KEY)
    assert "user: how are you?" in papayya("item", "k").stdout


def test_calls_without_an_end_have_a_place(filled: World) -> None:
    """A call of a step that never came to its end stands under that step's number."""

    def killed() -> None:
        talk(filled)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        filled.carry(filled.run("r"), "k", lambda _: step("ask", killed))
    unfinished, call = table(papayya("item", "k").stdout, "Calls")
    assert " ".join(unfinished).startswith("1 (a step without an end)")
    assert call[:2] == [f"{MODEL}-2026", "answered"]


def test_lists_are_narrowed(filled: World) -> None:
    """Every option narrows the list and its sums."""
    once(filled)
    once(filled, key="late", ending=TIMED_OUT)
    once(filled, key="free", model="nobody-knows-9")
    filled.carry(filled.run("other"), "k", lambda _: talk(filled), tenant="globex")
    wanted = {
        ("--run", "other"): ["k"],
        ("--tenant", "globex"): ["k"],
        ("--item", "late"): ["late"],
        ("--model", MODEL): ["k", "late", "k"],
        ("--model", f"{MODEL}-2026"): ["k", "free", "k"],
        ("--model", "nobody-knows-9"): ["free"],
        ("--state", "answered"): ["k", "free", "k"],
        ("--uncertain",): ["late"],
        ("--unpriced",): ["free"],
    }
    for options, items in wanted.items():
        found = papayya_json("calls", *options)
        assert [one["item"] for one in found["calls"]] == items, options
        assert found["sums"]["calls"] == len(items)
    sums = papayya_json("calls")["sums"]
    assert (sums["cost_nusd"], sums["tokens_input"], sums["tokens_reasoning"]) == (
        2 * PRICE,
        3000,
        300,
    )
    assert (sums["uncertain_nusd"], sums["unpriced_calls"]) == (3_000_000, 1)


def test_lists_are_paged_by_what_is_printed(filled: World) -> None:
    """The line under a cut list is the command that shows the rest; sums are of all pages."""
    filled.carry(filled.run("r"), "k", lambda _: [talk(filled) for _ in range(3)])
    shown = papayya("calls", "--run", "r", "--limit", "2").stdout
    assert "3 calls" in shown
    [more] = [line for line in shown.splitlines() if "go on with" in line]
    rest = papayya(*shlex.split(more.partition("go on with: ")[2])[1:]).stdout
    assert rest.splitlines()[1].split()[0] == "1"
    assert [one["id"] for one in papayya_lines("calls", "--limit", "2")] == [3, 2]


def test_lists_answer_wrong_names(filled: World) -> None:
    """No calls are no error, and a key that does not exist is answered with near ones."""
    assert papayya("calls").stdout == "no such calls\n"
    once(filled, key="ticket-1")
    assert "'ticket-1'" in papayya("calls", "--item", "ticket-9", code=1).stderr


def test_an_uncertain_call_is_ended_by_hand(filled: World, papayya_database: str) -> None:
    """What the provider billed becomes the cost of call, item, run and tenant, exactly."""
    once(filled, ending=TIMED_OUT)
    said = papayya("reconcile", "1", "--usd", "0.001234567").stdout
    assert said == "call 1 of item k: $0.001234567, was ≤ $0.0030 uncertain\n"
    [call] = papayya_json("calls")["calls"]
    assert (call["cost_nusd"], call["uncertain"], call["price_source"]) == (
        1_234_567,
        False,
        "by hand",
    )
    report = papayya_json("audit", "r")
    assert (report["cost_nusd"], report["spend_nusd"], report["uncertain_nusd"]) == (
        1_234_567,
        1_234_567,
        0,
    )
    assert report["explained"]
    assert "uncertain, by hand" in papayya("item", "k").stdout


def test_what_was_not_billed_costs_nothing(filled: World) -> None:
    """A call that the provider did not bill is ended with no cost, and is uncertain no more."""
    once(filled, ending=TIMED_OUT)
    assert papayya_json("reconcile", "1", "--not-billed")["call"]["cost_nusd"] == 0
    assert papayya_json("calls", "--uncertain")["calls"] == []


def test_more_than_was_held_needs_force(filled: World) -> None:
    """An amount above what a call can have cost is refused with both, unless it is insisted on."""
    once(filled, ending=TIMED_OUT)
    papayya_json("reconcile", "1", "--usd", "0.003")
    once(filled, key="late", ending=TIMED_OUT)
    said = papayya("reconcile", "2", "--usd", "0.0030001", code=1).stderr
    assert "call 2 can have cost $0.0030 at most" in said
    assert "you say $0.0030001; if that is what was billed, add --force" in said
    assert [one["id"] for one in papayya_json("calls", "--uncertain")["calls"]] == [2]
    papayya("reconcile", "2", "--usd", "0.0030001", "--force")
    assert papayya_json("audit", "r")["cost_nusd"] == 6_000_100


def test_the_seen_part_of_a_broken_stream_counts(filled: World) -> None:
    """What a broken call can have cost is what was seen of it and the rest of what was held."""
    once(filled, ending=replace(answer(), state="broken"))
    [call] = papayya_json("calls")["calls"]
    assert (call["cost_nusd"], call["held_nusd"]) == (PRICE, 1_000_000)
    assert "$0.0030 at most" in papayya("reconcile", "1", "--usd", "0.0031", code=1).stderr
    papayya("reconcile", "1", "--usd", "0.003")


def test_without_a_bound_any_amount_is_taken(filled: World) -> None:
    """A call whose price nothing bounds is reconciled at any amount."""
    once(filled, ending=TIMED_OUT, unbounded="a stored conversation")
    papayya("reconcile", "1", "--usd", "9")


def test_an_unpriced_call_gets_its_cost_by_hand(filled: World) -> None:
    """A call without a price is priced by hand, and may be corrected."""
    once(filled, model="nobody-knows-9")
    papayya("reconcile", "1", "--usd", "0.5")
    papayya("reconcile", "1", "--usd", "0.25")
    report = papayya_json("audit", "r")
    assert (report["cost_usd"], report["unpriced_calls"]) == ("0.25", 0)
    assert report["explained"]


def test_a_known_cost_is_not_overwritten(filled: World) -> None:
    """A priced call, and one under way, are left alone, and the message says why."""
    once(filled)
    said = papayya("reconcile", "1", "--usd", "9", code=1).stderr
    assert said == "papayya: nothing to do: call 1 is answered, and cost $0.0020\n"
    once(filled, key="open", leave=True)
    assert "call 2 is under way" in papayya("reconcile", "2", "--not-billed", code=1).stderr
    assert "no call 77" in papayya("reconcile", "77", "--not-billed", code=1).stderr


@pytest.mark.parametrize("options", [[], ["--usd", "1", "--not-billed"], ["--usd", "-1"]])
def test_reconciling_needs_one_amount(filled: World, options: list[str]) -> None:
    """No amount, two of them, or none that can be, is wrong usage."""
    papayya("reconcile", "1", *options, code=2)


def test_hostile_texts_are_harmless(filled: World) -> None:
    """Markup, escapes and line breaks of prompts, answers and tools act on nothing."""
    wants = [(HOSTILE, HOSTILE, HOSTILE)]
    once(filled, (HOSTILE, HOSTILE), key=HOSTILE, text=HOSTILE, wants=wants, model=HOSTILE[:400])
    for command in (["item", HOSTILE], ["calls"]):
        for form in ([], ["--json"]):
            assert not set("\x1b\x9b\u202e") & set(papayya(*command, *form).stdout), command


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE papayya.call SET cost_nusd = cost_nusd + 1",
        "UPDATE papayya.spend SET cost_nusd = cost_nusd - 1",
        "UPDATE papayya.step SET cost_nusd = cost_nusd + 1",
        "DELETE FROM papayya.spend",
    ],
)
def test_a_missing_nano_dollar_is_named(
    filled: World, papayya_database: str, statement: str
) -> None:
    """Calls, reports, items and what is booked must agree: one nano-dollar is missed."""
    once(filled)
    assert papayya_json("audit", "r")["explained"]
    change(papayya_database, statement)
    report = papayya_json("audit", "r", code=1)
    found = [one for one in report["unexplained"] if one["kind"] == "money"]
    assert [one["tenant"] for one in found] == ["acme"]
    assert "nano-dollars" in papayya("audit", "r", code=1).stdout


def test_money_is_proved_by_tenant(filled: World) -> None:
    """The audit has the sides of each tenant and of the run, equal to the nano-dollar."""
    run = filled.run("r")
    filled.carry(run, "k", lambda _: talk(filled))
    filled.carry(run, "k", paid, tenant="globex")
    report = papayya_json("audit", "r")
    sides = ("calls_nusd", "reported_nusd", "items_nusd", "spend_nusd", "cost_nusd")
    by_tenant = {one["tenant"]: [one[side] for side in sides] for one in report["tenants"]}
    dime = 100_000_000
    assert by_tenant == {
        "acme": [PRICE, 0, PRICE, PRICE, PRICE],
        "globex": [0, dime, dime, dime, dime],
    }
    assert report["cost_nusd"] == report["calls_nusd"] + report["reported_nusd"]
    shown = papayya("audit", "r").stdout
    assert "money: $0.0020 of 1 call + $0.1000 reported = $0.1020" in shown


def test_a_late_answer_counts(filled: World) -> None:
    """An answer that comes after its item has ended is in the item's cost and in the run's."""
    filled.carry(filled.run("r"), "k", lambda _: talk(filled, leave=True))
    assert "1 call under way" in papayya("audit", "r").stdout
    settle_left(filled, answer())
    report = papayya_json("audit", "r")
    assert (report["cost_nusd"], report["spend_nusd"]) == (PRICE, PRICE)
    assert report["explained"]
