"""`papayya prices`: what it sets, shows and says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from papayya_core.cli import show
from papayya_core.cli.main import cli
from papayya_core.fake_provider.prices import TABLE
from tests.integration.cli_world import HOSTILE, papayya, papayya_json

pytestmark = pytest.mark.usefixtures("papayya_database")
SET = ("prices", "set", "gpt-5*", "--input", "0.60", "--output", "3.6")


def applied(*arguments: str) -> dict[str, Any]:
    """Read what applies: dollars per million tokens by class."""
    document = papayya_json("prices", "show", *arguments)
    return {name: one["usd_per_million"] for name, one in document["classes"].items()}


def test_nothing_set() -> None:
    """Without prices of one's own, the list says what applies then."""
    assert "no prices are set; the plugins' apply" in papayya("prices").stdout
    assert papayya_json("prices") == {"prices": []}


def test_set() -> None:
    """A price is set, listed with its exact amounts, and set again without effect."""
    shown = papayya(*SET, "--cache-read", "0.06", "--source", "contract 17").stdout
    assert "3 prices of gpt-5* set from now on" in shown
    assert "What is booked already keeps its cost" in shown
    assert "nothing to do: these prices hold already" in papayya(*SET).stdout
    [one] = papayya_json("prices")["prices"]
    assert (one["model"], one["input"], one["cache_read"], one["output"]) == (
        "gpt-5*",
        "0.6",
        "0.06",
        "3.6",
    )
    lines = papayya("prices").stdout.splitlines()
    cells = lines[1].replace(show.NONE, "none").split()[:8]
    assert cells == ["gpt-5*", "*", "none", "$0.60", "$0.06", "none", "none", "$3.60"]
    assert lines[1].endswith("contract 17")


def test_cache_reads_without_a_price() -> None:
    """Whoever sets no price for cache reads is told what they cost, until there is one."""
    told = "Cache reads cost what input does, $0.60; --cache-read sets their price."
    assert told in papayya(*SET).stdout
    assert told in papayya(*SET, "--tenant", "acme", "--new-tenant").stdout
    assert "Cache" not in papayya("prices", "set", "GPT-5*", "--cache-read", "0.06").stdout
    assert "Cache" not in papayya("prices", "set", "gpt-5*", "--input", "0.7").stdout
    assert "Cache" not in papayya("prices", "set", "embed", "--input", "1", "--output", "0").stdout
    assert "Cache" not in papayya_json(*SET, "--provider", "groq")["said"]


def test_show() -> None:
    """What applies is shown by class with its source: what was set, else a plugin's list price."""
    assert applied("gpt-5-mini", "--provider", "openai")["input"] == "0.25"
    shown = papayya("prices", "show", "gpt-5-mini").stdout
    assert "genai-prices" in shown
    assert "LONG" not in shown
    papayya(*SET)
    assert applied("gpt-5-mini") == {
        **dict.fromkeys(("input", "cache_read", "cache_write", "cache_write_1h"), "0.6"),
        "output": "3.6",
    }
    assert "papayya prices #2: set by hand" in papayya("prices", "show", "gpt-5-mini").stdout


def test_show_long_prompts() -> None:
    """Where long prompts are dearer, their prices stand beside."""
    one = papayya_json("prices", "show", "gpt-6-luna", "--provider", "openai")["classes"]["input"]
    assert (one["usd_per_million"], one["usd_per_million_long"]) == ("0.1", "0.2")
    assert "LONG PROMPTS" in papayya("prices", "show", "gpt-6-luna").stdout


def test_show_unpriced() -> None:
    """A model that nobody knows is unpriced, and the way out is named."""
    shown = papayya("prices", "show", "gpt-99").stdout
    assert "gpt-99 is unpriced: nobody set a price, and no plugin knows one" in shown
    assert "papayya prices set gpt-99 --input USD --output USD" in shown
    assert papayya_json("prices", "show", "gpt-99")["priced"] is False


def test_show_of_one_provider() -> None:
    """A price that is only one provider's applies there, and is hinted at elsewhere."""
    papayya(*SET, "--provider", "groq")
    assert applied("gpt-5", "--provider", "groq")["output"] == "3.6"
    assert "prices at groq were set, too" in papayya("prices", "show", "gpt-5").stdout


