"""Pure decisions: no clock, no database, no I/O.

Everything here can be tested with values alone.
"""

from __future__ import annotations

import hashlib
import json
import re
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, NamedTuple

from papayya_core.errors import InvalidKey, NonRetriable, Reject
from papayya_core.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Iterable

    from papayya_core.contract import Known, Outcome, Severity, StepKey

NAME_LIMIT = 500
NANO = 1_000_000_000
_KEY_LIMIT = 64
_READ = 20_000  # characters of an error's message
_SEVERITIES: tuple[Severity, ...] = ("note", "degraded", "failed")


def check_name(value: object, what: str) -> str:
    """Return ``value`` if it can name a ``what``; raise InvalidKey saying what is accepted."""
    if not isinstance(value, str):
        msg = f"{what} must be a str, not {type(value).__name__}: pass str(…) of it"
        raise InvalidKey(msg)
    if not 0 < len(value) <= NAME_LIMIT:
        msg = f"{what} must have 1 to {NAME_LIMIT} characters, this one has {len(value)}"
        raise InvalidKey(msg)
    if "\x00" in value or not _encodable(value):
        msg = f"{what} {value[:40]!a} holds a NUL or a lone surrogate: clean it before use"
        raise InvalidKey(msg)
    return value


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def nano_usd(usd: object) -> int:
    """Convert US dollars to nano-dollars, rounding half up (once, per reported amount).

    A float is read by its shortest decimal form: 0.1 is ten cents.
    """
    try:
        amount = Decimal(repr(usd) if isinstance(usd, float) else str(usd))
        nano = int((amount * NANO).to_integral_value(ROUND_HALF_UP))
    except (InvalidOperation, ValueError, OverflowError):
        msg = f"an amount in US dollars must be a finite number, not {usd!r}"
        raise ValueError(msg) from None
    if not 0 <= nano < 2**62:
        msg = f"an amount in US dollars must be between 0 and 4 billion, not {usd!r}"
        raise ValueError(msg)
    return nano


def usd(nano: int) -> Decimal:
    """Convert nano-dollars to US dollars, exactly."""
    return Decimal(nano).scaleb(-9) if nano else Decimal(0)


def dollars(nusd: int) -> str:
    """Write nano-dollars for people, exactly; what is below nothing is nothing."""
    return f"${usd(max(nusd, 0)).normalize():f}"


def content_key(text: str, digest: bytes, *, plain: bool = True) -> str:
    """Name an item by its input when nobody named it.

    A short plain text is its own key; anything else is named by its digest, so that the same input
    has the same key in any process, whatever the order of its keys and keyword arguments. ``plain``
    False: nothing of the input may be read from the key.
    """
    if not plain:
        return "in-" + digest.hex()[:16]
    value = json.loads(text) if len(text) <= _KEY_LIMIT * 6 else None
    if isinstance(value, str) and 0 < len(value) <= _KEY_LIMIT and value.isprintable():
        return value
    if isinstance(value, (int, float, bool)):
        return text
    return "in-" + digest.hex()[:16]


def scope(key: StepKey) -> bytes:
    """Name a step in 16 bytes, for its calls; the twin of ``papayya.scope_v1``."""
    parts = (key.label.encode(), key.args_hash, str(key.ordinal).encode())
    return hashlib.sha256(b"\0".join(parts)).digest()[:16]


def worst(severities: Iterable[Severity]) -> Outcome:
    """Derive an outcome from what was found; the twin of ``papayya.outcome_v1``."""
    rank = max((_SEVERITIES.index(severity) for severity in severities), default=0)
    return ("ok", "degraded", "failed")[rank]


_VOLATILE = re.compile(
    r"0x[0-9a-fA-F]+|[0-9a-fA-F]{8}-[0-9a-fA-F-]{27}|[0-9a-fA-F]{16,}|\d+|'[^']*'|\"[^\"]*\""
    r"|…[A-Za-z0-9]{4}\]"  # the end of a secret
    r"|…[A-Za-z0-9]{4}\]"  # the end of a secret
)


def fingerprint(check: str, reason: str) -> bytes:
    """Give findings of one kind one fingerprint: numbers, ids and quoted parts do not count."""
    shape = check + "\n" + _VOLATILE.sub("?", reason)
    return hashlib.sha256(shape.encode(errors="replace")).digest()[:8]


