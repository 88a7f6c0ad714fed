"""Plugins add types through ``Encoders``."""

from __future__ import annotations

from typing import Any

import pytest

from papayya_core.codec import Undecodable, Unencodable, arguments_digest, decode, encode, plain
from tests.unit.codec_values import Answer, Colour


class Money(int):
    pass


class Broken:
    def fail(self) -> tuple[str, Any]:
        raise RuntimeError("plugin bug")


class Tags:
    """A plugin for classes the codec does not know."""

    def encode(self, value: object) -> tuple[str, Any] | None:
        if isinstance(value, Money):
            return "money", {"$amount": (int(value), {b"kept": None})}
        return value.fail() if isinstance(value, Broken) else None

    def decode(self, tag: str, payload: Any) -> Any:
        assert tag == "money"
        return Money(payload["$amount"][0])


def test_plugins_add_types() -> None:
    """A plugin's payload may be any encodable value, and its type comes back."""
    back = decode(encode({"price": [Money(3)]}, Tags()), Tags())

    assert type(back["price"][0]) is Money
    assert back == {"price": [3]}


def test_plugins_are_not_asked_for_known_types() -> None:
    """What the codec knows is never handed to a plugin."""

    class Refusing:
        def encode(self, value: object) -> tuple[str, Any] | None:
            raise AssertionError(value)

        def decode(self, tag: str, payload: Any) -> Any:
            raise AssertionError(tag)

    value = [1, "a", {2: Colour.RED}, Answer(label=1)]

    assert decode(encode(value, Refusing()), Refusing()) == value


def test_failing_plugins_refuse_the_value() -> None:
    """A plugin that raises makes the value unencodable, with the plugin's error named."""
    with pytest.raises(Unencodable, match="plugin bug"):
        encode([Broken()], Tags())


def test_values_of_missing_plugins_are_undecodable() -> None:
    """Without its plugin a value is refused, never None, but its payload can still be shown."""

    class Others:
        def encode(self, value: object) -> tuple[str, Any] | None:
            return None

        def decode(self, tag: str, payload: Any) -> Any:
            return None

    text = encode(Money(3), Tags())

    with pytest.raises(Undecodable, match="not loaded"):
        decode(text, Others())
    with pytest.raises(Undecodable, match="not loaded"):
        decode(text)
    assert plain(text) == {"$amount": [3, {"a2VwdA==": None}]}


def test_plugins_take_part_in_step_keys() -> None:
    """A value that a plugin encodes tells step keys apart; a failing plugin does not break them."""
    keys = {arguments_digest((Money(n),), {}, Tags()) for n in (1, 2, 2)}

    assert len(keys) == 2
    assert arguments_digest((Broken(),), {}, Tags()) == arguments_digest((Broken(),), {})


class Endless:
    """A plugin whose payload always needs the plugin again."""

    def encode(self, value: object) -> tuple[str, Any] | None:
        return "endless", Broken()

    def decode(self, tag: str, payload: Any) -> Any:
        return payload


def test_endless_plugins_are_stopped() -> None:
    """A plugin that never comes to an end refuses the value, and step keys do without it."""
    with pytest.raises(Unencodable, match="no room"):
        encode(Broken(), Endless())

    assert len(arguments_digest((Broken(),), {}, Endless())) == 32
