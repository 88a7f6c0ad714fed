"""Send a night's batch: for each tenant a chord of chains, and a report when all are tagged."""

from __future__ import annotations

from argparse import ArgumentParser
from datetime import UTC, datetime

import inbox
from celery import chain, chord
from celery.result import AsyncResult
from tasks import fetch, report, tag

import papayya


def submit(tenant: str, count: int) -> AsyncResult:
    """Send the tickets of one tenant."""
    tickets = inbox.new_tickets(tenant, count)
    header = [chain(fetch.s(tenant, each), tag.s(tenant, each)) for each in tickets]
    return chord(header)(report.s(tenant))


def main() -> None:
    """Send the batch, and print each report when it is there."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--tenants", type=int, default=5)
    parser.add_argument("--tickets", type=int, default=20, help="of each tenant")
    parser.add_argument("--night", default=f"night-{datetime.now(UTC):%m%d-%H%M%S}")
    options = parser.parse_args()

    tenants = [f"tenant-{number}" for number in range(1, options.tenants + 1)]
    with papayya.run("night", run_id=options.night):
        sent = [submit(tenant, options.tickets) for tenant in tenants]
    print(f"{options.night}: {options.tenants} x {options.tickets} tickets", flush=True)
    for result in sent:
        print(result.get(), flush=True)


if __name__ == "__main__":
    main()
