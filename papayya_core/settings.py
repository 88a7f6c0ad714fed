"""What can be set, by environment variable or argument; one field per setting.

A field `lease_seconds` is set by `PAPAYYA_LEASE_SECONDS`. An empty variable counts as not set.
"""

from __future__ import annotations

import os
import sys
import warnings
from base64 import b64decode
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from decimal import Decimal, InvalidOperation
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast

from papayya_core.errors import SettingsError

PREFIX = "PAPAYYA_"
_KEY_BYTES = 32
FOREIGN = f"{PREFIX}TEST_"  # read by the test fixtures, not here

Mode = Literal["enforce", "observe", "off"]
Heartbeat = Literal["process", "thread", "off"]
Capture = Literal["full", "hash", "off"]
Away = Literal["stop", "continue"]


class SettingsWarning(UserWarning):
    """A PAPAYYA_* variable that nothing reads."""


class Variable(NamedTuple):
    """One row of the settings table, for documentation."""

    env: str
    field: str
    accepts: str
    default: object
    doc: str


class Kind(NamedTuple):
    """How a setting is read: what is accepted, and a parser that raises ValueError.

    ``hidden``: why its value is never shown, if it is not.
    """

    accepts: str
    parse: Callable[[str], object]
    hidden: str | None = None


def _one_of(*words: str) -> Kind:
    def parse(text: str) -> str:
        if text.lower() not in words:
            raise ValueError(text)
        return text.lower()

    return Kind(" | ".join(words), parse)


def _some_of(*words: str) -> Kind:
    def parse(text: str) -> tuple[str, ...]:
        names = tuple(dict.fromkeys(_parse_names(text.lower())))
        if not set(names) <= set(words):
            raise ValueError(text)
        return names

    return Kind(f"none, or some of {', '.join(words)} with commas between them", parse)


def _at_least(least: int) -> Kind:
    def parse(text: str) -> int:
        value = int(text)
        if value < least:
            raise ValueError(text)
        return value

    return Kind(f"a whole number, {least} or more", parse)


def _seconds(*, zero: bool) -> Kind:
    def parse(text: str) -> float:
        value = float(text)
        if not (0 < value < float("inf") or (zero and value == 0)):
            raise ValueError(text)
        return value

    return Kind(f"a number of seconds{', 0 or more' if zero else ' above 0'}", parse)


def _parse_number(text: str) -> float:
    value = float(text)
    if not 0 <= value < float("inf"):
        raise ValueError(text)
    return value


def _parse_usd(text: str) -> Decimal:
    try:
        value = Decimal(text.removeprefix("$"))
    except InvalidOperation:
        raise ValueError(text) from None
    if not 0 < value < 10**9:  # more than anybody means
        raise ValueError(text)
    return value


def _parse_switch(text: str) -> bool:
    words = {"1": True, "true": True, "yes": True, "on": True}
    words |= {"0": False, "false": False, "no": False, "off": False}
    if text.lower() not in words:
        raise ValueError(text)
    return words[text.lower()]


def _parse_url(text: str) -> str:
    if (
        not text.startswith(("postgresql://", "postgres://"))
        and "=" not in text.partition("://")[0]
    ):
        raise ValueError(text)
    return text


def _parse_names(text: str) -> tuple[str, ...]:
    if text.lower() == "none":
        return ()
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _parse_keys(text: str) -> tuple[str, ...]:
    keys = _parse_names(text)
    if not all(len(b64decode(key, altchars=b"-_", validate=True)) == _KEY_BYTES for key in keys):
        raise ValueError
    return keys


def default_home(env: Mapping[str, str] = os.environ) -> Path:
    """Where the embedded Postgres lies when PAPAYYA_HOME is not set.

    Root gets a directory outside its home: Postgres runs there under another account.
    """
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        return Path("/var/lib/papayya")
    if sys.platform == "darwin":
        return Path("~/Library/Application Support/papayya").expanduser()
    return Path(env.get("XDG_DATA_HOME") or Path("~/.local/share").expanduser()) / "papayya"


