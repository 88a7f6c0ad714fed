"""The ledger goes on after any end of the process, and its sums are right."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from papayya_core.fake_provider.book import Entry, key_label, read, totals
from papayya_core.fake_provider.ledger import Ledger, LedgerError
from papayya_core.fake_provider.use import by_minute


def entry(body: str = "b", **more: Any) -> Entry:
    """Make an entry that is not yet numbered."""
    given = {"time": "t", "key": "k", "path": "/", "model": "m", "attempt": 1, "status": 200}
    return Entry(body_sha256=body, **{**given, **more})


def reopened(ledger: Ledger, path: Path) -> Ledger:
    """Open the ledger's file once more, as after a kill."""
    ledger.close()
    return Ledger(path)


def test_numbers(tmp_path: Path) -> None:
    """Entries are numbered from one, and on after a restart, with the counts by body."""
    path = tmp_path / "deep" / "ledger.jsonl"
    ledger = Ledger(path)
    assert [ledger.append(entry(ordinal=n)).id for n in (1, 0, 2)] == [1, 2, 3]
    ledger = reopened(ledger, path)
    assert (ledger.book.attempts["b"], ledger.book.ordinals["b"]) == (3, 2)
    assert ledger.append(entry()).id == 4
    ledger.close()


def test_delivery(tmp_path: Path) -> None:
    """Whether an answer was delivered is unknown at first, and kept once it is known."""
    path = tmp_path / "ledger.jsonl"
    ledger = Ledger(path)
    for _ in range(3):
        ledger.append(entry())
    ledger.deliver(1, delivered=True)
    ledger.deliver(3, delivered=False)
    expected = [True, None, False]
    assert [e.delivered for e in ledger.entries()] == expected
    ledger.close()
    assert [e.delivered for e in read(path)] == expected


@pytest.mark.parametrize("torn", [b'{"id":2,"ti', b"\x00\xff", b'{"id":2}', b"[1]", b"17"])
def test_torn_line(tmp_path: Path, torn: bytes) -> None:
    """A torn last line is passed over, and the next entry begins on a line of its own."""
    path = tmp_path / "ledger.jsonl"
    ledger = Ledger(path)
    ledger.append(entry())
    ledger.close()
    with path.open("ab") as file:
        file.write(torn)
    ledger = Ledger(path)
    assert ledger.book.torn_lines == 1
    assert ledger.append(entry()).id == 2
    ledger = reopened(ledger, path)
    assert [e.id for e in ledger.entries()] == [1, 2]
    ledger.close()


def test_whole_last_line(tmp_path: Path) -> None:
    """A last line that lacks only its end counts, now and later."""
    path = tmp_path / "ledger.jsonl"
    ledger = Ledger(path)
    ledger.append(entry())
    ledger.close()
    path.write_bytes(path.read_bytes().rstrip(b"\n"))
    ledger = Ledger(path)
    assert ledger.append(entry()).id == 2
    ledger = reopened(ledger, path)
    assert ledger.book.last_id == 2
    ledger.close()


def test_after(tmp_path: Path) -> None:
    """Entries can be read on from a number."""
    ledger = Ledger(None)
    for _ in range(4):
        ledger.append(entry())
    assert [e.id for e in ledger.entries(2)] == [3, 4]
    assert ledger.entries(9) == []
    assert len(ledger.entries(-5)) == 4


def test_fired() -> None:
    """The book counts how often a rule hit a body."""
    ledger = Ledger(None)
    ledger.append(entry("a", fault="empty", rule="r"))
    ledger.append(entry("a", fault="empty", rule="r"))
    assert ledger.book.fired["r", "a"] == 2
    assert ledger.book.fired["r", "b"] == 0


def test_one_writer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A ledger in use can't be opened a second time."""
    monkeypatch.setattr("papayya_core.fake_provider.ledger.LOCK_PATIENCE_S", 0.0)
    ledger = Ledger(tmp_path / "ledger.jsonl")
    with pytest.raises(LedgerError, match="give another --ledger"):
        Ledger(tmp_path / "ledger.jsonl")
    ledger.close()


def test_unusable_path(tmp_path: Path) -> None:
    """A path that can't be written is named, with what to do."""
    with pytest.raises(LedgerError, match="give another --ledger"):
        Ledger(tmp_path)


def test_lines(tmp_path: Path) -> None:
    """Each entry is one line of JSON, whatever the client sent."""
    path = tmp_path / "ledger.jsonl"
    ledger = Ledger(path, fsync=True)
    ledger.append(entry(item_key="a\nb\udc80", metadata={"x": [1, None]}))
    ledger.sync()
    ledger.close()
    (line,) = path.read_bytes().splitlines()
    row = json.loads(line)
    assert (row["item_key"], row["metadata"]) == ("a\nb\udc80", {"x": [1, None]})
    assert path.stat().st_mode & 0o077 == 0


def test_totals() -> None:
    """Totals are sums over all entries, by key and by model, and counts by status."""
    rows = [
        entry(key="a", model="m", ordinal=1, cost_nusd=5, output_tokens=1),
        entry(key="a", model="n", ordinal=2, cost_nusd=7, prompt_tokens=3),
        entry(key="b", model="n", status=429, refused="tokens"),
        entry(key="b", model="n", status=None, ordinal=1),
    ]
    sums = totals(rows)
    assert (sums["requests"], sums["billed"], sums["cost_nusd"]) == (4, 3, 12)
    assert sums["by_status"] == {"200": 2, "429": 1, "none": 1}
    assert sums["by_key"]["a"]["cost_nusd"] == 12
    assert (sums["by_key"]["b"]["billed"], sums["by_key"]["b"]["refused"]) == (1, 1)
    assert sums["by_model"]["n"]["prompt_tokens"] == 3


def test_by_minute() -> None:
    """Use is what was processed in each minute, by key and model, with what was refused."""
    rows = [
        entry(time="2026-11-21T10:00:01.5+00:00", ordinal=1, prompt_tokens=3, output_tokens=4),
        entry(time="2026-11-21T10:00:59.9+00:00", status=429, refused="requests"),
        entry(time="2026-11-21T10:01:00.0+00:00", ordinal=2, prompt_tokens=3),
        entry(time="2026-11-21T10:01:00.0+00:00", status=500),
    ]
    whose = {"key": "k", "model": "m"}
    assert by_minute(rows) == [
        {"minute": "2026-11-21T10:00", **whose, "refused": 1, "requests": 1, "tokens": 7},
        {"minute": "2026-11-21T10:01", **whose, "refused": 0, "requests": 1, "tokens": 3},
    ]


def test_key_label() -> None:
    """Keys that end alike have different labels, and none is given away."""
    one, two = key_label("sk-one-shared"), key_label("sk-two-shared")
    assert one != two
    assert one.startswith("shared:")
    assert "one" not in one
    assert key_label("") == "none"
