"""The demo as its users start it: a process, an embedded Postgres, a provider that keeps books."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from papayya_core.fake_provider.book import Entry, read
from papayya_core.testing.servers import throwaway_home

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = "examples/tag_tickets/tag_tickets.py"
PATIENCE_S = 100
FOREIGN = ("OPENAI_", "ANTHROPIC_", "PAPAYYA_")


@dataclass(frozen=True)
class Demo:
    """A place where demos run."""

    home: Path

    @property
    def env(self) -> dict[str, str]:
        """The environment of a user who has set nothing but PAPAYYA_HOME."""
        clean = {name: v for name, v in os.environ.items() if not name.startswith(FOREIGN)}
        return {**clean, "PAPAYYA_HOME": str(self.home), "PYTHONUNBUFFERED": "1"}

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start a demo without waiting for it."""
        return subprocess.Popen(
            [sys.executable, SCRIPT, *arguments],
            cwd=ROOT,
            env=self.env,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def run(self, *arguments: str, code: int = 0) -> str:
        """Run a demo to its end; return what it printed."""
        with self.start(*arguments) as process:
            said = process.communicate(timeout=PATIENCE_S)[0]
        assert process.returncode == code, said
        return said

    def shell(self, line: str) -> str:
        """Run a command line as it was printed."""
        done = subprocess.run(
            shlex.split(line), cwd=ROOT, env=self.env, text=True, capture_output=True, check=True
        )
        return done.stdout

    def audit(self, run: str) -> dict[str, Any]:
        """Return the audit of a run."""
        papayya = Path(sys.executable).with_name("papayya")
        report: dict[str, Any] = json.loads(self.shell(f"{papayya} audit {run} --json"))
        return report

    def calls(self, run: str) -> list[dict[str, Any]]:
        """List the calls of a run."""
        papayya = Path(sys.executable).with_name("papayya")
        said = self.shell(f"{papayya} calls --run {run} --limit 5000 --jsonl")
        return [json.loads(line) for line in said.splitlines()]

    def ledger(self, run: str) -> list[Entry]:
        """Return what the stand-in of a run wrote down."""
        return read(self.home / "tag_tickets" / run / "ledger.jsonl")


@pytest.fixture(scope="module")
def demo() -> Iterator[Demo]:
    """One home for all demos of this module."""
    with throwaway_home() as home:
        yield Demo(home)


@pytest.fixture(scope="module")
def sixty(demo: Demo) -> str:
    """What a demo of 60 items said; its run is `sixty`."""
    return demo.run("--n=60", "--run-id=sixty")


def last(said: str) -> str:
    """Find the closing line."""
    return next(line for line in said.splitlines() if line.startswith(("✓", "!")))


def test_closing_line_counts_every_item(sixty: str) -> None:
    """The closing line tells done, flagged and cost, and that nothing was dropped."""
    assert re.fullmatch(r"✓ 57 done · 3 flagged · \$0\.\d+ · 0 silently dropped", last(sixty)), (
        sixty
    )


def test_calls_are_counted(demo: Demo, sixty: str) -> None:
    """Beneath the closing line are the calls and tokens of the stand-in's own books."""
    ledger = demo.ledger("sixty")
    into = sum(entry.prompt_tokens for entry in ledger)
    out = sum(entry.output_tokens for entry in ledger)
    counted = f"  {len(ledger):,} calls · {into:,} tokens in, {out:,} out"
    assert counted in sixty.splitlines()


def test_noteworthy_items_have_lines(sixty: str) -> None:
    """Throttled items are seen to resume, and wrong answers to be flagged."""
    words = (" → resumed", "429 → waited → resumed", "schema_violation → flagged for replay")
    for what in ("tagged: ", *words, "refused → flagged", "truncated → flagged"):
        assert what in sixty


def test_audit_equals_ledger(demo: Demo, sixty: str) -> None:
    """What the audit says was spent is what the stand-in says it billed, to the nano-dollar."""
    report, ledger = demo.audit("sixty"), demo.ledger("sixty")
    assert report["explained"]
    assert report["dropped"] == 0
    assert report["cost_nusd"] == sum(entry.cost_nusd for entry in ledger) > 0
    assert report["calls_nusd"] == report["cost_nusd"] == report["spend_nusd"]
    assert (report["uncertain_calls"], report["unpriced_calls"]) == (0, 0)
    assert set(Counter(e.item_key for e in ledger if e.ordinal).values()) == {1}


def test_second_start_pays_nothing(demo: Demo, sixty: str) -> None:
    """Started again with the same run id, it ends with the same line and asks nobody."""
    asked = len(demo.ledger("sixty"))
    again = demo.run("--n=60", "--run-id=sixty")
    assert last(again) == last(sixty)
    assert "60 of them had ended before; nothing paid this time" in again
    assert len(demo.ledger("sixty")) == asked


def test_printed_commands_work(demo: Demo, sixty: str) -> None:
    """The commands that it prints for a further look find the run as they stand."""
    lines = sixty.partition("Look further:\n")[2].splitlines()
    assert len(lines) == 4
    for line in lines:
        said = demo.shell(line)
        assert "sixty" in said or "item_0035" in said, line


def test_item_shows_its_calls(demo: Demo, sixty: str) -> None:
    """The item that it names for a further look shows its step, its call, and what was said."""
    [line] = [each for each in sixty.splitlines() if "papayya" in each and " item item_" in each]
    said = demo.shell(line)
    for words in ("Steps and calls", "gpt-5.4-mini", "You sort the mail of a support desk"):
        assert words in said
    [call] = json.loads(demo.shell(f"{line} --json"))["exchanges"]
    assert (call["state"], call["provider"], call["model"]) == (
        "answered",
        "openai",
        "gpt-5.4-mini",
    )
    assert call["cost_nusd"] > 0


def test_killed_demo_goes_on(demo: Demo) -> None:
    """After kill -9 the same run id finishes the run, and pays for what was in flight alone."""
    with demo.start("--n=400", "--run-id=killed") as first:
        assert first.stdout is not None
        while "… 80 of 400" not in (line := first.stdout.readline()):
            assert line, "it ended before it was killed"
        first.kill()
    assert stand_in_answers(demo.home / "tag_tickets" / "killed")
    said = demo.run("--n=400", "--run-id=killed")
    assert last(said).startswith("✓ 397 done · 3 flagged")
    assert not stand_in_answers(demo.home / "tag_tickets" / "killed")
    report, billed = demo.audit("killed"), bills(demo.ledger("killed"))
    uncertain = report["uncertain_nusd"] + report["pending_nusd"]
    assert report["explained"]
    assert report["cost_nusd"] <= sum(billed.values()) <= report["cost_nusd"] + uncertain
    check_calls(demo.calls("killed"), billed)


def bills(ledger: list[Entry]) -> dict[tuple[str, str], int]:
    """Collect what was billed, by item and answer."""
    return {
        (str(entry.item_key), str(entry.response_id)): entry.cost_nusd
        for entry in ledger
        if entry.ordinal
    }


def check_calls(calls: list[dict[str, Any]], billed: dict[tuple[str, str], int]) -> None:
    """Hold calls against bills: one answer of each item, and what is more was cut off."""
    answered = [call for call in calls if call["state"] == "answered"]
    known = {(call["item"], call["response_id"]): call["cost_nusd"] for call in answered}
    assert set(Counter(item for item, _ in known).values()) == {1}
    assert known.items() <= billed.items()
    more = Counter(item for item, _ in billed.keys() - known.keys())
    cut_off = Counter(call["item"] for call in calls if call["uncertain"])
    assert more <= cut_off, f"paid without a call: {more - cut_off}"


def stand_in_answers(directory: Path) -> bool:
    """Ask the stand-in of a run for a sign of life."""
    try:
        url = f"http://127.0.0.1:{int((directory / 'port').read_text())}/_control/health"
        urllib.request.urlopen(url, timeout=5).close()
    except (OSError, ValueError):
        return False
    return True


def test_interrupted_demo_says_how_to_go_on(demo: Demo) -> None:
    """Ctrl-C ends it with 130 and a command that really goes on."""
    with demo.start("--n=400", "--run-id=stopped") as first:
        assert first.stdout is not None
        while "… 80 of 400" not in (line := first.stdout.readline()):
            assert line, "it ended before it was stopped"
        first.send_signal(2)
        rest = first.communicate(timeout=PATIENCE_S)[0]
    assert first.returncode == 130, rest
    command = rest.partition("nothing is lost. Go on with:\n")[2].strip().splitlines()[0]
    words = shlex.split(command)
    assert words[0] == f"PAPAYYA_HOME={demo.home}"
    assert last(demo.shell(shlex.join(words[1:]))).startswith("✓ 397 done · 3 flagged")
    assert set(Counter(e.item_key for e in demo.ledger("stopped") if e.ordinal).values()) == {1}


def test_csv_brings_its_categories(demo: Demo, tmp_path: Path) -> None:
    """A CSV's texts are tagged with the categories of its own column."""
    file = tmp_path / "tickets.csv"
    rows = ['"My card, it never came",card_arrival', "What is my exchange rate?,exchange_rate"]
    file.write_text("\n".join(["text,category", *rows]) + "\n", encoding="utf-8")
    said = demo.run(f"--tickets={file}", "--run-id=csv")
    assert last(said).startswith("✓ 2 done · 0 flagged")
    assert set(re.findall(r"tagged: (\w+)", said)) == {"card_arrival", "exchange_rate"}


def test_json_lines_name_id_and_org(demo: Demo, tmp_path: Path) -> None:
    """JSON Lines may name the ticket and whose it is."""
    file = tmp_path / "tickets.jsonl"
    rows = [{"text": "A parcel is late", "id": 7, "org": "zoo"}, {"text": "Grüße", "id": "ä"}]
    file.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    assert "· 2 items ·" in demo.run(f"--tickets={file}", "--run-id=jsonl")
    tenants = {each["tenant"]: each["done"] for each in demo.audit("jsonl")["tenants"]}
    assert tenants["zoo"] == 1
    assert sum(tenants.values()) == 2


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("short.csv", "text,org\nfine,acme\nno org\n", "short.csv, line 3: 1 values"),
        ("empty.csv", "text\n", "has no tickets in it"),
        ("twice.jsonl", '{"text":"a","id":1,"org":"x"}\n' * 2, "line 2: x has a ticket '1'"),
        ("torn.jsonl", '{"text":"a"}\n{"text":', "torn.jsonl, line 2 is not JSON"),
        ("blank.jsonl", '{"text":" "}', "line 1: there is no text"),
    ],
)
def test_malformed_file_is_refused(
    demo: Demo, tmp_path: Path, name: str, text: str, words: str
) -> None:
    """A malformed file is an error that names file and line, before anything is asked."""
    (tmp_path / name).write_text(text, encoding="utf-8")
    said = demo.run(f"--tickets={tmp_path / name}", "--run-id=refused", code=1)
    assert words in said
    assert not (demo.home / "tag_tickets" / "refused").exists()


def test_orphaned_stand_in_is_ended(demo: Demo) -> None:
    """The stand-in of a killed demo that nobody goes on with ends with the next demo."""
    with demo.start("--n=400", "--run-id=orphan") as first:
        assert first.stdout is not None
        while "tagged:" not in (line := first.stdout.readline()):
            assert line, "it ended before it was killed"
        first.kill()
    demo.run("--n=1", "--run-id=another")
    deadline = time.monotonic() + PATIENCE_S
    while stand_in_answers(demo.home / "tag_tickets" / "orphan"):
        assert time.monotonic() < deadline, "the stand-in is still there"
