"""The pure decisions: names, money, keys, outcomes, retries."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from papayya_core import codec, faults, rules
from papayya_core.contract import Known, StepKey
from papayya_core.errors import InvalidKey, NonRetriable, Reject


@given(st.text(max_size=600) | st.text(st.characters(), max_size=600))
def test_names(text: str) -> None:
    """A name is what Postgres can keep: 1 to 500 characters, no NUL, no lone surrogate."""
    fits = 0 < len(text) <= 500 and "\x00" not in text
    fits = fits and not any("\ud800" <= c <= "\udfff" for c in text)
    if fits:
        assert rules.check_name(text, "a key") is text
    else:
        with pytest.raises(InvalidKey, match="a key"):
            rules.check_name(text, "a key")


@pytest.mark.parametrize("value", [None, 1, b"x", ["a"]])
def test_names_are_text(value: object) -> None:
    """What is not text is refused by its type."""
    with pytest.raises(InvalidKey, match=type(value).__name__):
        rules.check_name(value, "a key")


@pytest.mark.parametrize(
    ("usd", "nano"),
    [
        (0, 0),
        (1, 10**9),
        (0.1, 10**8),
        (0.1 + 0.2, 300_000_000),
        ("0.0000000005", 1),
        ("0.00000000049", 0),
        (Decimal("0.0000000015"), 2),
        ("1e-3", 10**6),
    ],
)
def test_money(usd: object, nano: int) -> None:
    """US dollars become nano-dollars, rounded half up once; a float by its shortest form."""
    assert rules.nano_usd(usd) == nano


@pytest.mark.parametrize(
    "usd",
    [
        "",
        "a lot",
        "nan",
        "inf",
        float("nan"),
        float("inf"),
        -1,
        "-0.1",
        10**12,
        None,
        True,
        [],
        Fraction(1, 3),
    ],
)
def test_not_money(usd: object) -> None:
    """What is no finite amount from 0 on is refused."""
    with pytest.raises(ValueError, match="US dollars"):
        rules.nano_usd(usd)


@given(st.integers(0, 2**62 - 1))
def test_money_comes_back(nano: int) -> None:
    """Nano-dollars to dollars and back is exact."""
    assert rules.nano_usd(rules.usd(nano)) == nano


def key_of(value: Any) -> str:
    text = codec.encode(value)
    return rules.content_key(text, codec.digest(text))


def test_content_keys() -> None:
    """Short printable text and numbers name themselves, everything else its digest; distinctly."""
    assert key_of("item_0001") == "item_0001"
    assert [key_of(value) for value in (7, 1.5, True, -3)] == ["7", "1.5", "true", "-3"]
    hashed = [None, "", [], {}, "x" * 65, "a\nb", "a\x00", "\ud800", {"a": 1}, ["a"], b"a"]
    keys = [key_of(value) for value in hashed]
    assert all(key.startswith("in-") for key in keys)
    assert len(set(keys)) == len(hashed)
    assert key_of({"a": 1, "b": 2}) == key_of({"b": 2, "a": 1})


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=5))
def test_content_keys_are_names(value: Any) -> None:
    """Whatever the input, its key can be stored."""
    assert rules.check_name(key_of(value), "a key")


def test_outcomes() -> None:
    """The outcome is the worst that was found; a note does not count."""
    assert rules.worst([]) == "ok"
    assert rules.worst(["note", "note"]) == "ok"
    assert rules.worst(["note", "degraded"]) == "degraded"
    assert rules.worst(["failed", "degraded", "note"]) == "failed"


def test_fingerprints() -> None:
    """Findings that differ in numbers, ids and quoted parts are of one kind; others are not."""
    same = [
        "HTTP 429 after 12 s for item 'a b'",
        "HTTP 503 after 7 s for item 'c'",
    ]
    assert rules.fingerprint("x", same[0]) == rules.fingerprint("x", same[1])
    ids = ["at 0x7f12ab", "at 0xdeadbeef"]
    assert rules.fingerprint("x", ids[0]) == rules.fingerprint("x", ids[1])
    assert rules.fingerprint("x", "a") != rules.fingerprint("x", "b")
    assert rules.fingerprint("x", "a") != rules.fingerprint("y", "a")
    assert len(rules.fingerprint("x", "\ud800")) == 8


class ProviderError(Exception):
    """An error with a status, on itself or on its response."""

    def __init__(self, status: object, on_response: bool = False, headers: Any = None) -> None:
        super().__init__("said the provider")
        facts = {"status_code": status} if on_response else {}
        if headers is not None:
            facts["headers"] = headers
        self.response = type("Response", (), facts)() if facts else None
        if not on_response:
            self.status_code = status


@pytest.mark.parametrize("on_response", [False, True])
@pytest.mark.parametrize(
    "status", [*range(400, 412), 418, 422, 425, 428, 429, 451, 500, 502, 503, 529]
)
def test_permanent_statuses(status: int, on_response: bool) -> None:
    """A 4xx is permanent, but for those that say: later (408, 409, 425, 429)."""
    error = ProviderError(status, on_response)
    assert rules.status_of(error) == status
    assert rules.is_permanent(error) == (400 <= status < 500 and status not in (408, 409, 425, 429))


def test_permanent_errors() -> None:
    """The user's word and faults of the program are permanent; what is unknown is tried again."""
    permanent = [
        NonRetriable(),
        Reject(),
        ValueError(),
        KeyError(),
        TypeError(),
        ZeroDivisionError(),
    ]
    transient = [
        Exception(),
        RuntimeError(),
        OSError(),
        ConnectionError(),
        TimeoutError(),
        EOFError(),
    ]
    assert all(map(rules.is_permanent, permanent))
    assert not any(map(rules.is_permanent, transient))

    class BadAddress(OSError, ValueError):
        """As some HTTP clients have them."""

    assert not rules.is_permanent(BadAddress())
    assert rules.status_of(ProviderError(True)) is None
    assert rules.status_of(ProviderError("429")) is None


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "3"}, 3.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"}, None),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "1e9"}, None),
        ({}, None),
        (None, None),
        ("not a mapping", None),
    ],
)
def test_retry_after(headers: Any, seconds: float | None) -> None:
    """Retry-After is read in seconds or milliseconds; what makes no sense is not read."""
    assert rules.retry_after(ProviderError(429, headers=headers)) == seconds


