"""A Postgres that keeps what it committed, to be killed and started again."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from papayya_core.embedded import Server, account, binaries
from papayya_core.testing.servers import throwaway_home
from tests.acceptance.recovery.processes import children, is_alive, until


@contextmanager
def lasting_server() -> Iterator[Server]:
    """Run an embedded server that waits for the disk at each commit, like one in production."""
    with throwaway_home() as home:
        who = account.choose(home / "pg")
        server = Server(binaries.reachable(home, who), home / "pg", who)
        server.start()
        yield server


def kill(server: Server) -> None:
    """Kill the postmaster and all its children without warning."""
    postmaster = server.pid()
    assert postmaster is not None
    family = [postmaster, *children(postmaster)]
    for pid in family:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    until(lambda: not any(map(is_alive, family)), "Postgres is gone")