URL = Kind("postgresql://user@host:port/database", _parse_url, "it may hold a password")
TEXT = Kind("text", str)
SECONDS = _seconds(zero=False)
SWITCH = Kind("1 | 0 | true | false | yes | no | on | off", _parse_switch)
DIRECTORY = Kind("a directory", lambda text: Path(text).expanduser().absolute())
USD = Kind("an amount in US dollars, above 0", _parse_usd)
NAMES = Kind("none, or names with commas between them", _parse_names)
KEYS = Kind("none, or Fernet keys with commas between them", _parse_keys, "it is secret")


def _setting(default: object, kind: Kind, doc: str) -> Any:
    return field(default=default, metadata={"kind": kind, "doc": doc}, repr=kind.hidden is None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings of one process. Raises SettingsError for values that do not fit together."""

    database_url: str | None = _setting(
        None, URL, "The Postgres that keeps the books; not set means the embedded one."
    )
    mode: Mode = _setting(
        "enforce",
        _one_of("enforce", "observe", "off"),
        "enforce acts on budgets, observe only records what it would have done, off does nothing.",
    )
    home: Path = field(
        default_factory=default_home,
        metadata={"kind": DIRECTORY, "doc": "Where the embedded Postgres lies."},
    )
    run_id: str | None = _setting(None, TEXT, "The run that bare calls join; resumes it.")
    plugins: tuple[str, ...] | None = _setting(
        None, NAMES, "The plugins to load; not set means every one that is installed."
    )
    heartbeat: Heartbeat = _setting(
        "process",
        _one_of("process", "thread", "off"),
        "Who renews leases; a process is not starved by busy user code.",
    )
    heartbeat_seconds: float = _setting(15.0, SECONDS, "Time between two renewals of the leases.")
    lease_seconds: float = _setting(
        60.0, SECONDS, "How long a silent worker keeps an item; at least two heartbeats."
    )
    max_deliveries: int = _setting(
        5, _at_least(1), "Deliveries of one item that may die before it fails as poison."
    )
    step_attempts: int = _setting(5, _at_least(1), "Attempts of one step before the item fails.")
    retry_inline_seconds: float = _setting(
        2.0,
        _seconds(zero=True),
        "Retry delays up to this are waited out in place; longer ones free the slot.",
    )
    max_payload_bytes: int = _setting(
        8 * 1024 * 1024, _at_least(1024), "The largest input, output or step result that is stored."
    )
    inline_bytes: int = _setting(
        2048, _at_least(0), "Step results up to this size are read back when an item is opened."
    )
    db_patience: float = _setting(
        300.0, SECONDS, "How long a worker waits for a Postgres that went away."
    )
    away: Away | None = _setting(
        None,
        _one_of("stop", "continue"),
        "Whether items may spend while Postgres is away; not set: those without a budget.",
    )
    capture_seconds: float = _setting(
        2.0, SECONDS, "How long a publisher waits for Postgres before a message goes without it."
    )
    pool_size: int = _setting(8, _at_least(1), "The most connections one process keeps open.")
    prepare: bool = _setting(
        True, SWITCH, "Use prepared statements; set 0 behind a pooler that cannot keep them."
    )
    capture: Capture = _setting(
        "full",
        _one_of("full", "hash", "off"),
        "What is kept of prompts and answers: all, their hashes, nothing. Only full can replay.",
    )
    encryption_key: tuple[str, ...] | None = _setting(
        None,
        KEYS,
        "Keys that payloads are encrypted with: the first encrypts, all of them decrypt.",
    )
    redact: tuple[str, ...] = _setting(
        ("secrets",),
        _some_of("secrets", "email", "card"),
        "What is taken out of texts before people see them.",
    )
    llm: bool = _setting(True, SWITCH, "Record calls of model clients inside items.")
    llm_hosts: tuple[str, ...] | None = _setting(
        None,
        NAMES,
        "Hosts whose model calls are recorded whatever client makes them: host, or host=provider.",
    )
    llm_usage: bool = _setting(
        True, SWITCH, "Ask OpenAI's streams for their usage where the caller did not."
    )
    sdk_retries: bool = _setting(
        True, SWITCH, "Let clients try again by themselves inside items; 0 leaves it to the steps."
    )
    unpriced: Literal["park", "allow"] = _setting(
        "park",
        _one_of("park", "allow"),
        "What becomes of a call under a budget in money when its model has no price.",
    )
    clamp: bool = _setting(
        False, SWITCH, "Lower a request's limit of output to what its budgets leave."
    )
    throttle: bool = _setting(
        True, SWITCH, "Let items wait in Postgres at a rate limit; 0 leaves 429s to the client."
    )
    max_item_usd: Decimal | None = _setting(
        None, USD, "What an item may spend at most where its agent does not say it; then it parks."
    )
    outlier_score: float = _setting(
        3.5,
        Kind("a number, 0 or more", _parse_number),
        "How far an item may be from its run's median before it is an outlier; 0 looks for none.",
    )
    import_: tuple[str, ...] | None = _setting(
        None,
        NAMES,
        "Modules that `papayya pump` and `papayya drain` import first: those that install a carrier.",
    )

    def __post_init__(self) -> None:
        if self.lease_seconds < 2 * self.heartbeat_seconds:
            raise SettingsError(
                f"PAPAYYA_LEASE_SECONDS={self.lease_seconds:g} is shorter than two heartbeats of"
                f" {self.heartbeat_seconds:g} s; raise it, or lower PAPAYYA_HEARTBEAT_SECONDS"
            )

    @classmethod
    def load(cls, env: Mapping[str, str] = os.environ, **overrides: object) -> Settings:
        """Read the environment; arguments that are not None win over it.

        Warns of PAPAYYA_* variables that do not exist. Raises SettingsError for a bad value.
        """
        rows = {row.field: row for row in variables()}
        unknown = sorted(overrides.keys() - rows.keys())
        if unknown:
            raise TypeError(f"Settings has no {', '.join(unknown)}; it has {', '.join(rows)}")
        _warn_of_unknown(env)
        values: dict[str, object] = {}
        for name, row in rows.items():
            value = overrides.get(name)
            given: object = env.get(row.env) or None if value is None else value
            if given is not None:
                values[name] = _parse(row, given)
        return cls(**cast("dict[str, Any]", values))


def variable(name: str) -> str:
    """Name the variable of a field; one that Python keeps for itself ends with an underscore."""
    return PREFIX + name.rstrip("_").upper()


def variables() -> Iterator[Variable]:
    """List every setting, in the order of the documentation."""
    for each in fields(Settings):
        default = "the platform's data directory" if each.name == "home" else each.default
        kind: Kind = each.metadata["kind"]
        doc: str = each.metadata["doc"]
        yield Variable(variable(each.name), each.name, kind.accepts, default, doc)


def _parse(row: Variable, given: object) -> object:
    if isinstance(given, tuple | list):
        given = ",".join(map(str, given)) or "none"
    kind: Kind = next(f.metadata["kind"] for f in fields(Settings) if f.name == row.field)
    try:
        return kind.parse(str(given).strip())
    except ValueError:
        driver = str(given).partition("://")[0].strip()
        if kind is URL and driver.startswith(("postgresql+", "postgres+")):
            raise SettingsError(
                f"{row.env} is a {driver}:// address, which only SQLAlchemy understands;"
                f" accepted: {row.accepts}"
            ) from None
        shown = repr(given) if kind.hidden is None else f"(hidden: {kind.hidden})"
        raise SettingsError(f"{row.env} is {shown}; accepted: {row.accepts}") from None


def _warn_of_unknown(env: Mapping[str, str]) -> None:
    known = [row.env for row in variables()]
    for name in env:
        if name.startswith(PREFIX) and not name.startswith(FOREIGN) and name not in known:
            near = get_close_matches(name, known, n=1, cutoff=0)
            hint = f"; did you mean {near[0]}?" if near else ""
            warnings.warn(f"{name} is not a setting{hint}", SettingsWarning, stacklevel=3)