def test_default_retry() -> None:
    """1, 2, 4 … 60 seconds, or what the provider asks; no more tries than the limit."""
    error = ConnectionError("reset")
    delays = [rules.default_retry(error, n, 99).delay for n in range(1, 10)]
    assert delays == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    asked = ProviderError(429, headers={"retry-after": "90"})
    assert rules.default_retry(asked, 1, 5) == (90.0, "ProviderError 429: said the provider")
    assert rules.default_retry(error, 5, 5).delay is None


@pytest.mark.parametrize(
    ("error", "anew"),
    [
        (Reject("too short"), True),
        (ValueError("no JSON"), True),
        (KeyError("category"), True),
        (StopIteration(), True),
        (NonRetriable("no such customer"), False),
        (ConnectionError("gone"), False),
        (RuntimeError("whatever"), False),
        (ExceptionGroup("tasks", [ConnectionError("gone"), ValueError("no JSON")]), True),
        (ExceptionGroup("tasks", [ExceptionGroup("inner", [ConnectionError("gone")])]), False),
    ],
)
def test_asked_anew(error: Exception, anew: bool) -> None:
    """What could not make anything of an answer has it asked anew; what else failed does not."""
    assert faults.asks_anew(error) is anew


def test_described_errors() -> None:
    """An error is one short line that a text column accepts."""
    assert rules.describe_error(ValueError("a\n  b\x00\ud800")) == "ValueError: a b\ufffd?"
    assert rules.describe_error(ValueError()) == "ValueError: (no message)"
    assert len(rules.describe_error(ValueError("x" * 9999))) < 400
    evidence = rules.as_evidence(ProviderError(429))
    assert evidence["status"] == 429
    assert evidence["type"].endswith("ProviderError")


def known(label: str, args: bytes, state: Any = "completed") -> Known:
    return Known(StepKey(label, args, 1), 1, state, "1", None, 1)


def test_changed_labels() -> None:
    """A label changed when it ran with new arguments while finished steps of it were not asked for."""
    old, new = StepKey("a", b"1", 1), StepKey("a", b"2", 1)
    was = [known("a", b"1")]
    assert rules.changed_labels(was, frozenset([new]), [new]) == ["a"]
    assert rules.changed_labels(was, frozenset([old, new]), [new]) == []
    assert rules.changed_labels(was, frozenset([old]), []) == []
    assert rules.changed_labels([known("a", b"1", "failed")], frozenset([new]), [new]) == []
