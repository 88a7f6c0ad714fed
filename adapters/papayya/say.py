"""What plain Python tells the person in the terminal: on stderr, so that pipes stay clean."""

from __future__ import annotations

import shlex
import sys

from papayya_core.contract import ItemResult, Run


def say(line: str) -> None:
    """Write one line to stderr, if there is one."""
    if sys.stderr is not None:
        sys.stderr.write(f"papayya: {line}\n")
        sys.stderr.flush()


def say_stopped(run: Run) -> None:
    """Tell, on stderr, that something was left for the next start."""
    say(f"stopped; nothing is lost. Go on with PAPAYYA_RUN_ID={run.name}")


def say_parked(parked: list[ItemResult], run: Run) -> None:
    """Tell, on stderr, what is parked and how it goes on."""
    if not parked:
        return
    reason = parked[0].reason or "by hand"
    count = "1 item is" if len(parked) == 1 else f"{len(parked)} items are"
    first = ""
    if any((one.reason or "").startswith("budget:") for one in parked):
        first = "raise the budget (`papayya budget set`), then "
    elif any(one.state == "paused" for one in parked):
        _, by_tenant, tenant = reason.partition("paused by hand: tenant ")
        whose = f"--tenant {shlex.quote(tenant)}" if by_tenant else run.name
        first = f"`papayya resume {whose}`, then "
    say(f"{count} parked ({reason}); {first}go on with PAPAYYA_RUN_ID={run.name}")
