"""Between live values and what is stored of them. Recording never breaks work that was paid."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from papayya_core import codec, rules, vault
from papayya_core.contract import Body, Finding
from papayya_core.errors import ItemLocked
from papayya_core.store import rows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from papayya_core.execution import Execution


class Stored(NamedTuple):
    """A value as it is stored: small text inline or a payload; ``why`` tells of one that is not."""

    text: str | None = None
    body: Body | None = None
    why: str | None = None
    check: str = "unstored"


def store_value(value: object, encoders: codec.Encoders | None, inline: int, limit: int) -> Stored:
    """Encode a value: inline up to ``inline`` bytes, as a payload up to ``limit`` bytes.

    With encryption on, nothing is inline.
    """
    try:
        text = codec.encode(value, encoders)
    except codec.Unencodable as error:
        return Stored(why=str(error))
    except Exception as error:  # noqa: BLE001 - user code (properties, plugins) runs in here
        return Stored(why=rules.describe_error(error))
    if len(text) <= inline and not vault.is_on() and len(text.encode()) <= inline:
        return Stored(text=text)
    body = rows.pack(text)
    if body.size > limit:
        why = (
            f"{body.size:,} bytes are more than PAPAYYA_MAX_PAYLOAD_BYTES={limit:,}: "
            "store the data elsewhere and return a reference, or raise the limit"
        )
        return Stored(why=why, check="too_large")
    return Stored(body=body)


def unstored(stored: Stored, what: str, severity: Any, n: int | None = None) -> Finding:
    """Say that a value could not be stored, and what follows from it."""
    return Finding(stored.check, severity, f"{what} was not stored: {stored.why}", n=n)


@contextmanager
def unlocking(execution: Execution) -> Iterator[None]:
    """Read what was paid; what cannot be read must not be paid again, so that the item ends."""
    try:
        yield
    except (vault.Locked, codec.Undecodable) as error:
        signal = execution.trip(ItemLocked(f"what was paid for cannot be read: {error}"))
        raise signal.with_traceback(None) from None