def test_contract() -> None:
    """A tenant's price from a day on applies to it alone, from that day."""
    mine = (*SET, "--tenant", "acme", "--from", "2030-01-01")
    assert "no tenant 'acme'" in papayya(*mine, code=1).stderr
    assert "--new-tenant makes it" in papayya(*mine, code=1).stderr
    assert "2 prices of gpt-5* set from 2030-01-01" in papayya(*mine, "--new-tenant").stdout
    assert "2 changes to come; --all shows what" in papayya("prices").stdout
    later = ("gpt-5", "--tenant", "acme", "--at", "2030-01-02")
    assert applied(*later)["output"] == "3.6"
    assert applied("gpt-5", "--at", "2030-01-02")["output"] == "10"
    assert applied("gpt-5", "--tenant", "acme")["output"] == "10"
    assert "(to come)" in papayya("prices", "--all").stdout


def test_remove() -> None:
    """What was set is ended, stays in the history, and is ended only once."""
    papayya(*SET)
    assert "2 prices of gpt-5* ended from now on" in papayya("prices", "remove", "gpt-5*").stdout
    assert "nothing to do: no such prices" in papayya("prices", "remove", "gpt-5*").stdout
    assert papayya_json("prices")["prices"] == []
    history = papayya_json("prices", "--all")["prices"]
    assert [row["usd_per_million"] for row in history] == [None, None, "3.6", "0.6"]
    assert papayya("prices", "--all").stdout.count("ended by hand") == 2


def test_import(tmp_path: Path) -> None:
    """A file of prices is set once; what the list prints can be read back; - is stdin."""
    listed = [
        {"model": name, "input": one.input / 1000, "output": one.output / 1000}
        for name, one in TABLE.items()
    ]
    file = tmp_path / "prices.json"
    file.write_text(json.dumps(listed), encoding="utf-8")
    shown = papayya("prices", "import", str(file), "--provider", "openai").stdout
    assert f"{2 * len(TABLE)} prices of {len(TABLE)} lists set" in shown
    again = papayya("prices", "import", str(file), "--provider", "openai").stdout
    assert f"nothing to do: the prices of {len(TABLE)} lists hold already" in again
    back = CliRunner().invoke(
        cli, ["prices", "import", "-"], input=papayya("prices", "--json").stdout
    )
    assert (back.exit_code, "nothing to do" in back.output) == (0, True)
    assert applied("gpt-5-nano", "--provider", "openai")["input"] == "0.05"


def test_import_refused(tmp_path: Path) -> None:
    """A file that is no JSON, or has a wrong entry, is refused as a whole, and says where."""
    file = tmp_path / "prices.json"
    for text, says in (
        ("{", "holds no JSON"),
        ('[{"model": "m", "input": NaN}]', "entry 1 (m): a price is 0 to"),
        ('[{"model": "m", "input": 1, "output": 1}, {"model": "n", "input": 1}]', "n would have"),
        ('[{"model": "m", "inputs": 1}]', "entry 1 (m) has inputs; accepted: model, input"),
    ):
        file.write_text(text, encoding="utf-8")
        assert says in papayya("prices", "import", str(file), code=1).stderr
    assert papayya_json("prices")["prices"] == []


@pytest.mark.parametrize(
    "arguments",
    [
        ("set", "m", "--input", "cheap"),
        ("set", "m", "--input", "-1"),
        ("set", "m", "--input", "1", "--from", "soon"),
        ("set",),
        ("import", "/no/such/file"),
        ("raise", "m"),
    ],
)
def test_wrong_usage(arguments: tuple[str, ...]) -> None:
    """Wrong words are wrong usage: exit 2, and nothing is set."""
    assert "Error:" in papayya("prices", *arguments, code=2).stderr
    assert papayya_json("prices")["prices"] == []


def test_hostile_names() -> None:
    """Names and sources that would act on a terminal are shown, not obeyed."""
    papayya("prices", "set", HOSTILE, "--input", "1", "--output", "1", "--source", HOSTILE)
    for arguments in ((), ("--all",), ("show", HOSTILE), ("show", f"other {HOSTILE}")):
        shown = papayya("prices", *arguments).stdout
        assert "\x1b" not in shown
        assert "\u202e" not in shown