class RetryDecision(NamedTuple):
    """Try again after ``delay`` seconds, or (None) give up, because of ``reason``."""

    delay: float | None
    reason: str


_PERMANENT = (
    NonRetriable,
    Reject,
    ArithmeticError,
    LookupError,
    TypeError,
    ValueError,
    AttributeError,
    NameError,
    AssertionError,
    ImportError,
    SyntaxError,
    NotImplementedError,
    RecursionError,
    MemoryError,
)
_CLIENT_FAULT, _SERVER_FAULT = 400, 500
A_DAY = 86_400  # seconds
_TRIED_AGAIN = frozenset({408, 409, 425, 429})


def is_permanent(error: BaseException) -> bool:
    """Tell whether there is positive evidence that trying again cannot help.

    Evidence is the provider's status (4xx but 408, 409, 425, 429: RFC 9110, RFC 6585, RFC 8470),
    the user's own word (NonRetriable, Reject) or a fault of the program. Connection errors and
    everything unknown are tried again.
    """
    status = status_of(error)
    if status is not None:
        return _CLIENT_FAULT <= status < _SERVER_FAULT and status not in _TRIED_AGAIN
    return isinstance(error, _PERMANENT) and not isinstance(error, OSError)


def status_of(error: BaseException) -> int | None:
    """Read the HTTP status of a provider's error, as openai, anthropic and httpx carry it."""
    for holder in (error, getattr(error, "response", None)):
        status = getattr(holder, "status_code", None)
        if isinstance(status, int) and not isinstance(status, bool):
            return status
    return None


def retry_after(error: BaseException) -> float | None:
    """Read Retry-After (seconds form) or retry-after-ms from a provider's error, in seconds."""
    headers = getattr(getattr(error, "response", None), "headers", None)
    if headers is None:
        return None
    for name, scale in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            seconds = float(headers.get(name)) * scale
        except (TypeError, ValueError, AttributeError):
            continue
        if 0 <= seconds <= A_DAY:
            return seconds
    return None


def default_retry(error: BaseException, attempts: int, limit: int) -> RetryDecision:
    """Decide about the next try of a step that failed ``attempts`` times with what can pass.

    The delay is the provider's own Retry-After, else 1, 2, 4, … seconds, at most a minute.
    """
    if attempts >= limit:
        return RetryDecision(None, f"{attempts} attempts failed")
    asked = retry_after(error)
    delay = asked if asked is not None else min(60.0, 2.0 ** (attempts - 1))
    return RetryDecision(delay, describe_error(error))


def message_of(error: BaseException) -> str:
    """Read an error's message; the user's own ``__str__`` may raise."""
    try:
        return str(error)
    except Exception as broken:  # noqa: BLE001 - whatever it is, the item must end
        return f"(its message cannot be read: {type(broken).__name__})"


def describe_error(error: BaseException) -> str:
    """Put an error in one short line that Postgres accepts, without secrets."""
    status = status_of(error)
    message = " ".join(message_of(error)[:_READ].split())
    text = redact(message)[:300] or "(no message)"
    label = type(error).__name__ + (f" {status}" if status else "")
    line = f"{label}: {text}"
    return storable(line)


def presentable(text: str) -> str:
    """Make a text fit to be stored and shown: without secrets, NUL and lone surrogates."""
    return storable(redact(text))


def storable(text: str) -> str:
    """Replace what no text column accepts: NUL and lone surrogates."""
    if text.isascii() and "\x00" not in text:
        return text
    return text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()


def changed_labels(
    known: Iterable[Known], asked: frozenset[StepKey], ran: Iterable[StepKey]
) -> list[str]:
    """Name the labels whose arguments changed since an earlier dispatch.

    A label counts when it ran with arguments that were not known while finished steps of the
    same label were not asked for. A loop that goes on where it stopped asks for all of them.
    """
    unasked = {k.key.label for k in known if k.state == "completed" and k.key not in asked}
    return sorted({key.label for key in ran} & unasked)


def as_evidence(error: BaseException) -> dict[str, Any]:
    """Keep of an error what helps to find it again: type, message without secrets, status."""
    return {
        "type": f"{type(error).__module__}.{type(error).__qualname__}",
        "message": presentable(message_of(error)[:_READ])[:2000],
        "status": status_of(error),
    }
