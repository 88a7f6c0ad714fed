"""Rate limits: set, change, look at and take away."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from math import isfinite
from typing import Any, NamedTuple, TypedDict, Unpack

from papayya_core.errors import PapayyaError
from papayya_core.store import accounts, keys
from papayya_core.store.reads import Connection, UnknownName, rows, values

_FILE = "limits.sql"
BURST = 6.0  # seconds
_MINUTE = 60


class InvalidLimit(PapayyaError, ValueError):
    """A limit that cannot be set as it was given; nothing was changed."""


class Scope(TypedDict, total=False):
    """What a limit is of. All that is given must fit. Without a tenant it is shared by all.

    ``model``: a pattern, in which ``*`` stands for any text and ``?`` for one character.
    """

    tenant: str | None
    key: str | None
    provider: str | None
    model: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimit:
    """A limit of requests and tokens per minute; None: not limited.

    ``burst``: seconds of it that may come at once. ``requests_used``, ``tokens_used``: what was
    taken and has not run off yet. ``waiting``: items. ``cool_until``: the provider asked to wait.
    ``learned``: from the provider's own words.
    """

    id: int
    tenant: str | None
    key: str | None
    provider: str | None
    model: str | None
    requests: float | None
    tokens: float | None
    burst: float
    learned: bool
    requests_used: float | None
    tokens_used: float | None
    waiting: int
    cool_until: datetime | None
    served_at: datetime | None

    @property
    def full(self) -> float:
        """How full it is: 1 and more lets nothing in right now."""
        both = ((self.requests_used, self.requests), (self.tokens_used, self.tokens))
        return max(
            (used / most * _MINUTE / self.burst for used, most in both if most and used),
            default=0.0,
        )

    @property
    def scope(self) -> dict[str, str | None]:
        """What it is of."""
        return {name: getattr(self, name) for name in Scope.__annotations__}


class LimitChange(NamedTuple):
    """What setting a limit has made of it; ``before`` None: it is new."""

    before: RateLimit | None
    after: RateLimit

    @property
    def changed(self) -> bool:
        """Tell whether it is another limit now."""
        now, was = self.after, self.before
        return was is None or any(
            getattr(was, name) != getattr(now, name) for name in ("requests", "tokens", "burst")
        )


class Wanted(NamedTuple):
    """A limit as it is to be set, per minute."""

    scope: dict[str, str | None]
    requests: float | None
    tokens: float | None
    burst: float

    def unkept(self) -> RateLimit:
        """Return it as it is where no database is asked."""
        none = dict.fromkeys(("requests_used", "tokens_used", "cool_until", "served_at"))
        what: dict[str, Any] = {**self.scope, **none}
        for name in ("requests", "tokens", "burst"):
            what[name] = getattr(self, name)
        return RateLimit(id=0, learned=False, waiting=0, **what)


def wanted(
    *,
    requests: float | None = None,
    tokens: float | None = None,
    burst: float = BURST,
    **scope: Unpack[Scope],
) -> Wanted:
    """Look whether a limit can be set so. Raises InvalidLimit or InvalidKey."""
    of = _checked(scope)
    if requests is None and tokens is None:
        raise InvalidLimit("a limit limits something: give requests, tokens or both, per minute")
    for name, value in (("requests", requests), ("tokens", tokens), ("burst", burst)):
        if value is not None and not _is_above_zero(value):
            raise InvalidLimit(f"{name} must be a number above 0, not {value!r}")
    return Wanted(of, requests, tokens, burst)


def set_limit(connection: Connection, **given: Any) -> LimitChange:
    """Set a limit as ``wanted`` takes it, or change it; see ``put``."""
    return put(connection, wanted(**given))


def put(connection: Connection, want: Wanted) -> LimitChange:
    """Set a limit, or change it; what it does not name is not limited. Tenants may be new.

    Raises UnknownName for a key.
    """
    amounts = {"requests": want.requests, "tokens": want.tokens, "burst": want.burst}
    with connection.transaction():
        if (key := want.scope["key"]) is not None:
            keys.find_key(connection, key)
        before = _exactly(connection, want.scope)
        [number] = values(connection, "set_limit", _FILE, **want.scope, **amounts)
        [after] = _read(connection, id=number)
    return LimitChange(before[0] if before else None, after)


def providers_seen(connection: Connection) -> list[str]:
    """Name the providers of which a key was seen."""
    return values(connection, "providers", _FILE)


def _is_above_zero(value: object) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and isfinite(value) and value > 0  # type: ignore[arg-type,operator]


def _checked(scope: Scope) -> dict[str, str | None]:
    of = accounts.checked(Scope.__annotations__, scope)
    if not any(of.values()):
        raise InvalidLimit("a limit is of something: give a tenant, key, provider or model")
    return of


def get_limit(connection: Connection, **scope: Unpack[Scope]) -> RateLimit | None:
    """Return the limit that was set on exactly this; None when there is none."""
    found = _exactly(connection, _checked(scope))
    return found[0] if found else None


def _exactly(connection: Connection, of: dict[str, str | None]) -> list[RateLimit]:
    try:
        return _read(connection, exact=True, learned=False, **_found(connection, of))
    except UnknownName:
        return []


def list_limits(connection: Connection, **scope: Unpack[Scope]) -> list[RateLimit]:
    """Return all limits, or those that name this tenant, key, provider and model, among others.

    Those that were set come first, then those that were learned. Raises UnknownName.
    """
    of = accounts.checked(Scope.__annotations__, scope)
    return _read(connection, **_found(connection, of))


def limit_of_id(connection: Connection, number: int) -> RateLimit | None:
    """Return a limit by its id."""
    found = _read(connection, id=number)
    return found[0] if found else None


def _found(connection: Connection, of: dict[str, str | None]) -> dict[str, object]:
    return {**of, **accounts.find(connection, {name: of[name] for name in ("tenant", "key")})}


def _read(connection: Connection, **given: object) -> list[RateLimit]:
    names = ("id", "learned", "tenant", "key", "provider", "model")
    params = {**dict.fromkeys(names), "exact": False, **given}
    return rows(connection, "limits", RateLimit, _FILE, **params)


def remove_limit(connection: Connection, number: int) -> bool:
    """Take a limit away; what waits for it goes on. False: there was none."""
    return values(connection, "remove_limit", _FILE, id=number) != [None]
