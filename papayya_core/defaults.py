"""Papayya's own answers to its hooks: the plugin that always comes last."""

from __future__ import annotations

from collections.abc import Iterable

from papayya_core import checks, rules
from papayya_core.checks import CheckContext
from papayya_core.contract import Finding
from papayya_core.hookspecs import hookimpl
from papayya_core.rules import RetryDecision


@hookimpl(trylast=True)
def classify_error(error: BaseException) -> str:
    """Go by the provider's status, the user's word and the error's type."""
    return "permanent" if rules.is_permanent(error) else "transient"


@hookimpl(trylast=True)
def decide_retry(error: BaseException, attempts: int, limit: int) -> RetryDecision:
    """Retry with the provider's Retry-After or exponential delays, up to the limit."""
    return rules.default_retry(error, attempts, limit)


@hookimpl
def check(context: CheckContext) -> Iterable[Finding]:
    """Hold the output against the agent's declared schema."""
    return list(checks.schema_findings(context))
