"""One exchange with a provider: what is asked, and what came of it. No I/O in here."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from papayya_core import context, rules, vault
from papayya_core.call import Answered, Asked, Held
from papayya_core.execution import Execution, Step, live_fences
from papayya_core.redaction import logger as redacting
from papayya_core.redaction import redact
from papayya_core.redaction.names import secret_name
from papayya_core.runtime import Runtime, runtime
from papayya_llm import credentials, foreign, headers, journal, prices, schemas
from papayya_llm.foreign import Foreign
from papayya_llm.schemas import Schema

logger = redacting("papayya.llm")

_warned: list[str] = []  # the host of a call that was nobody's


@dataclass(slots=True)
class Exchange:
    """A request that is a call of an item.

    ``content``: the body as the caller wrote it, ``body`` parsed. ``url``: host and path. ``home``:
    where it is recorded, however late its end comes. ``provider_key``: fingerprint of the
    credential. ``clampable``: it may be sent with a lower limit of output.
    """

    execution: Execution
    step: Step | None
    schema: Schema
    asked: Asked
    key: bytes
    content: bytes
    body: dict[str, Any]
    host: str
    url: str
    home: Runtime
    sdk_retries: int = 0
    provider_key: str | None = None
    clampable: bool = False
    began: float = field(default_factory=time.monotonic)

    def begin(self) -> None:
        """Count seconds from now on."""
        self.began = time.monotonic()

    def seconds(self) -> float:
        """Return the seconds since the sending."""
        return time.monotonic() - self.began

    def limited(self, held: Held) -> dict[str, Any]:
        """Return the body as it is to be sent: with less output, where a budget leaves less."""
        if held.clamped is None or not self.clampable:
            return self.body
        return self.schema.clamped(self.body, held.clamped, self.asked.provider)

    def read(self, body: bytes, fields: Mapping[str, str]) -> Answered | None:
        """Read a whole answer; None for one that says nothing."""
        try:
            found = json.loads(body)
        except ValueError:
            found = body.decode("utf-8", "replace")
        if isinstance(found, str) and not isinstance(self.schema, Foreign):
            return None
        return self.schema.answer(found, {name.lower(): text for name, text in fields.items()})

    def compare(self, held: Held) -> None:
        """Say how the request differs from the one that was paid for when the item ran before."""
        if held.near is None:
            return
        try:
            before, volatile = json.loads(held.near), self.schema.volatile
            where = journal.difference(
                before,
                self.body,
                volatile=volatile,
                redact=redact,
                is_secret=secret_name,
                values=not vault.is_on(),
            )
        except Exception as error:  # noqa: BLE001 - ours, and none of the caller's business
            self.fault("it could not be compared", error)
            return
        if where:
            reason = f"a request is not the one that was paid for before: {where}"
            self.execution.note("replay_miss", reason, self.step.n if self.step else None)

    def fault(self, what: str, error: BaseException) -> None:
        """Note a fault of our own; the caller never sees it."""
        _fault(self.execution, what, error)


def _fault(execution: Execution, what: str, error: BaseException) -> None:
    logger.error("a call of item %s: %s", execution.shown_key, what, exc_info=error)
    execution.note("observer_error", f"{what}: {rules.describe_error(error)}")


def recognise(
    host: str, path: str, query: str, fields: Mapping[str, str], read: Callable[[], bytes]
) -> Exchange | None:
    """Return the exchange that a POST is, None for one that is none of ours. Never raises.

    ``fields``: headers, found by lower-case names.
    """
    execution, here = context.current(), runtime()
    if here.settings.mode == "off" or not here.settings.llm:
        return None
    if execution is None:
        if live_fences() and not context.is_left_alone():
            _warn_of_nobodys(host, path, fields.get("user-agent") or "")
        return None
    try:
        _make_known(here.settings.llm_hosts)
        found = schemas.find(host, path, fields.get("user-agent") or "")
        if found is None and not schemas.is_registered(host):
            return None
        return _exchange(here, execution, found, host, path, query, fields, read())
    except Exception as error:  # noqa: BLE001 - ours, and none of the caller's business
        _fault(execution, "a request could not be read", error)
        return None


def _warn_of_nobodys(host: str, path: str, agent: str) -> None:
    """Say, once, that a call is made beside the items that are at work: it is in no sum."""
    if not _warned and schemas.find(host, path, agent) is not None:
        _warned.append(host)
        logger.warning(
            "a call to %s is made outside of any item, while items are at work: no budget holds it"
            " and no sum has it. Threads of your own carry their item by papayya.bind(function).",
            host,
        )


@lru_cache(maxsize=8)
def _make_known(hosts: tuple[str, ...] | None) -> None:
    """Register the hosts of the settings, once."""
    for each in hosts or ():
        host, _, provider = each.partition("=")
        schemas.register(host.strip(), provider.strip())


def _exchange(
    here: Runtime,
    execution: Execution,
    found: tuple[Schema, str] | None,
    host: str,
    path: str,
    query: str,
    fields: Mapping[str, str],
    content: bytes,
) -> Exchange | None:
    body = _object(content)
    if body is None:
        return None
    schema, provider = found or (foreign.ask(host + path, body), "")
    if schema is None:
        return None
    return Exchange(
        execution,
        context.current_step(),
        schema,
        _bounded(schema.ask(path, body, len(content), provider)),
        journal.key(schema, path, body),
        content,
        body,
        host,
        host + path,
        here,
        headers.retries(fields),
        credentials.provider_key(fields, query),
        not credentials.is_signed(fields) and schema.can_clamp(body),
    )


def _bounded(asked: Asked) -> Asked:
    """Where a request sets no limit, its model does."""
    if asked.max_tokens is not None or asked.unbounded is not None:
        return asked
    return dataclasses.replace(asked, max_tokens=prices.max_output(asked.provider, asked.model))


def _object(content: bytes) -> dict[str, Any] | None:
    try:
        body = json.loads(content)
    except ValueError:
        return None  # the provider will say so
    return body if isinstance(body, dict) else None
