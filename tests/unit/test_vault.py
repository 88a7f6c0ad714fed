"""Payloads are encrypted when there is a key, and say what is wrong when they can't be read."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator

import pytest
from cryptography.fernet import Fernet
from hypothesis import given, settings
from hypothesis import strategies as st

from papayya_core import rules, vault
from papayya_core.errors import SettingsError
from papayya_core.results import store_value
from papayya_core.store import details, rows

OLD, NEW, FOREIGN = (Fernet.generate_key().decode() for _ in range(3))


@pytest.fixture(autouse=True)
def _no_key() -> Iterator[None]:
    """Leave no key behind."""
    vault.use(None)
    yield
    vault.use(None)


@settings(deadline=None, max_examples=50)
@given(st.binary(max_size=50), st.integers(0, 200))
def test_round_trip(part: bytes, times: int) -> None:
    """What was packed with a key comes back the same, compressed or not."""
    data = part * times
    vault.use([NEW])

    body = rows.pack_bytes(data)

    assert rows.unpack_bytes(body.codec, body.data) == data
    assert (body.codec, body.size) == (rows.ENCRYPTED, len(data))


def test_nothing_in_clear() -> None:
    """Neither the body nor the name of an encrypted payload tells its content."""
    vault.use([NEW])

    body = rows.pack("the patient's name" * 9)

    assert b"patient" not in body.data
    assert body.hash != hashlib.sha256(b"the patient's name" * 9).digest()
    assert body.data[:1] == b"\x80"  # a token's bytes, not its base64


def test_names() -> None:
    """One content has one name under one key, another under another, and SHA-256's without."""
    names = []
    for keys in (None, [NEW], [NEW, OLD], [OLD]):
        vault.use(keys)
        names.append(rows.pack("x").hash)

    assert names[0] == hashlib.sha256(b"x").digest()
    assert names[1] == names[2]
    assert len(set(names)) == 3


def test_rotation() -> None:
    """The first key encrypts, all of them decrypt."""
    vault.use([OLD])
    before = rows.pack("old")
    vault.use([NEW, OLD])
    after = rows.pack("new")
    vault.use([NEW])

    assert rows.unpack(after.codec, after.data) == "new"
    with pytest.raises(vault.Locked, match="no key of PAPAYYA_ENCRYPTION_KEY opens"):
        rows.unpack(before.codec, before.data)
    vault.use([NEW, OLD])
    assert rows.unpack(before.codec, before.data) == "old"


def test_clear_payloads_stay_readable() -> None:
    """What was stored before there was a key is read with one."""
    before = rows.pack("x" * 5000)
    vault.use([NEW])

    assert rows.unpack(before.codec, before.data) == "x" * 5000


def test_without_key() -> None:
    """An encrypted payload without a key names the setting; a page says so and goes on."""
    vault.use([NEW])
    body = rows.pack('"secret"')
    vault.use(None)

    with pytest.raises(vault.Locked, match="encrypted; set PAPAYYA_ENCRYPTION_KEY to read it"):
        rows.unpack(body.codec, body.data)
    assert details.shown(body.codec, body.data) == (
        "(encrypted; set PAPAYYA_ENCRYPTION_KEY to read it)"
    )


def test_wrong_key_and_damage() -> None:
    """A wrong key and a damaged payload are named alike: they can't be told apart."""
    vault.use([NEW])
    body = rows.pack("x")
    for data in (b"", b"x", body.data[:-1], body.data[:-1] + b"\x00\x00"):
        with pytest.raises(vault.Locked, match="or it is damaged"):
            rows.unpack(body.codec, data)
    vault.use([FOREIGN])
    with pytest.raises(vault.Locked, match="with a comma between them"):
        rows.unpack(body.codec, body.data)


def test_bad_key() -> None:
    """What is no key is refused without being shown, and how to make one is said."""
    vault.use(["hunter2"])
    with pytest.raises(SettingsError, match="no Fernet key; make one by python -c") as caught:
        vault.current()
    assert "hunter2" not in str(caught.value)


def test_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without cryptography, a key says what to install; without a key, nothing is missing."""
    monkeypatch.setitem(sys.modules, "cryptography.fernet", None)
    assert rows.pack("x").codec == rows.PLAIN
    vault.use([NEW])
    with pytest.raises(SettingsError, match=r"pip install 'papayya-core\[encryption\]'"):
        rows.pack("x")


def test_results_are_not_inline() -> None:
    """With a key, even the smallest result is a payload, because inline text would be clear."""
    assert store_value("x", None, 2048, 10_000).text == '"x"'
    vault.use([NEW])
    stored = store_value("x", None, 2048, 10_000)

    assert stored.text is None
    assert stored.body is not None
    assert stored.body.codec == rows.ENCRYPTED


def test_keys_tell_nothing() -> None:
    """With a key, an item that nobody named isn't named by its input."""
    assert rules.content_key('"acme"', b"\x01" * 32) == "acme"
    assert rules.content_key('"acme"', b"\x01" * 32, plain=False) == "in-" + "01" * 8
    assert rules.content_key("7", b"\x01" * 32, plain=False) == "in-" + "01" * 8
