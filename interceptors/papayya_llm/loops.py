"""Where our own waiting works."""

from __future__ import annotations

import asyncio

from papayya_llm.exchanges import Exchange


def can_wait_async(exchange: Exchange) -> bool:
    """Tell whether the running event loop is asyncio's; on another one the call is not recorded."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:  # trio
        execution, check = exchange.execution, "call_unrecorded"
        if not any(finding.check == check for finding in execution.findings):
            execution.note(check, "calls on an event loop other than asyncio's are not recorded")
        return False
    return True


def can_wait(_exchange: Exchange) -> bool:
    """Threads always can."""
    return True
