"""The keys that payloads are encrypted with. One vault per process, set from its settings.

Bytes in, bytes out: Fernet (AES-128-CBC with HMAC-SHA256), stored as raw bytes instead of its text.
The first key encrypts, all of them decrypt, so that keys can be replaced one after the other.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import TYPE_CHECKING

from papayya_core.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cryptography.fernet import MultiFernet

VARIABLE = "PAPAYYA_ENCRYPTION_KEY"
MAKE = (
    'make one by python -c "from cryptography.fernet import Fernet;'
    ' print(Fernet.generate_key().decode())"'
)
_NAMING = b"papayya: names of payloads, version 1"


class Locked(SettingsError):
    """A payload is encrypted, and this process has no key that opens it."""


class Vault:
    """Keys in use. Raises SettingsError for what is no key, or without ``cryptography``."""

    def __init__(self, keys: Sequence[str]) -> None:
        try:
            from cryptography.fernet import Fernet, MultiFernet
        except ImportError:
            msg = (
                f"{VARIABLE} is set, but cryptography is not installed:"
                " pip install 'papayya-core[encryption]'"
            )
            raise SettingsError(msg) from None
        try:
            self._fernet: MultiFernet = MultiFernet([Fernet(key) for key in keys])
        except ValueError:
            raise SettingsError(f"{VARIABLE} holds what is no Fernet key; {MAKE}") from None
        self._naming = hmac.digest(base64.urlsafe_b64decode(keys[0]), _NAMING, "sha256")

    def encrypt(self, data: bytes) -> bytes:
        """Encrypt with the first key."""
        return base64.urlsafe_b64decode(self._fernet.encrypt(data))

    def decrypt(self, data: bytes) -> bytes:
        """Decrypt with whichever key fits. Raises Locked."""
        from cryptography.fernet import InvalidToken

        try:
            return self._fernet.decrypt(base64.urlsafe_b64encode(data))
        except InvalidToken:
            msg = (
                f"no key of {VARIABLE} opens this payload, or it is damaged: add the key it was"
                " encrypted with after the first, with a comma between them"
            )
            raise Locked(msg) from None

    def name(self, data: bytes) -> bytes:
        """Name content so that nobody without the key can tell whether a guess is right."""
        return hmac.digest(self._naming, data, "sha256")


_keys: tuple[str, ...] = ()
_vault: Vault | None = None


def use(keys: Sequence[str] | None) -> None:
    """Set the keys of this process; None or none of them: new payloads are not encrypted.

    Nothing is imported or checked before ``current`` is asked for, or a payload is.
    """
    global _keys, _vault
    if tuple(keys or ()) != _keys:
        _keys, _vault = tuple(keys or ()), None


def current() -> Vault | None:
    """Return the vault, or None when no key is set. Raises SettingsError as ``Vault`` does."""
    global _vault  # noqa: PLW0603
    if _vault is None and _keys:
        _vault = Vault(_keys)
    return _vault


def is_on() -> bool:
    """Tell whether new payloads are encrypted."""
    return bool(_keys)


def name(data: bytes) -> bytes:
    """Name content: by its SHA-256, keyed when there is a key."""
    vault = current()
    return hashlib.sha256(data).digest() if vault is None else vault.name(data)


def decrypt(data: bytes) -> bytes:
    """Decrypt a payload. Raises Locked when no key is set, or none fits."""
    vault = current()
    if vault is None:
        raise Locked(f"encrypted; set {VARIABLE} to read it")
    return vault.decrypt(data)
